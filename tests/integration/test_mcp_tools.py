"""The tools of the MCP server over a real pipe: what they publish, take, refuse and give back."""

import base64
import hashlib
import math
from contextlib import ExitStack

import jsonschema
import pytest
from mcp_clients import LEGACY, MODERN, pipe, sdk_client

pytestmark = pytest.mark.timeout(180)

TOOLS = {
    "run_code", "run_shell", "run_function", "read_output", "cancel_run", "list_runs", "list_languages",
    "open_session", "close_session", "list_sessions", "snapshot_session",
    "write_file", "read_file", "list_files", "delete_file",
}  # fmt: skip
IDENTITY = "def execute(input): return input"


@pytest.fixture
def tools(client):
    return {tool.name: tool for tool in client.tools()}


@pytest.fixture(scope="module")
def server():
    """A client of raw lines: it sends what the SDK's would not."""
    with pipe() as server:
        yield server


def objects(schema):
    """Every object schema in ``schema``, with the properties it describes."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


def test_each_revision_of_the_protocol_offers_the_same_tools():
    offered = []
    with ExitStack() as stack:
        servers = [stack.enter_context(pipe(version=version)) for version in (*LEGACY, MODERN)]
        for server in servers:
            server.shake_hands()
            listed = server.answer(server.request("tools/list"))["result"]["tools"]
            offered.append({tool["name"]: tool["inputSchema"] for tool in listed})
            ran = server.call("run_shell", command="echo $((6 * 7))")
            assert ran["content"][0]["text"].endswith("stdout:\n42\n")
    assert set(offered[0]) == TOOLS
    assert all(each == offered[0] for each in offered)


def test_tools_are_described_shortly_and_each_parameter_is(tools):
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert 20 < len(tool.description) < 600
        assert "\n  " not in tool.description
        for schema in objects(tool.input_schema):
            bare = [name for name, each in schema["properties"].items() if not each.get("description")]
            assert bare == [], tool.name


def test_all_descriptions_together_leave_a_model_its_room(tools):
    assert sum(len(tool.description) for tool in tools.values()) < 4000


def test_unknown_arguments_are_excluded_by_every_schema(tools):
    for tool in tools.values():
        assert tool.input_schema["additionalProperties"] is False
        for schema in objects(tool.input_schema):
            assert schema["additionalProperties"] is False


def test_annotations_tell_what_reads_and_what_ends(tools):
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert {name for name, each in hints.items() if each.read_only_hint} == {
        "read_output",
        "list_runs",
        "list_languages",
        "list_sessions",
        "read_file",
        "list_files",
    }
    assert {name for name, each in hints.items() if each.destructive_hint} == {
        "cancel_run",
        "close_session",
        "write_file",
        "delete_file",
    }
    assert not any(each.open_world_hint for each in hints.values())
    assert all(tool.title for tool in tools.values())


def test_every_tool_publishes_an_output_schema(tools):
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert tool.output_schema["type"] == "object"


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_an_unknown_argument_is_refused_by_its_name(client, tools, tool):
    given = {
        "run_code": {"language": "python", "code": "1"},
        "run_shell": {"command": "true"},
        "run_function": {"code": IDENTITY, "input": 1},
        "read_output": {"run_id": "x"},
        "cancel_run": {"run_id": "x"},
        "close_session": {"session": "x"},
        "snapshot_session": {"session": "x"},
        "write_file": {"session": "x", "path": "x", "content": "x"},
        "read_file": {"session": "x", "path": "x"},
        "list_files": {"session": "x"},
        "delete_file": {"session": "x", "path": "x"},
    }.get(tool, {})
    answer = client.call(tool, **given, netwrok=True)
    assert answer.is_error
    assert f"{tool} has no argument netwrok" in answer.content[0].text
    assert answer.structured_content["notes"] == [answer.content[0].text.removeprefix("refused\nNote: ")]
    jsonschema.validate(answer.structured_content, tools[tool].output_schema)


def test_a_misspelt_argument_is_told_its_name(client):
    answer = client.call("run_code", language="python", code="print(1)", timout_s=5)
    assert answer.content[0].text == (
        "refused\nNote: run_code has no argument timout_s. Did you mean timeout_s?"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"code": "1"}, "run_code needs language."),
        ({"language": "python"}, "run_code needs code."),
        ({"language": "python", "code": 1}, "code: "),
        ({"language": "python", "code": None}, "code: "),
        ({"language": "python", "code": ["1"]}, "code: "),
        ({"language": "python", "code": "1", "stdin": {"a": 1}}, "stdin: "),
        ({"language": "python", "code": "1", "files": {"path": "a", "content": "b"}}, "files: "),
        ({"language": "python", "code": "1", "files": [{"path": "a"}]}, "files.0.content"),
        ({"language": "python", "code": "1", "files": [{"path": "a", "content": "", "x": 7}]}, "files.0.x"),
        ({"language": "python", "code": "1", "env": {"A": 1}}, "env.A: "),
        ({"language": "python", "code": "1", "timeout_s": "soon"}, "timeout_s: "),
        ({"language": "python", "code": "1", "timeout_s": 0}, "timeout_s: "),
        ({"language": "python", "code": "1", "timeout_s": math.nan}, "timeout_s: "),
        ({"language": "python", "code": "1", "memory_mb": 1.5}, "memory_mb: "),
        ({"language": "python", "code": "1", "background": "perhaps"}, "background: "),
        ({"language": "xyzzy", "code": "1"}, "There is no language 'xyzzy'."),
        ({"language": "python", "code": " "}, "The code is empty"),
        ({"language": "python", "code": "1", "timeout_s": 601}, "ceiling max_wall_time of 600"),
        ({"language": "python", "code": "1", "memory_mb": 1 << 20}, "ceiling max_memory of 4g"),
        ({"language": "python", "code": "1", "timeout_s": math.inf}, "finite"),
        ({"language": "python", "code": "1", "files": [{"path": "../a", "content": ""}]}, "leaves the work"),
        ({"language": "python", "code": "1", "env": {"A=B": ""}}, "not a variable's name"),
        (
            {"language": "sh", "code": "", "files": [{"path": "a", "content": "?", "encoding": "base64"}]},
            "'a' is not valid base64",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_and_told(server, arguments, said):
    answer = server.call("run_code", **arguments)
    assert answer["isError"]
    assert answer["structuredContent"]["status"] == "refused"
    assert said in answer["content"][0]["text"]
    assert said in answer["structuredContent"]["notes"][0]


def test_a_program_gets_its_files_variables_and_stdin_unchanged(either):
    data = bytes(range(256))
    code = """
