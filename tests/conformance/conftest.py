"""Servers for the peers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, http_server

HERE = Path(__file__).parent


@pytest.fixture
def served(nothing_left, tmp_path) -> Iterator[Served]:
    """The HTTP server as it is, with a key on; nothing of it is left afterwards."""
    with http_server(tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
def with_fixtures(tmp_path_factory) -> Iterator[Served]:
    """The HTTP server with the conformance suite's fixtures mounted, and a key on."""
    command = [sys.executable, str(HERE / "fixture_server.py")]
    folder = tmp_path_factory.mktemp("served")
    with http_server(folder, command, CONFORMANCE_KEY="{key}") as each:
        yield each
