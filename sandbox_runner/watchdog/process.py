"""The watchdog's process. It starts with every runner, so until its parent dies it imports little."""

import json
import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox_runner.engines.oci.bundles import Bundle

_LINE = 1 << 16
_PASSES = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1)  # seconds before each sweep
"""A create that was under way when the parent died may be done by the daemon only after the first sweep."""
_RETRY_TIME = 60  # seconds in which an engine that does not answer is asked again

Message = dict[str, Any]


def main() -> None:
    """Follows the parent; sweeps up after it where it said no farewell."""
    opening, pending = _first_message()
    if opening is not None and not _Watch(opening).said_farewell(pending):
        _sweep(opening)


def _first_message() -> tuple[Message | None, bytes]:
    data = b""
    while b"\n" not in data:
        more = os.read(0, _LINE)
        if not more:
            return None, b""  # the parent died before it had made anything
        data += more
    line, _, rest = data.partition(b"\n")
    return json.loads(line), rest


class _Watch:
    """Follows the parent until it ends, and ends what is past its deadline meanwhile."""

    def __init__(self, opening: Message) -> None:
        self._opening = opening
        self._deadlines: dict[str, float] = {}

    def said_farewell(self, pending: bytes) -> bool:
        parent = _open_parent(self._opening["parent"])
        while True:
            *lines, pending = pending.split(b"\n")
            for line in lines:
                if self._note(json.loads(line)):
                    return True
            ready = _ready([0] if parent is None else [0, parent], self._timeout())
            self._enforce()
            if 0 in ready:
                data = os.read(0, _LINE)
                if not data:
                    return False
                pending += data
            elif ready:
                return False  # the parent is gone; a child that it forked still holds the pipe

    def _note(self, message: Message) -> bool:
        if "hold" in message:
            self._deadlines[message["hold"]] = time.monotonic() + message["seconds"]
        elif "release" in message:
            self._deadlines.pop(message["release"], None)
        return "farewell" in message

    def _timeout(self) -> float | None:
        if not self._deadlines:
            return None
        return max(0.0, min(self._deadlines.values()) - time.monotonic())

    def _enforce(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._deadlines.items() if due <= now]:
            del self._deadlines[name]
            _removed(self._opening, name)


def _open_parent(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid) if os.getppid() == pid else None
    except (AttributeError, OSError):
        return None  # not Linux, or an old kernel: the pipe alone tells


def _ready(descriptors: list[int], timeout: float | None) -> list[int]:
    if sys.platform == "win32":
        return descriptors  # select takes sockets only; the read blocks, and deadlines are the owner's alone
    return select.select(descriptors, [], [], timeout)[0]


def _removed(opening: Message, name: str) -> bool:
    if opening["engine"] == "oci":
        return _removed_oci(opening, name)
    return _asked(opening, lambda client: client.remove_container(name, force=True, v=True))


def _sweep(opening: Message) -> None:
    sys.path[:] = opening["path"]
    if opening["engine"] == "oci":
        _sweep_oci(opening["instance"])
        return
    give_up = time.monotonic() + _RETRY_TIME
    for pause in _PASSES:
        time.sleep(pause)
        while not _asked(opening, lambda client: _remove_all(client, opening["instance"])):
            if time.monotonic() > give_up:
                return
            time.sleep(1)


def _sweep_oci(instance: str) -> None:
    from sandbox_runner.engines.oci.inventory import remove_instance  # noqa: PLC0415 - see _asked

    seen: set[Bundle] = set()
    for pause in _PASSES:
        time.sleep(pause)
        with suppress(Exception):  # whatever failed, trying again is all there is, and nobody listens
            remove_instance(instance, seen)


def _removed_oci(opening: Message, name: str) -> bool:
    sys.path[:] = opening["path"]
    from sandbox_runner.engines.oci.bundles import Bundle  # noqa: PLC0415 - see _asked
    from sandbox_runner.engines.oci.inventory import remove  # noqa: PLC0415 - see _asked

    try:
        return remove(Bundle(opening["instance"], name))
    except Exception:  # noqa: BLE001 - whatever failed, the sweep and `reap` come later, and nobody listens
        return False


def _remove_all(client: "APIClient", instance: str) -> None:
    from sandbox_runner.engines.docker.inventory import list_runs, remove_runs  # noqa: PLC0415 - see _asked

    remove_runs(client, list_runs(client, instance=instance))


def _asked(opening: Message, act: "Callable[[APIClient], object]") -> bool:
    """Whether the engine answered. The SDK is loaded here, when the parent is dead or its container late."""
    sys.path[:] = opening["path"]
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - see above

    try:
        client = connect(opening["docker_host"])
        try:
            act(client)
        finally:
            client.close()
    except Exception:  # noqa: BLE001 - whatever failed, asking again is all there is, and nobody listens
        return False
    return True


if __name__ == "__main__":
    main()
    os._exit(0)  # the owner waits for this process: no module needs to be torn down first
