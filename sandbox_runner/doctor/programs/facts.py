"""Runs inside: what a program finds out about its container, as one JSON object on stdout.

The argument is a JSON object: ``masked``, ``read_only``: paths. A part that cannot be found out is
left out, so that the doctor calls it unknown.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import stat
import sys
from collections.abc import Callable

ASKED = json.loads(sys.argv[1])
FAR = ("192.0.2.1", "2001:db8::1")  # for documentation, RFC 5737 and 3849: nobody is bothered
DEVICE_LIMIT = 64
FILES = 2048
HARMLESS = {
    os.makedev(1, 3),
    os.makedev(1, 5),
    os.makedev(1, 7),
    os.makedev(1, 8),
    os.makedev(1, 9),
    os.makedev(5, 0),
}

# Numbers on x86_64 and on arm64.
NUMBERS = {
    "unshare": (272, 97),
    "clone3": (435, 435),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "userfaultfd": (323, 282),
}
# Arguments to which the kernel has another answer than the filter, whatever the caller's privileges.
CALLS: dict[str, tuple[str, tuple[int, ...]]] = {
    "unshare": ("unshare", (0,)),
    "unshare NEWUSER": ("unshare", (0x10000000,)),
    "clone3": ("clone3", (0, 0)),
    "setns": ("setns", (-1, 0)),
    "ptrace": ("ptrace", (0, 0, 0, 0)),
    "process_vm_readv": ("process_vm_readv", (1, 0, 0, 0, 0, 1)),
    "pidfd_getfd": ("pidfd_getfd", (-1, 0, 0)),
    "io_uring_setup": ("io_uring_setup", (0, 0)),
    "keyctl": ("keyctl", (-1, 0, 0, 0, 0)),
    "add_key": ("add_key", (0, 0, 0, 0, 0)),
    "userfaultfd": ("userfaultfd", (-1,)),
}
FAMILIES = {"AF_PACKET": 17, "AF_ALG": 38, "AF_VSOCK": 40, "AF_XDP": 44}


def named(number: int) -> str:
    """The name of an errno."""
    return errno.errorcode.get(number, str(number))


def answer(act: Callable[[], object]) -> str:
    """``ok``, or the error that ``act`` ends with; in a process of its own, which gets 2 seconds."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(2)
        os.write(writable, attempt(act).encode())
        os._exit(0)
    os.close(writable)
    text = os.read(readable, 64).decode()
    os.close(readable)
    os.waitpid(child, 0)
    return text or "no answer"


def attempt(act: Callable[[], object]) -> str:
    """``ok``, or the error that ``act`` ends with."""
    try:
        act()
    except socket.gaierror:
        return "no such name"
    except OSError as error:
        return named(error.errno or 0)
    return "ok"


def network() -> dict[str, object]:
    """Interfaces, routes, and what becomes of packets to far away."""
    with open("/proc/net/route") as lines:
        routes = [line.split()[0] for line in list(lines)[1:]]
    if os.path.exists("/proc/net/ipv6_route"):
        with open("/proc/net/ipv6_route") as lines:
            routes += [line.split()[-1] for line in lines]
    far = {}
    for address in FAR:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        far[f"TCP to {address}"] = answer(lambda f=family, a=address: connect(f, a))  # type: ignore[misc]
        far[f"UDP to {address}"] = answer(lambda f=family, a=address: send(f, a))  # type: ignore[misc]
    return {
        "interfaces": [name for _, name in socket.if_nameindex()],
        "routes": [name for name in routes if name != "lo"],
        "far": far,
    }


def connect(family: int, address: str) -> None:
    """A connection to ``address``."""
    socket.socket(family, socket.SOCK_STREAM).connect((address, 80))


def send(family: int, address: str) -> None:
    """A packet to ``address``."""
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, 53))


