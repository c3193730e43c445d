"""What the MCP server answers: text and structured content, each enough by itself, and true to its schema."""

import base64
import hashlib
import re
import struct
import zlib

import jsonschema
import pytest
from mcp_clients import pipe

pytestmark = pytest.mark.timeout(180)

SHOWN = 16384


@pytest.fixture(scope="module")
def server():
    with pipe("--set", "queue_size=0", "--set", "max_concurrent=1", "--set", "output=1m") as server:
        yield server


@pytest.fixture(scope="module")
def schemas(server):
    listed = server.answer(server.request("tools/list"))["result"]["tools"]
    return {tool["name"]: tool["outputSchema"] for tool in listed}


@pytest.fixture
def answered(server, schemas):
    """Calls a tool; its answer is checked against what every answer promises."""

    def call(tool, **arguments):
        result = server.call(tool, **arguments)
        report, text = result["structuredContent"], result["content"][0]["text"]
        jsonschema.validate(report, schemas[tool])
        if "status" in report:
            assert text.startswith(report["status"])
            errs = report["status"] not in (
                "exited", "signaled", "compile_failed", "queued", "installing", "running",
            )  # fmt: skip
            assert result["isError"] is errs
        assert all(note in text for note in report["notes"])
        for stream in ("stdout", "stderr", "compiler"):
            assert report.get(stream, "") in text
        return result

    return call


