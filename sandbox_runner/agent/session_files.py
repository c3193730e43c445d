"""Looks after the files of a session, as an ordinary command in its container: OPERATION ARGUMENT…

It has the rights of the session's own programs and no others, so nothing here protects anything; that no link
is followed and no fifo waited for is for the caller, who wants files of the workspace and an answer.

    list PATH OFFSET COUNT   a line with the number of entries, then one for each of those asked for
    read PATH OFFSET SIZE    a line with the size of the file, then its bytes
    write PATH MODE SIZE     standard input becomes the file; a line with its size
    delete PATH              the file, or the folder with all in it; an empty line
    pack                     the workspace as a compressed tar
    unpack                   standard input, such a tar, goes into the workspace; an empty line

Lines are JSON. What cannot be done is a line on stderr: {"error": a word, "detail": text}, and the status 3.
"""

import errno
import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # a fifo must not make it wait
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = ".sandbox-runner-"  # and the number of the process that writes a file, until that has its name
_UNNAMED = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_PIECE = 1 << 16
_REFUSED = 3
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_WORDS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "not_a_folder",
    errno.EISDIR: "folder",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOSPC: "no_space",
    errno.ENAMETOOLONG: "too_long",
}
_TAR = ("/usr/bin/tar", "--directory=.", "--file=-", "--use-compress-program=/usr/bin/gzip -1")


class Refusal(Exception):
    """What was asked for cannot be done: ``word`` says why, ``detail`` what is in the way."""

    def __init__(self, word: str, detail: str = "") -> None:
        super().__init__(word)
        self.word = word
        self.detail = detail


def main(operation: str, *arguments: str) -> None:
    """Does one operation. Raises Refusal and OSError."""
    OPERATIONS[operation](*arguments)


def list_folder(path: str, offset: str, count: str) -> None:
    """Tells of the entries of a folder, in the order of their names."""
    folder = _folder(_parts(path))
    names = sorted(os.listdir(folder))
    _tell(entries=len(names))
    for name in names[int(offset) : int(offset) + int(count)]:
        try:
            found = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:  # deleted since
            continue
        _tell(
            name=os.fsencode(name).decode(errors="replace"),
            kind=_kind(found),
            size=found.st_size,
            mode=stat.S_IMODE(found.st_mode),
            modified=found.st_mtime,
        )


def read_file(path: str, offset: str, size: str) -> None:
    """Writes a range of a file's bytes after its size."""
    file = _open_file(_parts(path))
    _tell(size=os.fstat(file).st_size)
    position, left = int(offset), int(size)
    while left and (data := os.pread(file, min(left, _PIECE), position)):
        sys.stdout.buffer.write(data)
        position += len(data)
        left -= len(data)


def write_file(path: str, mode: str, size: str) -> None:
    """Puts a file in place once all of it is there, and makes its folders."""
    parts = _parts(path)
    if not parts:
        raise Refusal("folder")
    folder = _folder(parts[:-1], make=True)
    if _is_folder(parts[-1], folder):
        raise Refusal("folder")
    own = f"{_OWN}{os.getpid()}"
    try:
        file, named = _new_file(own, folder)
        _copy(file, int(size))
        os.fchmod(file, int(mode, 8))
        _put(file, parts[-1], folder, own, named=named)
    except BaseException:  # an interrupt, too, leaves no half of a file
        with suppress(FileNotFoundError):
            os.unlink(own, dir_fd=folder)
        raise
    _tell(size=int(size))


def delete(path: str) -> None:
    """Removes a file, a link itself, or a folder with all that is in it."""
    parts = _parts(path)
    if not parts:
        raise Refusal("workspace")
    folder = _folder(parts[:-1])
    if not _is_folder(parts[-1], folder):
        os.unlink(parts[-1], dir_fd=folder)
    else:
        os.fchdir(folder)
        _run("/usr/bin/rm", "--recursive", "--force", "--", f"./{parts[-1]}")
    _tell()


def pack() -> None:
    """Writes the workspace as a tar: links as links, holes as holes, what is no file or folder not at all."""
    _run(*_TAR, "--create", "--sparse", "--", ".", allowed=(0, 1))  # 1: a file changed meanwhile


