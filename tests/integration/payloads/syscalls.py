"""Runs inside a container: makes system calls and prints how each ended, as one JSON object.

An answer is "ok", the name of an errno, or the name of the signal that ended the call's
process. Each call is made in a process of its own, so that what one changes or breaks
does not touch the next. PID 1 is this program.

    python3 -c "$(cat syscalls.py)" calls    the probes below, by name
    python3 -c "$(cat syscalls.py)" scan     numbers 0 to 460 with zeros as arguments
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import signal
import sys
from pathlib import Path

MACHINE = platform.machine()
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ERRNO = errno.errorcode | {errno.EOPNOTSUPP: "EOPNOTSUPP"}  # its other name is ENOTSUP

# name: x86_64, aarch64. Numbers from 424 on are the same everywhere.
NUMBERS = {
    "add_key": (248, 217), "adjtimex": (159, 171), "capset": (126, 91), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clone": (56, 220), "fanotify_mark": (301, 263), "fcntl": (72, 25),
    "flock": (73, 32), "io_setup": (206, 0), "io_submit": (209, 2), "ioprio_set": (251, 30),
    "kcmp": (312, 272), "keyctl": (250, 219), "memfd_create": (319, 279), "mknodat": (259, 33),
    "mlockall": (151, 230), "mount": (165, 40), "name_to_handle_at": (303, 264),
    "perf_event_open": (298, 241), "personality": (135, 92), "preadv2": (327, 286),
    "prlimit64": (302, 261), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "remap_file_pages": (216, 234),
    "request_key": (249, 218), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "seccomp": (317, 277),
    "setns": (308, 268), "setpriority": (141, 140), "socket": (41, 198), "socketpair": (53, 199),
    "splice": (275, 76), "sync": (162, 81), "syncfs": (306, 267), "tee": (276, 77),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282), "vmsplice": (278, 75),
    "cachestat": (451, 451), "clone3": (435, 435), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425),
    "landlock_create_ruleset": (444, 444), "listmount": (458, 458), "memfd_secret": (447, 447),
    "move_mount": (429, 429), "open_tree": (428, 428), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "statmount": (457, 457),
}  # fmt: skip
X86_NUMBERS = {"ioperm": 173, "iopl": 172, "mknod": 133, "modify_ldt": 154}

HIGH = 1 << 32  # the kernel cuts many arguments to 32 bits; a filter must not be fooled by the rest
BAD_TYPE = 0x1000  # in a socket's type: EINVAL from any kernel, before it looks at the family
TID = 1 << 16  # CLONE_THREAD alone: EINVAL from any kernel, before it looks at namespaces


def raw(number, *arguments):
    """The answer to one system call."""
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *(_argument(a) for a in arguments))
    return "ok" if result != -1 else ERRNO[ctypes.get_errno()]


def _argument(value):
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.byref(value)


def call(name, *arguments):
    if name in NUMBERS:
        return raw(NUMBERS[name][MACHINE == "aarch64"], *arguments)
    return raw(X86_NUMBERS[name], *arguments)


def int80(number):
    """One 32-bit system call, by its own door: number in eax, 1 in ebx, 0 in ecx and edx."""
    code = (
        b"\x53\xbb\x01\x00\x00\x00\x31\xc9\x31\xd2\xb8" + number.to_bytes(4, "little") + b"\xcd\x80\x5b\xc3"
    )
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return "ok" if result >= 0 else ERRNO[-result]


def clone(flags):
    number = NUMBERS["clone"][MACHINE == "aarch64"]
    ctypes.set_errno(0)
    result = LIBC.syscall(*(ctypes.c_long(a) for a in (number, flags | signal.SIGCHLD, 0, 0, 0, 0)))
    if result == 0:
        os._exit(0)
    return "ok" if result > 0 else ERRNO[ctypes.get_errno()]


def opened(path, flags):
    return os.open(path, flags | os.O_CREAT, 0o600)


def python(function, *arguments):
    """The answer to what the standard library does."""
    try:
        function(*arguments)
    except OSError as error:
        return ERRNO[error.errno]
    return "ok"


def block(size=256):
    return ctypes.create_string_buffer(size)


def scheduling_attributes():
    return ctypes.create_string_buffer((48).to_bytes(4, "little") + (3).to_bytes(4, "little"), 48)


def lock(command, kind=fcntl.F_WRLCK):
    """fcntl(2) with a struct flock over the whole of a new file."""
    file = opened("/tmp/lock", os.O_RDWR)
    return call("fcntl", file, command, ctypes.create_string_buffer(kind.to_bytes(2, "little"), 32))


def sockets():
    """Every family, and what matters of types and protocols."""
    probes = {}
    for family in range(1, 50):
        probes[f"socket family {family}, bad type"] = lambda f=family: call("socket", f, 1 | BAD_TYPE, 0)
    for protocol in range(23):
        probes[f"netlink {protocol}, bad type"] = lambda p=protocol: call("socket", 16, 3 | BAD_TYPE, p)
    for family in (2, 10):
        for kind in range(1, 7):
            for protocol in (0, 1, 2, 6, 17, 33, 132, 136, 255, 262):
                probes[f"inet {family} {kind} {protocol}, bad type"] = lambda a=(family, kind, protocol): (
                    call("socket", a[0], a[1] | BAD_TYPE, a[2])
                )
    for family in (2, 10):
        for kind, protocol in ((1, 0), (1, 6), (2, 0), (2, 17)):
            probes[f"inet {family} {kind} {protocol}"] = lambda a=(family, kind, protocol): call("socket", *a)
    return probes | {
        "socket AF_UNIX": lambda: call("socket", 1, 1, 0),
        "socket AF_UNIX seqpacket, nonblocking": lambda: call("socket", 1, 5 | 0x800 | 0x80000, 0),
        "socket AF_NETLINK route": lambda: call("socket", 16, 3, 0),
        "socket AF_VSOCK": lambda: call("socket", 40, 1, 0),
        "socket AF_ALG": lambda: call("socket", 38, 5, 0),
        "socket AF_ALG, high bits": lambda: call("socket", HIGH | 38, 5 | BAD_TYPE, 0),
        "socket sock_diag, high bits": lambda: call("socket", HIGH | 16, 3 | BAD_TYPE, HIGH | 4),
        "socket sctp, high bits": lambda: call("socket", HIGH | 2, 1 | BAD_TYPE, HIGH | 132),
        "socketpair AF_UNIX": lambda: call("socketpair", 1, 1, 0, block()),
        "socketpair AF_TIPC": lambda: call("socketpair", 30, 5 | BAD_TYPE, 0, block()),
        "socketpair AF_TIPC, high bits": lambda: call("socketpair", HIGH | 30, 5 | BAD_TYPE, 0, block()),
    }


def namespaces():
    names = ("NEWNS", "NEWCGROUP", "NEWUTS", "NEWIPC", "NEWUSER", "NEWPID", "NEWNET")
    bits = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
    named = dict(zip(names, bits, strict=True))
    probes = {f"clone {name}, bad flags": lambda b=bit: clone(b | TID) for name, bit in named.items()}
    return probes | {
        "clone": lambda: clone(0),
        "clone NEWUSER": lambda: clone(named["NEWUSER"]),
        "clone NEWUSER, high bits": lambda: clone(HIGH | named["NEWUSER"] | TID),
        "clone3": lambda: call("clone3", 0, 0),
        "unshare nothing": lambda: call("unshare", 0),
        "unshare NEWUSER": lambda: call("unshare", named["NEWUSER"]),
        "unshare NEWUSER NEWNS": lambda: call("unshare", named["NEWUSER"] | named["NEWNS"]),
        "setns": lambda: call("setns", -1, 0),
    }


def other_processes():
    me = os.getpid()
    return {
        "ptrace TRACEME": lambda: call("ptrace", 0, 0, 0, 0),
        "process_vm_readv": lambda: call("process_vm_readv", me, 0, 0, 0, 0, 0),
        "process_vm_writev": lambda: call("process_vm_writev", me, 0, 0, 0, 0, 0),
        "kcmp": lambda: call("kcmp", me, me, 0, 0, 0),
        "pidfd_getfd": lambda: call("pidfd_getfd", -1, 0, 0),
        "process_madvise": lambda: call("process_madvise", -1, 0, 0, 0, 0),
        "process_mrelease": lambda: call("process_mrelease", -1, 0),
    }


def pid_1():
    """What would reach the agent. A core limit of zero and SCHED_BATCH change nothing that matters."""
    zero = block()

    def schedule(pid):
        return call("sched_setscheduler", pid, 3, zero)

    # No such process, unless a filter refuses first: pids end at 2**22.
    strangers = {f"sched_setscheduler of {1 << b | low}": lambda p=1 << b | low: schedule(p)
                 for b in range(8, 22) for low in (0, 1)}  # fmt: skip
    return strangers | {
        "prlimit64 of pid 1": lambda: call("prlimit64", 1, 4, zero, 0),
        "prlimit64 of pid 1, high bits": lambda: call("prlimit64", HIGH | 1, 4, zero, 0),
        "prlimit64 of the caller": lambda: call("prlimit64", 0, 4, zero, 0),
        "sched_setscheduler of pid 1": lambda: schedule(1),
        "sched_setscheduler of pid 1, high bits": lambda: schedule(HIGH | 1),
        "sched_setscheduler of the caller": lambda: schedule(0),
        "sched_setscheduler of the caller by its id": lambda: schedule(os.getpid()),
        "sched_setparam of pid 1": lambda: call("sched_setparam", 1, zero),
        "sched_setparam of the caller": lambda: call("sched_setparam", 0, zero),
        "sched_setattr of pid 1": lambda: call("sched_setattr", 1, scheduling_attributes(), 0),
        "sched_setattr of the caller": lambda: call("sched_setattr", 0, scheduling_attributes(), 0),
        "setpriority of pid 1": lambda: call("setpriority", 0, 1, 1),
        "setpriority of pid 1, high bits": lambda: call("setpriority", 0, HIGH | 1, 1),
        "setpriority of a process group": lambda: call("setpriority", 1, 0, 1),
        "setpriority of a user": lambda: call("setpriority", 2, 0, 1),
        "setpriority of the caller": lambda: call("setpriority", 0, 0, 1),
        "sched_setaffinity of the caller": lambda: python(os.sched_setaffinity, 0, os.sched_getaffinity(0)),
        "ioprio_set": lambda: call("ioprio_set", 1, 0, 0),
    }


def filter_mode():
    """2 where a seccomp filter is in force."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Seccomp:"))