ENDS = {
    "exited": ({"command": "echo out; echo err >&2; exit 3"}, "exited with code 3 after ", None),
    "signaled": ({"command": "kill -SEGV $$"}, "signaled by signal 11 after ", None),
    "timed_out": (
        {"command": "echo so far; sleep 60", "timeout_s": 0.5},
        "timed_out after ",
        "Timed out after 0.5 s; raise timeout_s, or do less (ceiling max_wall_time 600).",
    ),
    "out_of_memory": (
        {"command": "python3 -c 'x = bytearray(1 << 30)'; exit 0", "memory_mb": 64},
        "",
        "64m",
    ),
    "output_limit": (
        {"command": "head -c 9999999 /dev/zero"},
        "output_limit after ",
        "Ended after 1m of output; print less, or write to a file and print its part (ceiling max_output 1g",
    ),
    "refused": (
        {"command": "true", "timeout_s": 9999},
        "refused",
        "wall_time of 9999 is above the ceiling max_wall_time of 600; ask for less.",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_said_first_with_what_to_do_next(answered, end):
    arguments, head, note = ENDS[end]
    result = answered("run_shell", **arguments)
    assert result["content"][0]["text"].startswith(head)
    if note is not None:
        assert any(note in each for each in result["structuredContent"]["notes"])


def test_memory_that_ran_out_is_told_with_the_limit_and_the_ceiling(answered):
    code = "x = bytearray(1 << 30)"
    report = answered("run_code", language="python", code=code, memory_mb=64)["structuredContent"]
    assert report["status"] == "out_of_memory"
    assert report["notes"][0] == (
        "Ran out of its 64m of memory; raise memory_mb, or use less (ceiling max_memory 4g)."
    )
    assert report["limits_hit"] == {"memory": 1}


def test_cpu_time_has_a_status_of_its_own():
    with pipe("--set", "cpu_time=0.5") as server:
        report = server.call("run_code", language="python", code="while True: pass")["structuredContent"]
    assert report["status"] == "cpu_limit"
    assert "0.5 s of CPU time" in report["notes"][0]


def test_a_failing_program_is_a_normal_answer(answered):
    result = answered("run_shell", command="echo out; echo err >&2; exit 3")
    assert result["isError"] is False
    report = result["structuredContent"]
    assert (report["exit_code"], report["signal"]) == (3, None)
    assert (report["stdout"], report["stderr"]) == ("out\n", "err\n")
    assert result["content"][0]["text"].split("\n", 1)[1] == "stdout:\nout\n\nstderr:\nerr\n"


def test_what_does_not_compile_is_a_normal_answer_with_the_compilers_words(answered, server):
    report = answered("run_code", language="c", code="int main(void) { return missing; }")[
        "structuredContent"
    ]
    assert (report["status"], report["exit_code"], report["stdout"]) == ("compile_failed", None, "")
    assert (report["compile"]["status"], report["compile"]["exit_code"]) == ("exited", 1)
    assert "missing" in report["compiler"]
    read = server.call("read_output", run_id=report["run_id"], stream="compiler")["structuredContent"]
    assert read["data"] == report["compiler"]


def test_a_warning_of_the_compiler_comes_beside_the_programs_output(answered):
    code = '#include <stdio.h>\nint main(void) { int unused; puts("hi"); return 0; }'
    report = answered("run_code", language="c", code=code)["structuredContent"]
    assert (report["status"], report["stdout"]) == ("exited", "hi\n")
    assert "unused" in report["compiler"]


def test_partial_output_comes_back_at_the_deadline(answered):
    report = answered("run_shell", command="echo so far; sleep 60", timeout_s=1)["structuredContent"]
    assert (report["status"], report["stdout"]) == ("timed_out", "so far\n")
    assert "background=true" in report["notes"][1]


def test_a_busy_server_names_a_delay(answered, server):
    begun = server.call("run_shell", command="sleep 600", background=True)["structuredContent"]
    server.call("read_output", run_id=begun["run_id"], wait_s=0.1)
    result = answered("run_shell", command="true")
    report = result["structuredContent"]
    assert (report["status"], report["exit_code"]) == ("busy", None)
    assert report["retry_after_s"] >= 1
    assert f"retry in {report['retry_after_s']:.0f} s" in result["content"][0]["text"]
    assert "try again" in report["notes"][0]
    server.call("cancel_run", run_id=begun["run_id"])


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("run_code", {"language": "nope", "code": "1"}),
        ("run_code", {"nope": 1}),
        ("run_shell", {"command": ""}),
        ("run_function", {"code": "", "input": 1}),
        ("run_function", {}),
        ("read_output", {"run_id": "nope"}),
        ("read_output", {"run_id": "nope", "offset": -1}),
        ("read_output", {"run_id": "nope", "stream": "log"}),
        ("read_output", {"run_id": "nope", "max_bytes": 1 << 30}),
        ("read_output", {"run_id": "nope", "wait_s": 3600}),
        ("cancel_run", {"run_id": "nope"}),
        ("cancel_run", {"run_id": 7}),
        ("list_runs", {"all": True}),
        ("list_languages", {"all": True}),
        ("open_session", {"language": "nope"}),
        ("open_session", {"ttl_s": 1e9}),
        ("open_session", {"idle_s": 0}),
        ("open_session", {"snapshot": "nope"}),
        ("run_code", {"language": "python", "code": "1", "session": "nope"}),
        ("run_shell", {"command": "true", "session": "nope"}),
        ("close_session", {"session": "nope"}),
        ("list_sessions", {"all": True}),
        ("snapshot_session", {"session": "nope"}),
        ("write_file", {"session": "nope", "path": "x", "content": "x"}),
        ("write_file", {"session": "nope", "path": "x", "content": "?", "encoding": "base64"}),
        ("read_file", {"session": "nope", "path": "x"}),
        ("list_files", {"session": "nope"}),
        ("delete_file", {"session": "nope", "path": "x"}),
    ],
)
def test_refusals_are_true_to_the_schema_too(server, schemas, tool, arguments):
    result = server.call(tool, **arguments)
    assert result["isError"] is True
    jsonschema.validate(result["structuredContent"], schemas[tool])
    [note] = result["structuredContent"]["notes"]
    assert result["content"][0]["text"] == f"refused\nNote: {note}"


@pytest.mark.parametrize("tool", ["list_runs", "list_sessions", "list_languages"])
def test_lists_are_true_to_their_schema(answered, tool):
    answered(tool)


@pytest.mark.parametrize(
    ("command", "control"),
    [
        ("curl -sS http://example.com", "net.none"),
        ("echo x > /etc/passwd", "fs.root.read_only"),
        ("chown root .", "proc.no_privilege"),
        ("cp /bin/true /tmp/t; /tmp/t", "proc.no_privilege"),
        ("dd if=/dev/zero of=/tmp/full bs=1M count=99", "res.disk"),
    ],
)
def test_what_is_denied_names_the_control_that_denied_it(answered, command, control):
    report = answered("run_shell", command=command)["structuredContent"]
    assert report["exit_code"] != 0
    assert any(f"control {control})" in note for note in report["notes"])


