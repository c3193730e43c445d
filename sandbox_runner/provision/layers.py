"""Puts the layers of a stranger's image on each other, and nothing anywhere else.

https://github.com/opencontainers/image-spec/blob/main/layer.md. Every path is resolved by us, below the
root, before anything is made there: a link leads where it would lead in the container. Nobody else can
write there meanwhile, so what was seen stays. All belongs to root, nothing is set-uid, nobody but root
can write; devices, pipes and extended attributes are left out. In a container the root is read-only and
the user is none that the image knows, so that no program can tell the difference.
"""

import os
import shutil
import stat
from pathlib import Path

from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision.tar_stream import Entry, Source, TarStream

MAX_ENTRIES = 1_000_000  # of all layers
_MAX_NAMES = 1 << 28  # bytes of all their names, which are held in memory
_MAX_DEPTH = 128  # folders below each other: what removes them calls itself for each
_MAX_LINKS = 40  # symlinks in one path, as the kernel follows
_MODE = 0o755
_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."


class _Made:
    """What one layer made: the ``paths``, and the folders ``above`` them."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.above: set[str] = set()

    def add(self, path: str) -> None:
        self.paths.add(path)
        while (path := path.rpartition("/")[0]) and path not in self.above:
            self.above.add(path)


class RootFolder:
    """The root filesystem that grows in ``folder``, layer by layer."""

    def __init__(self, folder: Path) -> None:
        self._root = str(folder.resolve())
        self._entries = self._names = 0
        self._resolved: dict[str, str] = {}

    def apply(self, source: Source) -> None:
        """One more layer on top. Raises BuildFailed for one that is malformed or reaches out."""
        tar = TarStream(source)
        made = _Made()
        for entry in tar.entries():
            self._entries += 1
            self._names += len(entry.name)
            if self._entries > MAX_ENTRIES or self._names > _MAX_NAMES:
                raise BuildFailed(
                    f"The image has more than {MAX_ENTRIES} files, or their names are too long."
                )
            try:
                self._take(entry, tar, made)
            except OSError as error:
                raise BuildFailed(
                    f"{entry.name[:200]!r} of the image cannot be put in place ({error.strerror})."
                ) from error

    def make_folder(self, name: str, mode: int = _MODE) -> None:
        """Has a folder at ``name``, itself: whatever else is there is replaced."""
        folder = self._place(name)
        if not _is_folder(folder):
            _remove(folder)
            _new_folder(folder)
        Path(folder).chmod(mode)
        self._resolved.clear()

    def write(self, name: str, text: str) -> None:
        """Has a file at ``name`` that says ``text``, whatever was there."""
        file = self._place(name)
        _remove(file)
        Path(file).write_text(text, "utf-8")
        Path(file).chmod(0o644)

    def remove(self, name: str) -> None:
        """Has nothing at ``name``."""
        _remove(self._place(name))
        self._resolved.clear()

    def _take(self, entry: Entry, tar: TarStream, made: _Made) -> None:
        parts = _parts(entry.name)
        if not parts:
            if entry.kind != "folder":
                raise _reaches_out(entry.name)
            return
        *above, name = parts
        parent = self._resolve(above)
        if name == _OPAQUE:
            self._empty(parent, made)
        elif name.startswith(_AUFS):
            return
        elif name.startswith(_WHITEOUT):
            self._white_out(parent, name.removeprefix(_WHITEOUT), made)
        else:
            self._make(f"{parent}/{name}", entry, tar)
            made.add(f"{parent}/{name}")

    def _make(self, path: str, entry: Entry, tar: TarStream) -> None:
        if entry.kind == "folder" and _is_folder(path):
            Path(path).chmod(entry.mode & _MODE)
            return
        if os.path.lexists(path):
            self._resolved.clear()
        # First, as removing it could remove what a link leads to.
        target = self._link_target(entry) if entry.kind == "link" else ""
        if target == path:
            return
        _remove(path)
        match entry.kind:
            case "folder":
                _new_folder(path, entry.mode & _MODE)
            case "file":
                _write_file(path, entry, tar)
            case "symlink":
                Path(path).symlink_to(entry.target)
            case "link":
                os.link(target, path, follow_symlinks=False)

    def _link_target(self, entry: Entry) -> str:
        parts = _parts(entry.target)
        if not parts:
            raise _reaches_out(entry.name)
        *above, name = parts
        target = f"{self._resolve(above)}/{name}"
        if not os.path.lexists(target) or _is_folder(target):
            raise BuildFailed(f"{entry.name[:200]!r} of the image is a link to what is not there.")
        return target

    def _empty(self, folder: str, made: _Made) -> None:
        """Takes away what lower layers had in ``folder``."""
        for name in os.listdir(folder):  # noqa: PTH208 - the names
            self._white_out(folder, name, made)

    def _white_out(self, parent: str, name: str, made: _Made) -> None:
        if name in ("", ".", ".."):
            raise BuildFailed("A layer of the image takes away what has no name.")
        path = f"{parent}/{name}"
        self._resolved.clear()
        if path in made.paths or (path in made.above and _is_folder(path)):
            if _is_folder(path):
                self._empty(path, made)
        else:
            _remove(path)

    def _place(self, name: str) -> str:
        *above, last = _parts(name)
        return f"{self._resolve(above)}/{last}"

    def _resolve(self, parts: list[str]) -> str:
        """The folder that ``parts`` lead to in the container; what is missing is made."""
        asked = "/".join(parts)
        if asked not in self._resolved:
            self._resolved[asked] = self._walk(parts)
        return self._resolved[asked]

    def _walk(self, parts: list[str]) -> str:
        left, here, links = parts[::-1], [self._root], 0
        while left:
            part = left.pop()
            if part == "..":
                here = here[:-1] or here
                continue
            path = "/".join([*here, part])
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                _new_folder(path)
                mode = stat.S_IFDIR
            if stat.S_ISLNK(mode):
                links += 1
                target = str(Path(path).readlink())
                if links > _MAX_LINKS:
                    raise _reaches_out("/".join(parts))
                here = here[:1] if target.startswith("/") else here
                left += [each for each in reversed(target.split("/")) if each not in ("", ".")]
            elif not stat.S_ISDIR(mode):
                raise BuildFailed(f"{'/'.join(parts)[:200]!r} of the image leads through a file.")
            else:
                here.append(part)
            if len(here) > _MAX_DEPTH:
                raise BuildFailed(f"The image has more than {_MAX_DEPTH} folders below each other.")
        return "/".join(here)


def _new_folder(path: str, mode: int = _MODE) -> None:
    Path(path).mkdir()
    Path(path).chmod(mode)  # the umask counts for nothing here


def _write_file(path: str, entry: Entry, tar: TarStream) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while data := tar.read():
            file.write(data)
        file.flush()
        os.fchmod(descriptor, entry.mode & _MODE)
        # Compiled modules of Python are of use only where their source has its time.
        when = min(entry.modified, float(1 << 33))
        os.utime(descriptor, (when, when))


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _reaches_out(name)
    return parts


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _remove(path: str) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def _reaches_out(name: str) -> BuildFailed:
    return BuildFailed(f"{name[:200]!r} of the image leads out of it.")
