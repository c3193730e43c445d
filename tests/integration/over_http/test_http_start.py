"""Starting the server: what it refuses to start with, and how keys are made for it."""

import socket
import ssl
import stat
import subprocess

import httpx2
import pytest
from http_server import modern, served

from sandbox_runner.server.http.listening import listening

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def http(sandbox_runner, tmp_path, monkeypatch):
    """Calls `sandbox-runner http` with a folder for configuration of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return lambda *words, **options: sandbox_runner("http", *words, **options)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_without_a_key_only_this_machine_is_served(http, host):
    refused = http("--port", "0", "--host", host)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    if host:
        assert "sandbox-runner http --new-key NAME" in refused.stderr


def test_a_name_that_also_means_another_address_needs_a_key(http):
    name = socket.gethostname()
    addresses = {found[4][0] for found in socket.getaddrinfo(name, None)}
    if not all(address.startswith("127.") or address == "::1" for address in addresses):
        assert "--new-key" in http("--port", "0", "--host", name).stderr


def test_a_new_key_is_shown_once_and_stored_as_a_hash_that_opens_a_server(http, tmp_path, client):
    made = http("--new-key", "alice")
    secret, file = made.stdout.strip(), tmp_path / "sandbox-runner" / "http-keys"
    assert (made.returncode, made.stdout.count("\n")) == (0, 1)
    assert secret not in made.stderr
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret != http("--new-key", "alice").stdout.strip(), "a second key of one name is another one"
    with served("--host", "0.0.0.0", home=tmp_path) as server:
        url = f"http://127.0.0.1:{server.address[1]}/mcp"
        assert client.post(url, **modern("tools/list", key=secret)).status_code == 200
        assert client.post(url, **modern("tools/list")).status_code == 401


@pytest.mark.parametrize("name", ["", "local", "a b", "a:b", "a\nb", "é", "x" * 64, "-x"])
def test_a_name_that_cannot_be_one_makes_no_key(http, tmp_path, name):
    refused = http(f"--new-key={name}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert list(tmp_path.rglob("http-keys")) == []


def test_a_port_in_use_is_told_in_one_sentence(http):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = http("--port", str(taken.getsockname()[1]))
    assert refused.returncode == 2
    assert "in use" in refused.stderr
    assert "--port" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "99999"], "port from 1 to 65535"),
        (["--host", "no-such-host.invalid"], "correct --host"),
        (["--host", "192.0.2.1", "--new-key", "a"], ""),
        (["--ssl-keyfile", "key.pem"], "--ssl-certfile"),
        (["--port", "0", "--ssl-certfile", "/nowhere.pem"], "certificate cannot be used"),
        (["--set", "keys_file=/nowhere/keys"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(http, words, said):
    refused = http(*words)
    if said:
        assert refused.returncode == 2
        assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr


def test_a_plain_key_in_the_settings_is_refused_and_not_shown(http):
    secret = "my-own-secret-that-is-not-a-hash-at-all"
    for refused in (http("--set", f"keys=alice:{secret}"), http("--set", f"keys={secret}")):
        assert refused.returncode == 2
        assert secret not in refused.stderr
        assert "--new-key" in refused.stderr


def test_tls_is_served_with_a_certificate(tmp_path, home):
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    words = ("--ssl-certfile", str(tmp_path / "cert.pem"), "--ssl-keyfile", str(tmp_path / "key.pem"))
    with served(*words, home=home) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with httpx2.Client(verify=trusted, trust_env=False) as client:
            assert client.post(server.url, **modern("tools/list")).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_small_answers_are_sent_at_once(address):
    with listening([address], 0) as (listener,), socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets only"
