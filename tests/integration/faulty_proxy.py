"""A proxy in front of the engine's socket that fails as a test tells it to: the engine itself is real."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Fault = Callable[[str], str | None]
"""Asked with a request's first line: "refuse" cuts before the engine sees it, "swallow" cuts its answer.

"lie" answers a wait at once, and the engine never sees it. "forget" takes from an inspection that memory
ran out. "ignore" answers never.
"""
_LIE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class _Relay:
    def __init__(self, client: socket.socket, engine: Path, fault: Fault) -> None:
        self._client = client
        self._engine = socket.socket(socket.AF_UNIX)
        self._engine.connect(str(engine))
        self._fault = fault
        self._swallowing = False
        self._forgetting = False

    def upstream(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(65536):
                line = data.split(b"\r\n", 1)[0].decode(errors="replace")
                what = self._fault(line) if line.endswith("HTTP/1.1") else None
                if what == "refuse":
                    break
                if what == "lie":
                    self._client.sendall(_LIE)
                    continue
                if what == "ignore":
                    continue
                self._forgetting = self._forgetting or what == "forget"
                self._swallowing = self._swallowing or what == "swallow"
                self._engine.sendall(data)
        with suppress(OSError):
            self._engine.shutdown(socket.SHUT_WR)

    def downstream(self) -> None:
        with suppress(OSError):
            while data := self._engine.recv(65536):
                if self._swallowing:
                    break
                if self._forgetting:
                    data = data.replace(b'"OOMKilled":true', b'"OOMKilled":null')  # as long as it was
                self._client.sendall(data)
        self.close()

    def close(self) -> None:
        for end in (self._client, self._engine):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def proxied(folder: Path, engine: Path, fault: Fault) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a proxy to ``engine``, and a call that cuts all its connections."""
    relays: list[_Relay] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "engine.sock"))
    listener.listen(64)

    def serve() -> None:
        with suppress(OSError):
            while True:
                relay = _Relay(listener.accept()[0], engine, fault)
                relays.append(relay)
                for run in (relay.upstream, relay.downstream):
                    threading.Thread(target=run, daemon=True).start()

    def cut() -> None:
        for relay in relays:
            relay.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{folder / 'engine.sock'}", cut
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        cut()
