"""Runs inside: tries to write argv[1] times the bytes that /workspace and /tmp take, then a file too many.

More files would show no more, and with gVisor one takes up to half a millisecond.

The second argument is a JSON object of path to [bytes, files]. Reports what was written.
"""

import errno
import json
import os
import sys

PIECE = 1 << 20


def fill(path: str, size: int) -> list[object]:
    """Bytes written to one file below ``path``, at most ``size``, and what stopped it."""
    written = 0
    file = os.open(f"{path}/large", os.O_CREAT | os.O_WRONLY)
    try:
        while written < size:
            written += os.write(file, bytes(PIECE))
    except OSError as error:
        return [written, errno.errorcode.get(error.errno or 0, "?")]
    finally:
        os.close(file)
        os.unlink(f"{path}/large")
    return [written, ""]


def crowd(path: str, count: int) -> list[object]:
    """Empty files made below ``path``, at most ``count``, and what stopped it."""
    for number in range(count):
        try:
            os.close(os.open(f"{path}/{number}", os.O_CREAT | os.O_WRONLY))
        except OSError as error:
            return [number, errno.errorcode.get(error.errno or 0, "?")]
    return [count, ""]


def main() -> None:
    """Fills each place, and leaves it full of files."""
    more = int(sys.argv[1])
    places = json.loads(sys.argv[2])
    report = {
        "bytes": {path: fill(path, more * size) for path, (size, _) in places.items()},
        "files": {path: crowd(path, count + 1) for path, (_, count) in places.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
