"""The constants of a sealed container, and where each comes from.

What an operator may change is in `config`; what is here may only become stricter.
"""

import re

from sandbox_runner.spec import Rlimit

_MIB = 1 << 20

AGENT_ARGV = ("/usr/lib/sandbox-runner/pid1",)
COMMAND_IMAGE = "shell"
HOSTNAME = "sandbox"

BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/workspace",
    "TMPDIR": "/tmp",  # noqa: S108 - the container's own
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MAX_ENV = 256
MAX_ENV_BYTES = 128 * 1024  # execve(2) bounds one string to 128 KiB and all to a quarter of the stack
MAX_ARGS = 4096
MAX_ARG_BYTES = 128 * 1024
MAX_INLINE = 100_000

MIN_MEMORY = 16 * _MIB
MIN_PIDS = 4  # the agent and a program that forks once
SHM_SIZE = 16 * _MIB  # multiprocessing needs semaphores there
OOM_SCORE_ADJ = 500  # the agent; it puts the program at 1000: the host and PID 1 outlive it
RLIMIT_CPU_GRACE = 2  # seconds: a backstop per process behind the cgroup's count
RLIMIT_CPU_STEP = 60  # seconds it is rounded up to with our agent, which holds the run's own limit exactly
RLIMIT_FSIZE_GRACE = 1 << 20  # bytes: a full disk says so before SIGXFSZ kills; a sparse giant gets EFBIG
LEASE_GRACE = 60  # seconds after its deadline at which anyone may reap a container

# Soft and hard. RLIMIT_NPROC is left out: it counts per user id over the whole host, the pids cgroup does
# not. A program may raise its stack to 64 MiB for deep recursion. Core dumps go through the host's
# core_pattern, hence none.
RLIMITS = (
    Rlimit("core", 0, 0),
    Rlimit("nofile", 1024, 1024),
    Rlimit("memlock", 64 * 1024, 64 * 1024),
    Rlimit("msgqueue", 64 * 1024, 64 * 1024),
    Rlimit("sigpending", 256, 256),
    Rlimit("stack", 8 * _MIB, 64 * _MIB),
)

# moby's newest list (daemon/pkg/oci/defaults.go), so that an older engine masks as much.
MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
    *(f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in range(64)),
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_LABEL = "org.sandbox-runner."
LABEL_MANAGED = _LABEL + "managed"
LABEL_INSTANCE = _LABEL + "instance"
LABEL_OWNER = _LABEL + "owner"
LABEL_RUN = _LABEL + "run"
LABEL_PRINCIPAL = _LABEL + "principal"
LABEL_LANGUAGE = _LABEL + "language"
LABEL_CREATED = _LABEL + "created"
LABEL_DEADLINE = _LABEL + "deadline"
LABEL_AHEAD = _LABEL + "ahead"  # it was started before there was a run for it
LABEL_INSTALLS = _LABEL + "installs"  # it installs the packages of a run that is to come
