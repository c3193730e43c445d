"""Under which names, and from which web pages, the server answers: DNS rebinding finds no way in."""

import socket

import pytest
from http_server import modern, served

pytestmark = pytest.mark.timeout(120)

PATHS = ("/mcp", "/healthz", "/readyz", "/nowhere")


def tried(client, server, fields, path="/mcp"):
    request = modern("tools/list")
    if path != "/mcp":
        return client.get(server.base + path, headers=fields).status_code
    return client.post(server.url, headers={**request["headers"], **fields}, json=request["json"]).status_code


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "localhost:9999", "127.0.0.1"]
)
def test_a_loopback_name_is_answered_on_any_port(open_server, client, host):
    assert tried(client, open_server, {"Host": host.format(port=open_server.address[1])}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil.example",
        "evil.example:80@127.0.0.1",
        "0.0.0.0:{port}",
        "192.0.2.1:{port}",
        "[::]:{port}",
        "127.0.0.1@evil.example",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_another_name_is_refused_on_every_path(open_server, client, host, path):
    assert tried(client, open_server, {"Host": host.format(port=open_server.address[1])}, path) == 421


@pytest.mark.parametrize("head", ["GET /healthz HTTP/1.0\r\n", "GET /healthz HTTP/1.0\r\nHost:\r\n"])
def test_no_name_at_all_is_refused(open_server, head):
    with socket.create_connection(open_server.address) as connection:
        connection.sendall(f"{head}\r\n".encode())
        assert b" 421 " in connection.recv(1000)


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "http://127.0.0.1", "https://[::1]:1", "http://localhost"]
)
def test_pages_of_this_machine_may_call_a_server_on_loopback(open_server, client, origin):
    assert tried(client, open_server, {"Origin": origin}) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example:80",
        "null",
        "file://",
        "localhost",
        "http://evil.example#http://localhost",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_any_other_page_is_refused_on_every_path(open_server, client, origin, path):
    assert tried(client, open_server, {"Origin": origin}, path) == 403


def test_the_operator_can_add_names_and_origins_and_these_alone(home, client):
    more = ("--set", "allowed_hosts=sandbox.example", "--set", "allowed_origins=https://tools.example")
    with served(*more, home=home) as server:
        for host, status in (
            ("sandbox.example", 200),
            ("sandbox.example:443", 200),
            ("x.sandbox.example", 421),
        ):
            assert tried(client, server, {"Host": host}) == status, host
        for origin, status in (("https://tools.example", 200), ("http://tools.example", 403)):
            assert tried(client, server, {"Origin": origin}) == status, origin


def test_a_server_for_all_addresses_knows_its_own_and_refuses_other_names(home, keys, client):
    with served("--host", "0.0.0.0", "--set", f"keys_file={keys['file']}", home=home) as server:
        port = server.address[1]
        request = modern("tools/list", key=keys["alice"])
        for host, status in ((f"127.0.0.1:{port}", 200), ("evil.example", 421), ("192.0.2.1", 421)):
            fields = {**request["headers"], "Host": host}
            url = f"http://127.0.0.1:{port}/mcp"
            assert client.post(url, headers=fields, json=request["json"]).status_code == status, host
        fields = {**request["headers"], "Origin": "http://localhost"}
        assert client.post(url, headers=fields, json=request["json"]).status_code == 403
        assert "unencrypted" in server.until("unencrypted")


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.2"])
def test_any_loopback_address_can_be_listened_on(home, client, host):
    with served("--host", host, home=home) as server:
        assert client.get(server.base + "/healthz").status_code == 200
