"""The byte stream of an attached container, whatever carries it.

A Unix or TCP socket is awaited on directly, with TLS or without: a TLS connection must not be
used by two threads at once. ssh and named pipes are no sockets, so they are read and written in
worker threads.
"""

import asyncio
import socket
import ssl
import sys
from contextlib import suppress
from typing import Any, Protocol

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import checkpoint

_CHUNK = 64 * 1024  # more would be memory fresh from the kernel each time, which costs more than a call
_TLS_PAUSE = 0.01  # seconds: a change of keys waits for the other direction, which someone else watches
_CLOSED = (BrokenPipeError, ConnectionResetError, OSError, ValueError)


class Channel(Protocol):
    """A two-way byte stream. Used by one reader and one writer at a time.

    With ``watchable`` a `receive` that is cancelled has taken nothing.
    """

    watchable: bool

    async def receive(self) -> bytes:
        """Some bytes, or none at the end of the stream."""
        ...

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``; quietly nothing where the other side is gone, as reading will tell."""
        ...

    async def end_input(self) -> None:
        """Half-closes the stream, where what carries it can."""
        ...

    def close(self) -> None:
        """Closes both directions; whoever waits on the channel returns."""
        ...


def open_channel(attached: Any, limiter: CapacityLimiter) -> Channel:  # noqa: ANN401 - the SDK has four types for it
    """The channel over what docker-py's `attach_socket` returned."""
    response = getattr(attached, "_response", None)
    process = getattr(attached, "proc", None)
    if process is not None:
        return ThreadedChannel(_PipePair(process), response, limiter)
    carrier = getattr(attached, "_sock", attached)
    if isinstance(carrier, socket.socket):
        return SocketChannel(carrier, response)
    return ThreadedChannel(carrier, response, limiter)


class SocketChannel:
    """A channel over a socket that the event loop watches."""

    watchable = True

    def __init__(self, carrier: socket.socket, response: Any) -> None:  # noqa: ANN401 - see open_channel
        carrier.setblocking(False)
        self._socket = carrier
        self._response = response
        # TLS may hold bytes that the loop does not see, and the loop of Windows does not watch sockets.
        plain = sys.platform != "win32" and not isinstance(carrier, ssl.SSLSocket)
        self._arrivals = Arrivals(carrier) if plain else None

    async def receive(self) -> bytes:
        if self._arrivals is not None:
            return await self._arrivals.take()
        await checkpoint()  # a flood must not starve whoever would end it
        while True:
            try:
                return self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                with suppress(anyio.ClosedResourceError, anyio.BusyResourceError):
                    await anyio.wait_readable(self._socket)
            except ssl.SSLWantWriteError:
                await anyio.sleep(_TLS_PAUSE)
            except _CLOSED:
                return b""

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                with suppress(anyio.ClosedResourceError):
                    await anyio.wait_writable(self._socket)
            except ssl.SSLWantReadError:
                await anyio.sleep(_TLS_PAUSE)
            except _CLOSED:
                return

    async def end_input(self) -> None:
        # Below TLS: SSLSocket's own shutdown ends the encryption, and with it both directions.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def close(self) -> None:
        if self._arrivals is not None:
            self._arrivals.end()
        anyio.notify_closing(self._socket)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        _close_response(self._response)


class Arrivals:
    """What arrives at a socket, read as it comes, one piece ahead of whoever takes it.

    The loop watches the socket from one piece to the next. To ask for that anew each time costs three times
    as much, and a daemon passes on a flood in pieces of 4 KiB.
    """

    def __init__(self, carrier: socket.socket) -> None:
        self._socket = carrier
        self._loop = asyncio.get_running_loop()
        self._watched = False
        self._piece: bytes | None = None  # an empty one is the end, and stays
        self._news: asyncio.Future[None] | None = None

    async def take(self) -> bytes:
        """The next piece, or none at the end; for one at a time. A cancelled one leaves it for the next."""
        while self._piece is None:
            if not self._watched:
                self._loop.add_reader(self._socket, self._read)
                self._watched = True
            self._news = self._loop.create_future()
            await self._news
        piece = self._piece
        if piece:
            self._piece = None
        return piece

    def end(self) -> None:
        """Nothing arrives any more."""
        self._arrived(b"")
        self._ignore()

    def _read(self) -> None:
        if self._piece is not None:  # nobody has taken it yet, so the sender shall wait
            self._ignore()
            return
        try:
            self._arrived(self._socket.recv(_CHUNK))
        except BlockingIOError:
            return
        except _CLOSED:
            self._arrived(b"")

    def _arrived(self, piece: bytes) -> None:
        self._piece = piece
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _ignore(self) -> None:
        if self._watched:
            self._loop.remove_reader(self._socket)
            self._watched = False


class ThreadedChannel:
    """A channel over anything with blocking ``recv``, ``sendall`` and ``close``."""

    watchable = False  # the thread that waits goes on, and takes what comes

    def __init__(self, carrier: Any, response: Any, limiter: CapacityLimiter) -> None:  # noqa: ANN401
        if hasattr(carrier, "settimeout"):
            carrier.settimeout(None)
        self._carrier = carrier
        self._response = response
        self._limiter = limiter

    async def receive(self) -> bytes:
        return await to_thread.run_sync(self._receive, abandon_on_cancel=True, limiter=self._limiter)

    async def send(self, data: bytes) -> None:
        with suppress(*_CLOSED):
            await to_thread.run_sync(
                self._carrier.sendall, data, abandon_on_cancel=True, limiter=self._limiter
            )

    async def end_input(self) -> None:
        with suppress(*_CLOSED, AttributeError):
            await to_thread.run_sync(self._half_close, limiter=self._limiter)

    def close(self) -> None:
        # shutdown first: a thread blocked in recv does not notice a close.
        with suppress(*_CLOSED, AttributeError):
            self._carrier.shutdown(socket.SHUT_RDWR)
        with suppress(*_CLOSED):
            self._carrier.close()
        _close_response(self._response)

    def _receive(self) -> bytes:
        try:
            return bytes(self._carrier.recv(_CHUNK))
        except _CLOSED:
            return b""

    def _half_close(self) -> None:
        self._carrier.shutdown(socket.SHUT_WR)


def _close_response(response: Any) -> None:  # noqa: ANN401 - see open_channel
    # It flushes the stream that carried it, which over ssh is closed by now.
    with suppress(*_CLOSED):
        if response is not None:
            response.close()


class _PipePair:
    """The pipes of the ssh process that carries the stream; docker-py's own recv waits for a full buffer."""

    def __init__(self, process: Any) -> None:  # noqa: ANN401 - subprocess.Popen of the SDK
        self._process = process

    def recv(self, size: int) -> bytes:
        return bytes(self._process.stdout.read1(size))

    def sendall(self, data: bytes) -> None:
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def shutdown(self, how: int) -> None:
        if how == socket.SHUT_WR:
            self._process.stdin.close()
        else:
            self._process.terminate()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()
