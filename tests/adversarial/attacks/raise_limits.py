# R31, R61, R62, E37: wants more than it was given: locked memory, higher limits, a better place in the
# queue for the processor, the disks and the OOM killer.
import ctypes
import mmap
import os
import resource

from attempts import attempt, call, done, write


def raised(name):
    number = getattr(resource, name)
    limit = resource.getrlimit(number)[1]
    try:
        resource.setrlimit(number, (limit + 1, limit + 1))
    except ValueError as error:
        raise PermissionError(1, name) from error


for name in ("CORE", "CPU", "FSIZE", "MEMLOCK", "MSGQUEUE", "NOFILE", "SIGPENDING", "STACK"):
    attempt(name, raised, f"RLIMIT_{name}")
locked = mmap.mmap(-1, 1 << 20)
address = ctypes.addressof(ctypes.c_char.from_buffer(locked))
attempt("lock 1 MiB", lambda: call("mlock", address, 1 << 20))
attempt("lock all", lambda: call("mlockall", 3))
attempt("nice -20", lambda: call("setpriority", 0, 0, -20))
attempt("realtime", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
attempt(
    "realtime disk", lambda: call("syscall", 251 if os.uname().machine == "x86_64" else 30, 1, 0, 1 << 13)
)
attempt("oom_score_adj", write, "/proc/self/oom_score_adj", b"-1000")
done()