def names() -> dict[str, object]:
    """Name servers, and whether a name is found."""
    servers = []
    if os.path.exists("/etc/resolv.conf"):
        with open("/etc/resolv.conf") as lines:
            words = [line.split() for line in lines]
        servers = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    return {
        "name_servers": [server for server in servers if server != "127.0.0.1"],
        "name": answer(lambda: socket.getaddrinfo("example.com", 80)),
    }


def files() -> dict[str, object]:
    """What can be written, and which mounts come from the host's disks."""
    writes = {}
    for folder in ("/", "/etc", "/usr/bin", "/var/tmp", "/opt"):
        writes[folder] = answer(lambda f=folder: create(f))  # type: ignore[misc]
    mounts = [mount for mount in mounted() if os.path.exists(mount[0])]
    # A device node, such as the /dev/null that hides a file, can be written without anything to write to.
    writable = [path for path, _ in mounts if not is_device(path) and os.access(path, os.W_OK)]
    # A runtime hides a file by /dev/null, and in a user namespace it cannot make devices: it binds them.
    mounts = [(path, kind) for path, kind in mounts if not is_harmless(path)]
    virtual = ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")
    return {
        "writes": writes,
        "writable": sorted(set(writable)),
        "from_disk": sorted({path for path, kind in mounts if kind not in virtual}),
        "spaces": {path: space(path) for path in ("/workspace", "/tmp", "/dev/shm")},
    }


def create(folder: str) -> None:
    """A new file in ``folder``."""
    os.open(f"{folder}/sandbox-runner-doctor", os.O_CREAT | os.O_WRONLY)


def mounted() -> list[tuple[str, str]]:
    """Path and kind of each mount."""
    with open("/proc/self/mountinfo") as lines:
        words = [line.split(" ") for line in lines]
    return [(line[4].replace("\\040", " "), line[line.index("-") + 1]) for line in words]


def is_device(path: str) -> bool:
    """Whether a device node is at ``path``."""
    mode = os.stat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def is_harmless(path: str) -> bool:
    """Whether the node of null, zero, full, random, urandom or tty is at ``path``."""
    return is_device(path) and os.stat(path).st_rdev in HARMLESS


def space(path: str) -> list[int]:
    """Bytes and inodes of the file system at ``path``."""
    state = os.statvfs(path)
    return [state.f_blocks * state.f_frsize, state.f_files]


def hidden() -> dict[str, object]:
    """The paths that should be masked or read-only and are not, and the device nodes."""
    mounts = {path for path, _ in mounted()}
    masked = [path for path in ASKED["masked"] if os.path.exists(path)]
    read_only = [path for path in ASKED["read_only"] if os.path.exists(path)]
    nodes = [os.path.join(top, name) for top, _, inner in os.walk("/dev") for name in inner]
    return {
        "open_paths": [path for path in masked if path not in mounts and not is_empty(path)],
        "changeable_paths": [path for path in read_only if not is_read_only(path)],
        "settable_paths": [path for path in below(read_only) if os.access(path, os.W_OK)][:DEVICE_LIMIT],
        "devices": [p for p in nodes if not os.path.islink(p) and is_device(p)][:DEVICE_LIMIT],
    }


def is_empty(path: str) -> bool:
    """Whether a folder without anything is at ``path``."""
    return os.path.isdir(path) and not os.listdir(path)


