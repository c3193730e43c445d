"""What is typed becomes a request."""

import io
import sys

import pytest

from sandbox_runner.cli.parsing import parse_command, settings
from sandbox_runner.cli.program import build_request
from sandbox_runner.config import Config
from sandbox_runner.errors import InvalidRequest, LimitExceeded, RequestRejected


@pytest.fixture(autouse=True)
def terminal_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)


def request(*words, config=None):
    _, arguments = parse_command("run", "", words)
    return build_request(arguments, config or Config())


def refusal(*words):
    with pytest.raises(RequestRejected) as error:
        request(*words)
    return str(error.value)


def test_code_is_python_unless_another_language_is_named():
    assert (request("-c", "1").language, request("-c", "1").code) == ("python", "1")
    assert request("-c", "1", "--language", "bash").language == "bash"


def test_a_file_is_in_the_language_of_its_extension(tmp_path):
    script = tmp_path / "a.mjs"
    script.write_bytes(b"\xef\xbb\xbfconsole.log(1)\r\n")
    made = request(str(script))
    assert made.language == "javascript"
    assert made.code == "\ufeffconsole.log(1)\r\n"
    assert request("--language", "python", str(script)).language == "python"


def test_what_follows_the_file_is_the_programs_options_too(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("1")
    made = request("--timeout", "3", str(script), "--timeout", "x", "-e", "--", "b")
    assert made.args == ["--timeout", "x", "-e", "--", "b"]
    assert made.limits.wall_time == 3


def test_words_after_the_code_are_the_programs():
    assert request("-c", "1", "a", "--json").args == ["a", "--json"]
    assert request("-c", "1", "--json").args == []


def test_after_two_dashes_comes_a_command():
    made = request("--pids", "9", "--", "sh", "-c", "echo", "--")
    assert (made.command, made.code, made.language, made.limits.pids) == (
        ["sh", "-c", "echo", "--"],
        None,
        None,
        9,
    )
    assert request("--language", "python", "--", "pip", "list").language == "python"


@pytest.mark.parametrize("words", [["-c", "1", "--", "ls"], ["--"], ["-c", "1", "--"]])
def test_two_programs_or_an_empty_command_are_refused(words):
    assert "-c CODE, FILE, or -- CMD" in refusal(*words)


def test_variables_have_a_value_or_take_that_of_this_process(monkeypatch):
    monkeypatch.setenv("CLI_SET", "from here")
    monkeypatch.delenv("CLI_UNSET", raising=False)
    made = request("-c", "1", "-e", "A=1=2", "-e", "B=", "-e", "CLI_SET", "-e", "CLI_UNSET")
    assert made.env == {"A": "1=2", "B": "", "CLI_SET": "from here"}


def test_files_and_folders_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("A")
    (tmp_path / "b.txt").write_text("B")
    made = request("-c", "1", "--file", str(tmp_path / "in"), "--file", f"{tmp_path}/b.txt:sub/c.txt")
    assert [(file.path, file.data) for file in made.files] == [("in/a.txt", b"A"), ("sub/c.txt", b"B")]


def test_limits_image_and_profile_are_passed_on():
    made = request(
        *("-c", "1", "--cpu-time", "2", "--memory", "64m", "--cpus", "0.5"),
        *("--image", "i", "--profile", "strict"),
    )
    assert (made.limits.cpu_time, made.limits.memory, made.limits.cpus) == (2, "64m", 0.5)
    assert (made.image, made.profile) == ("i", "strict")


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--timeout", "-5", "-c", "1"], "greater than zero"),
        (["--timeout", "nan", "-c", "1"], "finite"),
        (["--timeout", "soon", "-c", "1"], "invalid float value"),
        (["--pids", "1.5", "-c", "1"], "invalid int value"),
        (["--memory", "lots", "-c", "1"], "256m"),
        (["--memory"], "expected one argument"),
        (["--tiemout", "1"], "unrecognized arguments"),
        (["--time", "1"], "unrecognized arguments"),
        (["nothing.py"], "does not exist"),
        (["x.unknown"], "--language"),
        (["-c", "1", "--file", "nothing"], "does not exist"),
        (["-c", "1", "--stdin", "nothing"], "cannot be read"),
        (["-c", "1", "--stdin", "/"], "is a directory"),
        ([], "no program"),
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_refused_in_one_sentence(words, fragment):
    message = refusal(*words)
    assert fragment in message
    assert "\n" not in message


def test_a_program_that_is_too_big_or_not_text_is_refused(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("#" * 2000)
    with pytest.raises(LimitExceeded, match="max_code of 1024"):
        request(str(script), config=Config(max_code="1k"))
    script.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(str(script))


class Stdin(io.TextIOWrapper):
    """A terminal or a pipe that holds a program."""

    def __init__(self, data, *, terminal=False):
        super().__init__(io.BytesIO(data))
        self._terminal = terminal

    def isatty(self):
        return self._terminal


def test_without_a_program_it_is_read_from_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"print(1)"))
    made = request()
    assert (made.language, made.code, made.stdin, made.args) == ("python", "print(1)", b"", [])
    monkeypatch.setattr(sys, "stdin", Stdin(b"print(1)"))
    assert request("--language", "bash", "-", "a", "-b").args == ["a", "-b"]


def test_a_terminal_is_told_that_a_program_is_awaited(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Stdin(b"1", terminal=True))
    request()
    assert "Ctrl-D" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Stdin(b"1", terminal=True))
    request("--quiet")
    assert capsys.readouterr().err == ""


def test_stdin_cannot_be_the_program_and_its_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"1"))
    assert "leaves no place for the program" in refusal("--stdin", "-")
    monkeypatch.setattr(sys, "stdin", Stdin(b" \n"))
    assert "is empty" in refusal()


def test_settings_given_on_the_command_line_need_a_value():
    _, arguments = parse_command("run", "", ["--set", "memory=1g", "--set", "images=a=b", "-c", "1"])
    assert settings(arguments) == {"memory": "1g", "images": "a=b"}
    _, arguments = parse_command("run", "", ["--set", "memory", "-c", "1"])
    with pytest.raises(InvalidRequest, match="--set memory=VALUE"):
        settings(arguments)
