"""Finding a Docker-compatible daemon and connecting to it.

In order: the configured address, ``DOCKER_HOST``, the current docker context, then the
sockets that Docker, Docker Desktop, rootless Docker and Podman use.
"""

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_runner.errors import EngineUnavailable

if TYPE_CHECKING:
    from docker import APIClient
    from docker.tls import TLSConfig

MINIMUM_API = "1.41"
CALL_TIMEOUT = 60  # seconds for one answer of the daemon
_POOL = 64  # kept connections: one per container that is being created or removed at once
_SETUP = "Start it, or run: sandbox-runner setup"

_FILES = "needs ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH; put them there."
_TLS_REASONS = {
    "CERTIFICATE_VERIFY_FAILED": "has a certificate that ca.pem in DOCKER_CERT_PATH does not vouch for; "
    "get the engine's ca.pem, or correct the address.",
    "HTTPS server": "speaks TLS only; set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with "
    "ca.pem, cert.pem and key.pem.",
    "Path to a certificate": _FILES,
    "Invalid CA certificate": _FILES,
    "certificate required": "wants a certificate of ours that it knows; put its cert.pem and key.pem "
    "into DOCKER_CERT_PATH.",
}


def find_address(docker_host: str | None) -> str:
    """The daemon's address: unix://, npipe://, tcp://, http(s):// or ssh://.

    Raises EngineUnavailable where none is configured and no socket is found.
    """
    configured = docker_host or os.environ.get("DOCKER_HOST")
    if configured:
        return configured
    context = _context_address()
    if context:
        return context
    if sys.platform == "win32":
        return "npipe:////./pipe/docker_engine"
    for path in _sockets():
        if path.is_socket():
            return f"unix://{path}"
    raise EngineUnavailable(f"No Docker engine was found on this machine. {_SETUP}")


def is_local(address: str) -> bool:
    """Whether the daemon behind ``address`` runs on this machine's kernel.

    A socket on macOS or Windows leads to a virtual machine.
    """
    return address.startswith("unix://") and sys.platform == "linux"


def connect(docker_host: str | None) -> "APIClient":
    """A client of the daemon that has answered it.

    Raises EngineUnavailable where none answers, or it speaks no API of 1.41 or newer.
    """
    from docker.errors import APIError, DockerException, TLSParameterError  # noqa: PLC0415 - see _open
    from requests.exceptions import RequestException  # noqa: PLC0415 - see _open

    address = find_address(docker_host)
    try:
        try:
            client = _answering(address, MINIMUM_API)
        except APIError:  # Docker 29 speaks nothing that old, and an old engine nothing that new
            client = _answering(address, _offered(address))
    except (DockerException, TLSParameterError, RequestException, OSError, ImportError, ValueError) as error:
        raise EngineUnavailable(unavailable(address, error)) from error
    if _numbers(client.api_version) < _numbers(MINIMUM_API):
        client.close()
        raise EngineUnavailable(
            f"The engine at {address} speaks API {client.api_version}; "
            f"{MINIMUM_API} (Docker 20.10) or newer is needed."
        )
    return client


def _answering(address: str, version: str) -> "APIClient":
    client = _open(address, version)
    try:
        client.ping()  # a fifth of what asking for the version costs
    except BaseException:  # whatever it is, the sockets are closed before it goes on
        client.close()
        raise
    return client


def _offered(address: str) -> str:
    with closing(_open(address, MINIMUM_API)) as asking:
        return str(asking.version(api_version=False)["ApiVersion"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _open(address: str, version: str) -> "APIClient":
    from docker import APIClient  # noqa: PLC0415 - 70 ms that --help need not wait for

    tls = _tls(address)
    client = APIClient(
        base_url=address,
        version=version,
        timeout=CALL_TIMEOUT,
        tls=tls,
        num_pools=4,
        max_pool_size=_POOL,
        use_ssh_client=address.startswith("ssh://"),
    )
    if tls:
        _trust_only_its_authority(client)
    elif address.startswith("unix://"):
        client.trust_env = False  # a third of a call's time went into looking for proxies of a socket
        _keep_connections(client)
    return client


def _keep_connections(client: "APIClient") -> None:
    # The SDK has connections for each URL apart, so that a call about another container would need a new one.
    adapter: Any = client.get_adapter(client.base_url)
    connections = adapter.get_connection(client.base_url)
    adapter.get_connection = lambda _url, _proxies=None: connections


def _trust_only_its_authority(client: "APIClient") -> None:
    # requests prefers REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE to the authority that it was given.
    from requests.utils import get_environ_proxies  # noqa: PLC0415 - see _open

    client.proxies.update(get_environ_proxies(client.base_url))
    client.trust_env = False


def unavailable(address: str, error: BaseException) -> str:
    """One sentence on why nothing answers at ``address``, and what to do."""
    text = str(error)
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return (
            f"{address} is not an engine's address; give one such as unix:///var/run/docker.sock, "
            "tcp://host:2376 or ssh://user@host."
        )
    if "paramiko" in text:
        return f"{address} needs the ssh extra: pip install 'sandbox-runner[ssh]'."
    if "Permission denied" in text or "EACCES" in text:
        return (
            f"The Docker engine at {address} refuses this user. Add the user to the group 'docker' "
            "(which is like root on this machine), use rootless Docker, or run as root."
        )
    for words, reason in _TLS_REASONS.items():
        if words in text:
            return f"The Docker engine at {address} {reason}"
    if not address.startswith(("unix://", "npipe://")):
        folder = os.environ.get("DOCKER_CERT_PATH")
        known = ", and that it knows the certificate in DOCKER_CERT_PATH" if folder else ""
        return f"No Docker engine answers at {address}. Check the address, that the engine runs there{known}."
    return f"No Docker engine answers at {address}. {_SETUP}"


def _sockets() -> list[Path]:
    home = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"))
    return [
        Path("/var/run/docker.sock"),
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        runtime / "docker.sock",
        runtime / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]


def _context_address() -> str | None:
    # The SDK reads contexts, but importing that part costs time; most machines have none.
    folder = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    if not (folder / "contexts").is_dir():
        return None
    from docker.context import ContextAPI  # noqa: PLC0415 - needed by few

    context = ContextAPI.get_current_context()
    return None if context is None or context.Name == "default" else str(context.Host)


def _tls(address: str) -> "bool | TLSConfig":
    """The SDK's TLS settings from DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as `docker` reads them."""
    verify = os.environ.get("DOCKER_TLS_VERIFY", "") != ""
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not address.startswith(("tcp://", "https://")) or not (verify or folder):
        return False
    from docker.tls import TLSConfig  # noqa: PLC0415 - needed by few

    base = Path(folder or Path.home() / ".docker")
    return TLSConfig(
        client_cert=(str(base / "cert.pem"), str(base / "key.pem")),
        ca_cert=str(base / "ca.pem"),
        verify=verify,
    )
