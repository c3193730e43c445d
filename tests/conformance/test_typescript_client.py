"""The TypeScript SDK's client, which most MCP clients are built on, calls every tool, and follows tasks."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from every_tool import CALLS, HANDLES, TOOLS, check
from node_tools import NODE, npm_folder
from served import STDIO, Served, passed_on

PACKAGES = ("@modelcontextprotocol/client@2.4.0", "@modelcontextprotocol/ext-tasks@0.2.2")
HERE = Path(__file__).parent
REVISIONS = {"legacy": "2025-11-25", "2026-07-28": "2026-07-28"}
ALL_CALLS = 120  # seconds


@pytest.fixture(params=REVISIONS)
def era(request) -> str:
    return request.param


@pytest.fixture
def run_script(tmp_path):
    """Runs a script beside this file with the packages; returns what it prints."""

    def run(name: str, **plan: object) -> Any:
        (tmp_path / "node_modules").symlink_to(npm_folder(*PACKAGES) / "node_modules")
        script = shutil.copy(HERE / name, tmp_path)
        done = subprocess.run(
            [NODE, script],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=ALL_CALLS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def call_every_tool(run_script, era: str, **server: object) -> None:
    calls = [{"name": call.tool, "arguments": call.arguments} for call in CALLS]
    said = run_script("every_tool.mjs", era=era, calls=calls, handles=HANDLES, **server)
    assert said["revision"] == REVISIONS[era]
    assert {tool["name"] for tool in said["tools"]} == TOOLS
    for call, answer in zip(CALLS, said["results"], strict=True):
        check(call, answer["result"])
        if call.tool == "run_code":
            assert f"starting {call.arguments['language']}" in answer["progress"][0]["message"]


def test_it_lists_and_calls_every_tool_on_a_pipe(era, run_script, nothing_left):
    call_every_tool(run_script, era, server={"command": STDIO[0], "args": STDIO[1:], "env": passed_on()})


def test_it_lists_and_calls_every_tool_over_http(era, run_script, served):
    call_every_tool(run_script, era, url=served.url, key=served.key)


def test_it_follows_a_task_to_its_end_and_cancels_another(run_script, served: Served):
    calls = [
        {"name": "list_runs", "arguments": {}},
        {"name": "run_shell", "arguments": {"command": "sleep 2; echo worked"}},
        {"name": "run_shell", "arguments": {"command": "sleep 2; exit 3"}},
        {"name": "run_shell", "arguments": {"command": "sleep 600", "timeout_s": 50}, "cancel": True},
    ]
    plan = {"era": "2026-07-28", "url": served.url, "key": served.key}
    soon, worked, failed, cancelled = run_script("long_calls.mjs", calls=calls, **plan)
    assert (soon["kind"], soon["status"]) == ("immediate", "completed")
    assert (worked["kind"], worked["status"]) == ("task", "completed")
    assert worked["result"]["structuredContent"]["stdout"] == "worked\n"
    assert (failed["kind"], failed["status"]) == ("task", "completed")
    assert failed["result"]["structuredContent"]["exit_code"] == 3
    assert (cancelled["kind"], cancelled["status"]) == ("task", "cancelled")
