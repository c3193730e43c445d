"""The user namespace of each container of the embedded engine: what it is, and what it is good for.

An attack is run twice, with the namespace and without it. "root in the container" is what a program has that
found a way past everything else: the bundle is changed behind the engine's back, and its look at it is off.
"""

import ctypes
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from sandbox_runner import Config, InputFile, Runner, RunRequest
from sandbox_runner.doctor.embedded import _judge_users
from sandbox_runner.engines.oci import engine, starting, users
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.engines.oci.cgroups import find_hierarchies
from sandbox_runner.engines.oci.inventory import list_runs
from sandbox_runner.engines.oci.runtime import KNOWN, Runtime, find_runtime
from sandbox_runner.engines.oci.users import ROOT_BASE, make_user_namespace, mappings, why_none
from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.events import Output

ATTACKS = Path(__file__).parents[1] / "adversarial" / "attacks"
ANY_CHILD = 0x40000000  # __WALL of wait(2)
OWNER_OF = 0xB704  # NS_GET_OWNER_UID of ioctl_ns(2)

pytestmark = pytest.mark.anyio


def runtime_named(name: str) -> Runtime:
    return find_runtime(name, unified=find_hierarchies().unified)


ABLE = [name for name in KNOWN if why_none(runtime_named(name)) is None]
each_able = pytest.mark.parametrize("runtime", ABLE)


def config(runtime: str = "crun", **settings) -> Config:
    return Config(engine="oci", oci_runtime=runtime, **settings)


def without_namespace(monkeypatch) -> None:
    monkeypatch.setattr(engine, "why_none", lambda runtime: "the test takes it away")


def test_crun_gives_every_container_one_and_runc_where_it_has_the_capability():
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    assert ["crun", *["runc"] * bool(effective & 1 << 24)] == ABLE


async def printed_before(mark: str, events) -> str:
    """What the program prints before ``mark``: one write may come in several events, and several in one."""
    printed = ""
    async for event in events:
        printed += event.text if isinstance(event, Output) else ""
        if mark in printed:
            return printed.partition(mark)[0]
    raise AssertionError(f"the program printed only {printed!r}")


@each_able
async def test_it_maps_the_run_s_own_id_and_root_to_nobody_s(runtime):
    asked = RunRequest(
        command=["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; echo end; sleep 1000"]
    )
    async with Runner.open(config(runtime)) as runner, runner.stream(asked) as events:
        seen = [int(word) for word in (await printed_before("end", events)).split()]
        (run,) = list_runs(instance=runner.instance)
        pid = Bundle(runner.instance, run.container_id).pid()
        uid = Path(f"/proc/{pid}").stat().st_uid
        assert seen == [0, ROOT_BASE + uid, 1, uid, uid, 1] * 2
        owner = ctypes.c_uint()
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        fcntl.ioctl(namespace, OWNER_OF, owner)
        os.close(namespace)
        assert owner.value == ROOT_BASE + uid


@each_able
async def test_what_it_was_made_with_is_gone_when_the_container_is_up(runtime):
    async with Runner.open(config(runtime)) as runner:
        async with runner.stream(RunRequest(command=["sh", "-c", "echo up; sleep 1000"])) as events:
            await printed_before("up", events)
            links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
            assert [link for link in links if str(link).startswith("user:")] == []
    assert os.getresuid() == (0, 0, 0)
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1, "this process can no longer be dumped"


