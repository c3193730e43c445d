"""`sandbox-runner run` begins its container before it has an event loop: what can go wrong in that time."""

import signal
import subprocess
import sys
import threading

import pytest
from faulty_proxy import proxied

from sandbox_runner.definitions import image_tag

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("nothing_left")]
WAIT = 100  # seconds: a bound for a loaded machine, no test depends on it
BASE = image_tag("base")  # without an agent


def begun(address: str, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sandbox_runner", "run", "--set", f"docker_host={address}", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def ended(run: "subprocess.Popen[str]") -> tuple[str, str, int]:
    out, err = run.communicate(timeout=WAIT)
    return out, err, run.returncode


@pytest.mark.parametrize("moment", ["/_ping", "/images/", "/containers/create", "/attach", "/start "])
@pytest.mark.parametrize(
    ("number", "status", "image"),
    [
        (signal.SIGINT, 130, ()),
        (signal.SIGTERM, 143, ()),
        (signal.SIGHUP, 129, ()),
        (signal.SIGTERM, 143, ("--image", BASE)),
    ],
)
def test_a_signal_while_the_container_begins_ends_the_run(
    tmp_path, engine_socket, moment, number, status, image
):
    reached, signalled = threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if moment in line:
            reached.set()
            signalled.wait(WAIT)

    with proxied(tmp_path, engine_socket, hold) as (address, _):
        run = begun(address, "--quiet", *image, "--", "sh", "-c", "echo ran; sleep 60")
        assert reached.wait(WAIT)
        run.send_signal(number)
        signalled.set()
        out, err, code = ended(run)
    assert (code, err) == (status, "")
    assert out in ("", "ran\n")


@pytest.mark.parametrize("moment", ["/containers/create", "/attach", "/start "])
def test_an_engine_that_is_gone_while_the_container_begins_is_one_line(tmp_path, engine_socket, moment):
    def fault(line: str) -> str | None:
        return "refuse" if moment in line else None

    with proxied(tmp_path, engine_socket, fault) as (address, _):
        out, err, code = ended(begun(address, "-c", "print(1)"))
    assert (out, code) == ("", 125)
    assert err.count("\n") == 1
    assert "stopped answering" in err


def test_what_the_engine_refuses_is_refused():
    run = subprocess.run(
        [sys.executable, "-m", "sandbox_runner", "run", "--set", "oci_runtime=no-such-runtime", "-c", "1"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=WAIT,
    )  # fmt: skip
    assert (run.stdout, run.returncode) == ("", 125)
    assert "oci_runtime" in run.stderr


def test_the_container_is_made_before_there_is_an_event_loop():
    """What makes the command line quick; the run itself goes on and ends as any other.

    Told by anyio: with paramiko the SDK itself brings asyncio along.
    """
    code = (
        "import sys, threading\n"
        "from docker import APIClient\n"
        "create = APIClient.create_container_from_config\n"
        "def seen(*words, **named):\n"
        "    print('anyio' in sys.modules or 'sandbox_runner.runner' in sys.modules, flush=True)\n"
        "    return create(*words, **named)\n"
        "APIClient.create_container_from_config = seen\n"
        "from sandbox_runner.cli import main\n"
        "sys.exit(main(['run', '-c', 'print(1)']))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("False\n1\n", "", 0)
