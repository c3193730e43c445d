"""Runs an installer in a container of its own, and takes back what it installed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import anyio

from sandbox_runner.engines import Engine
from sandbox_runner.errors import InstallFailed, SandboxError, StartFailed
from sandbox_runner.events import Exited
from sandbox_runner.packages.conversation import Conversation
from sandbox_runner.packages.fetching import Fetcher
from sandbox_runner.packages.kept import Installed
from sandbox_runner.packages.layer import LayerWriter, starts_with_python
from sandbox_runner.packages.source import Tell
from sandbox_runner.policy.packages import Index
from sandbox_runner.request import InputFile
from sandbox_runner.requirements import NPM, PIP, Requirement, normalised, refuse
from sandbox_runner.spec import Admission

_PROGRAMS = Path(__file__).with_name("programs")
_FOLDERS = {PIP: "usr/lib/sandbox-runner/packages", NPM: "node_modules"}  # where the languages look
_FULL = "No space left on device"
_PER_DISK = 4  # bytes fetched for each byte that may be written, at most


def programs() -> tuple[InputFile, ...]:
    """What runs inside."""
    return tuple(InputFile(file.name, file.read_bytes()) for file in sorted(_PROGRAMS.glob("*.py")))


def command(index: Index, requirements: Sequence[Requirement]) -> tuple[str, ...]:
    """How that is called."""
    asked = {
        "installer": index.installer,
        "index": index.url,
        "folder": f"/{_FOLDERS[index.installer]}",
        "requirements": list(map(str, requirements)),
    }
    return ("/usr/bin/python3", "-I", "-S", "install.py", json.dumps(asked))


async def install(
    engine: Engine, admission: Admission, index: Index, layer: BinaryIO, *, disk: int, tell: Tell
) -> tuple[tuple[Installed, ...], int]:
    """Has ``admission`` run; its files are in ``layer`` then. What they are, and how many bytes.

    ``tell`` hears what the installer says. Raises InstallFailed with what that was at the end, NotPermitted,
    IndexUnavailable, and what the engine raises.
    """
    writer = LayerWriter(
        layer,
        folder=_FOLDERS[index.installer],
        most=disk,
        leaves_out=starts_with_python if index.installer == PIP else lambda _path: False,
    )
    fetcher = Fetcher(index)
    failure: SandboxError | None = None
    exited: Exited | None = None
    try:
        async with engine.create(admission.spec) as container, anyio.create_task_group() as tasks:
            conversation = Conversation(fetcher, writer, tasks, most=_PER_DISK * disk, tell=tell)
            try:
                exited = await container.execute(
                    replace(admission.job, stdin=conversation.answers), conversation.take
                )
            except SandboxError as error:  # raised outside, so that it does not arrive in an ExceptionGroup
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        fetcher.close()
    conversation.close()
    if failure is not None or exited is None or exited.exit_code != 0:
        raise _failed(conversation, failure, exited)
    return _installed(conversation, index), writer.size


def _failed(conversation: Conversation, failure: SandboxError | None, exited: Exited | None) -> SandboxError:
    lines = tuple(conversation.lines)
    if conversation.refusal is not None:
        return conversation.refusal
    if failure is not None:
        return failure
    assert exited is not None
    reasons = {
        "timed_out": "it took longer than the operator's package_time",
        "out_of_memory": "it needs more memory than the operator's package_memory",
    }
    reason = reasons.get(exited.status, "the installer says")
    if any(_FULL in line for line in lines):
        reason = "they take more than the operator's package_disk"
    said = "\n".join(lines[-8:]) or "nothing"
    return InstallFailed(f"The packages could not be installed: {reason}:\n{said}", lines=lines)


def _installed(conversation: Conversation, index: Index) -> tuple[Installed, ...]:
    """What the builder reports, held against what this process has fetched for it."""
    if conversation.report is None:
        raise StartFailed("The program that installs packages ended without a report.")
    found = []
    for name, version, address in conversation.report:
        digest = conversation.fetched.get(address)
        if digest is None or not (name + version).isprintable() or len(name + version) > 300:
            raise StartFailed("The program that installs packages reports one that was not fetched.")
        refuse(name, installer=index.installer, refused=index.refused)
        found.append(Installed(normalised(name, installer=index.installer), version, digest))
    return tuple(sorted(found, key=lambda each: (each.name, each.version)))
