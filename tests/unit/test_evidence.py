"""The kernel's counters, as control groups version 1 and 2 lay them out, read from files of the same form."""

from pathlib import Path

import pytest
from pid1_parts import Parts

V1 = {
    "cpuacct/cpuacct.usage": "{cpu}000\n",
    "memory/memory.max_usage_in_bytes": "8192\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill {oom}\n",
    "pids/pids.events": "max {pids}\n",
}
V2 = {
    "cpu.stat": "usage_usec {cpu}\nuser_usec 1\nsystem_usec 2\nnr_periods 0\n",
    "memory.peak": "8192\n",
    "memory.current": "4096\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 8\noom_kill {oom}\noom_group_kill 0\n",
    "pids.events": "max {pids}\n",
}
UNKNOWN = -1


def _write(root: Path, files: dict[str, str], **counts: int) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text.format(**counts))


def _counts(parts: Parts) -> tuple[int, ...]:
    """CPU time, peak memory, OOM kills, refused forks, and whether samples are needed."""
    return tuple(map(int, parts.hear().split()))


def _begin(parts: Parts) -> tuple[int, ...]:
    parts.say(b"\0\0\0\1e")
    return _counts(parts)


def _again(parts: Parts) -> tuple[int, ...]:
    parts.say(b"c")
    return _counts(parts)


@pytest.mark.parametrize("layout", [V1, V2], ids=["version 1", "version 2"])
def test_counts_are_those_since_the_job_began(
    pid1_below: Parts, tmp_path: Path, layout: dict[str, str]
) -> None:
    _write(tmp_path, layout, cpu=5_000_000, oom=3, pids=4)
    _begin(pid1_below)
    _write(tmp_path, layout, cpu=905_000_000, oom=4, pids=4)
    cpu_time, *others = _again(pid1_below)
    assert others == [8192, 1, 0, 0]
    assert 800e9 < cpu_time <= 900e9  # less what this process used meanwhile


def test_without_a_peak_the_memory_in_use_is_sampled(pid1_below: Parts, tmp_path: Path) -> None:
    _write(tmp_path, {name: text for name, text in V2.items() if name != "memory.peak"}, cpu=0, oom=0, pids=0)
    assert _begin(pid1_below)[1:] == (4096, 0, 0, 1)
    for current in ("9000", "100"):
        (tmp_path / "memory.current").write_text(current)
        assert _again(pid1_below)[1] == 9000


@pytest.mark.parametrize("content", [None, "", "nonsense", "oom_kill", "oom_kill x"])
def test_what_is_missing_or_unreadable_is_unknown(
    pid1_below: Parts, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "memory.events").write_text(content)
    cpu_time, *others = _begin(pid1_below)
    assert cpu_time >= 0
    assert others == [UNKNOWN, UNKNOWN, UNKNOWN, 0]
