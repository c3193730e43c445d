"""Indexes of packages on loopback, with packages made here: a simple index (PEP 503), and npm's registry."""

import base64
import gzip
import hashlib
import io
import json
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAUSE = b"wait"  # the content of a file that is never sent


class Index:
    """What a server serves, by path; ``asked`` are the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = ""
        self.paused = threading.Event()
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
def serving(certificate: Path | None = None) -> Iterator[Index]:
    """An index that answers until the context ends; with a ``certificate`` and its key over TLS."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            data = index.files.get(self.path)
            if data == PAUSE:
                index.paused.set()
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
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        index.url = index.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        index.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def make_authority(folder: Path, name: str) -> Path:
    """A new authority's certificate, and its key in the same file."""
    made = folder / f"{name}.pem"
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", made, "-out", made)
    return made


def make_certificate(authority: Path, name: str, *, host: str = "IP:127.0.0.1", days: int = 2) -> Path:
    """A server's certificate for ``host``, and its key in the same file; with ``days`` < 0 it is over."""
    made, request, signed = (authority.with_name(f"{name}.{kind}") for kind in ("pem", "csr", "crt"))
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={host}")
    _openssl("req", *_NEW_KEY, *names, "-keyout", made, "-out", request)
    _openssl(
        "x509", "-req", "-in", request, "-days", str(days), "-copy_extensions", "copyall",
        "-CA", authority, "-CAkey", authority, "-out", signed,
    )  # fmt: skip
    with made.open("ab") as file:
        file.write(signed.read_bytes())
    return made


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


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