def test_making_one_leaves_no_process_behind_and_changes_nobody():
    script = (
        "import os; from sandbox_runner.engines.oci.users import make_user_namespace as make\n"
        "before = open('/proc/self/status').read().split('Cap')[1:]\n"
        "os.close(make(20000, 20001))\n"
        "assert open('/proc/self/status').read().split('Cap')[1:-1] == before[:-1]\n"
        f"try: os.waitpid(-1, {ANY_CHILD})\n"
        "except ChildProcessError: print('clean', os.getresuid(), os.getresgid())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "clean (0, 0, 0) (0, 0, 0)\n", done.stderr


def as_root(monkeypatch, secret: str) -> None:
    """A program of the next run is root of its container, where a file of root's was left behind."""
    whole = starting.bundle_config

    def changed(*arguments, **named):
        bundle = whole(*arguments, **named)
        bundle["process"]["user"].update(uid=0, gid=0)
        left = {"destination": "/etc/hosts", "type": "bind", "source": secret, "options": ["bind", "ro"]}
        bundle["mounts"].append(left)
        for mount in bundle["mounts"]:
            mount["options"] = [re.sub("^([ug]id)=.*", r"\1=0", option) for option in mount["options"]]
        return bundle

    monkeypatch.setattr(starting, "bundle_config", changed)
    monkeypatch.setattr(starting.evidence, "require_controls", lambda *_, **__: None)


@pytest.fixture
def secret() -> Iterator[str]:
    """A file that root alone can read, in a folder that everyone can enter."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(b"SECRET\n")
        file.flush()
        yield file.name


@each_able
async def test_root_in_the_container_cannot_read_what_is_root_s_outside(monkeypatch, secret, runtime):
    as_root(monkeypatch, secret)
    asked = RunRequest(command=["sh", "-c", "id -u; cat /etc/hosts; ls -A /root >/dev/null && echo IN"])
    async with Runner.open(config(runtime)) as runner:
        result = await runner.run(asked)
    assert result.stdout == "0\n"
    assert result.stderr.count("Permission denied") == 2
    without_namespace(monkeypatch)
    async with Runner.open(config(runtime)) as runner:
        result = await runner.run(asked)
    assert result.stdout == "0\nSECRET\nIN\n"


async def _silent() -> AsyncIterator[bytes]:
    await anyio.sleep_forever()
    yield b""


async def watches_left_to_another() -> list[object]:
    """How many watches a run gets while another holds all that it can have, and what stops it."""
    helper = InputFile("attempts.py", (ATTACKS / "attempts.py").read_bytes())
    code = (ATTACKS / "kernel_objects.py").read_text()
    get = RunRequest(language="python", code=code, args=["inotify"], files=[helper])
    async with Runner.open(config()) as runner, runner.stream(replace(get, stdin=_silent())) as events:
        await printed_before("}", events)
        return json.loads((await runner.run(get)).stdout.splitlines()[-1])["inotify"]


async def test_what_the_kernel_counts_by_user_is_not_used_up_for_another_run(monkeypatch):
    assert (await watches_left_to_another())[0] > 100
    whole = users._ended_child
    monkeypatch.setattr(users, "_ended_child", lambda owner: whole(ROOT_BASE))
    assert await watches_left_to_another() == [0, "EMFILE"]


def one_more_id(uid: int, gid: int) -> int:
    """A namespace that maps a third id."""
    whole = users.mappings
    try:
        users.mappings = lambda number: [*whole(number), {"containerID": 5, "hostID": 5, "size": 1}]
        return make_user_namespace(uid, gid)
    finally:
        users.mappings = whole


def no_namespace(monkeypatch) -> None:
    whole = starting.bundle_config
    monkeypatch.setattr(starting, "bundle_config", lambda *a, **named: whole(*a, **{**named, "users": None}))


def another_map(monkeypatch) -> None:
    monkeypatch.setattr(starting, "make_user_namespace", one_more_id)


@each_able
@pytest.mark.parametrize(
    ("weaken", "named"), [(no_namespace, "namespace user"), (another_map, "id mappings")]
)
async def test_a_namespace_that_is_not_as_it_must_be_is_refused(
    monkeypatch, runtime: str, weaken: Callable, named: str
):
    weaken(monkeypatch)
    async with Runner.open(config(runtime)) as runner:
        with pytest.raises(ControlNotEnforced, match=named):
            await runner.run(RunRequest(command=["true"]))
        assert list_runs(instance=runner.instance) == []


async def test_where_there_is_none_a_run_goes_on_unless_one_is_required(monkeypatch):
    without_namespace(monkeypatch)
    look = RunRequest(command=["cat", "/proc/self/uid_map"])
    async with Runner.open(config()) as runner:
        assert (await runner.run(look)).stdout.split() == ["0", "0", "4294967295"]
    async with Runner.open(config(require_user_namespace=True)) as runner:
        with pytest.raises(ControlNotEnforced, match="the test takes it away"):
            await runner.run(look)


async def test_one_that_can_no_longer_be_made_refuses_the_run(monkeypatch):
    async with Runner.open(config()) as runner:

        def refuse(uid: int, gid: int) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(starting, "make_user_namespace", refuse)
        with pytest.raises(ControlNotEnforced, match="max_user_namespaces"):
            await runner.run(RunRequest(command=["true"]))
        assert list_runs(instance=runner.instance) == []


async def test_docker_is_refused_where_one_is_required():
    async with Runner.open(Config(engine="docker", require_user_namespace=True)) as runner:
        with pytest.raises(ControlNotEnforced, match="require_user_namespace"):
            await runner.run(RunRequest(command=["true"]))


def test_a_covered_part_of_proc_is_named_as_the_kernel_would_show_no_other_proc(sandbox_runner):
    """The kernel's own answer is looked for, too: a new /proc cannot be mounted there."""
    inside = (
        "mount -t tmpfs none /proc/fs && "
        "{ unshare --user --map-root-user --pid --fork --mount mount -t proc proc /proc 2>&1; "
        f"{sys.executable} -m sandbox_runner run --set engine=oci --set oci_runtime=crun"
        " --set require_user_namespace=true -- true; }"
    )
    told = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside], capture_output=True, text=True, check=False
    )
    assert "permission denied" in told.stdout
    assert "mounted on /proc/fs" in told.stderr


