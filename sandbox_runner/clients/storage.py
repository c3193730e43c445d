"""A client's configuration file: read whole, replaced whole or not at all, with a copy of what was there."""

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sandbox_runner.clients.reasons import Unsuitable

_BOM = "\ufeff"


def target_of(path: Path) -> Path:
    """The file itself where ``path`` is a link to it, as in a folder of dot-files under version control."""
    return Path(os.path.realpath(path))


def read_file(path: Path) -> bytes | None:
    """What the file holds; None where there is none. Raises Unsuitable for what is no readable file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait
            raise Unsuitable("is a directory" if path.is_dir() else "is not a regular file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unsuitable(f"cannot be read ({error.strerror})") from None


def decoded(data: bytes) -> tuple[str, str]:
    """The mark of UTF-8 that some editors write, or nothing; and the text. Raises Unsuitable."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Unsuitable("is not UTF-8 text") from None
    return (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)


def replace_file(path: Path, before: bytes | None, after: bytes) -> Path | None:
    """Writes ``after``; returns the copy of what was there, None where nothing was.

    The file keeps its mode and, where that may be set, its owner. Raises Unsuitable where it cannot
    be written, or no longer holds ``before``, which a running client may have changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if before is not None and not os.access(path, os.W_OK):
            raise Unsuitable("is read-only")
        backup = None if before is None else _copied(path)
        new = _written_beside(path, after, like=None if before is None else path.stat())
        try:
            _check_unchanged(path, before)
            new.replace(path)
        except BaseException:  # whatever it is, what is of no use goes
            new.unlink(missing_ok=True)
            if backup is not None:
                backup.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unsuitable(f"cannot be written ({error.strerror})") from None
    return backup


def _check_unchanged(path: Path, before: bytes | None) -> None:
    if read_file(path) != before:
        raise Unsuitable("was changed by another program just now")


def _copied(path: Path) -> Path:
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
    return Path(shutil.copy2(path, path.with_name(f"{path.name}.backup-{moment}")))


def _written_beside(path: Path, data: bytes, *, like: os.stat_result | None) -> Path:
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f"{path.name}.new-"
    )  # readable by its owner only
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if like is not None:
        if hasattr(os, "chown"):
            with suppress(OSError):  # only root may give files away
                os.chown(name, like.st_uid, like.st_gid)
        Path(name).chmod(stat.S_IMODE(like.st_mode))
    return Path(name)
