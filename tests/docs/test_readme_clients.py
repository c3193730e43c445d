"""The README's blocks for pasting into a client are what `sandbox-runner install CLIENT --print` prints."""

from pathlib import Path

import pytest
from blocks import blocks

from sandbox_runner.clients.command import ServerCommand
from sandbox_runner.clients.definitions import CLIENTS
from sandbox_runner.clients.registration import snippet

README = (Path(__file__).parents[2] / "README.md").read_text()
LINES = README.splitlines()
SERVER = ServerCommand("/home/you/.local/bin/sandbox-runner", ("stdio",), {})


def heading(block) -> str:
    """The line of text before a block."""
    return next(line for line in reversed(LINES[: block.line - 2]) if line)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)
def test_each_client_has_its_block(client):
    shown = [block.text for block in blocks(README) if f"**{client.title}**" in heading(block)]
    assert shown == [snippet(client, "sandbox-runner", SERVER)]


def test_the_readme_names_each_client_for_install():
    (line,) = [line for line in LINES if line.startswith("sandbox-runner install ")]
    assert [name for name in CLIENTS if name not in line] == []
