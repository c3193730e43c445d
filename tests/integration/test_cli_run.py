"""`sandbox-runner run` as a user meets it: a process with streams, signals and an exit status.

Order is proven by handshakes over pipes: what waits for an answer cannot have been printed late.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.engines.docker.inventory import list_runs

pytestmark = pytest.mark.timeout(180)

COMMAND = [sys.executable, "-m", "sandbox_runner"]
WAIT = 100  # seconds: a bound for a loaded machine, no test depends on it
READY = "print('ready', flush=True); "
ECHO = READY + "print(input(), flush=True)"


@pytest.fixture
def start():
    """Starts a command line with pipes; what still runs when the test ends is killed."""
    started = []

    def start(*words, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        started.append(subprocess.Popen([*COMMAND, *words], **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process, data=None):
    """What the process prints until its end, and its exit status."""
    out, err = process.communicate(data, timeout=WAIT)
    return out.decode(), err.decode(), process.returncode


@pytest.fixture
def containers_of(docker_client):
    """The containers that a process of ours owns."""

    def of(process):
        return [run for run in list_runs(docker_client) if f":{process.pid}:" in run.owner]

    return of


def test_the_programs_output_and_exit_status_are_ours(sandbox_runner):
    ran = sandbox_runner("run", "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("out\n", "err\n", 3)


def test_a_command_and_a_file_with_arguments_of_its_own_are_run(sandbox_runner, tmp_path):
    ran = sandbox_runner("run", "--", "sh", "-c", 'echo "$1"', "sh", "--timeout")
    assert (ran.stdout, ran.returncode) == ("--timeout\n", 0)
    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv[1:])")
    ran = sandbox_runner("run", str(script), "--json", "a b")
    assert ran.stdout == "['--json', 'a b']\n"


def test_a_program_is_read_from_stdin_where_none_is_given(sandbox_runner):
    assert sandbox_runner("run", input="print(6 * 7)").stdout == "42\n"
    ran = sandbox_runner("run", "--language", "bash", "-", "x", input='echo "$1"')
    assert ran.stdout == "x\n"


def test_files_folders_and_variables_arrive(sandbox_runner, tmp_path, monkeypatch):
    monkeypatch.setenv("CLI_PASSED", "on")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    ran = sandbox_runner(
        "run", "--file", f"{tmp_path}/data", "--file", f"{tmp_path}/two.txt:sub/three.txt",
        "-e", "GIVEN=a=b", "-e", "CLI_PASSED",
        "--", "sh", "-c", "cat data/one.txt sub/three.txt; echo; echo $GIVEN $CLI_PASSED",
    )  # fmt: skip
    assert ran.stdout == "12\na=b on\n"


def test_bytes_pass_both_ways_as_they_are(sandbox_runner):
    data = bytes(range(256)) * 1000
    ran = sandbox_runner("run", "--", "cat", input=data, text=False)
    assert ran.stdout == data


def test_stdin_can_be_a_file(sandbox_runner, tmp_path):
    (tmp_path / "words").write_text("b\na\n")
    assert sandbox_runner("run", "--stdin", str(tmp_path / "words"), "--", "sort").stdout == "a\nb\n"
    with (tmp_path / "words").open("rb") as words:
        assert sandbox_runner("run", "--", "sort", stdin=words).stdout == "a\nb\n"


def test_output_appears_while_the_program_runs_and_input_goes_in_as_it_comes(start):
    run = start("run", "-c", READY + "[print(line.upper(), end='', flush=True) for line in open(0)]")
    assert run.stdout.readline() == b"ready\n"
    for line in (b"one\n", b"two\n"):  # each answer is awaited before the next line is sent
        run.stdin.write(line)
        run.stdin.flush()
        assert run.stdout.readline() == line.upper()
    assert ended(run) == ("", "", 0)


def test_an_idle_stdin_that_is_never_closed_does_not_hold_up_the_end(start):
    reading, writing = os.pipe()
    try:
        run = start("run", "-c", "print(5)", stdin=reading)
        assert ended(run) == ("5\n", "", 0)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_program_that_does_not_read_its_input_ends_all_the_same(sandbox_runner):
    ran = sandbox_runner("run", "-c", "print(5)", input="x" * (8 << 20))
    assert (ran.stdout, ran.returncode) == ("5\n", 0)


def test_closed_streams_are_no_reason_to_fail():
    for redirection, shown in (("<&-", "5\n"), (">&-", ""), ("2>&-", "5\n")):
        command = f"exec {sys.executable} -m sandbox_runner run -c 'print(5)' {redirection}"
        ran = subprocess.run(
            ["sh", "-c", command], stdout=subprocess.PIPE, text=True, timeout=WAIT, check=True
        )
        assert ran.stdout == shown


def test_a_reader_that_is_slow_misses_nothing(start):
    size = 24 << 20
    run = start("run", "--", "sh", "-c", f"yes | head -c {size}")
    digest, count = hashlib.sha256(), 0
    while piece := run.stdout.read1(1 << 12):  # the pipe is full all the time
        digest.update(piece)
        count += len(piece)
    assert (count, digest.digest()) == (size, hashlib.sha256(b"y\n" * (size // 2)).digest())
    assert ended(run)[1:] == ("", 0)


def test_a_reader_that_leaves_ends_the_run_quietly(start, containers_of):
    run = start("run", "--", "yes")
    assert run.stdout.readline() == b"y\n"
    run.stdout.close()
    assert run.wait(WAIT) == 141
    assert run.stderr.read() == b""
    assert containers_of(run) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_and_leaves_no_container(start, containers_of, number, status):
    run = start("run", "-c", READY + "__import__('signal').pause()")
    assert run.stdout.readline() == b"ready\n"
    assert [live.state for live in containers_of(run)] == ["running"]
    run.send_signal(number)
    out, err, code = ended(run)
    assert (out, code) == ("", status)
    assert "Traceback" not in err
    assert containers_of(run) == []


def test_a_signal_ends_a_run_whose_output_nobody_takes(start, containers_of):
    run = start("run", "--", "yes")
    assert run.stdout.readline() == b"y\n"
    run.send_signal(signal.SIGINT)
    assert run.wait(WAIT) == 130  # stdout is still open, full, and not read
    assert containers_of(run) == []


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(start):
    run = start("run", "-c", ECHO, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert run.stdout.readline() == b"ready\n"
    run.send_signal(signal.SIGHUP)
    assert ended(run, b"still here\n") == ("still here\n", "", 0)


@pytest.mark.parametrize(
    ("words", "status", "note"),
    [
        (
            ("--timeout", "1", "-c", "while True: pass"),
            124,
            "timed out after 1 s; raise it with --timeout (ceiling max_wall_time 600).",
        ),
        (
            ("--cpu-time", "1", "-c", "while True: pass"),
            152,
            "ended after 1 s of CPU time; raise it with --cpu-time (ceiling max_cpu_time 3600).",
        ),
        (
            ("--memory", "32m", "-c", "x = bytearray(1 << 30)"),
            137,
            "ran out of its 32m of memory; raise it with --memory (ceiling max_memory 4g).",
        ),
        (
            ("--set", "output=1k", "--set", "max_output=1k", "--", "yes"),
            153,
            "ended after 1k of output, which is the ceiling; the operator can raise max_output.",
        ),
        (
            ("--pids", "8", "-c", "import os\nfor _ in range(9): os.fork() or os.pause()"),
            1,
            "no process could be started at the pids limit of 8",
        ),
        (("--", "sh", "-c", "kill -TERM $$"), 143, ""),
    ],
    ids=["wall time", "CPU time", "memory", "output", "pids", "signal"],
)
def test_a_limit_that_was_met_is_told_with_the_flag_that_raises_it(sandbox_runner, words, status, note):
    ran = sandbox_runner("run", *words)
    assert ran.returncode == status
    told = [line for line in ran.stderr.splitlines() if line.startswith("sandbox-runner:")]
    assert [line.startswith(f"sandbox-runner: {note}") for line in told] == ([True] if note else [])
    quiet = sandbox_runner("run", "--quiet", *words)
    assert (quiet.returncode, "sandbox-runner:" in quiet.stderr) == (status, False)


def test_json_is_exactly_one_document_on_stdout(sandbox_runner):
    ran = sandbox_runner(
        "run", "--json", "-c", "import sys; print('é'); print('e', file=sys.stderr); sys.exit(3)"
    )
    document = json.loads(ran.stdout)
    assert ran.stdout.count("\n") == 1
    assert (document["stdout"], document["stderr"], document["exit_code"]) == ("é\n", "e\n", 3)
    assert (document["status"], ran.returncode, ran.stderr) == ("exited", 3, "")
    assert document["usage"]["wall_time"] > 0
    ran = sandbox_runner("run", "--json", "--timeout", "1", "-c", "while True: pass")
    assert (json.loads(ran.stdout)["status"], ran.returncode) == ("timed_out", 124)


def test_settings_come_from_the_environment_too(sandbox_runner, monkeypatch):
    monkeypatch.setenv("SANDBOX_RUNNER_WALL_TIME", "1")
    assert sandbox_runner("run", "-c", "while True: pass").returncode == 124


BAD = {
    "an unknown language": (("--language", "pyhton", "-c", "1"), 2, "Did you mean 'python'?"),
    "empty code": (("-c", ""), 2, "empty"),
    "oversized code": (("-c", "#" * 100, "--set", "max_code=10"), 2, "max_code"),
    "an absolute destination": (("--file", "here.txt:/etc/passwd", "-c", "1"), 2, "leaves the workspace"),
    "a destination above": (("--file", "here.txt:../x", "-c", "1"), 2, "leaves the workspace"),
    "a negative limit": (("--timeout", "-1", "-c", "1"), 2, "greater than zero"),
    "an absurd limit": (("--memory", "999999t", "-c", "1"), 2, "max_memory"),
    "no number": (("--timeout", "nan", "-c", "1"), 2, "finite"),
    "a NUL byte": (("nul.py",), 2, "NUL"),
    "a missing file": (("missing.py",), 2, "does not exist"),
    "a missing input file": (("--file", "missing", "-c", "1"), 2, "does not exist"),
    "an unknown option": (("--fast", "-c", "1"), 2, "--fast"),
    "an unknown setting": (("--set", "memroy=1", "-c", "1"), 2, "did you mean memory?"),
    "an unknown profile": (("--profile", "lax", "-c", "1"), 2, "default, strict"),
    "a variable without a name": (("-e", "=1", "-c", "1"), 2, "name"),
    "an engine that is not there": (("--set", "docker_host=unix:///nowhere.sock", "-c", "1"), 125, "setup"),
    "an image that is not there": (("--image", "cli-test/nothing", "--", "true"), 125, "cli-test/nothing"),
    "a program that is not there": (("--", "no-such-program"), 2, "no-such-program"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence_that_says_what_to_do(case, start, containers_of, tmp_path):
    words, status, fragment = BAD[case]
    (tmp_path / "here.txt").write_text("here")
    (tmp_path / "nul.py").write_bytes(b"print('\0')")
    run = start("run", *words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    out, err, code = ended(run)
    assert (out, code) == ("", status), err
    assert fragment in err
    assert err.startswith("sandbox-runner: ")
    assert err.count("\n") == 1
    assert containers_of(run) == []


def test_a_full_disk_behind_stdout_is_told(sandbox_runner):
    with Path("/dev/full").open("wb") as full:
        for words in (("run", "-c", "print(1)"), ("run", "--json", "-c", "print(1)"), ("languages",)):
            command = [*COMMAND, *words]
            ran = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=WAIT,
            )
            assert ran.returncode == 125
            assert ran.stderr.count("\n") == 1
            assert "No space left on device" in ran.stderr
