"""What must come of the attacks on one run: how it ends, and what each attempt was answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attack_runs import IN, told

from sandbox_runner import RunResult
from sandbox_runner.hardening import BASE_ENV


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What must come of an attack. ``told`` is compared with what it printed, name by name."""

    status: tuple[str, ...] = ("exited",)
    hits: frozenset[str] = frozenset()
    told: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[RunResult], bool] = lambda result: True


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