def is_read_only(path: str) -> bool:
    """Whether the mount of ``path`` is; a kernel that does not tell has none that is."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def below(paths: list[str]) -> list[str]:
    """The files at and in ``paths``."""
    inside = [os.path.join(top, name) for path in paths for top, _, names in os.walk(path) for name in names]
    return [path for path in paths if not os.path.isdir(path)] + inside


def privileges() -> dict[str, object]:
    """Ids, capabilities and modes of this process, as the kernel tells them."""
    with open("/proc/self/status") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "uids": [int(word) for word in status["Uid"].split()],
        "gids": [int(word) for word in (status["Gid"] + " " + status["Groups"]).split()],
        "capabilities": {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")},
        "no_new_privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),  # gVisor's status does not tell
        "seccomp": int(status["Seccomp"]),
    }


def system_calls() -> dict[str, object]:
    """How the kernel answers calls that the profile refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]

    def call(name: str, arguments: tuple[int, ...]) -> None:
        if libc.syscall(NUMBERS[name][column], *map(ctypes.c_long, arguments)) == -1:
            raise OSError(ctypes.get_errno(), name)

    return {
        "calls": {key: answer(lambda c=c: call(*c)) for key, c in CALLS.items()},  # type: ignore[misc]
        "families": {
            name: answer(lambda n=number: socket.socket(n, socket.SOCK_DGRAM))  # type: ignore[misc]
            for name, number in FAMILIES.items()
        },
    }


def namespaces() -> dict[str, object]:
    """The namespaces, and what shows that each is the container's own."""
    with open("/proc/self/cgroup") as lines:
        paths = {line.rstrip("\n").split(":", 2)[2] for line in lines}
    return {
        "namespaces": {
            kind: int(os.readlink(f"/proc/self/ns/{kind}").partition("[")[2].rstrip("]"))
            for kind in ("pid", "ipc", "uts", "cgroup")
            if os.path.lexists(f"/proc/self/ns/{kind}")  # gVisor has none of cgroups
        },
        "parent": os.getppid(),
        "host_name": socket.gethostname(),
        "groups": sorted(paths),
    }


def agent() -> dict[str, object]:
    """How attempts to reach into PID 1 end."""
    return {
        "reach": {
            "mem": answer(lambda: os.open("/proc/1/mem", os.O_RDWR)),
            "fd": answer(lambda: os.listdir("/proc/1/fd")),
            "environ": answer(lambda: os.read(os.open("/proc/1/environ", os.O_RDONLY), 1)),
            "maps": answer(lambda: os.read(os.open("/proc/1/maps", os.O_RDONLY), 1)),
            "exe": answer(lambda: os.readlink("/proc/1/exe")),
        }
    }


def limits() -> dict[str, object]:
    """The process's own limits, and how many files it could open."""
    kinds = {
        name[7:].lower(): getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
    }
    hard = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    opened: list[int] = []
    try:
        while len(opened) < FILES:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in opened:
        os.close(descriptor)
    return {"hard": {name: value for name, value in hard.items() if value >= 0}, "opened": len(opened)}


def control_groups() -> dict[str, object]:
    """The limits of the container's control group; -1 is none, what cannot be seen is left out."""
    root = "/sys/fs/cgroup/"
    found: dict[str, int] = {"host_swap": swap_total()}
    for name, places in {
        "memory": ("memory/memory.limit_in_bytes", "memory.max"),
        "memory_and_swap": ("memory/memory.memsw.limit_in_bytes",),
        "swap": ("memory.swap.max",),
        "quota": ("cpu/cpu.cfs_quota_us", "cpu.max"),
        "period": ("cpu/cpu.cfs_period_us",),
    }.items():
        for place in places:
            if os.path.exists(root + place):
                with open(root + place) as file:
                    words = [-1 if word == "max" else int(word) for word in file.read().split()]
                found[name] = words[0]
                if len(words) > 1:
                    found["period"] = words[1]
    return {"group": found}


def swap_total() -> int:
    """The machine's swap in bytes."""
    with open("/proc/meminfo") as lines:
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("SwapTotal")), 0)


def main() -> None:
    """Prints all that can be found out."""
    found: dict[str, object] = {}
    parts = (
        network,
        names,
        files,
        hidden,
        privileges,
        system_calls,
        namespaces,
        agent,
        limits,
        control_groups,
    )
    for part in parts:
        try:
            found |= part()
        except Exception as error:  # noqa: BLE001 - what failed is missing, which the doctor calls unknown
            print(f"{part.__name__}: {error!r}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
