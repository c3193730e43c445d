"""`sandbox-runner setup`: makes this machine ready for runs."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sandbox_runner.cli.exits import emit, one_line
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.progress import Display, shown_progress
from sandbox_runner.config import Config, load_config
from sandbox_runner.errors import BuildFailed, InvalidRequest
from sandbox_runner.hardening import COMMAND_IMAGE
from sandbox_runner.languages import Language, images_of, load_languages
from sandbox_runner.places import state_folder
from sandbox_runner.request import RunRequest

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox_runner.provision.progress import Report
    from sandbox_runner.provision.selftest import Outcome
    from sandbox_runner.runner import Runner

EXAMPLES = """\
sandbox-runner setup
sudo sandbox-runner setup --yes
sandbox-runner setup --languages python,c,go
sandbox-runner setup --languages all
sandbox-runner setup --base debian:trixie
sandbox-runner setup --fresh
sudo sandbox-runner setup --engine oci --yes
sudo sandbox-runner setup --engine oci --image debian:stable --image docker-archive:app.tar"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `setup`."""
    parser.add_argument("--engine", choices=["docker", "oci"], help="the container engine")
    parser.add_argument("--yes", action="store_true", help="install and start what is missing without asking")
    parser.add_argument("--base", metavar="IMAGE", help="build on this Debian image instead")
    parser.add_argument(
        "--image", metavar="REF", action="append", default=[],
        help="bring in another image for the engine oci: a registry's name, or oci:DIR, oci-archive:FILE, "
        "docker-archive:FILE, docker-daemon:NAME",
    )  # fmt: skip
    parser.add_argument("--as", dest="name", metavar="NAME", help="what 'run --image' calls that image")
    parser.add_argument(
        "--languages",
        metavar="L,…",
        help="the languages to make ready, or all; what is there already is kept up to date as well",
    )
    parser.add_argument("--fresh", action="store_true", help="build all anew, with the newest packages")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Finds or makes an engine, builds the images, runs their self-tests."""
    from sandbox_runner.provision.selftest import require_passed  # noqa: PLC0415 - loads the SDK
    from sandbox_runner.provision.turns import one_at_a_time  # noqa: PLC0415 - with what needs it

    flags = settings(arguments)
    if arguments.languages is not None:
        flags["languages"] = arguments.languages
    config = load_config(flags=flags).config
    images_of(config.languages)  # an unknown one is refused before anything is done
    engine = arguments.engine or ("oci" if config.engine == "oci" else "docker")
    _check_images(arguments, engine)
    with _last_lines(), shown_progress() as display, one_at_a_time(state_folder(), display.report):
        prepare = _prepare_oci if engine == "oci" else _prepare_docker
        built = prepare(arguments, config, display)
        require_passed(asyncio.run(_selftests(replace(config, engine=engine), display.report)))
    told = f"built {', '.join(built)}" if built else "all images were current"
    emit(f"Ready ({told}). Try: sandbox-runner run -c 'print(2**100)'")
    return 0


def _check_images(arguments: argparse.Namespace, engine: str) -> None:
    if arguments.image and engine != "oci":
        raise InvalidRequest(
            "--image is for the engine oci, with --engine oci; into a Docker engine load it with docker pull "
            "or docker load."
        )
    if arguments.name is not None and len(arguments.image) != 1:
        raise InvalidRequest("--as names one image; give one --image with it.")


def _prepare_docker(arguments: argparse.Namespace, config: Config, display: Display) -> tuple[str, ...]:
    from sandbox_runner.provision import host, setup  # noqa: PLC0415 - loads the SDK

    return setup.prepare(
        connector(config),
        host=host.this_host(),
        folder=state_folder(),
        consent=partial(display.ask, yes=arguments.yes),
        report=display.report,
        remote=bool(config.docker_host or os.environ.get("DOCKER_HOST")),
        base=arguments.base,
        fresh=arguments.fresh,
        wanted=_wanted(config),
    ).built


def _prepare_oci(arguments: argparse.Namespace, config: Config, display: Display) -> tuple[str, ...]:
    from sandbox_runner.provision import host, oci_setup, references  # noqa: PLC0415 - loads the SDK

    return oci_setup.prepare_oci(
        connector(config),
        host=host.this_host(),
        folder=state_folder(),
        consent=partial(display.ask, yes=arguments.yes),
        report=display.report,
        oci_runtime=config.oci_runtime,
        images=[references.read_reference(each, name=arguments.name) for each in arguments.image],
        max_image=config.max_image,
        base=arguments.base,
        fresh=arguments.fresh,
        wanted=_wanted(config),
    )


def _wanted(config: Config) -> frozenset[str]:
    return images_of(config.languages) | {COMMAND_IMAGE}


def connector(config: Config) -> Callable[[], "APIClient"]:
    """Connects to the configured engine when it is called."""
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - with the commands that need it

    return partial(connect, config.docker_host)


async def _selftests(config: Config, report: "Report") -> "tuple[Outcome, ...]":
    from sandbox_runner.provision.selftest import run_selftests  # noqa: PLC0415 - loads the SDK
    from sandbox_runner.runner import Runner  # noqa: PLC0415

    async with Runner.open(config) as runner:

        async def run(language: str, code: str) -> str:
            result = await runner.run(RunRequest(language=language, code=code))
            return result.stdout if result.ok else f"{result.stdout}{result.stderr}[{result.status}]"

        return await run_selftests(run, await _ready(runner), report=report)


async def _ready(runner: "Runner") -> list[Language]:
    """The languages whose images are there."""
    return [language for language in load_languages() if await runner.has(language)]


@contextmanager
def _last_lines() -> Iterator[None]:
    """Shows what an installer printed last before it failed."""
    try:
        yield
    except BuildFailed as error:
        with suppress(OSError):
            print(*(f"  {one_line(line)}" for line in error.lines), sep="\n", file=sys.stderr)
        raise