def kernel_surface():
    return {
        "filter mode": filter_mode,
        "io_uring_setup": lambda: call("io_uring_setup", 1, block()),
        "io_uring_enter": lambda: call("io_uring_enter", -1, 0, 0, 0, 0, 0),
        "io_uring_register": lambda: call("io_uring_register", -1, 0, 0, 0),
        "userfaultfd": lambda: call("userfaultfd", 1),
        "keyctl": lambda: call("keyctl", 0, -3, 0),
        "add_key": lambda: call("add_key", 0, 0, 0, 0, 0),
        "request_key": lambda: call("request_key", 0, 0, 0, 0),
        "personality ADDR_NO_RANDOMIZE": lambda: call("personality", 0x0040000),
        "personality ADDR_NO_RANDOMIZE, high bits": lambda: call("personality", HIGH | 0x0040000),
        "personality READ_IMPLIES_EXEC": lambda: call("personality", 0x0400000),
        "personality PER_LINUX32": lambda: call("personality", 8),
        "personality PER_LINUX": lambda: call("personality", 0),
        "personality query": lambda: call("personality", 0xFFFFFFFF),
        "memfd_secret": lambda: call("memfd_secret", 0),
        "seccomp": lambda: call("seccomp", 0xFFFF, 0, 0),
        "name_to_handle_at": lambda: call("name_to_handle_at", -1, 0, 0, 0, 0),
        "splice": lambda: call("splice", -1, 0, -1, 0, 1, 0),
        "tee": lambda: call("tee", -1, -1, 1, 0),
        "vmsplice": lambda: call("vmsplice", -1, 0, 0, 0),
        "clock_adjtime": lambda: call("clock_adjtime", 0, block()),
        "adjtimex": lambda: call("adjtimex", block()),
        "mount": lambda: call("mount", 1, 1, 1, 0, 0),
        "umount2": lambda: call("umount2", 0, 0x8000),
        "chroot": lambda: call("chroot", 1),
        "open_tree": lambda: call("open_tree", -1, 1, 0x4000),
        "perf_event_open": lambda: call("perf_event_open", 0, 0, 0, 0, 1 << 20),
        "fanotify_mark": lambda: call("fanotify_mark", -1, 0, 0, 0, 0),
        "mlockall": lambda: call("mlockall", 0),
        "remap_file_pages": lambda: call("remap_file_pages", 0, 0, 1, 0, 0),
        "io_setup": lambda: call("io_setup", 0, 0),
        "io_submit": lambda: call("io_submit", 0, 0, 0),
        "cachestat": lambda: call("cachestat", -1, 0, 0, 0),
        "preadv2 NOWAIT": lambda: call("preadv2", -1, 0, 0, 0, 0, 8),
        "preadv2": lambda: call("preadv2", -1, 0, 0, 0, 0, 0),
        "landlock_create_ruleset": lambda: call("landlock_create_ruleset", 0, 0, 1),
        "statmount": lambda: call("statmount", 0, 0, 0, 0),
        "listmount": lambda: call("listmount", 0, 0, 0, 0),
        "syncfs of no file": lambda: call("syncfs", -1),
        "sync": lambda: call("sync"),
        "number 600": lambda: raw(600),
        "number 9999": lambda: raw(9999),
    }


