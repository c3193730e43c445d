"""Finds the image with the packages of a request, or has it made: once, whoever asks for it meanwhile."""

import hashlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO
from weakref import WeakValueDictionary

import anyio

from sandbox_runner.capacity import Capacity
from sandbox_runner.config import Config
from sandbox_runner.definitions import PACKAGES
from sandbox_runner.engines import Engine
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.engines.docker.connection import find_address
from sandbox_runner.errors import EngineError, ImageNotFound
from sandbox_runner.languages import Language
from sandbox_runner.packages.kept import KeptPackages, find, forget_packages, keep, surplus
from sandbox_runner.packages.rules import package_rules
from sandbox_runner.packages.source import Tell, tell_nobody
from sandbox_runner.placement import Placements
from sandbox_runner.policy import image_name
from sandbox_runner.policy.building import admit_build
from sandbox_runner.policy.packages import PackageRules
from sandbox_runner.request import Principal, RunRequest
from sandbox_runner.requirements import Requirement, parse_requirements, refuse
from sandbox_runner.spec import Image

_PAUSE = 0.1  # seconds between two looks whether another process has made it
_WAITS = "waiting for another one who installs the same packages"


class PackageImages:
    """The derived images of one engine, called ``engine_name``."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        capacity: Capacity,
        placements: Placements,
        *,
        engine_name: str,
    ) -> None:
        self._engine = engine
        self._policy = config.policy()
        self._rules = package_rules(config)
        self._capacity = capacity
        self._placements = placements
        self._engine_name = engine_name
        self._address = find_address(config.docker_host) if engine_name == DOCKER else None
        self._making: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def image(
        self,
        request: RunRequest,
        language: Language | None,
        principal: Principal,
        tell: Tell | None = None,
    ) -> str:
        """The name of the image for ``request``, which `policy.check` has passed; it is made where need be.

        ``tell`` hears how that goes, where it is not there yet.
        Raises InstallFailed, NotPermitted, Busy, IndexUnavailable, and what the engine raises.
        """
        if not request.packages:
            return image_name(request, language)
        assert language is not None
        assert language.installer is not None
        requirements = parse_requirements(request.packages, installer=language.installer)
        base = await self._engine.image(language.image)
        name = f"{PACKAGES}:{_digest(base, language, requirements, self._rules)}"
        if not await self._is_there(name, language):
            async with self._alone(name, tell or tell_nobody):
                if not await self._is_there(name, language):
                    await self._make(name, base, language, requirements, principal, tell or tell_nobody)
        return name

    async def _is_there(self, name: str, language: Language) -> bool:
        """Raises NotPermitted where a package in it has been refused since."""
        kept = find(self._engine_name, self._address, name)
        if kept is None:
            return False
        assert language.installer is not None
        for each in kept.installed:
            refuse(each.name, installer=language.installer, refused=self._rules.refused)
        try:
            await self._engine.image(name)
        except ImageNotFound:
            return False
        return True

    @asynccontextmanager
    async def _alone(self, name: str, tell: Tell) -> AsyncIterator[None]:
        lock = self._making.setdefault(name, anyio.Lock())
        if lock.locked():
            tell(_WAITS)
        async with lock, _alone_on_this_machine(f"{self._engine_name}-{name}", tell):
            yield

    async def _make(
        self,
        name: str,
        base: Image,
        language: Language,
        requirements: Sequence[Requirement],
        principal: Principal,
        tell: Tell,
    ) -> None:
        import tempfile  # noqa: PLC0415 - for those who install packages, as the next

        from sandbox_runner.packages.builder import command, install, programs  # noqa: PLC0415

        tell(f"installing {', '.join(map(str, requirements))}")
        rules = self._rules
        assert language.installer is not None
        index = rules.index(language.installer)
        # A file without a name: whatever ends this process leaves nothing of it.
        with tempfile.TemporaryFile() as layer:
            async with self._capacity.place(principal.id, memory=rules.memory):
                with self._placements.lease() as placement:
                    admission = admit_build(
                        self._policy, command(index, requirements), programs(), principal,
                        image=base, placement=placement, rules=rules,
                    )  # fmt: skip
                    installed, size = await install(
                        self._engine, admission, index, layer, disk=rules.disk, tell=tell
                    )
            layer.seek(0)
            kept = KeptPackages(
                engine=self._engine_name,
                address=self._address,
                image=name,
                base=base.id,
                language=language.name,
                requirements=tuple(map(str, requirements)),
                installed=installed,
                size=size,
            )
            await self._derive(base, kept, layer)
        await self._make_room(name)

    async def _derive(self, base: Image, kept: KeptPackages, layer: BinaryIO) -> None:
        # Recorded first: an image without a record would never go. It takes a moment, as a whole.
        keep(kept)
        try:
            with anyio.CancelScope(shield=True):
                await self._engine.derive(base, kept.image, layer)
        except EngineError:
            forget_packages(kept)
            raise

    async def _make_room(self, name: str) -> None:
        for kept in surplus(self._engine_name, self._address, most=self._rules.cache, but=name):
            with suppress(EngineError):  # a container uses it; the next time, then
                await self._engine.discard(kept.image)
                forget_packages(kept)


def _digest(base: Image, language: Language, requirements: Sequence[Requirement], rules: PackageRules) -> str:
    assert language.installer is not None
    of = [base.id, language.installer, rules.index(language.installer).url, *map(str, requirements)]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


@asynccontextmanager
async def _alone_on_this_machine(name: str, tell: Tell) -> AsyncIterator[None]:
    """Waits until no other process does what ``name`` says: the kernel frees the name when one ends."""
    if sys.platform != "linux":
        yield
        return
    digest = hashlib.sha256(name.encode()).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        told = False
        while not _bound(held, f"\0sandbox-runner-packages-{digest}"):
            if not told:
                tell(_WAITS)
                told = True
            await anyio.sleep(_PAUSE)
        yield


def _bound(held: socket.socket, name: str) -> bool:
    try:
        held.bind(name)
    except OSError:  # another one has it
        return False
    return True
