"""What a client may send, and how long it may take: sizes, slow bodies, slow headers, many connections."""

import select
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from http_server import WAIT, head, headers, modern, open_session, rpc, served

pytestmark = pytest.mark.timeout(180)

SIZE = 64 << 10


@pytest.fixture(scope="module")
def small_server(home):
    """A server that takes 64 KiB, sent within two seconds."""
    with served("--set", "max_body=64k", "--set", "body_time=2", home=home) as server:
        yield server


def padded(size: int) -> bytes:
    """A request of exactly ``size`` bytes."""
    text = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"pad":"%s"}}}'
    return text % (b"x" * (size - len(text) + 2))


def status_of(connection: socket.socket) -> int:
    """The status of the answer, which is read whole; 0 where the connection is cut without one."""
    length = 0
    try:
        with connection.makefile("rb") as file:
            first = file.readline()
            while field := file.readline().strip():
                if field.lower().startswith(b"content-length:"):
                    length = int(field.partition(b":")[2])
            file.read(length)
    except ConnectionError:
        return 0
    return int(first.split()[1]) if first else 0


def test_a_body_of_the_limit_is_taken_and_one_of_a_byte_more_is_not(small_server, client):
    session = open_session(small_server, client)
    for size, status in ((SIZE, 200), (SIZE + 1, 413)):
        sent = client.post(small_server.url, headers=session.headers, content=padded(size))
        assert sent.status_code == status
    assert "64k bytes" in sent.text
    assert "max_body" in sent.text


def test_a_body_of_unknown_length_is_bounded_too(small_server, client):
    def parts():
        for _ in range(40):
            yield b" " * (SIZE // 8)

    sent = client.post(small_server.url, headers=headers(), content=parts())
    assert sent.status_code == 413


@pytest.mark.parametrize("length", [SIZE + 1, 10**15, 10**300])
def test_a_length_that_is_too_great_is_refused_before_the_body_comes(small_server, length):
    with socket.create_connection(small_server.address) as connection:
        connection.sendall(head(small_server, length, headers()))
        assert status_of(connection) in (400, 413)


def test_a_body_without_a_key_is_not_even_read(keyed_server, client):
    with socket.create_connection(keyed_server.address) as connection:
        connection.sendall(head(keyed_server, 1 << 20, headers("sbx_wrong")))
        assert status_of(connection) == 401
        assert connection.recv(1) == b"", "and the connection is closed"


@pytest.mark.parametrize("part", [b"", b"{", padded(SIZE)[:-1]])
def test_a_body_that_does_not_come_is_given_up(small_server, part):
    with socket.create_connection(small_server.address) as connection:
        connection.sendall(head(small_server, SIZE, headers()) + part)
        assert status_of(connection) == 408


def test_a_body_that_comes_byte_by_byte_is_given_up(small_server):
    with socket.create_connection(small_server.address) as connection:
        connection.sendall(head(small_server, SIZE, headers()))
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.05):
                try:
                    connection.send(b" ")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert status_of(connection) == 408
        finally:
            over.set()
            dripping.join()


def test_the_bodies_of_all_requests_together_are_bounded(home, client):
    with served("--set", "max_body=64k", home=home) as server:
        session = open_session(server, client)
        with ExitStack() as stack:
            held = []
            for _ in range(17):
                connection = stack.enter_context(socket.create_connection(server.address))
                connection.sendall(head(server, SIZE, session.headers) + padded(SIZE)[:-1])
                held.append(connection)
            (refused,), _, _ = select.select(held, [], [], WAIT)
            assert status_of(refused) == 503
        while (
            sent := client.post(server.url, headers=session.headers, content=padded(SIZE))
        ).status_code != 200:
            assert sent.headers["retry-after"] == "1"


def test_headers_without_end_are_refused(small_server):
    with socket.create_connection(small_server.address) as connection:
        connection.sendall(head(small_server, 1, {"X-Long": "x" * (1 << 20)})[:-2])
        assert status_of(connection) in (0, 400)


def test_500_connections_with_unfinished_headers_keep_nobody_out_and_are_cut(open_server, client):
    began = time.monotonic()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(open_server.address)) for _ in range(500)]
        for number, connection in enumerate(slow):
            connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n" if number % 2 else b"")
        times = []
        for _ in range(20):
            sent = time.monotonic()
            assert client.post(open_server.url, **modern("tools/list")).status_code == 200
            times.append(time.monotonic() - sent)
        for connection in slow:
            assert status_of(connection) == 0
    print(f"others were served in {sorted(times)[10] * 1000:.0f} ms, at most in {max(times) * 1000:.0f} ms")
    print(f"all 500 were cut {time.monotonic() - began:.1f} s after the first")


def test_a_connection_that_was_used_gets_no_more_time_for_its_next_headers(open_server):
    with socket.create_connection(open_server.address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(connection) == 200
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert status_of(connection) == 0


def test_more_connections_than_the_server_holds_cut_the_one_that_waits_longest(home, client):
    with served(home=home) as server, ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(server.address)) for _ in range(1100)]
        assert client.get(server.base + "/healthz").status_code == 200
        cut, _, _ = select.select([idle[0]], [], [], 5)  # well before the time for its headers is over
        assert cut
        assert status_of(idle[0]) == 0
        idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(idle[-1]) == 200


def test_a_websocket_is_not_offered(open_server, client):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22 + "=="}
    assert client.get(open_server.url, headers={**headers(), **upgrade}).status_code in (400, 405, 406)
    assert client.post(open_server.url, headers=headers(), json=rpc("ping")).status_code == 400
