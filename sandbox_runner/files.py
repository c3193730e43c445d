"""Files that go into the workspace: where they may land, and reading them from this machine."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sandbox_runner.errors import InvalidRequest, LimitExceeded
from sandbox_runner.request import InputFile

_MAX_NAME = 255  # bytes in one component, NAME_MAX of Linux
_MAX_PATH = 4095  # PATH_MAX less its NUL


def check_files(files: Sequence[InputFile], *, count: int, size: int) -> None:
    """Raises InvalidRequest or LimitExceeded unless all ``files`` may be put into the workspace.

    At most ``count`` of them, ``size`` bytes in all.
    """
    if len(files) > count:
        raise LimitExceeded(
            f"{len(files)} files are above the ceiling max_files of {count}; send an archive."
        )
    total = sum(len(file.data) for file in files)
    if total > size:
        raise LimitExceeded(f"The files have {total} bytes; the ceiling max_file_bytes is {size}.")
    for file in files:
        check_destination(file.path)
        if not 0 <= file.mode <= 0o777:
            raise InvalidRequest(f"Mode {file.mode:o} of {file.path!r} is not between 0 and 777.")
    paths = [str(PurePosixPath(file.path)) for file in files]
    if len(set(paths)) != len(paths):
        raise InvalidRequest("Two files have the same destination; rename one.")
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    if both := folders.intersection(paths):
        raise InvalidRequest(f"{min(both)!r} is a file's destination and a folder's; rename one.")


def check_destination(path: str) -> None:
    """Raises InvalidRequest unless ``path`` names a place inside the workspace."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        raise InvalidRequest(f"Destination {path!r} leaves the workspace; give a relative path without '..'.")
    if not PurePosixPath(path).name or "\0" in path or path.endswith("/"):
        raise InvalidRequest(f"Destination {path!r} is not a file's name.")
    try:
        too_long = len(path.encode()) > _MAX_PATH or any(len(p.encode()) > _MAX_NAME for p in parts)
    except UnicodeEncodeError:
        raise InvalidRequest(f"Destination {path!r} is not UTF-8.") from None
    if too_long:
        raise InvalidRequest(f"Destination {path[:40]!r}… is too long; a name has at most {_MAX_NAME} bytes.")


def read_files(arguments: Sequence[str], *, size: int, count: int) -> list[InputFile]:
    """The files that ``SRC[:DEST]`` arguments name; a directory means all files below it.

    ``size`` bounds their bytes in all and ``count`` their number, so that a wrong path cannot fill this
    process. Raises InvalidRequest for what cannot be read, LimitExceeded above a bound.
    """
    files: list[InputFile] = []
    left = size
    for argument in arguments:
        for source, destination in _expand(*_split(argument)):
            if len(files) == count:
                raise LimitExceeded(
                    f"There are more files than the ceiling max_files of {count}; send an archive."
                )
            file = _read(source, destination, left, size)
            left -= len(file.data)
            files.append(file)
    return files


def _split(argument: str) -> tuple[Path, str]:
    source, colon, destination = argument.rpartition(":")
    # A Windows drive, or a name that itself has a colon, is a source without a destination.
    if not colon or Path(argument).exists() or (len(source) == 1 and os.name == "nt"):
        source, destination = argument, ""
    path = Path(source)
    return path, destination or _resolved(path).name


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links, which Python before 3.13 reports so
        return path


def _expand(source: Path, destination: str) -> Iterator[tuple[Path, str]]:
    if not source.is_dir():
        yield source, destination
        return
    inside = source.resolve()
    for root, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.is_symlink() and not _resolved(path).is_relative_to(inside):
                raise InvalidRequest(
                    f"{path} is a link that leads out of {source}; give what it leads to a --file of its own."
                )
            yield path, str(PurePosixPath(destination, *path.relative_to(source).parts))


def _read(source: Path, destination: str, left: int, size: int) -> InputFile:
    try:
        if not source.exists():
            raise InvalidRequest(f"{source} does not exist; check the path.")
        if not source.is_file():
            raise InvalidRequest(f"{source} is not a regular file or a directory.")
        with source.open("rb") as stream:
            data = stream.read(left + 1)
            mode = os.fstat(stream.fileno()).st_mode & 0o777
    except OSError as error:
        raise InvalidRequest(f"{source} cannot be read: {error.strerror}.") from error
    if len(data) > left:
        raise LimitExceeded(f"The files have more bytes than the ceiling max_file_bytes of {size}.")
    return InputFile(destination, data, mode | 0o600)