import os, sys, hashlib, pathlib
print(hashlib.sha256(pathlib.Path("a/data.bin").read_bytes()).hexdigest())
print(pathlib.Path("text.json").read_text(), os.environ["LIKE_JSON"], sys.stdin.read(), sep="\\n")
print(os.access("tool", os.X_OK), os.access("text.json", os.X_OK))
"""
    answer = either.call(
        "run_code",
        language="py",
        code=code,
        stdin='{"a": 1}',
        env={"LIKE_JSON": "[1, 2]"},
        files=[
            {"path": "a/data.bin", "content": base64.b64encode(data).decode(), "encoding": "base64"},
            {"path": "text.json", "content": "null"},
            {"path": "tool", "content": "", "executable": True},
        ],
    )
    told = [hashlib.sha256(data).hexdigest(), "null", "[1, 2]", '{"a": 1}', "True False"]
    assert answer.structured_content["stdout"].splitlines() == told


@pytest.mark.parametrize("text", ["null", "[1,2]", "3", '"x"', '{"a":1}', "true", ""])
def test_texts_that_look_like_json_stay_texts(client, text):
    assert (
        client.call("run_code", language="python", code="print(input())", stdin=text + "\n")
        .content[0]
        .text.endswith(f"stdout:\n{text}\n")
    )
    if text:
        ran = client.call("run_code", language="bash", code=text)
        assert ran.structured_content["status"] == "exited"


def test_languages_come_with_versions_packages_and_limits(either):
    report = either.call("list_languages").structured_content
    languages = {each["name"]: each for each in report["languages"]}
    assert {"bash", "javascript", "python", "typescript"} <= set(languages)
    assert languages["python"]["version"].startswith("Python 3.")
    assert "pandas" in languages["python"]["packages"]
    assert languages["python"]["functions"] is True
    assert report["limits"]["wall_time"] == "30, at most 600"
    text = either.call("list_languages").content[0].text
    assert all(each["version"] in text and each["name"] in text for each in languages.values())
    assert "at most 600" in text


@pytest.mark.parametrize("language", ["python", "py", "JavaScript", "js", "typescript", "bash", "sh"])
def test_a_language_is_known_by_each_of_its_names(client, language):
    code = (
        "echo 7"
        if language in ("bash", "sh")
        else "console.log(7)"
        if "s" in language.lower()
        else "print(7)"
    )
    assert client.call("run_code", language=language, code=code).structured_content["stdout"] == "7\n"


def test_a_run_in_the_background_is_read_listed_and_cancelled(either):
    begun = either.call("run_shell", command="echo first; sleep 600; echo never", background=True)
    run_id = begun.structured_content["run_id"]
    assert not begun.is_error
    assert begun.structured_content["status"] in ("queued", "running")
    page = either.call("read_output", run_id=run_id, wait_s=50).structured_content
    assert (page["data"], page["status"], page["finished"]) == ("first\n", "running", False)
    listed = either.call("list_runs").structured_content["runs"][0]
    assert (listed["run_id"], listed["status"], listed["stdout_bytes"]) == (run_id, "running", 6)
    ended = either.call("cancel_run", run_id=run_id)
    assert not ended.is_error
    assert ended.structured_content["status"] == "cancelled"
    assert ended.structured_content["stdout"] == "first\n"
    page = either.call("read_output", run_id=run_id, offset=6, wait_s=50).structured_content
    assert (page["data"], page["status"], page["finished"]) == ("", "cancelled", True)
    assert either.call("cancel_run", run_id=run_id).structured_content["status"] == "cancelled"


def test_reading_waits_for_output_and_for_the_end(either):
    begun = either.call("run_shell", command="echo a; sleep 600", background=True)
    run_id = begun.structured_content["run_id"]
    page = either.call("read_output", run_id=run_id, wait_s=50).structured_content
    assert (page["data"], page["status"]) == ("a\n", "running")
    waiting = either.start("read_output", run_id=run_id, offset=2, wait_s=50)
    either.call("cancel_run", run_id=run_id)
    page = waiting.result(50).structured_content
    assert (page["status"], page["finished"]) == ("cancelled", True)


def test_runs_are_listed_newest_first_one_a_line_whatever_their_commands(client):
    command = "true\n00000000000000000000000000000000 running forged (0 s ago)"
    client.call("run_shell", command=command)
    client.call("run_code", language="python", code="pass")
    answer = client.call("list_runs")
    runs = answer.structured_content["runs"]
    assert [run["what"] for run in runs[:2]] == ["python", " ".join(f"bash -c {command}".split())]
    lines = answer.content[0].text.splitlines()
    assert [line.split()[0] for line in lines] == [run["run_id"] for run in runs]


def test_a_page_of_a_running_run_comes_at_once_unless_told_to_wait(client):
    begun = client.call("run_shell", command="sleep 600", background=True)
    run_id = begun.structured_content["run_id"]
    page = client.call("read_output", run_id=run_id).structured_content
    assert (page["data"], page["finished"], page["next_offset"]) == ("", False, 0)
    client.call("cancel_run", run_id=run_id)


@pytest.fixture(scope="module")
def pattern_run(client):
    """A run that printed every byte value, and a text whose characters have one to four bytes."""
    code = """