def files():
    def lease():
        return call("fcntl", opened("/tmp/lease", os.O_RDONLY), 1024, 0)

    def sealed():
        return call("fcntl", os.memfd_create("m", os.MFD_ALLOW_SEALING), 1033, 1)

    return {
        "mknodat file": lambda: call("mknodat", -100, block_of("/tmp/node-r"), 0o100600, 0),
        "mknodat socket": lambda: call("mknodat", -100, block_of("/tmp/node-s"), 0o140600, 0),
        "mknodat fifo": lambda: call("mknodat", -100, block_of("/tmp/node-f"), 0o010600, 0),
        "mknodat character device": lambda: call("mknodat", -100, block_of("/tmp/node-c"), 0o020600, 0x103),
        "mknodat block device": lambda: call("mknodat", -100, block_of("/tmp/node-b"), 0o060600, 0xFE00),
        "flock": lambda: call("flock", opened("/tmp/flock", os.O_RDWR), 2),
        "fcntl F_SETLK": lambda: lock(6),
        "fcntl F_SETLKW": lambda: lock(7),
        "fcntl F_GETLK": lambda: lock(5),
        "fcntl F_SETLK, high bits": lambda: lock(HIGH | 6),
        "fcntl F_OFD_SETLK": lambda: lock(37),
        "fcntl F_OFD_SETLKW": lambda: lock(38),
        "fcntl F_OFD_GETLK": lambda: lock(36),
        "fcntl F_SETLEASE": lease,
        "fcntl F_GETLEASE": lambda: call("fcntl", 1, 1025, 0),
        "fcntl F_NOTIFY": lambda: call("fcntl", os.open("/tmp", os.O_RDONLY), 1026, 0),
        "fcntl F_DUPFD": lambda: call("fcntl", 1, 0, 0),
        "fcntl F_GETFD": lambda: call("fcntl", 1, 1, 0),
        "fcntl F_SETFL": lambda: call("fcntl", 1, 4, 0),
        "fcntl F_SETOWN": lambda: call("fcntl", os.pipe()[0], 8, os.getpid()),
        "fcntl F_DUPFD_CLOEXEC": lambda: call("fcntl", 1, 1030, 0),
        "fcntl F_SETPIPE_SZ": lambda: call("fcntl", os.pipe()[0], 1031, 4096),
        "fcntl F_ADD_SEALS": sealed,
    }


