"""Attacks on one run: each file of `attacks/` tells what it tries, and prints how each attempt ended.

All run side by side through one Runner. Where a control can be taken away cheaply the same attack runs
without it, too, and must get in: that an attempt fails proves nothing about an attempt that cannot succeed.
What a seccomp profile answers to each single call is tested in tests/integration/test_seccomp.py, what the
agent withstands in tests/integration/agent/.
"""

import hashlib
import json
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from attack_runs import IN, NO_FILTER, PATIENT, Attack, Batch, run_all, told

from sandbox_runner import Limits, RunResult
from sandbox_runner.engines.docker import mapping
from sandbox_runner.hardening import BASE_ENV
from sandbox_runner.seccomp import load_profile

MIB = 1 << 20
CAPTURE = MIB
NAME = f"sandbox-runner-canary-{secrets.token_hex(8)}"
LISTENING = socket.create_server(("127.0.0.1", 0))
PORT = str(LISTENING.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What must come of an attack. ``told`` is compared with what it printed, name by name."""

    status: tuple[str, ...] = ("exited",)
    hits: frozenset[str] = frozenset()
    told: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[RunResult], bool] = lambda result: True


def attack(
    file: str, *args: str, without: str = "", stdin: bytes = b"", artifacts: tuple[str, ...] = (), **limits
) -> Attack:
    return Attack(
        file=file, args=args, without=without, stdin=stdin, artifacts=artifacts,
        limits=Limits(**limits) if limits else PATIENT,
    )  # fmt: skip


def all_of(answer: object, *names: str) -> dict[str, object]:
    return dict.fromkeys(names, answer)


def hits(*names: str) -> frozenset[str]:
    return frozenset(names)


def quiet(result: RunResult) -> bool:
    """It did not print that it got what it wanted."""
    return IN not in result.stdout


def bounded_cpu(result: RunResult) -> bool:
    return result.usage.cpu_time <= result.usage.wall_time * 1.2 + 0.2


def full_memory(size: int) -> Callable[[RunResult], bool]:
    return lambda result: quiet(result) and 0.95 * size <= result.usage.peak_memory <= size


def counted(result: RunResult) -> bool:
    """Every byte is told of: what was kept and what was cut."""
    sizes = {"stdout": result.usage.stdout_bytes, "stderr": result.usage.stderr_bytes}
    return all(kept.total == sizes.get(stream, 0) for stream, kept in result.captured.items())


def odd(result: RunResult) -> bool:
    return (
        result.stdout == "\ufffd\ufffd\ufffd\0\ufffd|\x1b]52;c;eA==\x07\x1b[2J\r\u202e|\ufffd"
        and result.usage.stderr_bytes == 200 * 1024
    )


def only_printed(result: RunResult) -> bool:
    """The forged frames came as what they are, bytes of the program; the end is the true one."""
    return result.exit_code == 0 and b'"exit_code": 99' in result.captured["stderr"].head


def only_its_own_files(result: RunResult) -> bool:
    """256 empty files came back, and nothing of what the links lead to; all others are counted."""
    many = [file.path for file in result.artifacts if file.path != "swap.png"]  # a file or a link by chance
    others = 4 + 1 + 5 + 2  # names, size, links, pipe and socket
    return (
        len(result.artifacts) == 256
        and not any(file.data for file in result.artifacts)
        and many == [f"{number}-many.png" for number in range(len(many))]
        and result.artifacts_omitted - (3000 - len(many)) - others in (0, 1)
    )


PLACES = ("/workspace", "/tmp", "/dev/shm")
DISKS = {
    **{f"{place} {how}": "EFBIG" for place in PLACES for how in ("sparse", "reserved")},
    "/workspace MiB": 32, "/tmp MiB": 16, "/dev/shm MiB": 16,
    **all_of("ENOSPC", "/workspace full", "/tmp full", "/dev/shm full"),
}  # fmt: skip
LIMITS = {
    **all_of("EPERM", "CORE", "CPU", "FSIZE", "MEMLOCK", "MSGQUEUE", "NOFILE", "SIGPENDING", "STACK"),
    **all_of("EPERM", "lock all", "realtime", "realtime disk"),
    "lock 1 MiB": "ENOMEM",
    "nice -20": "EACCES",
    "oom_score_adj": "EACCES",
}
PID_1 = all_of(
    "EACCES", "memory", "environment", "map", "descriptors", "output", "root", "working folder", "program"
)
MOUNTS = all_of(
    "EPERM", "tmpfs", "proc", "bind", "root writable", "cgroup", "cgroup2", "umount", "open_tree",
    "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "pivot_root", "chroot",
)  # fmt: skip
DOORS = {
    "filter": "2",
    **all_of("EPERM", "user namespace", "ptrace", "no randomised addresses", "file handle"),
    **all_of("EPERM", "performance counters", "kernel module", "kexec", "reboot", "kernel log", "host name"),
    **all_of("ENOSYS", "keyring", "a key", "io_uring", "userfaultfd", "vmsplice"),
    **all_of("EAFNOSUPPORT", "vsock", "alg"),
    **all_of("EPROTONOSUPPORT", "sock_diag", "netfilter"),
    "clock": "EPERM",
    "route": IN,
}
PRIVILEGE = {
    **all_of("0" * 16, "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"),
    "NoNewPrivs": "1", "Seccomp": "2", "root": False, "setfsuid": "False", "programs with privilege": [],
    **all_of("EPERM", "setuid", "setgid", "setgroups", "capset", "ambient", "chown", "file capabilities"),
}  # fmt: skip
WRITABLE = all_of(IN, "/workspace/x", "/tmp/x", "/dev/shm/x")
KERNEL_FILES = (
    "/etc/passwd", "/dev/x", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper",
    "/sys/power/state", "/sys/kernel/vmcoreinfo", "/sys/kernel/mm/ksm/run", "/proc/self/exe",
    "/proc/self/exe, a thousand times",
)  # fmt: skip
SURROUNDINGS = {
    "descriptors": [0, 1, 2],
    "names": ["sandbox", "sandbox", "(none)"],
    "control groups": ["/"],
    "sockets": [],
    "processes": [1],
    "segments": [],
}
PYTHON_ENV = {"MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS", "PYTHONUNBUFFERED"}
ALONE = {
    **all_of("ECONNREFUSED", "the host's server", "the host's abstract name"),
    "loopback": IN, "raw": "EPERM", "ping": "EPERM", "packet": "EAFNOSUPPORT", "tunnel": "ENOENT",
    "interfaces": ["lo"], "routes": 0, "neighbours": 0, "nameservers": [],
}  # fmt: skip


def nothing_reached(result: RunResult) -> bool:
    far = [answer for name, answer in told(result).items() if name.startswith(("tcp ", "udp "))]
    return len(far) == 24 and set(far) == {"ENETUNREACH"} and "resolution" in told(result)["name"]


def none_written(result: RunResult) -> bool:
    return all(told(result)[path] in ("EACCES", "EROFS", "ENOENT", "ETXTBSY") for path in KERNEL_FILES)


def only_ours(result: RunResult) -> bool:
    return set(told(result)["variables"]) == set(BASE_ENV) | PYTHON_ENV


def no_cgroup(result: RunResult) -> bool:
    tried = {name: answer for name, answer in told(result).items() if name not in MOUNTS}
    return len(tried) >= 2 and set(tried.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}


def hidden(result: RunResult) -> bool:
    answers = told(result)
    return answers.pop("addresses of the kernel") in ([], [""]) and set(answers.values()) <= {
        "ENODATA",
        "EACCES",
    }


def bounded_objects(result: RunResult) -> bool:
    """Each kind ends at a limit of this user or this process, which none but this run has."""
    refused = {name: refusal for name, (_, refusal) in told(result).items()}
    files = told(result)
    return refused == {
        "inotify": "EMFILE", "pipes": "EPERM", "sockets": "EMFILE", "epoll": "EMFILE",
        "timers": "EAGAIN", "semaphores": "ENOSPC", "queues": "ENOSPC",
    } and files["pipes"][0] <= 64 and files["timers"][0] <= 256  # fmt: skip


ATTACKS: dict[Attack, Outcome] = {
    # More processes, memory, space and kernel objects than allowed.
    attack("fork_bomb.sh", wall_time=2, pids=64): Outcome(
        status=("timed_out",), hits=hits("wall_time", "pids")
    ),
    attack("fork_loop.py", wall_time=2, pids=64): Outcome(
        status=("timed_out",), hits=hits("wall_time", "pids"), check=bounded_cpu
    ),
    attack("clone_storm.py", pids=64): Outcome(hits=hits("pids"), told={"clones": 62, "refusal": "EAGAIN"}),
    attack("zombies.py", pids=64): Outcome(hits=hits("pids"), told={"zombies": 62, "refusal": "EAGAIN"}),
    attack("memory_bomb.py", memory="64m"): Outcome(
        status=("out_of_memory",), hits=hits("memory"), check=full_memory(64 * MIB)
    ),
    attack("slow_leak.py", memory="64m"): Outcome(
        status=("out_of_memory",), hits=hits("memory"), check=full_memory(64 * MIB)
    ),
    attack("memory_files.py", memory="64m"): Outcome(
        status=("out_of_memory",), hits=hits("memory"), check=full_memory(64 * MIB)
    ),
    attack("shared_memory_files.py", memory="32m"): Outcome(
        status=("out_of_memory",), hits=hits("memory"), check=full_memory(32 * MIB)
    ),
    attack("shared_segment.py", memory="64m"): Outcome(
        status=("out_of_memory",), hits=hits("memory"), check=full_memory(64 * MIB)
    ),
    attack("overcommit.py"): Outcome(check=lambda result: result.usage.peak_memory < 64 * MIB),
    attack("fill_disks.py", workspace="32m", tmp="16m"): Outcome(hits=hits("workspace", "tmp"), told=DISKS),
    attack("deep_tree.py"): Outcome(hits=hits("workspace"), told={"depth": 16381, "refusal": "ENOSPC"}),
    attack("kernel_objects.py"): Outcome(check=bounded_objects),
    attack("raise_limits.py"): Outcome(told=LIMITS),
    # More time than allowed.
    attack("spin.py", wall_time=1): Outcome(status=("timed_out",), hits=hits("wall_time"), check=bounded_cpu),
    attack("ignore_signals.sh", wall_time=1): Outcome(
        status=("timed_out",), hits=hits("wall_time"), check=lambda result: result.stdout == "stopped\n"
    ),
    # Output and input that choke the reader, or lie to it.
    attack("flood.sh", output="8m"): Outcome(
        status=("output_limit",),
        hits=hits("output"),
        check=lambda result: counted(result)
        and result.usage.stdout_bytes + result.usage.stderr_bytes == 8 * MIB,
    ),
    attack("flood_after_exit.sh", output="1m"): Outcome(
        status=("output_limit",), hits=hits("output"), check=counted
    ),
    attack("single_bytes.py"): Outcome(
        check=lambda result: result.stdout == result.stderr == "x" * 100_000
    ),
    attack("odd_bytes.py"): Outcome(check=odd),
    attack("forged_end.py"): Outcome(
        told={f"descriptor {number}": "EACCES" for number in range(4)}, check=only_printed
    ),
    attack("forged_files.py", artifacts=("forged/**",)): Outcome(
        told={"descriptor 1": "EACCES"}, check=lambda result: result.artifacts == ()
    ),
    attack("forged_paths.py", artifacts=("**",)): Outcome(
        told={"descriptor 1": "EACCES"}, check=lambda result: result.artifacts == ()
    ),
    attack("unread_input.py", stdin=bytes(10 * MIB)): Outcome(
        check=lambda result: result.stdout == "did not read\n"
    ),
    attack("read_input.py"): Outcome(check=lambda result: result.stdout == "0\n"),
    attack("given_back.py", artifacts=("*.png",)): Outcome(
        told={
            **all_of(IN, *(f"link {target}" for target in ("/etc/passwd", "/proc/1/environ", "/dev/zero"))),
            "hard link": "EXDEV", "another folder in its place": "EROFS", "pipe": IN, "size": IN,
        },
        check=only_its_own_files,
    ),
    # Escape.
    attack("pid_1.py"): Outcome(
        told={**PID_1, "joining its namespace": "EACCES", "joining it by its process": "EPERM"}
    ),
    attack("mounts.py"): Outcome(told=MOUNTS, check=no_cgroup),
    attack("kernel_doors.py"): Outcome(told=DOORS),
    attack("privilege.py"): Outcome(told=PRIVILEGE),
    attack("system_files.py"): Outcome(
        told={**WRITABLE, **all_of("EROFS", "/var/tmp/x", "/run/lock/x", "/usr/lib/sandbox-runner/x", "/x")},
        check=none_written,
    ),
    attack("devices.py"): Outcome(
        told={
            "memory device": "EPERM", "disk device": "EPERM", "fifo": IN, "terminal": "ENXIO",
            "devices of the host": [], "unknown in /dev": [],
        }
    ),
    # What it sees and whom it reaches.
    attack("masked_files.py"): Outcome(check=hidden),
    attack("surroundings.py"): Outcome(told=SURROUNDINGS, check=only_ours),
    attack("network.py", PORT, NAME): Outcome(told=ALONE, check=nothing_reached),
}  # fmt: skip

# The same attacks without one control: now they get what they want.
CONTROLS: dict[Attack, Outcome] = {
    attack("clone_storm.py", pids=64, without="pids limit"): Outcome(told={"clones": 200, "refusal": IN}),
    attack("zombies.py", pids=64, without="pids limit"): Outcome(told={"zombies": 200, "refusal": IN}),
    attack("memory_bomb.py", memory="64m", without="memory limit"): Outcome(
        check=lambda result: result.stdout == f"{IN}\n"
    ),
    attack("forged_end.py", without="sealed PID 1"): Outcome(check=lambda result: result.exit_code == 99),
    attack("forged_files.py", without="sealed PID 1", artifacts=("forged/**",)): Outcome(
        told={"descriptor 1": IN},
        check=lambda result: [(a.path, a.data) for a in result.artifacts] == [("forged/file", b"evil")],
    ),
    attack("forged_paths.py", without="sealed PID 1", artifacts=("**",)): Outcome(
        status=("signaled",),
        check=lambda result: (result.reason, result.artifacts) == ("sandbox_broken", ()),
    ),
    attack("pid_1.py", without="sealed PID 1"): Outcome(told=all_of(IN, *PID_1)),
    attack("kernel_doors.py", without="seccomp"): Outcome(
        told={
            "filter": "0",
            **all_of(IN, "user namespace", "ptrace", "sock_diag", "no randomised addresses", "vmsplice"),
        }
    ),
    attack("privilege.py", without="no_new_privileges"): Outcome(told={"NoNewPrivs": "0"}),
    attack("privilege.py", without="capabilities dropped"): Outcome(
        told={"root": True, **all_of(IN, "setuid", "setgid", "setgroups", "chown", "file capabilities")},
        check=lambda result: "/workspace/tool" in told(result)["programs with privilege"],
    ),
    attack("system_files.py", without="read-only root"): Outcome(
        told=all_of(IN, "/var/tmp/x", "/run/lock/x"), check=none_written
    ),
    attack("masked_files.py", without="masked paths"): Outcome(told={"/proc/interrupts": IN}),
    attack("network.py", PORT, NAME, "near", without="a network of its own"): Outcome(
        told=all_of(IN, "the host's server", "the host's abstract name"),
        check=lambda result: len(told(result)["interfaces"]) > 1,
    ),
}
EVERY = {attack.name: (attack, outcome) for attack, outcome in {**ATTACKS, **CONTROLS}.items()}


@pytest.fixture(scope="module")
def weakened_profile():
    """Lets a spec have no filter at all, which the package itself has no word for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            mapping, "load_profile", lambda name: "unconfined" if name == NO_FILTER else load_profile(name)
        )
        patch.setenv("SANDBOX_RUNNER_CANARY", NAME)
        yield


