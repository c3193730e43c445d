"""Probes of the limits: each trial asks for more than it is granted."""

import json

from sandbox_runner.doctor.outcome import Garbled, Outcome
from sandbox_runner.doctor.trial import Probe, Trial, Verdict
from sandbox_runner.events import Status
from sandbox_runner.request import Limits

_KIB, _MIB = 1 << 10, 1 << 20
_PIDS = 16
_OUTPUT = _MIB
_CAPTURE = 64 * _KIB
_FLOOD = 4 * _MIB
_PLACES = {"/workspace": (8 * _MIB, 16384), "/tmp": (4 * _MIB, 4096)}  # noqa: S108 - the container's own
_AGENT_REMEDY = "Run `sandbox-runner setup` to build the images anew; if it stays so, report it as a bug."
_CGROUP_REMEDY = (
    "The engine's control groups do not enforce this: use cgroup v2, and runc or crun as OCI runtime, "
    "and look for a runtime option such as --ignore-cgroups."
)
_TMPFS_REMEDY = "The engine ignores the size of a tmpfs: use runc or crun as OCI runtime."
_FILL = Trial(
    program="fill",
    args=("2", json.dumps(_PLACES)),
    limits=Limits(wall_time=25, memory=128 * _MIB, workspace=8 * _MIB, tmp=4 * _MIB),
    reports=True,
)


def _ended(outcome: Outcome, status: Status) -> Verdict:
    """Holds where the run ended by that limit."""
    result = outcome.result
    return Verdict(
        result.status == status,
        f"ended as {result.status} after {result.usage.wall_time:.2f} s{_told(result.stderr)}",
    )


def _told(stderr: str) -> str:
    return f": {stderr.strip()[-200:]}" if stderr.strip() else ""


def _wall_time(outcome: Outcome) -> Verdict:
    return _ended(outcome, "timed_out")


def _cpu_time(outcome: Outcome) -> Verdict:
    return _ended(outcome, "cpu_limit")


def _memory(outcome: Outcome) -> Verdict:
    verdict, kills = _ended(outcome, "out_of_memory"), outcome.result.limits_hit.get("memory", 0)
    return Verdict(verdict.holds and kills > 0, f"{verdict.evidence}; the kernel counted {kills} kills")


def _pids(outcome: Outcome) -> Verdict:
    children, refused = outcome.number("children"), outcome.text("refused")
    held = children < _PIDS and refused == "EAGAIN"
    return Verdict(held, f"{children} children, then {refused or 'no refusal'}")


def _disk(outcome: Outcome) -> Verdict:
    return _filled(outcome, "bytes", 0)


def _inodes(outcome: Outcome) -> Verdict:
    return _filled(outcome, "files", 1)


def _filled(outcome: Outcome, what: str, column: int) -> Verdict:
    seen = outcome.counts_by_name(what)
    if seen.keys() != _PLACES.keys():
        raise Garbled(f"the program's report does not tell {what} of each place")
    held = all(
        count <= _PLACES[path][column] and stopped == "ENOSPC" for path, (count, stopped) in seen.items()
    )
    parts = (f"{path}: {count} {what}, then {stopped or 'no end'}" for path, (count, stopped) in seen.items())
    return Verdict(held, "; ".join(parts))


def _output(outcome: Outcome) -> Verdict:
    verdict, count = _ended(outcome, "output_limit"), outcome.result.usage.stdout_bytes
    return Verdict(verdict.holds and count <= _OUTPUT, f"{verdict.evidence}, with {count} bytes")


def _bounded(outcome: Outcome) -> Verdict:
    kept = outcome.result.captured["stdout"]
    size = len(kept.head) + len(kept.tail)
    return Verdict(
        kept.total == _FLOOD and size <= _CAPTURE,
        f"of {_FLOOD} bytes {kept.total} were counted and {size} kept",
    )


def _single_use(outcome: Outcome) -> Verdict:
    if len(outcome.texts("left")) != 3:
        raise Garbled("the program could not leave a file everywhere, so that there was nothing to find")
    found = set(outcome.texts("found")) - {"/workspace/main.py"}
    return Verdict(not found, f"found {', '.join(sorted(found))}" if found else "a second run finds nothing")


LIMITS = (
    Probe(
        control="res/wall_time",
        promise="A program that ignores every signal ends when its time is over.",
        remedy=_AGENT_REMEDY,
        trial=Trial(program="stubborn", args=("2.5",), limits=Limits(wall_time=0.5)),
        judge=_wall_time,
    ),
    Probe(
        control="res/cpu_time",
        promise="CPU time is counted over all processes of a run, and ends it.",
        remedy=_CGROUP_REMEDY,
        trial=Trial(program="spin", args=("1",), limits=Limits(wall_time=10, cpu_time=0.4, cpus=1)),
        judge=_cpu_time,
    ),
    Probe(
        control="res/memory",
        promise="A program that takes too much memory is killed, and the kernel's count says so.",
        remedy=_CGROUP_REMEDY,
        trial=Trial(
            program="allocate",
            args=(str(192 * _MIB),),
            limits=Limits(wall_time=10, memory=64 * _MIB),
        ),
        judge=_memory,
    ),
    Probe(
        control="res/pids",
        promise="The number of processes is limited.",
        remedy=_CGROUP_REMEDY,
        trial=Trial(program="fork", args=("64",), limits=Limits(wall_time=10, pids=_PIDS), reports=True),
        judge=_pids,
    ),
    Probe(
        control="res/disk",
        promise="/workspace and /tmp take no more bytes than was asked.",
        remedy=_TMPFS_REMEDY,
        trial=_FILL,
        judge=_disk,
    ),
    Probe(
        control="res/inodes",
        promise="/workspace and /tmp take no more files than they should.",
        remedy=_TMPFS_REMEDY,
        trial=_FILL,
        judge=_inodes,
    ),
    Probe(
        control="res/output",
        promise="A program that prints too much is ended.",
        remedy=_AGENT_REMEDY,
        trial=Trial(program="flood", args=(str(_FLOOD),), limits=Limits(wall_time=10, output=_OUTPUT)),
        judge=_output,
    ),
    Probe(
        control="out.bounded/capture",
        promise="Of long output the head and the tail are kept, and every byte is counted.",
        remedy="Reinstall sandbox-runner; if it stays so, report it as a bug.",
        trial=Trial(
            program="flood",
            args=(str(_FLOOD),),
            limits=Limits(wall_time=10, output=16 * _MIB, capture=_CAPTURE),
        ),
        judge=_bounded,
    ),
    Probe(
        control="life.single_use/files",
        promise="A run finds nothing of the run before it.",
        remedy="Something gives out containers twice: reinstall sandbox-runner, or report it as a bug.",
        trial=Trial(program="leave", limits=Limits(wall_time=10), reports=True, times=2),
        judge=_single_use,
    ),
)
