"""A strict reader of tar archives from strangers: bounded, and it goes forward only.

Not `tarfile`: that ends an archive quietly at a header it cannot read, and reads an extended header of any
size into memory. POSIX.1-2017 pax, and GNU's long names: https://www.gnu.org/software/tar/manual/html_node/Standard.html.
Anything else is an error, sparse files too: those who build images do not write them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sandbox_runner.errors import BuildFailed

_BLOCK = 512
_MAX_HEADER = 1 << 20  # bytes of an extended header
_CHUNK = 1 << 20
_KINDS = {
    b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "symlink", b"3": "device", b"4": "device",
    b"5": "folder", b"6": "device",
}  # fmt: skip
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"


class Source(Protocol):
    """Bytes to read, such as a file."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``kind`` is file, link (a hard one), symlink, folder or device; ``modified`` is Unix seconds."""

    name: str
    kind: str
    mode: int
    size: int
    modified: float
    target: str


class TarStream:
    """The entries of an archive. Raises BuildFailed for one that is not as the standard has it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0  # bytes of the current entry that were not read
        self._padding = 0

    def entries(self) -> Iterator[Entry]:
        """Each entry; what of its data was not read before the next is passed over."""
        extended: dict[str, str] = {}
        while (header := self._next_header()) is not None:
            kind = header[156:157]
            size = _number(header[124:136])
            if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
                data = self._read_extended(size)
                if kind == _PAX:
                    extended |= _pax(data)
                elif kind != _PAX_GLOBAL:  # of a whole archive nothing is known that matters here
                    extended["path" if kind == _LONG_NAME else "linkpath"] = _text(data.split(b"\0", 1)[0])
                continue
            entry = _entry(header, kind, extended)
            extended = {}
            self._begin(entry.size if entry.kind == "file" else 0)
            yield entry

    def read(self) -> bytes:
        """Some bytes of the current entry's data, or none at its end."""
        data = self._exactly(min(self._left, _CHUNK))
        self._left -= len(data)
        return data

    def _next_header(self) -> bytes | None:
        while self.read():
            pass
        self._exactly(self._padding)
        self._padding = 0
        header = self._source.read(_BLOCK)
        while 0 < len(header) < _BLOCK and (more := self._source.read(_BLOCK - len(header))):
            header += more
        if not header or not any(header):
            return None
        if len(header) < _BLOCK:
            raise _broken("it ends within a header")
        if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156]):
            raise _broken("a header's checksum is wrong")
        return header

    def _begin(self, size: int) -> None:
        self._left = size
        self._padding = -size % _BLOCK

    def _read_extended(self, size: int) -> bytes:
        if size > _MAX_HEADER:
            raise _broken(f"an extended header has {size} bytes")
        data = self._exactly(size)
        self._exactly(-size % _BLOCK)
        return data

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._source.read(size)
            if not part:
                raise _broken("it ends too soon")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _entry(header: bytes, kind: bytes, extended: dict[str, str]) -> Entry:
    if kind == b"S" or any(key.startswith("GNU.sparse.") for key in extended):
        raise _broken("it has a sparse file")
    if kind not in _KINDS:
        raise _broken(f"it has an entry of the unknown kind {kind!r}")
    name = extended.get("path") or _header_name(header)
    size = _decimal(extended["size"]) if "size" in extended else _number(header[124:136])
    what = "folder" if kind in b"0\0" and name.endswith("/") else _KINDS[kind]
    return Entry(
        name=name,
        kind=what,
        mode=_number(header[100:108]) & 0o7777,
        size=size if what == "file" else 0,
        modified=float(_number(header[136:148])),
        target=extended.get("linkpath") or _text(header[157:257].split(b"\0", 1)[0]),
    )


def _header_name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _pax(data: bytes) -> dict[str, str]:
    """Records such as ``30 path=a/name\\n``, each with its own length."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits = data[start : start + 20].partition(b" ")[0]
        end = start + _decimal(_text(digits))
        key, equals, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise _broken("an extended header is malformed")
        # Others, such as extended attributes with capabilities, are not taken over.
        if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse."):
            records[_text(key)] = _text(value)
        start = end
    return records


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 for what does not fit."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise _broken("a header has a number that is none")
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _broken("an extended header has a number that is none")
    return int(text)


def _text(data: bytes) -> str:
    if b"\0" in data:
        raise _broken("a name has a NUL")
    return os.fsdecode(data)


def _broken(reason: str) -> BuildFailed:
    return BuildFailed(f"A layer of the image is not an archive that can be taken in: {reason}.")