def unpack() -> None:
    """Takes such a tar in."""
    _run(*_TAR, "--extract", "--no-same-owner", "--delay-directory-restore")
    _tell()


OPERATIONS: dict[str, Callable[..., None]] = {
    "list": list_folder,
    "read": read_file,
    "write": write_file,
    "delete": delete,
    "pack": pack,
    "unpack": unpack,
}


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise Refusal("outside")
    return parts


def _folder(parts: list[str], *, make: bool = False) -> int:
    """A descriptor of the folder, reached through folders alone."""
    folder = os.open(".", _FOLDER)
    for name in parts:
        if make and not os.access(name, os.F_OK, dir_fd=folder, follow_symlinks=False):
            os.mkdir(name, 0o755, dir_fd=folder)
        _refuse_link(name, folder)
        inner = os.open(name, _FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inner
    return folder


def _open_file(parts: list[str]) -> int:
    if not parts:
        raise Refusal("folder")
    folder = _folder(parts[:-1])
    kind = _kind(os.lstat(parts[-1], dir_fd=folder))
    _refuse_link(parts[-1], folder)
    if kind != "file":
        raise Refusal("folder" if kind == "folder" else "special", kind)
    return os.open(parts[-1], _FILE, dir_fd=folder)


def _refuse_link(name: str, folder: int) -> None:
    try:
        target = os.readlink(name, dir_fd=folder)
    except OSError:  # it is none
        return
    raise Refusal("link", target)


def _is_folder(name: str, folder: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:
        return False


def _new_file(own: str, folder: int) -> tuple[int, bool]:
    """A new file, and whether it has the name ``own``: none leaves nothing of a process that is killed."""
    with suppress(OSError):  # gVisor knows no such files
        return os.open(".", _UNNAMED, 0o600, dir_fd=folder), False
    _clear(folder)
    return os.open(own, _NEW, 0o600, dir_fd=folder), True


def _clear(folder: int) -> None:
    """Removes what writes that were killed have left there."""
    for name in os.listdir(folder):
        number = name.removeprefix(_OWN)
        if number != name and number.isdecimal() and (int(number) == os.getpid() or not _lives(number)):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _lives(number: str) -> bool:
    return os.access(f"/proc/{number}", os.F_OK)


def _put(file: int, name: str, folder: int, own: str, *, named: bool) -> None:
    """Gives the file its name, in place of whatever has it."""
    if not named:
        source = f"/proc/self/fd/{file}"
        try:
            os.link(source, name, dst_dir_fd=folder)
        except FileExistsError:  # only a rename replaces
            os.link(source, own, dst_dir_fd=folder)
        else:
            return
    os.rename(own, name, src_dir_fd=folder, dst_dir_fd=folder)


def _kind(found: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(found.st_mode), "other")


def _copy(file: int, expected: int) -> None:
    """Standard input into ``file``. Raises Refusal where it has another size."""
    size = 0
    while data := os.read(0, _PIECE):
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        size += len(data)
    if size != expected:
        raise Refusal("incomplete")


def _run(*command: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Runs a program with our own streams. What it says on stderr is the detail of a refusal."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 2)])
    os.close(writer)
    said = b""
    while data := os.read(reader, _PIECE):
        said = (said + data)[-_PIECE:]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in allowed:
        full = b"No space left" in said or not os.statvfs(".").f_bavail
        raise Refusal("no_space" if full else "failed", said.decode(errors="replace").strip()[-400:])


def _tell(**fields: object) -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")


def _refuse(word: str, detail: str) -> None:
    shown = os.fsencode(detail).decode(errors="replace")[-400:]
    sys.stderr.write(json.dumps({"error": word, "detail": shown}) + "\n")
    sys.exit(_REFUSED)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        sys.stdout.flush()
    except Refusal as refusal:
        _refuse(refusal.word, refusal.detail)
    except OSError as error:
        _refuse(_WORDS.get(error.errno or 0, "failed"), error.strerror or "")