def block_of(text):
    return ctypes.create_string_buffer(text.encode())


def only_x86():
    return {
        "int 0x80 getpid": lambda: int80(20),
        "int 0x80 socketcall": lambda: int80(102),
        "x32 getpid": lambda: raw(0x40000000 + 39),
        "modify_ldt": lambda: call("modify_ldt", 0, block(), 16),
        "iopl": lambda: call("iopl", 4),
        "ioperm": lambda: call("ioperm", 0, 0, 1),
        "mknod file": lambda: call("mknod", block_of("/tmp/node-r2"), 0o100600, 0),
        "mknod fifo": lambda: call("mknod", block_of("/tmp/node-f2"), 0o010600, 0),
    }


def answer(probe):
    """What ``probe`` answers in a process of its own."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        os.write(writable, probe().encode())
        os._exit(0)
    os.close(writable)
    text = os.read(readable, 64).decode()
    os.close(readable)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else text or "nothing"


# As amicontained: calls that hang, end the process, or fork; rt_sigreturn, select, pause, clone,
# fork, vfork, exit, ptrace, vhangup, exit_group, waitid, pselect6, ppoll, seccomp.
SKIPPED_X86 = {15, 23, 34, 56, 57, 58, 60, 101, 153, 231, 247, 270, 271, 317}
SKIPPED_ARM = {72, 73, 93, 94, 95, 117, 139, 220, 277}


def scan():
    os.close(0)
    os.open("/dev/null", os.O_RDONLY)
    skipped = SKIPPED_ARM if MACHINE == "aarch64" else SKIPPED_X86
    return {n: answer(lambda n=n: raw(n, 0, 0, 0, 0, 0, 0)) for n in range(461) if n not in skipped}


def calls():
    probes = namespaces() | other_processes() | pid_1() | kernel_surface() | files() | sockets()
    if MACHINE == "x86_64":
        probes |= only_x86()
    return {name: answer(probe) for name, probe in probes.items()}


if __name__ == "__main__":
    print(json.dumps({"machine": MACHINE, "answers": {"calls": calls, "scan": scan}[sys.argv[1]]()}))
