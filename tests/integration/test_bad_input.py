"""Bad input, from the command line and from Python: one clear sentence that says what to do, nothing left.

test_cli_run.py has the command line's plain cases; here are those that need more than words: engines that are
broken in some way, odd files, and all that only Python's types let through.
"""

import math
import os
import socket
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from io import BytesIO

import pytest
from own_daemon import fill, own_daemon

from sandbox_runner import Config, InputFile, Limits, Runner, RunRequest, run
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.errors import (
    ConfigError,
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    InvalidRequest,
    LimitExceeded,
    NotPermitted,
    SandboxError,
    StartFailed,
    UnknownLanguage,
)

pytestmark = pytest.mark.timeout(180)

NOBODY = 65534
WAIT = 100  # seconds: a bound for a loaded machine, no test depends on it


@pytest.fixture
def refused(docker_client):
    """Calls the command line, which must refuse in one line, leaving nothing; returns that line."""

    def call(*words, status, **options):
        command = [sys.executable, "-m", "sandbox_runner", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, **pipes, **options)
        out, err = process.communicate(timeout=WAIT)
        assert (process.returncode, out) == (status, ""), err
        assert err.startswith("sandbox-runner: ")
        assert err.count("\n") == 1
        assert [live for live in list_runs(docker_client) if f":{process.pid}:" in live.owner] == []
        return err

    return call


@pytest.fixture(autouse=True)
def no_container_of_ours_is_left(docker_client):
    yield
    assert [live for live in list_runs(docker_client) if f":{os.getpid()}:" in live.owner] == []


def told(error: SandboxError) -> str:
    """The message, which must be a sentence or two in one line."""
    message = str(error)
    assert message
    assert "\n" not in message
    assert len(message) < 400
    return message


