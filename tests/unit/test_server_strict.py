"""Wrong arguments, told in words that a model can act on."""

from typing import Annotated

import pytest
from mcp.server.mcpserver.tools import Tool
from pydantic import Field, ValidationError

from sandbox_runner.config import Config
from sandbox_runner.server.arguments import Files
from sandbox_runner.server.strict import _sentences, fit


async def measure(
    count: Annotated[int, Field(gt=0, description="how many")],
    timeout_s: Annotated[float, Field(description="seconds")] = 30,
    memory_mb: Annotated[int | None, Field(description="memory")] = None,
    files: Files = [],  # noqa: B006
) -> str:
    """Measure."""
    return str(count + timeout_s + (memory_mb or 0) + len(files))


@pytest.fixture
def tool():
    return fit(Tool.from_function(measure), Config(wall_time=7, max_wall_time=9, max_memory="1g"))


def said(tool, **arguments):
    with pytest.raises(ValidationError) as caught:
        tool.fn_metadata.validate_arguments(arguments)
    return " ".join(_sentences(tool, caught.value))


def test_the_schema_tells_this_servers_limits_and_takes_no_other_argument(tool):
    properties = tool.parameters["properties"]
    assert tool.parameters["additionalProperties"] is False
    assert properties["timeout_s"]["default"] == 7
    assert properties["timeout_s"]["description"] == "seconds; at most 9"
    assert properties["memory_mb"]["description"] == "memory in MiB, at most 1024; null means 512"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "measure needs count."),
        ({"count": 1, "timeout": 3}, "measure has no argument timeout. Did you mean timeout_s?"),
        (
            {"count": 1, "zzz": 3},
            "measure has no argument zzz. It takes count, timeout_s, memory_mb, files.",
        ),
        ({"count": "many"}, "count: input should be a valid integer, unable to parse string as an integer,"),
        ({"count": 0}, "count: input should be greater than 0, not 0."),
        ({"count": 1, "files": [{"path": "a", "content": "", "mode": 1}]}, "files.0.mode: extra inputs"),
        ({"count": 1, "files": [{"path": "a", "content": "", "encoding": "hex"}]}, "files.0.encoding: "),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(tool, arguments, words):
    assert words in said(tool, **arguments)


def test_many_errors_and_long_ones_are_bounded(tool):
    told = said(tool, count="x" * 10_000, **{f"nope{n}": n for n in range(100)})
    assert "96 more arguments are wrong." in told
    assert len(told) < 2000
