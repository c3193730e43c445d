# E04, E05, E11, E13, E14, E16, E17, E19, E20, E22, E23, E46, E47, E50, E52, E53, I05, I22, R37: the doors
# to the kernel that programs have escaped through. The profiles have a test of every call; this one
# asks whether the profile is in force in a run.
import ctypes
import os
import socket

from attempts import attempt, call, done, tell

status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
tell("filter", status["Seccomp"].strip())

ARM = os.uname().machine == "aarch64"


def number(x86, arm):
    return lambda *arguments: call("syscall", arm if ARM else x86, *arguments)


def in_child(function):
    """Without a filter some of these change the process for good."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        attempt("child", function)
        from attempts import TOLD

        os.write(writable, TOLD["child"].encode())
        os._exit(0)
    os.close(writable)
    answer = os.read(readable, 64).decode()
    status = os.waitpid(child, 0)[1]
    return answer or f"signal {os.WTERMSIG(status)}"


CALLS = {
    "user namespace": lambda: call("unshare", 0x10000000),
    "ptrace": lambda: call("ptrace", 0, 0, 0, 0),
    "keyring": lambda: number(250, 219)(0, -3, 0),
    "a key": lambda: number(248, 217)(b"user", b"sandbox-canary", b"x", 1, -4),
    "io_uring": lambda: call("syscall", 425, 1, ctypes.create_string_buffer(256)),
    "userfaultfd": lambda: number(323, 282)(1),
    "vsock": lambda: socket.socket(40, 1, 0) and None,
    "alg": lambda: socket.socket(38, 5, 0) and None,
    "sock_diag": lambda: socket.socket(16, 3, 4) and None,
    "netfilter": lambda: socket.socket(16, 3, 12) and None,
    "route": lambda: socket.socket(16, 3, 0) and None,
    "no randomised addresses": lambda: call("personality", 0x0040000),
    "vmsplice": lambda: number(278, 75)(os.pipe()[1], 0, 0, 0),
    "file handle": lambda: number(303, 264)(-100, b"/", 0, 0, 0),
    "performance counters": lambda: number(298, 241)(ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "kernel module": lambda: number(175, 105)(0, 0, b""),
    "kexec": lambda: number(246, 104)(0, 0, 0, 0),
    "reboot": lambda: number(169, 142)(0, 0, 0, 0),
    "kernel log": lambda: number(103, 116)(10, 0, 0),
    "host name": lambda: call("sethostname", b"mine", 4),
    "clock": lambda: call("clock_settime", 0, ctypes.create_string_buffer(16)),
}
for name, door in CALLS.items():
    tell(name, in_child(door))
done()
