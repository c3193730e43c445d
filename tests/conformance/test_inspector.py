"""The MCP inspector's command line lists and calls every tool, on a pipe and over HTTP, in both eras.

By default each era on one of the two; with SANDBOX_RUNNER_TEST_WHOLE=1 in the environment on both.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from every_tool import CALLS, HANDLES, TOOLS, check
from node_tools import npm_tool, with_node
from served import STDIO, Served, passed_on

PACKAGE = "@modelcontextprotocol/inspector@2.12.0"
CALL = 60  # seconds
LISTS = ("list_runs", "list_sessions")
IS_ERROR = 5  # the inspector's exit status for a result that is an error

ERAS = ("legacy", "modern")
WHOLE = bool(os.environ.get("SANDBOX_RUNNER_TEST_WHOLE"))

pytestmark = pytest.mark.timeout(300)


def on_pipe() -> list[str]:
    variables = [part for name, value in passed_on().items() for part in ("-e", f"{name}={value}")]
    return [*variables, "--", *STDIO]


def over_http(served: Served) -> list[str]:
    key = ["--header", f"Authorization: Bearer {served.key}"]
    return ["--server-url", served.url, "--transport", "http", *key]


def inspect(home: Path, era: str, target: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*npm_tool(PACKAGE, "mcp-inspector"), "--cli", "--format", "json", "--protocol-era", era]
    return subprocess.run(
        [*command, *arguments, *target],
        env={**with_node(), "HOME": str(home)},  # it keeps a catalog there
        capture_output=True,
        text=True,
        timeout=CALL,
        check=False,
    )


def list_tools(home: Path, era: str, target: list[str]) -> None:
    """Lists them, and fails where a schema would not be taken everywhere."""
    done = inspect(home, era, target, "--method", "tools/list", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]} == TOOLS


def call_tool(home: Path, era: str, target: list[str], name: str, arguments: dict[str, object]):
    given = ["--tool-name", name, "--tool-args-json", json.dumps(arguments)]
    return inspect(home, era, target, "--method", "tools/call", *given)


@pytest.mark.parametrize("era", ERAS if WHOLE else ERAS[:1])
def test_it_lists_and_calls_every_tool_over_http(era, served, tmp_path):
    target = over_http(served)
    list_tools(tmp_path, era, target)
    known: dict[str, str] = {}
    for call in CALLS:
        arguments = {key: known.get(str(value), value) for key, value in call.arguments.items()}
        done = call_tool(tmp_path, era, target, call.tool, arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout)["result"]
        check(call, result)
        told = result["structuredContent"]
        known |= {handle: told[name] for handle, name in HANDLES.items() if told.get(name)}


@pytest.mark.parametrize("era", ERAS if WHOLE else ERAS[1:])
def test_it_lists_and_calls_every_tool_on_a_pipe(era, nothing_left, tmp_path):
    list_tools(tmp_path, era, on_pipe())
    for call in CALLS:
        if HANDLES.keys() & set(map(str, call.arguments.values())) or call.tool in LISTS:
            continue  # each call has a server of its own, which knows no earlier run
        done = call_tool(tmp_path, era, on_pipe(), call.tool, call.arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        check(call, json.loads(done.stdout)["result"])
    assert "There are no runs." in call_tool(tmp_path, era, on_pipe(), "list_runs", {}).stdout
    for tool in ("read_output", "cancel_run"):
        done = call_tool(tmp_path, era, on_pipe(), tool, {"run_id": "of-another-server"})
        assert (done.returncode, "There is no run" in done.stdout) == (IS_ERROR, True)


@pytest.mark.parametrize("era", ERAS)
def test_it_is_told_of_an_argument_that_does_not_exist(era, nothing_left, tmp_path):
    done = call_tool(tmp_path, era, on_pipe(), "run_shell", {"command": "true", "netwrok": True})
    assert (done.returncode, "netwrok" in done.stdout) == (IS_ERROR, True)
