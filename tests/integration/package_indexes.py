"""Indexes of packages on loopback, with packages made here: a simple index (PEP 503), and npm's registry."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAUSE = b"wait"  # the content of a file that is never sent


class Index:
    """What a server serves, by path; ``asked`` are the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = ""
        self.asked_first = threading.Event()
        self.over = threading.Event()

    def add_wheel(
        self,
        name: str,
        *,
        requires: tuple[str, ...] = (),
        files: Mapping[str, str] | None = None,
        link: str = "",
    ) -> str:
        """A wheel of version 1.0 whose module has VALUE; its SHA-256. ``link`` is another place of it."""
        data = wheel(name, requires=requires, files=files or {f"{name}.py": f"VALUE = {name!r}\n"})
        file = f"{name}-1.0-py3-none-any.whl"
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"/files/{file}"] = data
        address = link or f"../../files/{file}"
        page = f'<!DOCTYPE html><html><body><a href="{address}#sha256={digest}">{file}</a></body></html>'
        self.files[f"/simple/{name.replace('_', '-')}/"] = page.encode()
        return digest

    def add_npm(self, name: str, version: str, *, files: Mapping[str, str], **manifest) -> None:
        """A version of a package of npm's; the last one that is added is the latest."""
        manifest = {"name": name, "version": version, **manifest}
        data = npm_archive({"package.json": json.dumps(manifest), **files})
        place = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.files[place] = data
        path = f"/{name}".replace("/", "%2F") if "/" in name else name
        path = "/" + path.removeprefix("%2F")
        known = json.loads(self.files.get(path, b'{"versions": {}}'))
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        known["versions"][version] = {
            **manifest,
            "dist": {"tarball": self.url + place, "integrity": integrity},
        }
        known["dist-tags"] = {"latest": version}
        self.files[path] = json.dumps(known).encode()


@contextmanager
def serving() -> Iterator[Index]:
    """An index that answers until the context ends."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            index.asked_first.set()
            data = index.files.get(self.path)
            if data == PAUSE:
                index.over.wait(60)
            self.send_response(404 if data is None else 200)
            kind = {"html": "text/html", "json": "application/json"}
            is_page = (data or b"")[:1]
            self.send_header(
                "Content-Type",
                kind["html"] if is_page == b"<" else kind["json"] if is_page == b"{" else "x/y",
            )
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_arguments) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        index.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def wheel(name: str, *, requires: tuple[str, ...], files: Mapping[str, str]) -> bytes:
    folder = f"{name}-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    needs += "".join("Provides-Extra: more\n" for each in requires if "extra" in each)
    files = {
        **files,
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{folder}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**files, f"{folder}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()


def npm_archive(files: Mapping[str, str], *, folder: str = "package") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)
