"""Snapshots of workspaces, kept as files: compressed, counted, checksummed, and never looked into.

Each is two files, named by the digest of its id: the bytes, and what is known of them, which comes last.
"""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from sandbox_runner.errors import InvalidRequest, LimitExceeded, QuotaExceeded
from sandbox_runner.places import snapshot_folder
from sandbox_runner.request import Principal

if TYPE_CHECKING:
    from sandbox_runner.config import Config

_PIECE = 128 << 10
_LEAST = 16 << 10  # bytes that the smallest counts for: its two files, and each is read whenever one is kept
_RETRY = 3600.0  # seconds
_SOON = 10.0  # seconds
_UNFINISHED = 3600.0  # seconds after its last byte at which one is given up
_TOO_LARGE = "The workspace, compressed, is above the ceiling max_snapshot of {most} bytes."
_NO_ROOM = "There is no room for another snapshot (snapshots); try again later."
_UNKNOWN = "There is no snapshot {id!r}: it never was, or it is no longer kept; take another."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a snapshot: whose it is, its compressed ``size`` in bytes, when it was taken."""

    principal: str
    size: int
    sha256: str
    created: float


class Snapshots:
    """The snapshots in a folder: each of ``most`` bytes at most, ``room`` in all, kept ``ttl`` seconds."""

    def __init__(self, folder: Path, *, most: int, room: int, ttl: float) -> None:
        self.most = most
        self._folder = folder
        self._room = room
        self._ttl = ttl
        self._arriving = 0  # bytes of all that are being kept at this moment

    async def keep(self, principal: Principal, packed: AsyncGenerator[bytes, None]) -> str:
        """Stores what ``packed`` yields; returns its id, which is for the principal alone.

        The oldest of whoever has the most make room. Raises LimitExceeded, and QuotaExceeded where there is
        too little room even so; what ``packed`` raises leaves nothing.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old()
        snapshot_id = secrets.token_urlsafe(24)
        data = self._folder / f"{_name(snapshot_id)}.tar.gz"
        unfinished = data.with_suffix(".part")
        record = data.with_suffix("").with_suffix(".json")
        try:
            async with contextlib.aclosing(packed):
                size, digest = await self._write(unfinished, principal, packed)
            # Before the data has its name: nobody would find, count or remove what has no record.
            record.write_text(json.dumps(asdict(Snapshot(principal.id, size, digest, time.time()))))
            unfinished.rename(data)
        except BaseException:  # a cancellation, too, leaves nothing
            for file in (unfinished, record):
                file.unlink(missing_ok=True)
            raise
        return snapshot_id

    async def read(self, snapshot_id: str, principal: Principal) -> AsyncGenerator[bytes, None]:
        """The bytes of a snapshot, once all of them have been checked. Raises InvalidRequest."""
        self._forget_old()
        name = self._folder / _name(snapshot_id)
        known = _known(name.with_suffix(".json"))
        if known is None or known.principal != principal.id:
            raise InvalidRequest(_UNKNOWN.format(id=snapshot_id[:100]))
        try:
            with name.with_suffix(".tar.gz").open("rb") as file:
                found = await to_thread.run_sync(hashlib.file_digest, file, "sha256")
                if found.hexdigest() != known.sha256:
                    raise InvalidRequest("The snapshot was damaged where it is stored; take another.")
                file.seek(0)
                while piece := file.read(_PIECE):
                    yield piece
        except FileNotFoundError:
            raise InvalidRequest(_UNKNOWN.format(id=snapshot_id[:100])) from None

    def of(self, principal: Principal) -> list[Snapshot]:
        """The principal's snapshots, the oldest first."""
        return [known for _, known in self._all() if known.principal == principal.id]

    async def _write(
        self, path: Path, principal: Principal, packed: AsyncGenerator[bytes, None]
    ) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for piece in packed:
                    size += len(piece)
                    self._arriving += len(piece)
                    if size > self.most:
                        raise LimitExceeded(_TOO_LARGE.format(most=self.most))
                    # Those of many sessions at once, each of them small enough.
                    if self._arriving > self._room:
                        raise QuotaExceeded(_NO_ROOM, retry_after=_SOON)
                    file.write(piece)
                    digest.update(piece)
        finally:
            self._arriving -= size
        self._make_room(size, principal)
        return size, digest.hexdigest()

    def _make_room(self, size: int, principal: Principal) -> None:
        """The oldest of whoever has the most go, so that nobody's can fill the room of the others."""
        used = Counter({principal.id: _cost(size)})
        kept: dict[str, list[tuple[Path, Snapshot]]] = {}
        for path, known in self._all():
            used[known.principal] += _cost(known.size)
            kept.setdefault(known.principal, []).append((path, known))
        while used.total() > self._room:
            [(most, _)] = used.most_common(1)
            if not kept.get(most):
                raise QuotaExceeded(_NO_ROOM, retry_after=_RETRY)
            path, known = kept[most].pop(0)
            _remove(path)
            used[most] -= _cost(known.size)

    def _forget_old(self) -> None:
        oldest = time.time() - self._ttl
        for path, known in self._all():
            if known.created < oldest:
                _remove(path)
        for path in self._folder.glob("*.part"):  # of a process that was killed
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _UNFINISHED:
                    path.unlink()

    def _all(self) -> list[tuple[Path, Snapshot]]:
        """The snapshots there are, the oldest first, each with its file."""
        return sorted(self._each(), key=lambda each: each[1].created)

    def _each(self) -> Iterator[tuple[Path, Snapshot]]:
        for path in self._folder.glob("*.json"):
            known = _known(path)
            if known is not None:
                yield path, known


def open_snapshots(config: "Config") -> Snapshots:
    """The snapshots of this machine, or of this user, within the bounds of ``config``."""
    return Snapshots(
        snapshot_folder(), most=config.max_snapshot, room=config.snapshots, ttl=config.snapshot_ttl
    )


def _cost(size: int) -> int:
    return max(size, _LEAST)


def _name(snapshot_id: str) -> str:
    return hashlib.sha256(snapshot_id.encode(errors="surrogatepass")).hexdigest()


def _known(path: Path) -> Snapshot | None:
    try:
        return Snapshot(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _remove(path: Path) -> None:
    for each in (path, path.with_suffix(".tar.gz")):
        with contextlib.suppress(OSError):  # another process was first
            each.unlink()
