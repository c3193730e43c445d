"""Each test of the contract runs on every engine."""

import pytest
from engines import ENGINES


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(name): the part of the Engine contract that a test proves")


@pytest.fixture(params=ENGINES)
def engine_name(request) -> str:
    return request.param


@pytest.fixture
async def bench(request, anyio_backend, engine_name):
    needed = [request.getfixturevalue("gvisor_address")] if engine_name == "docker+runsc" else []
    async with ENGINES[engine_name](*needed) as bench:
        yield bench
        assert bench.everything() == []