def test_a_missing_file_is_named_with_what_was_passed(answered):
    files = [{"path": "data.csv", "content": ""}]
    report = answered("run_code", language="python", code="open('date.csv')", files=files)[
        "structuredContent"
    ]
    assert report["notes"] == [
        "'date.csv' is not in the sandbox: passed in files were data.csv, which are in /workspace."
    ]
    report = answered("run_shell", command="cat data.csv")["structuredContent"]
    assert "no files were passed. Pass them in files" in report["notes"][0]


def test_a_missing_package_and_command_are_named_with_what_there_is(answered):
    report = answered("run_code", language="python", code="import torch")["structuredContent"]
    assert report["notes"][0].startswith(
        "'torch' is not installed and cannot be; installed are numpy, pandas"
    )
    report = answered("run_code", language="javascript", code="require('left-pad')")["structuredContent"]
    assert "'left-pad' is not installed" in report["notes"][0]
    report = answered("run_shell", command="kubectl get pods")["structuredContent"]
    assert report["notes"][0].startswith("The command 'kubectl' is not installed")


def test_what_is_cut_is_counted_and_read_output_reads_the_rest(answered, server):
    command = "seq 1 30000"
    whole = "".join(f"{n}\n" for n in range(1, 30001))
    result = answered("run_shell", command=command)
    report = result["structuredContent"]
    cut = report["truncated"]["stdout"]
    assert cut["total_bytes"] == len(whole)
    assert cut["shown_bytes"] == SHOWN
    how = r"read_output\(run_id, stream='stdout', offset=(\d+)\)"
    shown = re.fullmatch(
        rf"(.*)\n\[… (\d+) bytes are not shown: {how} …\]\n(.*)", report["stdout"], re.DOTALL
    )
    head, missing, offset, tail = shown.groups()
    assert int(missing) == len(whole) - SHOWN
    assert int(offset) == cut["next_offset"] == len(head)
    rest = ""
    while len(rest) < int(missing):
        page = server.call("read_output", run_id=report["run_id"], offset=int(offset) + len(rest))
        rest += page["structuredContent"]["data"]
    assert head + rest[: int(missing)] + tail == whole


def test_what_just_fits_is_not_cut(answered):
    report = answered("run_shell", command=f"head -c {SHOWN} /dev/zero | tr '\\0' x")["structuredContent"]
    assert report["stdout"] == "x" * SHOWN
    assert report["truncated"] == {}
    report = answered("run_shell", command=f"head -c {SHOWN + 1} /dev/zero | tr '\\0' x")["structuredContent"]
    assert report["truncated"]["stdout"]["shown_bytes"] == SHOWN


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1m\u202egnp.exe\u202c\u2066x\u2069\U000e0041\U000e007f\x08\x7f\x00"


def test_what_moves_a_terminal_or_deceives_a_reader_is_made_visible(answered, server):
    code = f"import sys\nfor s in (sys.stdout, sys.stderr): s.buffer.write({HOSTILE.encode()!r})"
    result = answered("run_code", language="python", code=code)
    page = server.call("read_output", run_id=result["structuredContent"]["run_id"])
    listed = server.call("run_shell", command=f"true '{HOSTILE[:-1]}'", background=True)
    runs = server.call("list_runs")
    for each in (result, page, listed, runs):
        for block in each["content"]:
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", block["text"])
            assert not re.search("[\U000e0000-\U000e007f]", block["text"])
    assert "␛]0;title␇␛[2J<U+009B>1m<U+202E>gnp.exe" in result["structuredContent"]["stdout"]
    exact = server.call("read_output", run_id=result["structuredContent"]["run_id"], encoding="base64")
    assert base64.b64decode(exact["structuredContent"]["data"]) == HOSTILE.encode()
    server.call("cancel_run", run_id=listed["structuredContent"]["run_id"])


