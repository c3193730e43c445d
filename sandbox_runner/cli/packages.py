"""`sandbox-runner packages`: what runs asked for, and is kept for the next that does."""

import argparse

import anyio

from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.config import Config, load_config
from sandbox_runner.engines.choice import open_engine
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.packages import KeptPackages, forget_packages, kept_packages

EXAMPLES = """\
sandbox-runner packages
sandbox-runner packages --hashes
sandbox-runner packages --remove 3f2a91c07b55
sandbox-runner packages --remove all"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `packages`."""
    parser.add_argument(
        "--hashes", action="store_true", help="show each package, its version and the SHA-256 of its file"
    )
    parser.add_argument("--remove", metavar="ID", help="remove those with this id, or all")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Lists the packages that are kept, those used last at the end."""
    kept = kept_packages()
    if arguments.remove is not None:
        return _remove(kept, arguments.remove, load_config(flags=settings(arguments)).config)
    if arguments.hashes:
        files = [(each.id, one.name, one.version, one.sha256) for each in kept for one in each.installed]
        emit_table(("ID", "PACKAGE", "VERSION", "SHA256"), files)
        return 0
    rows = [
        (each.id, each.where, each.language, f"{each.size / (1 << 20):.1f} MiB", " ".join(each.requirements))
        for each in kept
    ]
    emit_table(("ID", "ENGINE", "LANGUAGE", "SIZE", "PACKAGES"), rows)
    return 0


def _remove(kept: list[KeptPackages], wanted: str, config: Config) -> int:
    going = [each for each in kept if wanted in (each.id, "all")]
    if not going and wanted != "all":
        raise InvalidRequest(f"No packages have the id {wanted!r}; see 'sandbox-runner packages'.")
    for each in going:
        anyio.run(_discard, each, config)
        forget_packages(each)
        emit(f"Removed {each.id}: {' '.join(each.requirements)}.")
    return 0


async def _discard(kept: KeptPackages, config: Config) -> None:
    opening = open_engine(kept.engine, docker_host=kept.address, oci_runtime=config.oci_runtime)
    async with opening as (_, engine):
        await engine.discard(kept.image)
