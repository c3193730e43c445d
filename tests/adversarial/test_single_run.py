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
from pathlib import Path

import pytest
from attack_outcomes import (
    ALONE,
    DISKS,
    DOORS,
    LIMITS,
    MOUNTS,
    PID_1,
    PRIVILEGE,
    SURROUNDINGS,
    WRITABLE,
    Outcome,
    all_of,
    bounded_cpu,
    bounded_objects,
    counted,
    full_memory,
    hidden,
    hits,
    no_cgroup,
    none_written,
    nothing_reached,
    odd,
    only_its_own_files,
    only_ours,
    only_printed,
)
from attack_runs import IN, NO_FILTER, PATIENT, Attack, Batch, run_all, told

from sandbox_runner import Limits, RunResult
from sandbox_runner.engines.docker import mapping
from sandbox_runner.seccomp import load_profile

MIB = 1 << 20
CAPTURE = MIB
NAME = f"sandbox-runner-canary-{secrets.token_hex(8)}"
LISTENING = socket.create_server(("127.0.0.1", 0))
PORT = str(LISTENING.getsockname()[1])


def attack(
    file: str, *args: str, without: str = "", stdin: bytes = b"", artifacts: tuple[str, ...] = (), **limits
) -> Attack:
    return Attack(
        file=file, args=args, without=without, stdin=stdin, artifacts=artifacts,
        limits=Limits(**limits) if limits else PATIENT,
    )  # fmt: skip


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
