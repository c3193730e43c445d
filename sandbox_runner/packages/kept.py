"""The record of the derived images: one file for each, touched when it is used.

packages/<engine>-<digest>.json    {"image": …, "installed": [[name, version, sha256], …], …}
"""

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

    ``base`` is the id of the image below it.
    """

    engine: str
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


def kept_packages() -> list[KeptPackages]:
    """All of them, those last used last."""
    return [kept for kept in map(_read, sorted(_folder().glob("*-*.json"), key=_used)) if kept]


def find(engine: str, image: str) -> KeptPackages | None:
    """The record of ``image``, which is being used; None where there is none."""
    kept = _read(_file(engine, image))
    if kept is not None:
        with suppress(OSError):
            os.utime(_file(engine, image))
    return kept


def keep(kept: KeptPackages) -> None:
    """Writes the record."""
    file = _file(kept.engine, kept.image)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(asdict(kept)), "utf-8")
    new.replace(file)


def forget_packages(kept: KeptPackages) -> None:
    """Removes the record. Harmless to repeat."""
    _file(kept.engine, kept.image).unlink(missing_ok=True)


def surplus(engine: str, *, most: int, but: str) -> list[KeptPackages]:
    """What has to go so that ``most`` bytes are kept: used longest ago first, and never the image ``but``."""
    ours = [kept for kept in kept_packages() if kept.engine == engine]
    over = sum(kept.size for kept in ours) - most
    going = []
    for kept in ours:
        if over <= 0:
            break
        if kept.image != but:
            going.append(kept)
            over -= kept.size
    return going


def _folder() -> Path:
    return state_folder() / "packages"


def _file(engine: str, image: str) -> Path:
    return _folder() / f"{engine}-{image.rpartition(':')[2]}.json"


def _used(file: Path) -> float:
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0


def _read(file: Path) -> KeptPackages | None:
    try:
        found = json.loads(file.read_bytes())
        return KeptPackages(
            engine=str(found["engine"]),
            image=str(found["image"]),
            base=str(found["base"]),
            language=str(found["language"]),
            requirements=tuple(map(str, found["requirements"])),
            installed=tuple(Installed(**each) for each in found["installed"]),
            size=int(found["size"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
