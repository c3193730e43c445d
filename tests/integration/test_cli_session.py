"""`sandbox-runner session`: piped statements, and a person at a terminal."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.timeout(180)

PATIENCE = 5  # looks of a second or less, before Ctrl-C is pressed again
WAIT = 90  # seconds: a bound for a loaded machine, no test depends on it
COMMAND = [sys.executable, "-m", "sandbox_runner", "session"]
SLEEP = "import time; print('be' + 'gun', flush=True); time.sleep(600)"


@pytest.mark.usefixtures("nothing_left")
def test_piped_statements_run_one_after_another_in_one_state(sandbox_runner):
    lines = ["x = 6", "def f(y):", "    return x * y", "", "print(f(7))", "1 / 0", "print('on')"]
    done = sandbox_runner("session", input="\n".join(lines))
    assert done.stdout == "42\non\n"
    assert "ZeroDivisionError" in done.stderr
    assert done.returncode == 0
    done = sandbox_runner(
        "session", "bash", input="cd /tmp\nfor i in 1 2\ndo\necho $i $PWD\ndone\n(exit 3)\n"
    )
    assert (done.stdout, done.returncode) == ("1 /tmp\n2 /tmp\n", 3)


@pytest.mark.usefixtures("nothing_left")
def test_piped_javascript_shows_values_and_awaits_in_one_state(sandbox_runner):
    lines = [
        "const x = 6", "function f(y) { // it's {", "  return x * y", "}", "f(7)", "const x = 7; `${x}`",
        "await Promise.resolve(x + 1)", "throw new Error('no')", "console.log('on')",
    ]  # fmt: skip
    done = sandbox_runner("session", "javascript", input="\n".join(lines))
    assert (done.stdout, done.returncode) == ("42\n'7'\n8\non\n", 0), done.stderr
    assert "Uncaught Error: no" in done.stderr
    done = sandbox_runner("session", "js", input="1\nthrow 2")
    assert (done.stdout, done.returncode) == ("1\n", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope",), "nope"),
        (("--ttl", "1e9"), "max_session_ttl"),
        (("--memory", "100g"), "max_memory"),
        (("--snapshot", "nope"), "There is no snapshot"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(sandbox_runner, words, said):
    done = sandbox_runner("session", *words, input="print(1)\n")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_limit_that_a_statement_meets_is_told_and_the_next_ones_run(sandbox_runner):
    done = sandbox_runner(
        "session", "--timeout", "1", input="x = 1\nimport time\ntime.sleep(60)\nprint('on', x)\n"
    )
    assert done.stdout == "on 1\n"
    assert "timed out after 1 s" in done.stderr


def test_an_interpreter_that_ends_is_told(sandbox_runner):
    done = sandbox_runner("session", input="x = 1\nimport os\nos._exit(3)\nprint('x' in globals())\n")
    assert done.stdout == "False\n"
    assert "all variables are lost" in done.stderr


class Person:
    """Someone at a terminal: types, and waits for what is shown."""

    def __init__(self, terminal, process):
        self._terminal = terminal
        self._shown = ""
        self.process = process

    def types(self, text):
        os.write(self._terminal, text.encode())

    def sees(self, words):
        """Waits for ``words``, which then count as seen."""
        deadline = time.monotonic() + WAIT
        while words not in self._shown:
            assert time.monotonic() < deadline, self._shown
            self._look(1)
        self._shown = self._shown.partition(words)[2]

    def interrupts(self, words):
        """Presses Ctrl-C, after some patience a key and Ctrl-C again, until ``words`` are shown.

        Python's own prompt loses a press that comes just before it waits for keys, and while the terminal
        throws away, for that press, keys that were told but not read yet, until the next key (seen with a
        bare ``input()``, too).
        """
        deadline = time.monotonic() + WAIT
        self.types("\x03")
        while not self._shows(words, PATIENCE):
            assert time.monotonic() < deadline, self._shown
            self.types("x")
            self._look(1)  # it is read, before Ctrl-C has the terminal throw it away
            self.types("\x03")
        self._shown = self._shown.partition(words)[2]

    def _shows(self, words, looks):
        for _ in range(looks):
            if words not in self._shown:
                self._look(1)
        return words in self._shown

    def _look(self, seconds):
        if select.select([self._terminal], [], [], seconds)[0]:
            data = os.read(self._terminal, 4096).decode(errors="replace")
            self._shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data)


@contextmanager
def person(tmp_path, *words):
    ours, theirs = os.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen(
        [*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
        preexec_fn=take_terminal, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Person(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it


@pytest.mark.usefixtures("nothing_left")
def test_a_person_types_interrupts_and_leaves(tmp_path):
    with person(tmp_path) as someone:
        someone.sees(">>> ")
        someone.types("x = 41\n")
        someone.sees(">>> ")
        someone.types("for i in range(2):\n")
        someone.sees("... ")
        someone.types("    print('row', x + i)\n")
        someone.sees("... ")
        someone.types("\n")
        someone.sees("row 41")
        someone.sees("row 42")
        someone.sees(">>> ")
        someone.types("half a sta")
        someone.sees("half a sta")
        someone.interrupts(">>> ")
        someone.types(f"{SLEEP}\n")
        someone.sees("begun")
        someone.types("\x03")
        someone.sees("KeyboardInterrupt")
        someone.sees(">>> ")
        someone.types("print('kept', x)\n")
        someone.sees("kept 41")
        someone.sees(">>> ")
        someone.types("\x04")
        assert someone.process.wait(WAIT) == 0


@pytest.mark.usefixtures("nothing_left")
def test_a_person_interrupts_javascript_and_its_variables_are_kept(tmp_path):
    with person(tmp_path, "javascript") as someone:
        someone.sees(">>> ")
        someone.types("let x = 41\n")
        someone.sees(">>> ")
        someone.types("setTimeout(() => console.log('be' + 'gun'), 10); await new Promise(() => {})\n")
        someone.sees("begun")
        someone.types("\x03")
        someone.sees("Interrupted")
        someone.sees(">>> ")
        someone.types("[1, 2].map((n) => {\n")
        someone.sees("... ")
        someone.types("  return x + n })\n")
        someone.sees("[ 42, 43 ]")
        someone.sees(">>> ")
        someone.types("\x04")
        assert someone.process.wait(WAIT) == 0


@pytest.mark.usefixtures("nothing_left")
def test_sigterm_ends_it_and_leaves_nothing(tmp_path):
    with person(tmp_path) as someone:
        someone.sees(">>> ")
        someone.types(f"{SLEEP}\n")
        someone.sees("begun")
        someone.process.send_signal(signal.SIGTERM)
        assert someone.process.wait(WAIT) == 128 + signal.SIGTERM


@pytest.mark.usefixtures("nothing_left")
def test_a_second_ctrl_c_ends_an_interpreter_that_ignores_the_first(tmp_path):
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); x = 1; " + SLEEP
    with person(tmp_path) as someone:
        someone.sees(">>> ")
        someone.types(f"{stubborn}\n")
        someone.sees("begun")
        someone.types("\x03")
        someone.types("\x03")
        someone.sees("all variables are lost")
        someone.sees(">>> ")
        someone.types("print('x' in globals())\n")
        someone.sees("False")