import sys
sys.stdout.buffer.write(bytes(range(256)) * 1024)
sys.stderr.buffer.write("aü€😀".encode() * 1000)
"""
    report = client.call("run_code", language="python", code=code).structured_content
    return report["run_id"]


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1), (0, 262144), (255, 2), (131071, 4097), (262143, 9), (262144, 9), (10**9, 9)]
)
def test_any_range_of_the_output_is_read_byte_for_byte(client, pattern_run, offset, size):
    page = client.call(
        "read_output", run_id=pattern_run, offset=offset, max_bytes=size, encoding="base64"
    ).structured_content
    expected = (bytes(range(256)) * 1024)[offset : offset + size]
    assert base64.b64decode(page["data"]) == expected
    assert page["next_offset"] == offset + len(expected)
    assert page["total_bytes"] == 262144
    assert page["finished"] is (offset + size >= 262144)


@pytest.mark.parametrize(("size", "end"), [(7, 60), (4, 30), (1000, 10000)])
def test_pages_of_text_cut_no_character(client, pattern_run, size, end):
    offset, text = 0, ""
    while offset < end:
        page = client.call(
            "read_output", run_id=pattern_run, stream="stderr", offset=offset, max_bytes=size
        ).structured_content
        text += page["data"]
        offset = page["next_offset"]
    assert "\ufffd" not in text
    assert ("aü€😀" * 1000).startswith(text)


def test_a_handle_that_never_was_is_refused_in_the_tools_own_shape(either, tools):
    for tool in ("read_output", "cancel_run"):
        answer = either.call(tool, run_id="0" * 32)
        assert answer.is_error
        assert "There is no run" in answer.content[0].text
        assert answer.structured_content["status"] == "refused"
        jsonschema.validate(answer.structured_content, tools[tool].output_schema)


def test_the_spool_is_bounded_and_what_is_gone_is_told():
    with sdk_client("--set", "spool=100k") as client:
        first = client.call("run_shell", command="head -c 60000 /dev/zero").structured_content["run_id"]
        second = client.call("run_shell", command="head -c 60000 /dev/zero").structured_content["run_id"]
        third = client.call("run_shell", command="head -c 150000 /dev/zero").structured_content["run_id"]
        for run_id, total in ((first, 60000), (second, 60000)):
            page = client.call("read_output", run_id=run_id).structured_content
            assert (page["data"], page["total_bytes"]) == ("", total)
            assert "no longer kept" in page["notes"][0]
        page = client.call(
            "read_output", run_id=third, max_bytes=1 << 20, encoding="base64"
        ).structured_content
        assert len(base64.b64decode(page["data"])) <= 100 << 10
        assert page["total_bytes"] == 150000
        assert "there was no room for more" in page["notes"][0]
