"""The record of the derived images: one file for each, touched when it is used.

packages/<engine>-<digest>.lock      while a process makes the image
packages/<engine>-<digest>.json      {"image": …, "installed": [{"name": …, "version": …, "sha256": …}], …}
The digest is that of the engine's address and the image's name.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox_runner.places import state_folder


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that was installed, and the SHA-256 of the file that it came in."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPackages:
    """A derived image: on which ``engine``, its name there, what for, what was installed, and its bytes.

    ``address`` is a Docker engine's, None for the embedded one. ``base`` is the id of the image below it.
    """

    engine: str
    address: str | None
    image: str
    base: str
    language: str
    requirements: tuple[str, ...]
    installed: tuple[Installed, ...]
    size: int

    @property
    def id(self) -> str:
        """The first digits of its digest, for people."""
        return self.image.rpartition(":")[2][:12]

    @property
    def where(self) -> str:
        """The engine, for people: by its address where it may be on another machine."""
        here = self.address is None or self.address.startswith(("unix://", "npipe://"))
        return self.engine if here else f"{self.engine} at {self.address}"


def kept_packages() -> list[KeptPackages]:
    """All of them, those last used last."""
    return [kept for kept in map(_read, sorted(_folder().glob("*-*.json"), key=_used)) if kept]


def find(engine: str, address: str | None, image: str) -> KeptPackages | None:
    """The record of ``image``, which is being used; None where there is none."""
    file = _file(engine, address, image)
    kept = _read(file)
    if kept is not None:
        with suppress(OSError):
            os.utime(file)
    return kept


def keep(kept: KeptPackages) -> None:
    """Writes the record."""
    file = _file(kept.engine, kept.address, kept.image)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(asdict(kept)), "utf-8")
    new.replace(file)


def forget_packages(kept: KeptPackages) -> None:
    """Removes the record, and with the last one their folder. Harmless to repeat."""
    _file(kept.engine, kept.address, kept.image).unlink(missing_ok=True)
    with suppress(OSError):  # others are in it
        _folder().rmdir()


def surplus(engine: str, address: str | None, *, most: int, but: str) -> list[KeptPackages]:
    """What has to go so that an engine keeps ``most`` bytes: unused longest first, never ``but``."""
    ours = [kept for kept in kept_packages() if (kept.engine, kept.address) == (engine, address)]
    over = sum(kept.size for kept in ours) - most
    going = []
    for kept in ours:
        if over <= 0:
            break
        if kept.image != but:
            going.append(kept)
            over -= kept.size
    return going


def lock_file(engine: str, address: str | None, image: str) -> Path:
    """What is locked by the process that makes ``image``."""
    return _file(engine, address, image).with_suffix(".lock")


def _folder() -> Path:
    return state_folder() / "packages"


def _file(engine: str, address: str | None, image: str) -> Path:
    digest = hashlib.sha256(json.dumps([address, image]).encode()).hexdigest()
    return _folder() / f"{engine}-{digest}.json"


def _used(file: Path) -> float:
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0


def _read(file: Path) -> KeptPackages | None:
    try:
        found = json.loads(file.read_bytes())
        return KeptPackages(
            engine=str(found["engine"]),
            address=found["address"],
            image=str(found["image"]),
            base=str(found["base"]),
            language=str(found["language"]),
            requirements=tuple(map(str, found["requirements"])),
            installed=tuple(Installed(**each) for each in found["installed"]),
            size=int(found["size"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