REQUESTS = {
    "an unknown language": ({"code": "1", "language": "pyhton"}, UnknownLanguage, "python"),
    "a language with a NUL": ({"code": "1", "language": "py\0thon"}, UnknownLanguage, "no language"),
    "no program at all": ({}, InvalidRequest, "either code or a command"),
    "both code and a command": ({"code": "1", "command": ["true"]}, InvalidRequest, "not both"),
    "empty code": ({"code": ""}, InvalidRequest, "empty"),
    "code of white space": ({"code": " \n\t"}, InvalidRequest, "empty"),
    "oversized code": ({"code": "#" * (2 << 20)}, LimitExceeded, "max_code"),
    "an empty command": ({"command": []}, InvalidRequest, "command"),
    "an empty word as a command": ({"command": [""]}, InvalidRequest, "empty"),
    "a NUL in code": ({"code": "print('\0')"}, InvalidRequest, "NUL"),
    "a NUL in an argument": ({"command": ["echo", "a\0b"]}, InvalidRequest, "NUL"),
    "a NUL in a variable": ({"code": "1", "env": {"A": "\0"}}, InvalidRequest, "NUL"),
    "a NUL in a destination": ({"code": "1", "files": [InputFile("a\0b", b"")]}, InvalidRequest, "name"),
    "a lone surrogate in code": ({"code": "'\ud800'"}, InvalidRequest, "UTF-8"),
    "a variable's name with =": ({"code": "1", "env": {"A=B": "c"}}, InvalidRequest, "letters"),
    "an absolute destination": ({"code": "1", "files": [InputFile("/etc/x", b"")]}, InvalidRequest, "leaves"),
    "a destination above": ({"code": "1", "files": [InputFile("a/../../x", b"")]}, InvalidRequest, "leaves"),
    "an empty destination": ({"code": "1", "files": [InputFile("", b"")]}, InvalidRequest, "name"),
    "a destination too long": ({"code": "1", "files": [InputFile("x" * 300, b"")]}, InvalidRequest, "255"),
    "a destination twice": (
        {"code": "1", "files": [InputFile("a", b""), InputFile("./a", b"")]},
        InvalidRequest,
        "same destination",
    ),
    "a file where a folder must be": (
        {"code": "1", "files": [InputFile("a", b""), InputFile("a/b", b"")]},
        InvalidRequest,
        "'a' is a file's destination and a folder's",
    ),
    "a file in the program's place": (
        {"code": "1", "files": [InputFile("main.py", b"")]},
        InvalidRequest,
        "main.py",
    ),
    "a setuid mode": ({"code": "1", "files": [InputFile("a", b"", 0o4755)]}, InvalidRequest, "777"),
    "too many files": (
        {"code": "1", "files": [InputFile(f"{n}", b"") for n in range(20_000)]},
        LimitExceeded,
        "max_files",
    ),
    "too many arguments": ({"command": ["echo", *["x"] * 10_000]}, InvalidRequest, "4096"),
    "files that fill the workspace": (
        {"code": "1", "files": [InputFile("a", bytes(2 << 20))], "limits": Limits(workspace="1m")},
        InvalidRequest,
        "workspace",
    ),
    "an unknown profile": ({"code": "1", "profile": "unconfined"}, NotPermitted, "default, strict"),
    "a profile that is a path": ({"code": "1", "profile": "../default"}, NotPermitted, "default, strict"),
    "an image that is not there": (
        {"command": ["true"], "image": "bad-input/none"},
        ImageNotFound,
        "docker pull",
    ),
    "an image's name that cannot be": ({"command": ["true"], "image": "A b;c"}, InvalidRequest, "A b;c"),
    "an image's name with a path": ({"command": ["true"], "image": "../../x"}, InvalidRequest, "../../x"),
    "a path in the engine's API": (
        {"command": ["true"], "image": "x/../../containers"},
        InvalidRequest,
        "not an image's name",
    ),
    "a program that is not there": ({"command": ["no-such"]}, InvalidRequest, "no-such"),
    "more memory than allowed": ({"code": "1", "limits": Limits(memory="999t")}, LimitExceeded, "max_memory"),
    "less memory than works": ({"code": "1", "limits": Limits(memory=1)}, InvalidRequest, "16m"),
    "one process": ({"code": "1", "limits": Limits(pids=1)}, InvalidRequest, "pids"),
    "an absurd time": ({"code": "1", "limits": Limits(wall_time=1e300)}, LimitExceeded, "max_wall_time"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_bad_request_is_refused_from_python(case):
    fields, kind, fragment = REQUESTS[case]
    with pytest.raises(kind) as refusal:
        run(**fields)
    assert fragment in told(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"wall_time": -1}, {"wall_time": 0}, {"wall_time": math.nan}, {"wall_time": math.inf},
        {"cpus": -0.5}, {"cpus": "two"}, {"pids": 1.5}, {"pids": True}, {"memory": -1}, {"memory": "lots"},
        {"memory": "-1m"}, {"memory": 0}, {"tmp": "1e9"}, {"output": "9" * 40}, {"cpu_time": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_limit_that_is_none_is_refused_when_it_is_written(fields):
    with pytest.raises(InvalidRequest) as refusal:
        Limits(**fields)
    assert next(name for name, value in fields.items() if value is not None) in told(refusal.value)


@pytest.mark.parametrize(
    ("name", "make", "status", "fragment"),
    [
        ("a folder", lambda path: path.mkdir(), 2, "cannot be read (Is a directory)"),
        ("not text", lambda path: path.write_bytes(b"\xff\xfe\x00"), 2, "UTF-8"),
        ("empty", lambda path: path.write_bytes(b""), 2, "empty"),
        ("too large", lambda path: path.write_bytes(b"#" * (2 << 20)), 2, "max_code"),
        ("a loop of links", lambda path: path.symlink_to(path), 2, "check the path"),
    ],
)
def test_a_program_file_that_cannot_be_one_is_refused(refused, tmp_path, name, make, status, fragment):
    path = tmp_path / "program.py"
    make(path)
    assert fragment in refused("run", str(path), status=status)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--file", "/dev/zero:z", "-c", "1"), "not a regular file"),
        (("--file", "fifo", "-c", "1"), "not a regular file"),
        (("--file", "loop", "-c", "1"), "loop"),
        (("--file", "dangling", "-c", "1"), "does not exist"),
        (("--file", "large", "-c", "1"), "max_file_bytes"),
        (("--file", "here:a", "--file", "here:a", "-c", "1"), "same destination"),
        (("--stdin", "missing", "-c", "1"), "missing"),
        (("--stdin", ".", "-c", "1"), "."),
        (("noextension",), "--language"),
        (("--engine", "podmn", "-c", "1"), "auto, docker or oci"),
        (("--pids", "many", "-c", "1"), "many"),
        (("--memory", "1m", "-c", "1"), "16m"),
        (("-e", "A B=c", "-c", "1"), "A B"),
        (("--set", "seccomp", "-c", "1"), "seccomp"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_words_that_name_something_odd_are_refused(refused, tmp_path, words, fragment):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "noextension").write_text("1")
    (tmp_path / "here").write_text("1")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(10 << 30)  # sparse: it takes no disk, and must not take this process's memory
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert fragment in refused("run", *words, status=2, cwd=tmp_path, env=environment)


@pytest.fixture
def dead_socket(tmp_path):
    """A socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "dead.sock"))
    return f"unix://{tmp_path}/dead.sock"


@pytest.fixture
def refusing_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"tcp://127.0.0.1:{port}"


@pytest.fixture
def no_http(tmp_path):
    """A socket of something that is no engine: it takes the connection and closes it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen()

        def answer():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(b"220 mail ready\r\n")

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        yield f"unix://{tmp_path}/other.sock"
        listener.shutdown(socket.SHUT_RDWR)
        answering.join(60)


@pytest.mark.parametrize("engine", ["dead_socket", "refusing_port", "no_http"])
def test_an_engine_that_is_not_there_is_told(refused, request, monkeypatch, engine):
    address = request.getfixturevalue(engine)
    monkeypatch.setenv("DOCKER_HOST", address)
    line = refused("run", "-c", "print(1)", status=125)
    assert address in line
    with pytest.raises(EngineUnavailable, match=address):
        run("print(1)")


@pytest.mark.parametrize("address", ["htp://x", "tcp://", "127.0.0.1:notaport", "http://[::1"])
def test_an_address_that_is_none_is_told(refused, monkeypatch, address):
    monkeypatch.setenv("DOCKER_HOST", address)
    assert address in refused("run", "-c", "print(1)", status=125)


def test_a_socket_without_permission_is_told_with_the_ways_out(tmp_path, monkeypatch):
    """As a user who may not open it; the interpreter of that user may see no package, hence a fork."""
    assert os.geteuid() == 0, "this test gives up root to meet a socket without permission: run it as root"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "closed.sock"))
        listener.listen()
        (tmp_path / "closed.sock").chmod(0o600)
        code = (
            "import os\n"
            "from sandbox_runner.engines.docker.connection import connect\n"
            "import docker, docker.errors, requests.exceptions, docker.tls\n"
            f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
            "try: connect(None)\n"
            "except Exception as error: print(type(error).__name__, error)\n"
        )
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/closed.sock")
        shown = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    assert shown.startswith("EngineUnavailable The Docker engine at unix://")
    assert "group 'docker'" in shown
    assert shown.count("\n") == 1


@pytest.fixture
def small_engine(tmp_path, monkeypatch):
    """An engine of its own on a small disk, with one image that has one file."""
    with own_daemon(tmp_path, size="64m") as address:
        archive = BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("empty"))
        with closing(connect(address)) as client:
            client.import_image_from_data(archive.getvalue(), repository="one-file", tag="latest")
        monkeypatch.setenv("DOCKER_HOST", address)
        yield address


