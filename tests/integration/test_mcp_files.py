"""Files that come back over MCP: attached where they can be shown, else read by their path."""

import base64
import hashlib

import pytest

pytestmark = pytest.mark.timeout(180)

CODE = """
import os, wave
os.mkdir('out')
open('out/a.csv', 'w').write('x,y\\n1,\\u20ac\\n')
open('out/b.bin', 'wb').write(bytes(range(256)) * 1024)
open('out/long.txt', 'w').write('line\\n' * 20000)
with wave.open('beep.wav', 'wb') as sound:
    sound.setnchannels(1); sound.setsampwidth(1); sound.setframerate(8000); sound.writeframes(bytes(800))
os.symlink('out/a.csv', 'out/link')
"""
BINARY = bytes(range(256)) * 1024


@pytest.fixture(scope="module")
def answered(client):
    return client.call("run_code", language="python", code=CODE, artifacts=["out/**"])


@pytest.fixture(scope="module")
def report(answered):
    return answered.structured_content


def test_each_file_is_told_with_its_size_type_and_digest(report):
    files = {each["path"]: each for each in report["files"]}
    assert {path: (each["mime_type"], each["bytes"], each["attached"]) for path, each in files.items()} == {
        "beep.wav": ("audio/wav", 844, True),
        "out/a.csv": ("text/csv", 10, True),
        "out/b.bin": ("application/octet-stream", 1 << 18, False),
        "out/long.txt": ("text/plain", 100_000, False),
    }
    assert files["out/b.bin"]["sha256"] == hashlib.sha256(BINARY).hexdigest()
    assert any("Files left out" in note and note.endswith(" 1.") for note in report["notes"])


def test_a_sound_is_audio_and_a_short_text_a_resource_and_said_in_the_report(answered, report):
    assert [block.type for block in answered.content] == ["text", "audio", "resource"]
    _, sound, resource = answered.content
    assert (sound.mime_type, base64.b64decode(sound.data)[8:12]) == ("audio/wav", b"WAVE")
    assert (resource.resource.mime_type, resource.resource.text) == ("text/csv", "x,y\n1,€\n")
    assert str(resource.resource.uri) == f"sandbox-runner://runs/{report['run_id']}/out/a.csv"
    [csv] = [each for each in report["files"] if each["path"] == "out/a.csv"]
    assert csv["text"] == "x,y\n1,€\n"


def test_the_text_says_how_to_read_what_is_not_attached(answered, report):
    line = f"read_output(run_id={report['run_id']!r}, file='out/b.bin') reads it"
    assert line in answered.content[0].text


def test_a_file_is_read_page_by_page(client, report):
    data, offset, finished = b"", 0, False
    while not finished:
        page = client.call(
            "read_output", run_id=report["run_id"], file="out/b.bin", offset=offset, max_bytes=100_000,
            encoding="base64",
        ).structured_content  # fmt: skip
        data += base64.b64decode(page["data"])
        offset, finished = page["next_offset"], page["finished"]
        assert (page["file"], page["stream"], page["total_bytes"]) == ("out/b.bin", None, 1 << 18)
    assert data == BINARY
    text = client.call("read_output", run_id=report["run_id"], file="out/long.txt", offset=99_990)
    assert text.structured_content["data"] == "line\nline\n"


@pytest.mark.parametrize("name", ["out/none", "../etc/passwd", "/etc/passwd", "out/link", "\x1b[2J"])
def test_a_file_that_did_not_come_back_is_refused(client, report, name):
    answer = client.call("read_output", run_id=report["run_id"], file=name)
    assert answer.is_error
    assert "gave back no file" in answer.content[0].text
    assert "\x1b" not in answer.content[0].text


def test_a_file_of_a_run_in_the_background_is_waited_for(client):
    started = client.call(
        "run_shell", command="sleep 1; echo done >x.txt", artifacts=["x.txt"], background=True
    ).structured_content
    early = client.call("read_output", run_id=started["run_id"], file="x.txt")
    assert "wait for it with wait_s" in early.content[0].text
    page = client.call("read_output", run_id=started["run_id"], file="x.txt", wait_s=50).structured_content
    assert (page["data"], page["finished"], page["status"]) == ("done\n", True, "exited")


def test_patterns_that_lead_elsewhere_are_refused(client):
    answer = client.call("run_shell", command="true", artifacts=["../x"])
    assert answer.is_error
    assert "is not a pattern of paths" in answer.content[0].text