def test_the_doctor_tells_whether_there_is_one(monkeypatch):
    assert _judge_users(runtime_named("crun")).status == "ok"
    monkeypatch.setattr(users, "_ended_child", lambda owner: os.open("/nowhere", 0))
    finding = _judge_users(runtime_named("crun"))
    assert (finding.status, "the kernel makes none" in finding.evidence) == ("warning", True)


PROGRAMS = {
    "python": "import os, pty, tempfile, multiprocessing as m\n"
    "lock = m.Lock(); parent, child = os.openpty()\n"
    "assert os.ttyname(child) == '/dev/pts/0' and os.stat('/dev/pts/0').st_gid == os.getgid()\n"
    "tempfile.NamedTemporaryFile(); open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(1)\n"
    "pid = os.fork()\n"
    "os._exit(0) if pid == 0 else os.waitpid(pid, 0)\n"
    "os.listdir('/proc/self/fd'); open('/dev/stdout', 'w').write('fine\\n')",
    "javascript": "const fs = require('fs'), os = require('os')\n"
    "fs.writeFileSync('/dev/shm/x', 'x'); fs.statSync('/etc/passwd'); os.cpus()\n"
    "require('child_process').execSync('id -u'); fs.writeFileSync('/dev/stdout', 'fine\\n')",
    "bash": "touch a && chmod 700 a && cp -p a b && mkfifo f && cat /etc/passwd >/dev/zero && id >/dev/null "
    "&& git init -q . && ls -l / >/dev/null && echo fine >/dev/stdout",
}


@each_able
@pytest.mark.parametrize("language", PROGRAMS)
async def test_ordinary_programs_notice_nothing(runtime, language):
    async with Runner.open(config(runtime)) as runner:
        result = await runner.run(RunRequest(language=language, code=PROGRAMS[language]))
    assert (result.stdout, result.stderr) == ("fine\n", "")


def test_the_ids_are_nobody_s_and_never_meet():
    taken = [mapped["hostID"] for uid in (20000, 59999) for mapped in mappings(uid)]
    assert len(set(taken)) == 4
    assert 0 not in taken
    assert all(number < 1 << 31 for number in taken)
