"""The sockets that the server listens on, open before anything else is started."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

from sandbox_runner.errors import ConfigError

_SLOW = 60_000  # milliseconds in which a client must take what was sent to it
_BACKLOG = 2048


def find_addresses(host: str) -> list[str]:
    """The addresses that ``host`` means. Raises ConfigError where it is none of this machine's names."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ConfigError(f"{host} is no address of this machine; correct --host.") from None
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


def is_loopback(addresses: Sequence[str]) -> bool:
    """Whether only this machine itself reaches all of ``addresses``."""
    return all(ip_address(address).is_loopback for address in addresses)


@contextmanager
def listening(addresses: Sequence[str], port: int) -> Iterator[list[socket.socket]]:
    """A socket on each of ``addresses``, all on one port. Raises ConfigError where one cannot be had."""
    with ExitStack() as stack:
        sockets = []
        for address in addresses:
            opened = stack.enter_context(_bound(address, port))
            port = opened.getsockname()[1]
            sockets.append(opened)
        yield sockets


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named for asyncio, which only then turns off Nagle's algorithm: 40 ms for each answer.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SLOW)
        opened.bind((address, port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"Port {port} of {address} cannot be listened on ({error.strerror}); "
            "stop what uses it, or give another --port or --host."
        ) from None
    return opened
