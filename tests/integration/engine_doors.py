"""Other ways to a local engine than its socket, for tests: over tcp, over tcp with TLS, and over ssh.

All listen on the loopback interface only, and end with their context.
"""

import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 1 << 16
_WAIT = 60  # seconds: a bound for a loaded machine


class TlsEnd:
    """The server's end of a TLS connection. Unlike ssl.SSLSocket two threads may use it."""

    def __init__(self, carrier: socket.socket, context: ssl.SSLContext) -> None:
        self._carrier = carrier
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._lock = threading.Lock()
        self._handshake()

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._carrier.recv(_CHUNK) or self._refuse_end())
            except ssl.SSLError:
                self._flush()  # the alert that says why
                raise
            else:
                self._flush()
                return

    def _refuse_end(self) -> bytes:
        raise ConnectionResetError("the client left during the handshake")

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._carrier.sendall(data)

    def recv(self, size: int) -> bytes:
        while True:
            with self._lock, suppress(ssl.SSLWantReadError):
                return self._tls.read(size)
            data = self._carrier.recv(_CHUNK)
            if not data:
                return b""
            with self._lock:
                self._incoming.write(data)

    def sendall(self, data: bytes) -> None:
        with self._lock:
            self._tls.write(data)
            self._flush()

    def shutdown(self, how: int) -> None:
        self._carrier.shutdown(how)

    def close(self) -> None:
        self._carrier.close()


def _pump(source, sink) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _join(client: socket.socket, path: str, context: ssl.SSLContext | None) -> None:
    """Joins one client to the daemon until both directions have ended."""
    with client, socket.socket(socket.AF_UNIX) as daemon, suppress(OSError):
        end = client if context is None else TlsEnd(client, context)
        daemon.connect(path)
        back = threading.Thread(target=_pump, args=(daemon, end))
        back.start()
        _pump(end, daemon)
        back.join()


@contextmanager
def proxy(path: str, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port of the loopback interface that leads to the Unix socket at ``path``."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_join, args=(client, path, context), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(_WAIT)


def make_certificates(folder: Path) -> ssl.SSLContext:
    """Makes an authority, and a server's and a client's certificate, in ``folder`` for DOCKER_CERT_PATH.

    Returns the server's context, which refuses a client without a certificate.
    """
    _certificate(folder, "ca", "-subj", "/CN=test authority", authority=None)
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    _certificate(folder, "server", "-subj", "/CN=127.0.0.1", *names, authority="ca")
    _certificate(folder, "client", "-subj", "/CN=client", authority="ca")
    for made, wanted in (("client.pem", "cert.pem"), ("client-key.pem", "key.pem")):
        shutil.copy(folder / made, folder / wanted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _certificate(folder: Path, name: str, *options: str, authority: str | None) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-keyout", f"{name}-key.pem", "-out", f"{name}.pem", *options]
    if authority:
        command += ["-CA", f"{authority}.pem", "-CAkey", f"{authority}-key.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_WAIT)


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is not on PATH; install it for this test: apt-get install {package}"
    return found


@contextmanager
def sshd(folder: Path, path: str) -> Iterator[tuple[int, Path]]:
    """An sshd with a key of its own, whose users reach the daemon at ``path``.

    Gives its port, and a folder to put before PATH: its `ssh` knows the key and the host.
    """
    _program("docker", "docker.io (the far side of ssh:// runs `docker system dial-stdio`)")
    for name in ("host_key", "user_key"):
        command = [_program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", name]
        subprocess.run(command, cwd=folder, check=True, timeout=_WAIT)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nPidFile none\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"AuthorizedKeysFile {folder}/user_key.pub\n"
        f"MaxStartups 100\nMaxSessions 100\nSetEnv PATH={os.environ['PATH']} DOCKER_HOST=unix://{path}\n"
    )
    server = subprocess.Popen(
        [_program("sshd", "openssh-server"), "-D", "-e", "-f", str(folder / "sshd_config")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "listening" in server.stderr.readline()
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield port, _ssh_command(folder, port)
    finally:
        server.terminate()
        server.wait(_WAIT)


def _ssh_command(folder: Path, port: int) -> Path:
    # OpenSSH takes its configuration from the home folder of the user database, whatever HOME says.
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user_key\nIdentitiesOnly yes\nBatchMode yes\nUser {getpass.getuser()}\n"
        f"UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\nLogLevel ERROR\n"
    )
    commands = folder / "bin"
    commands.mkdir()
    real = _program("ssh", "openssh-client")
    (commands / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {folder}/ssh_config "$@"\n')
    (commands / "ssh").chmod(0o755)
    return commands
