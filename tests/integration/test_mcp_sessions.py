"""Sessions over MCP: state between calls, files, handles, how they end, and what is told of it."""

import base64
import struct
import threading
import zlib

import anyio
import jsonschema
import pytest
from mcp_clients import WAIT, containers_of, pipe, sdk_client, within

pytestmark = pytest.mark.timeout(240)

ALLOWED = 5.0  # seconds


@pytest.fixture(scope="module")
def schemas(client):
    return {tool.name: tool.output_schema for tool in client.tools()}


@pytest.fixture
def call(client, schemas):
    """Calls a tool; what it answers must be true to its schema, and no error."""

    def called(tool, *, error=False, **arguments):
        answer = client.call(tool, **arguments)
        assert answer.is_error is error, answer.content
        jsonschema.validate(answer.structured_content, schemas[tool])
        return answer

    return called


@pytest.fixture
def session(call):
    handle = call("open_session", language="python").structured_content["session"]
    yield handle
    call("close_session", session=handle)


def code(call, session, text, **arguments):
    answer = call("run_code", language="python", code=text, session=session, **arguments)
    return answer.structured_content


def test_variables_imports_and_files_are_there_in_the_next_call(call, session):
    assert code(call, session, "import math\nx = 41\nopen('f', 'w').write('kept')")["status"] == "exited"
    told = code(call, session, "print(x + 1, math.floor(2.5), open('f').read())")
    assert told["stdout"] == "42 2 kept\n"


def test_contexts_have_variables_of_their_own_and_the_same_files(call, session):
    code(call, session, "x = 1; open('f', 'w').write('shared')", context="a")
    told = code(call, session, "print('x' in globals(), open('f').read())", context="b")
    assert told["stdout"] == "False shared\n"


def test_a_shell_keeps_its_folder_and_variables(call, session):
    call("run_shell", command="mkdir -p d && cd d && export A=1 && f() { echo f$A; }", session=session)
    told = call("run_shell", command="pwd; f", session=session).structured_content
    assert told["stdout"] == "/workspace/d\nf1\n"


def test_a_program_that_fails_is_a_normal_answer_and_the_session_goes_on(call, session):
    code(call, session, "x = 1")
    told = code(call, session, "1 / 0")
    assert "ZeroDivisionError" in told["stderr"]
    assert code(call, session, "print(x)")["stdout"] == "1\n"


def test_files_are_written_read_listed_and_deleted(call, session):
    call("write_file", session=session, path="src/util.py", content="def f(): return 'ü'\n")
    assert code(call, session, "from src.util import f\nprint(f())")["stdout"] == "ü\n"
    told = call("read_file", session=session, path="/workspace/src/util.py").structured_content
    assert (told["encoding"], told["data"]) == ("text", "def f(): return 'ü'\n")
    listed = call("list_files", session=session, path="src").structured_content
    assert "util.py" in [entry["name"] for entry in listed["files"]]
    call("delete_file", session=session, path="src")
    told = call("read_file", error=True, session=session, path="src/util.py").structured_content
    assert (told["status"], "There is no 'src/util.py'" in told["notes"][0]) == ("refused", True)


def test_binary_files_are_read_as_base64_and_in_ranges(call, session):
    data = bytes(range(256)) * 4
    content = base64.b64encode(data).decode()
    call("write_file", session=session, path="b", content=content, encoding="base64")
    told = call("read_file", session=session, path="b").structured_content
    assert (told["encoding"], base64.b64decode(told["data"]), told["total_bytes"]) == ("base64", data, 1024)
    told = call("read_file", session=session, path="b", offset=1000, max_bytes=10).structured_content
    assert (base64.b64decode(told["data"]), told["next_offset"]) == (data[1000:1010], 1010)


def test_a_range_of_a_text_ends_with_a_whole_character(call, session):
    call("write_file", session=session, path="t", content="aüüü")
    told = call("read_file", session=session, path="t", max_bytes=4).structured_content
    assert (told["data"], told["next_offset"], told["total_bytes"]) == ("aü", 3, 7)


def test_a_picture_is_read_as_an_image(call, session):
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    content = base64.b64encode(png).decode()
    call("write_file", session=session, path="p.png", content=content, encoding="base64")
    answer = call("read_file", session=session, path="p.png")
    assert answer.structured_content["encoding"] == "image"
    [image] = [block for block in answer.content if block.type == "image"]
    assert base64.b64decode(image.data) == png
    call("write_file", session=session, path="p.png", content="no picture")
    assert call("read_file", session=session, path="p.png").structured_content["data"] == "no picture"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_cancelled_call_interrupts_the_code_and_the_session_keeps_its_state(client, call, session):
    code(call, session, "x = 'kept'")
    printed = threading.Event()

    async def progress(_seconds, _total, message):
        if "begun" in (message or ""):
            printed.set()

    future = client.start(
        "run_code", progress=progress, language="python", session=session,
        code="import time\nprint('begun', flush=True)\ntime.sleep(600)",
    )  # fmt: skip
    assert printed.wait(60)
    future.cancel()
    assert code(call, session, "print(x)")["stdout"] == "kept\n"


