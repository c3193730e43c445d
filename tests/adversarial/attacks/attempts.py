"""Put beside each Python attack: makes attempts, and tells how each ended, as the last line of stdout.

An answer is "GOT IN" where nothing refused, the name of an errno, or what the attempt returned.
"""

import ctypes
import errno
import json
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
TOLD = {}


def tell(name, value):
    TOLD[name] = value


def attempt(name, function, *arguments):
    """Tells how ``function`` ended; True where nothing refused."""
    try:
        value = function(*arguments)
    except OSError as error:
        TOLD[name] = errno.errorcode.get(error.errno, str(error))
        return False
    except MemoryError:
        TOLD[name] = "ENOMEM"
        return False
    TOLD[name] = value if isinstance(value, str | list) else "GOT IN"
    return True


def call(name, *arguments):
    """Calls a function of libc by its name. Raises OSError."""
    ctypes.set_errno(0)
    if getattr(LIBC, name)(*(_word(a) for a in arguments)) == -1:
        raise OSError(ctypes.get_errno(), name)


def _word(value):
    return ctypes.c_long(value) if isinstance(value, int) else value


def until_refused(function, most=100_000):
    """How often ``function`` succeeds before it is refused, and by what. What it returns is kept."""
    kept = []
    try:
        while len(kept) < most:
            kept.append(function())
    except OSError as error:
        return len(kept), errno.errorcode[error.errno]
    return len(kept), "GOT IN"


def write(path, data=b"x"):
    """Writes to what exists, or makes it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def done():
    print(json.dumps(TOLD), flush=True)