def test_refusals_repeat_nothing_harmful(server):
    result = server.call("run_code", language=HOSTILE, code="1", **{HOSTILE: 1})
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result["content"][0]["text"])
    result = server.call("run_code", language=HOSTILE, code="1")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result["content"][0]["text"])


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (min(height, 9) * (min(width, 9) + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SVG = '<svg xmlns="http://www.w3.org/2000/svg"><rect width="1" height="1"/></svg>'


def with_files(**files):
    return [
        {
            "path": "in/" + name.replace("_", "."),
            "content": base64.b64encode(data).decode(),
            "encoding": "base64",
        }
        for name, data in files.items()
    ]


def test_pictures_at_the_top_of_the_workspace_come_back_as_images(answered):
    files = with_files(a_png=png(3, 2), b_svg=SVG.encode(), c_txt=b"no picture")
    result = answered("run_shell", command="cp in/* .", files=files)
    text, *images = result["content"]
    assert [(image["type"], image["mimeType"]) for image in images] == [
        ("image", "image/png"),
        ("image", "image/svg+xml"),
    ]
    assert base64.b64decode(images[0]["data"]) == png(3, 2)
    assert base64.b64decode(images[1]["data"]) == SVG.encode()
    assert result["structuredContent"]["figures"][0] == {
        "name": "a.png",
        "mime_type": "image/png",
        "bytes": len(png(3, 2)),
        "sha256": hashlib.sha256(png(3, 2)).hexdigest(),
    }
    assert "figure: a.png (image/png, " in text["text"]


def test_what_only_calls_itself_a_picture_is_told_as_the_file_that_it_is(answered):
    files = with_files(
        a_png=b"GIF89a",
        b_png=png(100_000, 2),
        c_png=png(0, 1),
        d_svg=b"<html>",
        e_svg=b"\xff<svg",
        f_svg=b"<svg\0>",
    )
    result = answered("run_shell", command="cp in/* .; ln -s a.png link.png; mkfifo pipe.png", files=files)
    report = result["structuredContent"]
    assert report["figures"] == []
    assert {file["path"]: file["mime_type"] for file in report["files"] if file["attached"]} == {
        "d.svg": "text/plain"
    }
    assert [block["type"] for block in result["content"]] == ["text", "resource"]
    assert len(report["files"]) == 6
    (note,) = report["notes"]
    assert note.startswith("Files left out as too large, too many")
    assert note.endswith(" 2.")


def test_figures_that_matplotlib_has_open_come_back(answered):
    code = "import matplotlib.pyplot as plt\nfor _ in range(2):\n    plt.figure()\n    plt.plot([1, 3, 2])"
    result = answered("run_code", language="python", code=code)
    assert [block["type"] for block in result["content"]] == ["text", "image", "image"]
    names = [figure["name"] for figure in result["structuredContent"]["figures"]]
    assert names == ["figure-1.png", "figure-2.png"]
    assert all(base64.b64decode(block["data"]).startswith(b"\x89PNG") for block in result["content"][1:])


def test_a_program_that_failed_or_was_ended_gives_its_pictures_too(answered):
    files = with_files(a_png=png(1, 1))
    for command, status in (("cp in/* .; exit 4", "exited"), ("cp in/* .; sleep 60", "timed_out")):
        result = answered("run_shell", command=command, files=files, timeout_s=1)
        assert result["structuredContent"]["status"] == status
        assert [block["type"] for block in result["content"]] == ["text", "image"]


def test_reading_a_background_run_to_its_end_tells_how_it_ended_with_its_pictures(answered):
    begun = answered(
        "run_shell", command="cp in/* .; echo x; exit 5", files=with_files(a_png=png(1, 1)), background=True
    )
    run_id = begun["structuredContent"]["run_id"]
    assert "read_output(run_id=" in begun["structuredContent"]["notes"][0]
    offset, page = 0, None
    while page is None or not page["structuredContent"]["finished"]:
        page = answered("read_output", run_id=run_id, offset=offset, wait_s=50)
        offset = page["structuredContent"]["next_offset"]
    assert page["content"][0]["text"].startswith("exited with code 5")
    assert page["structuredContent"]["exit_code"] == 5
    assert [block["type"] for block in page["content"]] == ["text", "image"]
