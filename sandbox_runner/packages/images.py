"""Finds the image with the packages of a request, or has it made: once, whoever asks for it meanwhile."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

import anyio

from sandbox_runner.capacity import Capacity
from sandbox_runner.config import Config
from sandbox_runner.definitions import PACKAGES
from sandbox_runner.engines import Engine
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.engines.docker.connection import find_address
from sandbox_runner.errors import Busy, EngineError, ImageNotFound
from sandbox_runner.languages import Language
from sandbox_runner.locks import Free, lock
from sandbox_runner.packages.kept import KeptPackages, find, forget_packages, keep, lock_file, surplus
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
_TURNS = 2  # times package_time that one waits for others who install the same
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
        """Waits until nobody else makes ``name``, in this process or another one. Raises Busy."""
        patience = _TURNS * self._rules.time
        with ExitStack() as turn:
            try:
                with anyio.fail_after(patience):
                    await self._turn(turn, name, tell)
            except TimeoutError:
                raise Busy(
                    f"Others have been installing the same packages for {patience:g} s; try again later.",
                    retry_after=self._rules.time,
                ) from None
            yield

    async def _turn(self, turn: ExitStack, name: str, tell: Tell) -> None:
        here = self._making.setdefault(name, anyio.Lock())
        if here.locked():
            tell(_WAITS)
        await here.acquire()
        turn.callback(here.release)
        turn.callback(await _wait(lock_file(self._engine_name, self._address, name), tell))

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


async def _wait(file: Path, tell: Tell) -> Free:
    """Locks ``file`` once no other process has it."""
    told = False
    while (free := _lock(file)) is None:
        if not told:
            tell(_WAITS)
            told = True
        await anyio.sleep(_PAUSE)
    return free


def _lock(file: Path) -> Free | None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return lock(file)
    except OSError as error:
        raise EngineError(
            f"What is installed cannot be recorded in {file.parent} ({error.strerror}); make that folder "
            "yours to write, then try again."
        ) from error
