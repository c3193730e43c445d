"""Runs inside the builder: the installer, on an index that is a server on its own loopback.

That server has nothing behind it but the host at the other end of this program's stdin and stdout, which
fetches what the index may be asked for. What was installed goes the same way back, file by file.

A message is a header (kind, number, length), network byte order, and its payload. From here: GET with an
address, answered by STATUS and BODY under its number, an empty BODY being the end; LINE with what the
installer printed; FILE and DATA; REPORT, the last.
"""

import http.server
import importlib
import json
import os
import re
import struct
import sys
import threading
from queue import SimpleQueue

HEADER = struct.Struct(">BII")
GET, LINE, FILE, DATA, REPORT = range(1, 6)
STATUS, BODY = 1, 2
STATUS_BODY = struct.Struct(">HQ")  # HTTP's status, and how many bytes follow, or …
UNKNOWN = (1 << 64) - 1
PIECE = 1 << 16
FILES, TEMPORARY = "/workspace/files", "/workspace/temporary"

_sending = threading.Lock()
_answers = {}
_numbers = iter(range(1, 1 << 31))
_origin = ""


def send(kind, payload, number=0):
    """Sends a message, whole."""
    with _sending:
        sys.stdout.buffer.write(HEADER.pack(kind, number, len(payload)) + payload)
        sys.stdout.buffer.flush()


def listen():
    """Hands each answer to whoever waits for it."""
    while header := sys.stdin.buffer.read(HEADER.size):
        kind, number, length = HEADER.unpack(header)
        _answers[number].put((kind, sys.stdin.buffer.read(length)))


class Relay(http.server.BaseHTTPRequestHandler):
    """Answers GET by what the host has fetched; addresses in a list of files lead here again."""

    def do_GET(self):  # noqa: N802 - the base class's name
        number = next(_numbers)
        answer = _answers[number] = SimpleQueue()
        send(GET, outer(self.path).encode(), number)
        _, status = answer.get()
        code, length = STATUS_BODY.unpack_from(status)
        kind = status[STATUS_BODY.size :].decode("latin-1")
        pieces = iter(lambda: answer.get()[1], b"")
        if "html" in kind or "json" in kind:
            body = inner(b"".join(pieces))
            pieces, length = [body], len(body)
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length != UNKNOWN:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
        del _answers[number]

    def log_message(self, *_arguments):
        """It has nobody to tell."""


class Server(http.server.ThreadingHTTPServer):
    """On the loopback of a container that has no other network."""

    def handle_error(self, *_arguments):
        """The installer has left."""


def address(of):
    """Where this server has what is at the address ``of``."""
    return f"http://127.0.0.1:{SERVER.server_port}/{of.replace('://', '/', 1)}"


def outer(path):
    """What is meant by a path of this server; one from the root is the index's."""
    scheme, _, rest = path.lstrip("/").partition("/")
    if scheme not in ("http", "https") or not rest:
        return _origin + path
    host, slash, rest = rest.partition("/")
    return f"{scheme}://{host.replace('%3A', ':')}{slash}{rest}"  # pip quotes what is no host to it


def inner(body):
    """A page, its addresses leading here."""
    return re.sub(rb"(https?)://", lambda found: address(found[1].decode() + "://").encode(), body)


def show(line):
    """What the installer says, with the addresses as they are outside."""
    line = re.sub(re.escape(address("")) + "(https?)/", r"\1://", line)
    send(LINE, line.replace(address(""), "/").strip()[:1000].encode())


def send_files():
    """Sends every plain file; nothing else that may be there."""
    for folder, folders, names in os.walk(FILES):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            state = os.stat(path)
            relative = os.fsencode(os.path.relpath(path, FILES))
            send(FILE, struct.pack(">BQ", bool(state.st_mode & 0o111), state.st_size) + relative)
            with open(path, "rb") as file:
                while data := file.read(PIECE):
                    send(DATA, data)


def main():
    """Installs what the argument asks for; does not return."""
    global _origin
    asked = json.loads(sys.argv[1])
    _origin = re.match("https?://[^/]+", asked["index"])[0]
    for folder in (FILES, TEMPORARY):
        os.makedirs(folder)
    os.environ.update(TMPDIR=TEMPORARY, PIP_CONFIG_FILE="/dev/null")
    for serve in (listen, SERVER.serve_forever):
        threading.Thread(target=serve, daemon=True).start()
    installer = importlib.import_module("by_" + asked["installer"])
    report = installer.run(address(asked["index"]), asked["requirements"], asked["folder"], show)
    if report is None:
        os._exit(1)
    send_files()
    send(REPORT, json.dumps([[name, version, outer_of(url)] for name, version, url in report]).encode())
    os._exit(0)


def outer_of(url):
    """The address outside of one of this server's."""
    return outer(url.removeprefix(address("").removesuffix("/")).partition("#")[0])


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    SERVER = Server(("127.0.0.1", 0), Relay)
    main()