def test_cancel_run_interrupts_code_in_the_background_and_the_session_keeps_its_state(call, session):
    code(call, session, "x = 'kept'")
    sleeping = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    run_id = code(call, session, sleeping, background=True)["run_id"]
    assert "begun" in call("read_output", run_id=run_id, wait_s=50).structured_content["data"]
    call("cancel_run", run_id=run_id)
    assert code(call, session, "print(x)")["stdout"] == "kept\n"


def test_an_interpreter_that_ends_says_that_variables_are_lost(call, session):
    code(call, session, "x = 1; open('f', 'w').write('kept')")
    told = code(call, session, "import os; os._exit(3)")
    assert told["state_lost"]
    assert any("variables" in note for note in told["notes"])
    assert code(call, session, "print('x' in globals(), open('f').read())")["stdout"] == "False kept\n"


def test_a_snapshot_begins_another_session_with_the_same_files(call, session):
    code(call, session, "open('f', 'w').write('first')")
    snapshot = call("snapshot_session", session=session).structured_content["snapshot"]
    code(call, session, "open('f', 'w').write('second')")
    for _ in range(2):
        fork = call("open_session", language="bash", snapshot=snapshot).structured_content["session"]
        told = call("run_shell", command="cat f; echo more >> f", session=fork).structured_content
        assert told["stdout"] == "first"
        call("close_session", session=fork)
    assert code(call, session, "print(open('f').read())")["stdout"] == "second\n"


def test_what_has_no_place_in_a_session_is_refused(call, session):
    for arguments in ({"language": "javascript", "code": "1"}, {"env": {"A": "1"}}, {"memory_mb": 64}):
        asked = {"language": "python", "code": "1", **arguments}
        assert (
            call("run_code", error=True, session=session, **asked).structured_content["status"] == "refused"
        )
    told = call("run_code", error=True, language="python", code="1", session=session, context="../x")
    assert "context" in told.structured_content["notes"][0]


def test_a_session_that_is_over_says_why_and_closing_it_again_is_harmless(call):
    handle = call("open_session", idle_s=0.2).structured_content["session"]
    assert within(WAIT, lambda: call("list_sessions").structured_content["sessions"][0]["status"] == "ended")
    told = call("run_code", error=True, language="python", code="1", session=handle).structured_content
    assert told["notes"] == ["The session expired after 0.2 s idle; open another one."]
    told = call("list_files", error=True, session=handle).structured_content
    assert told["notes"] == ["The session expired after 0.2 s idle; open another one."]
    for _ in range(2):
        assert call("close_session", session=handle).structured_content["status"] == "ended"


def test_there_are_only_so_many_sessions_and_ends_of_the_server_or_its_death_leave_none(docker_client):
    with sdk_client("--set", "max_sessions_each=1") as client:
        assert not client.call("open_session").is_error
        told = client.call("open_session").structured_content
        assert (told["status"], told["retry_after_s"] > 0) == ("busy", True)
        assert "max_sessions_each" in told["notes"][0]
    with pipe() as server:
        handles = [server.call("open_session")["structuredContent"]["session"] for _ in range(2)]
        for handle in handles:
            server.call("run_code", language="python", code="x = 1", session=handle)
        assert len(containers_of(docker_client, server)) >= 2
        server.process.kill()
        assert within(ALLOWED, lambda: not containers_of(docker_client, server))


def test_the_list_tells_of_open_sessions_and_of_ended_ones(call, session):
    other = call("open_session", language="bash").structured_content["session"]
    call("close_session", session=other)
    listed = call("list_sessions").structured_content["sessions"]
    assert [(each["session"], each["status"], each["language"]) for each in listed[:2]] == [
        (other, "ended", "bash"),
        (session, "open", "python"),
    ]


def test_files_of_a_session_that_computes_are_told_to_wait(client, call, session, monkeypatch):
    run_id = code(call, session, "import time\ntime.sleep(600)", background=True)["run_id"]
    read = client.start("list_files", session=session)
    call("cancel_run", run_id=run_id)
    assert client.portal.call(anyio.lowlevel.checkpoint) is None
    assert not read.result(60).is_error
