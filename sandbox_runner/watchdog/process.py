"""The watchdog's process. It starts with every runner, so until its parent dies it imports next to nothing."""

import os
import select
import sys
import time

_LINE = 1 << 16
_PASSES = (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 2, 4, 8)  # seconds between two sweeps
"""A create that was under way when the parent died may be done by the daemon only after the first sweep."""


def main() -> None:
    opening, pending = _first_message()
    if opening is None:
        return
    deadlines: dict[str, float] = {}
    farewell = _follow(opening, pending, deadlines)
    if not farewell:
        _sweep(opening)


def _first_message() -> tuple[dict[str, object] | None, bytes]:
    data = b""
    while b"\n" not in data:
        more = os.read(0, _LINE)
        if not more:
            return None, b""  # the parent died before it had made anything
        data += more
    line, _, rest = data.partition(b"\n")
    return _parse(line), rest


def _parse(line: bytes) -> dict[str, object]:
    import json

    message = json.loads(line)
    assert isinstance(message, dict)
    return message


def _follow(opening: dict[str, object], pending: bytes, deadlines: dict[str, float]) -> bool:
    """Follows the parent until it ends. Returns whether it said farewell."""
    poll, parent = select.poll(), _open_parent(opening["parent"])
    poll.register(0, select.POLLIN)
    if parent is not None:
        poll.register(parent, select.POLLIN)
    while True:
        *lines, pending = pending.split(b"\n")
        for line in lines:
            if _note(_parse(line), deadlines):
                return True
        ready = [fd for fd, _ in poll.poll(_until(deadlines))]
        _enforce(opening, deadlines)
        if 0 in ready:
            data = os.read(0, _LINE)
            if not data:
                return False
            pending += data
        elif ready:
            return False  # a child that the parent forked still holds the pipe


def _open_parent(pid: object) -> int | None:
    assert isinstance(pid, int)
    try:
        return os.pidfd_open(pid) if os.getppid() == pid else None
    except (AttributeError, OSError):
        return None  # not Linux, or an old kernel: the pipe alone tells


def _note(message: dict[str, object], deadlines: dict[str, float]) -> bool:
    if "hold" in message:
        deadlines[str(message["hold"])] = time.monotonic() + float(str(message["seconds"]))
    elif "release" in message:
        deadlines.pop(str(message["release"]), None)
    return "farewell" in message


def _until(deadlines: dict[str, float]) -> int | None:
    """Milliseconds to the first deadline."""
    if not deadlines:
        return None
    return max(0, round((min(deadlines.values()) - time.monotonic()) * 1000)) + 1


def _enforce(opening: dict[str, object], deadlines: dict[str, float]) -> None:
    now = time.monotonic()
    for name in [name for name, due in deadlines.items() if due <= now]:
        del deadlines[name]
        _with_client(opening, lambda client, name=name: client.remove_container(name, force=True, v=True))


def _sweep(opening: dict[str, object]) -> None:
    def remove_all(client: object) -> None:
        from sandbox_runner.engines.docker.inventory import list_runs, remove_runs

        remove_runs(client, list_runs(client, instance=str(opening["instance"])))  # type: ignore[arg-type]

    for pause in _PASSES:
        time.sleep(pause)
        _with_client(opening, remove_all)


def _with_client(opening: dict[str, object], act: object) -> None:
    sys.path[:] = list(opening["path"])  # type: ignore[call-overload]
    from sandbox_runner.engines.docker.connection import connect

    try:
        host = opening["docker_host"]
        client = connect(str(host) if host else None)
        try:
            act(client)  # type: ignore[operator]
        finally:
            client.close()
    except Exception:  # noqa: BLE001, S110 - whatever fails now, the next pass tries again, and nobody listens
        pass


if __name__ == "__main__":
    main()