@pytest.fixture(scope="module")
def batch(weakened_profile, request) -> Batch:
    """All attacks that were asked for, run side by side while the host listens for them."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    runtimes = _digests_of_runtimes()
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + NAME)
        abstract.listen()
        ran = run_all(attack for name, (attack, _) in EVERY.items() if name in asked)
    assert _digests_of_runtimes() == runtimes
    return ran


def _digests_of_runtimes() -> dict[str, str]:
    """What an attack that overwrites its runtime would change."""
    found = [shutil.which(name) for name in ("runc", "crun", "runsc", "containerd-shim-runc-v2")]
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in found if path}


@pytest.fixture
def outcome_of(batch):
    def find(name: str) -> RunResult:
        result = batch.results[name]
        if not isinstance(result, RunResult):
            raise result
        return result

    return find


def _assert_expected(result: RunResult, expected: Outcome) -> None:
    assert result.status in expected.status, (result.status, result.stdout[-500:], result.stderr[-500:])
    assert expected.hits <= set(result.limits_hit)
    if expected.told:
        answers = told(result)
        assert {name: answers.get(name) for name in expected.told} == expected.told
    assert expected.check(result), (result.stdout[-2000:], result.usage, result.limits_hit)


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_ends_as_it_must_and_leaves_nothing(batch, outcome_of, name):
    _assert_expected(outcome_of(name), EVERY[name][1])
    assert batch.left[name] == []


@pytest.mark.parametrize("name", [attack.name for attack in CONTROLS])
def test_the_same_attack_gets_in_where_one_control_is_missing(batch, outcome_of, name):
    _assert_expected(outcome_of(name), EVERY[name][1])
    assert batch.left[name] == []


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_the_result_of_an_attack_is_json_within_its_caps(outcome_of, name):
    result = outcome_of(name)
    document = json.dumps(result.as_dict(), allow_nan=False).encode("ascii")
    assert json.loads(document) == result.as_dict()
    assert len(result.stdout) <= CAPTURE + 64
    assert len(result.stderr) <= CAPTURE + 64
    assert NAME not in result.stdout + result.stderr
    assert (result.exit_code is not None) == (result.status == "exited")


@pytest.mark.parametrize("name", [""])
def test_the_attacks_cost_this_process_neither_descriptors_nor_memory(batch, name):
    assert batch.descriptors_grown == 0
    assert batch.memory_grown < 64 * MIB
