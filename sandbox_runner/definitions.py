"""What makes an image ours and current: its tag, its labels, and the digests they carry.

Cheap enough for every run: the labels of an image tell whether it speaks this version's
protocol before anything is sent to it.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from sandbox_runner import agent
from sandbox_runner.assets import image_folders

BASE = "base"
REPOSITORY = "sandbox-runner"
PACKAGES = f"{REPOSITORY}/packages"  # of images with packages that a run asked for

# Containers inherit the labels of their image, so none of these may be one that marks a run.
LABEL_IMAGE = "org.sandbox-runner.image"
LABEL_DEFINITION = "org.sandbox-runner.definition"
LABEL_AGENT = "org.sandbox-runner.agent"
LABEL_PACKAGES = "org.sandbox-runner.packages"  # name of an image that has some added
LABEL_PARENT = "org.sandbox-runner.parent"  # id of the image it was built on; the builder adds it last

_NOT_BUILT_IN = {"language.toml"}  # read from this installation, so a change needs no build


def image_tag(name: str) -> str | None:
    """The tag on an engine of our image called ``name`` for short; None where it is none of ours."""
    return f"{REPOSITORY}/{name}:latest" if name in image_names() else None


@cache
def image_names() -> tuple[str, ...]:
    """The images of this installation, each after the one it is built on."""
    return tuple(sorted(_folders(), key=lambda name: (name != BASE, name)))


@cache
def _folders() -> dict[str, Path]:
    """The folder of each image. What an installation has itself nobody can replace."""
    found: dict[str, Path] = {}
    for folder in image_folders():
        if (folder / "Dockerfile").is_file():
            found.setdefault(folder.name, folder)
    return found


def has_agent(name: str) -> bool:
    """Whether programs run in the image ``name``; the base, which has PID 1 for all, is only built on."""
    return name != BASE


def agent_folder() -> Path:
    """The folder of the agent's source."""
    return Path(agent.__file__).parent


def image_files(name: str) -> dict[str, bytes]:
    """What the image ``name`` is built from, by path in its folder, in a fixed order.

    Raises FileNotFoundError where there is no such image.
    """
    if name not in _folders():
        raise FileNotFoundError(f"There is no image {name!r}.")
    return _contents(_folders()[name])


def agent_files(name: str) -> dict[str, bytes]:
    """What the image ``name`` is built from of the agent, by path in its folder, in a fixed order.

    The base has the source of PID 1, which is C; the others have what is Python.
    """
    folder = agent_folder()
    found = folder.glob("pid1/*.[ch]") if name == BASE else folder.rglob("*.py")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}


@cache
def agent_digest(name: str) -> str:
    """SHA-256 of what the image ``name`` has of the agent: another one may speak another protocol."""
    return _digest(agent_files(name))


@cache
def definition_digest(name: str) -> str:
    """SHA-256 of what the image ``name`` and the image below it are built from.

    Raises FileNotFoundError where there is no such image.
    """
    parent = (agent_digest(BASE) if name == BASE else definition_digest(BASE)).encode()
    return _digest({"": parent, **image_files(name)})


def is_current(labels: Mapping[str, str]) -> bool:
    """Whether an image of ours with these ``labels`` is what this version would build."""
    name = labels.get(LABEL_IMAGE)
    return name in image_names() and labels.items() >= identity(name).items()


def identity(name: str) -> dict[str, str]:
    """The labels of the image ``name`` as this version builds it.

    Raises FileNotFoundError where there is no such image in this installation.
    """
    labels = {LABEL_IMAGE: name, LABEL_DEFINITION: definition_digest(name)}
    if has_agent(name):
        labels[LABEL_AGENT] = agent_digest(name)
    return labels


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(_files(folder))}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name not in _NOT_BUILT_IN:
            yield path


def _digest(files: Mapping[str, bytes]) -> str:
    digest = sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