def test_an_engine_whose_disk_is_full_and_one_without_our_images_are_told(refused, small_engine, tmp_path):
    assert "sandbox-runner setup" in refused("run", "-c", "print(1)", status=125)
    with pytest.raises(ImageNotFound, match="sandbox-runner setup"):
        run("print(1)")
    fill(tmp_path / "data")
    assert "disk is full" in refused("run", "--image", "one-file", "--", "true", status=125)
    with pytest.raises(StartFailed, match="disk is full"):
        run(command=["true"], image="one-file")
    with closing(connect(small_engine)) as client:
        assert client.containers(all=True) == []


async def _open(config):
    async with Runner.open(config) as runner:
        return await runner.run(RunRequest(language="python", code="print(1)"))


@pytest.mark.anyio
async def test_an_unknown_oci_runtime_is_refused_and_nothing_falls_back_to_another():
    with pytest.raises(EngineError, match="oci_runtime"):
        await _open(Config(oci_runtime="no-such-runtime"))


@pytest.mark.parametrize(
    "fields",
    [{"memory": "8g"}, {"wall_time": 10_000}, {"queue_size": -1}, {"engine": "lxc"}, {"cpus": "x"}],
    ids=str,
)
def test_a_setting_that_cannot_be_is_refused_from_python(fields):
    with pytest.raises(ConfigError) as refusal:
        Config(**fields)
    assert next(iter(fields)) in told(refusal.value)
