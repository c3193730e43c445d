"""The stream of an attached container over a real socket."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest
from anyio import CapacityLimiter

from sandbox_runner.engines.docker.channel import Channel, open_channel

PATIENCE = 5
MOST = 8 << 20  # bytes: far more than a socket and a piece hold


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the daemon's end of a connection."""
    ours, daemons = socket.socketpair()
    with ours, daemons:
        yield ours, daemons


def opened(ours: socket.socket) -> Channel:
    return open_channel(ours, CapacityLimiter(1))


def test_what_was_sent_arrives_whole_and_then_the_end_as_often_as_asked(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, daemons = ends
    sent = bytes(range(256)) * 400

    async def main() -> tuple[bytes, list[bytes]]:
        channel = opened(ours)
        daemons.sendall(sent)
        daemons.close()
        pieces = []
        with anyio.fail_after(PATIENCE):
            while piece := await channel.receive():
                pieces.append(piece)
            after = [await channel.receive() for _ in range(2)]
        channel.close()
        return b"".join(pieces), after

    assert anyio.run(main) == (sent, [b"", b""])


def test_a_receive_that_is_cancelled_has_taken_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, daemons = ends

    async def main() -> bytes:
        channel = opened(ours)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.receive)
            await anyio.wait_all_tasks_blocked()
            daemons.sendall(b"whole")
            tasks.cancel_scope.cancel()
        with anyio.fail_after(PATIENCE):
            received = await channel.receive()
        channel.close()
        return received

    assert anyio.run(main) == b"whole"


def test_a_sender_waits_for_a_consumer_that_takes_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, daemons = ends

    async def main() -> tuple[int, int]:
        channel = opened(ours)
        daemons.sendall(b"first")
        received = len(await channel.receive())
        daemons.setblocking(False)
        sent, rounds = 5, 0
        while rounds < 100 and sent < MOST:  # the loop looks at all sockets in each
            rounds += 1
            with suppress(BlockingIOError):
                sent += daemons.send(bytes(1 << 16))
            await anyio.lowlevel.checkpoint()
        assert sent < MOST
        with anyio.fail_after(PATIENCE):
            while received < sent:
                received += len(await channel.receive())
        channel.close()
        return received, sent

    received, sent = anyio.run(main)
    assert received == sent


def test_closing_ends_a_receive_that_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _daemons = ends

    async def main() -> list[bytes]:
        channel = opened(ours)
        received = []

        async def receive() -> None:
            received.append(await channel.receive())

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await anyio.wait_all_tasks_blocked()
                channel.close()
        return received

    assert anyio.run(main) == [b""]


def test_an_end_that_the_other_side_forced_is_an_end(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, daemons = ends

    async def main() -> bytes:
        channel = opened(ours)
        ours.shutdown(socket.SHUT_RDWR)
        daemons.close()
        with anyio.fail_after(PATIENCE):
            received = await channel.receive()
        channel.close()
        return received

    assert anyio.run(main) == b""
