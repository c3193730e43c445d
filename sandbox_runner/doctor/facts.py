"""Probes that judge what a program finds out about its container: one trial for all of them."""

import json
from collections.abc import Callable, Iterable, Mapping

from sandbox_runner import hardening
from sandbox_runner.doctor.outcome import Garbled, Outcome
from sandbox_runner.doctor.trial import Probe, Trial, Verdict
from sandbox_runner.request import Limits

_MIB = 1 << 20
_LIMITS = Limits(
    wall_time=15, cpu_time=15, cpus=1, memory=128 * _MIB, pids=32, workspace=16 * _MIB, tmp=8 * _MIB
)
_TRIAL = Trial(
    program="facts",
    args=(json.dumps({"masked": hardening.MASKED_PATHS, "read_only": hardening.READONLY_PATHS}),),
    limits=_LIMITS,
    reports=True,
)
_WRITABLE = {"/workspace", "/tmp", "/dev/shm", "/dev/mqueue"}  # noqa: S108 - the container's own
# gVisor's own, which do nothing without a capability.
_SENTRY_DEVICES = {"fuse", "net/tun"}
_FROM_THE_IMAGE = {"/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
_DEVICES = {"null", "zero", "full", "tty", "random", "urandom", "ptmx", "pts/ptmx", "console"}
_NOWHERE = {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}
_DENIED = {"EACCES", "EPERM"}
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# include/linux/proc_ns.h: the namespaces that a machine boots with have fixed numbers.
_INITIAL = {"ipc": 0xEFFFFFFF, "uts": 0xEFFFFFFE, "pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}
_SECCOMP_REMEDY = (
    "Use an engine and a kernel with seccomp support; reinstall sandbox-runner if its profiles were changed."
)
_ENGINE_REMEDY = (
    "The engine did not apply this setting: update it, and look for a plugin, a wrapper or an OCI runtime "
    "that changes containers."
)
_CGROUP_REMEDY = (
    "The engine's control groups do not enforce this: use cgroup v2, and runc or crun as OCI runtime."
)


def _clean(wrong: Iterable[str], good: str) -> Verdict:
    """Holds where nothing is ``wrong``."""
    found = sorted(wrong)
    return Verdict(not found, ", ".join(found) or good)


def _answers(seen: Mapping[str, str], expected: Mapping[str, Iterable[str]]) -> Verdict:
    """Holds where each call was answered as expected; one that was not made is no answer."""
    if missing := expected.keys() - seen.keys():
        raise Garbled(f"the program's report does not tell {', '.join(sorted(missing))}")
    wrong = [f"{name}: {seen[name]}" for name, answers in expected.items() if seen[name] not in answers]
    return _clean(wrong, f"{', '.join(expected)} refused")


def _interfaces(outcome: Outcome) -> Verdict:
    names = outcome.texts("interfaces")
    return Verdict(set(names) <= {"lo"}, f"interfaces: {', '.join(names) or 'none'}")


def _routes(outcome: Outcome) -> Verdict:
    return _clean((f"a route over {name}" for name in outcome.texts("routes")), "no route")


def _far(outcome: Outcome) -> Verdict:
    far = outcome.text_by_name("far")
    if len(far) != 4:
        raise Garbled("the program's report does not tell far")
    # Elsewhere a network can answer so; gVisor does where it has none.
    nowhere = _NOWHERE | {"EHOSTUNREACH"} if outcome.sentry else _NOWHERE
    return _answers(far, dict.fromkeys(far, nowhere))


def _names(outcome: Outcome) -> Verdict:
    servers, name = outcome.texts("name_servers"), outcome.text("name")
    wrong = [f"name server {server}" for server in servers]
    return _clean(wrong + ([] if name == "no such name" else [f"a look-up: {name}"]), "no name is found")


def _root(outcome: Outcome) -> Verdict:
    writes = outcome.text_by_name("writes")
    if "/" not in writes:
        raise Garbled("the program's report does not tell writes")
    # gVisor looks first at who may write in a folder, which in /var/tmp is everybody.
    refusals = {"EROFS", "EACCES"} if outcome.sentry and writes.get("/var/tmp") == "EROFS" else {"EROFS"}  # noqa: S108
    wrong = (f"a new file in {path}: {answer}" for path, answer in writes.items() if answer not in refusals)
    return _clean(wrong, f"read-only: {', '.join(writes)}")


def _writable(outcome: Outcome) -> Verdict:
    places = outcome.texts("writable")
    if "/workspace" not in places:
        return Verdict(False, "/workspace cannot be written")
    return _clean((f"{path} can be written" for path in set(places) - _WRITABLE), ", ".join(places))


def _from_disk(outcome: Outcome) -> Verdict:
    mounts = set(outcome.texts("from_disk")) - _FROM_THE_IMAGE
    return _clean((f"{path} is mounted" for path in mounts), "nothing of the host is mounted")


def _spaces(outcome: Outcome) -> Verdict:
    promised = {
        "/workspace": (_LIMITS.workspace, 16384),
        "/tmp": (_LIMITS.tmp, 4096),  # noqa: S108 - the container's own
        "/dev/shm": (hardening.SHM_SIZE, None),  # noqa: S108 - as above
    }
    spaces = outcome.numbers_by_name("spaces")
    if spaces.keys() != promised.keys() or any(len(space) != 2 for space in spaces.values()):
        raise Garbled("the program's report does not tell spaces")
    wrong = []
    for path, (size, inodes) in promised.items():
        seen_size, seen_inodes = spaces[path]
        counted = inodes and not outcome.sentry
        if not 0 < seen_size <= int(size or 0) or (counted and not 0 < seen_inodes <= int(inodes or 0)):
            wrong.append(f"{path} has {seen_size} bytes and {seen_inodes} inodes")
    return _clean(wrong, "as large as was asked")


def _user(outcome: Outcome) -> Verdict:
    uids, gids = outcome.numbers("uids"), outcome.numbers("gids")
    if len(uids) != 4 or len(gids) < 4:
        raise Garbled("the program's report does not tell uids and gids")
    return Verdict(0 not in uids and 0 not in gids, f"uids {sorted(set(uids))}, gids {sorted(set(gids))}")


def _capabilities(outcome: Outcome) -> Verdict:
    sets = outcome.number_by_name("capabilities")
    # The older gVisor knows no ambient ones.
    asked = set(_CAPABILITIES) - ({"CapAmb"} if outcome.sentry else set())
    if missing := asked - sets.keys():
        raise Garbled(f"the program's report does not tell {', '.join(sorted(missing))}")
    return _clean((f"{name} {value:#x}" for name, value in sets.items() if value), "all sets are empty")


def _no_new_privileges(outcome: Outcome) -> Verdict:
    value = outcome.number("no_new_privileges")
    return Verdict(value == 1, f"NoNewPrivs {value}")


def _filter(outcome: Outcome) -> Verdict:
    value = outcome.number("seccomp")
    return Verdict(value == 2, f"Seccomp {value}")


def _calls(expected: Mapping[str, str]) -> Callable[[Outcome], Verdict]:
    return lambda outcome: _answers(
        outcome.text_by_name("calls"), {name: (answer,) for name, answer in expected.items()}
    )


def _families(outcome: Outcome) -> Verdict:
    names = ("AF_PACKET", "AF_ALG", "AF_VSOCK", "AF_XDP")
    refusals = ("EPERM", "EAFNOSUPPORT") if outcome.sentry else ("EAFNOSUPPORT",)
    return _answers(outcome.text_by_name("families"), dict.fromkeys(names, refusals))


def _pid(outcome: Outcome) -> Verdict:
    parent = outcome.number("parent")
    if parent != 1:
        return Verdict(False, f"the agent is process {parent}, not 1")
    return _own("pid", outcome)


def _ipc(outcome: Outcome) -> Verdict:
    return _own("ipc", outcome)


def _uts(outcome: Outcome) -> Verdict:
    name = outcome.text("host_name")
    if name != hardening.HOSTNAME:
        return Verdict(False, f"the host name is {name}")
    return _own("uts", outcome)


def _cgroup(outcome: Outcome) -> Verdict:
    paths = outcome.texts("groups")
    if outcome.sentry:  # it has groups of its own, in which the container is below the root
        foreign = [path for path in paths if path.count("/") != 1]
        return Verdict(not foreign, f"gVisor's own groups: {', '.join(paths) or 'none'}")
    if paths != ["/"]:
        return Verdict(False, f"it sees its place among the host's groups: {', '.join(paths)}")
    return _own("cgroup", outcome)


def _own(kind: str, outcome: Outcome) -> Verdict:
    seen = outcome.number_by_name("namespaces")
    if kind not in seen and outcome.sentry:  # what there is is the sentry's, which the host sees
        return _outside(outcome)
    if kind not in seen:
        raise Garbled(f"the program's report does not tell the {kind} namespace")
    shared = seen[kind] == _INITIAL[kind]
    return Verdict(not shared, f"{kind} namespace {seen[kind]}{', that of the host' if shared else ''}")


def _devices(outcome: Outcome) -> Verdict:
    names = {path.removeprefix("/dev/") for path in outcome.texts("devices")}
    if "null" not in names:
        raise Garbled("the program's report does not tell the devices")
    harmless = _DEVICES | (_SENTRY_DEVICES if outcome.sentry else set())
    terminals = {name for name in names if name.startswith("pts/")}
    return _clean((f"/dev/{name}" for name in names - harmless - terminals), "only the harmless ones")


def _masked(outcome: Outcome) -> Verdict:
    return _clean((f"{path} is open" for path in outcome.texts("open_paths")), "all masked")


def _read_only(outcome: Outcome) -> Verdict:
    if outcome.sentry:  # they are settings of its own kernel
        return _clean((f"{path} can be set" for path in outcome.texts("settable_paths")), "none can be set")
    return _clean((f"{path} is not read-only" for path in outcome.texts("changeable_paths")), "all read-only")


def _sealed(outcome: Outcome) -> Verdict:
    ways = ("mem", "fd", "environ", "maps", "exe")
    return _answers(outcome.text_by_name("reach"), dict.fromkeys(ways, _DENIED))


def _open_files(outcome: Outcome) -> Verdict:
    opened, most = outcome.number("opened"), _hard_limits()["nofile"]
    return Verdict(0 < opened <= most, f"{opened} files could be opened")


def _hard(outcome: Outcome) -> Verdict:
    seen = outcome.number_by_name("hard")
    wrong = [
        f"{name} {seen.get(name, 'unlimited')}"
        for name, most in _hard_limits().items()
        if name != "nofile" and seen.get(name, most + 1) > most
    ]
    return _clean(wrong, "as promised")


def _hard_limits() -> dict[str, int]:
    return {rlimit.name: rlimit.hard for rlimit in hardening.RLIMITS}


def _outside(outcome: Outcome) -> Verdict:
    """What gVisor shows is its own, so only the machine around it tells."""
    if not outcome.read_back:
        raise Garbled("it cannot be seen from inside, and the engine's machine is another one")
    return Verdict(True, "the engine sees it from outside, on the machine, before every run")


def _swap(outcome: Outcome) -> Verdict:
    if outcome.sentry:
        return _outside(outcome)
    group = outcome.number_by_name("group")
    if "memory_and_swap" in group and "memory" in group:
        both, memory = group["memory_and_swap"], group["memory"]
        return Verdict(0 < both <= memory, f"memory {memory}, with swap {both} bytes")
    if "swap" in group:
        return Verdict(group["swap"] == 0, f"swap {group['swap']} bytes")
    if "host_swap" not in group:
        raise Garbled("the program's report does not tell the swap")
    return Verdict(
        group["host_swap"] == 0, f"no limit is visible; the machine has {group['host_swap']} bytes"
    )


def _cores(outcome: Outcome) -> Verdict:
    if outcome.sentry:
        return _outside(outcome)
    group = outcome.number_by_name("group")
    if "quota" not in group or group.get("period", 0) <= 0:
        raise Garbled("the program's report does not tell the share of CPU")
    cores = group["quota"] / group["period"]
    return Verdict(0 < cores <= (_LIMITS.cpus or 0), f"{cores:g} cores" if cores > 0 else "no limit")


def _probe(
    control: str, promise: str, judge: Callable[[Outcome], Verdict], remedy: str = _ENGINE_REMEDY
) -> Probe:
    return Probe(control=control, promise=promise, remedy=remedy, trial=_TRIAL, judge=judge)


_NO_NAMESPACE = {"unshare": "EPERM", "unshare NEWUSER": "EPERM", "clone3": "ENOSYS", "setns": "EPERM"}
_NO_TRACING = {"ptrace": "EPERM", "process_vm_readv": "EPERM", "pidfd_getfd": "EPERM"}
_NO_KERNEL = {"io_uring_setup": "ENOSYS", "keyctl": "ENOSYS", "add_key": "ENOSYS", "userfaultfd": "ENOSYS"}

FACTS = (
    _probe("net.none/interfaces", "A program has no network interface but lo.", _interfaces),
    _probe("net.none/routes", "A program has no route to anywhere.", _routes),
    _probe("net.none/packets", "TCP and UDP cannot leave the container.", _far),
    _probe("net.none/names", "A program has no name server and finds no name.", _names),
    _probe("fs.root.read_only/root", "The root filesystem cannot be written.", _root),
    _probe("fs.root.read_only/places", "Only /workspace, /tmp and shared memory can be written.", _writable),
    _probe("fs.root.read_only/host", "Nothing of the host's disks is mounted.", _from_disk),
    _probe("fs.root.read_only/sizes", "What can be written has a size and a number of files.", _spaces),
    _probe("proc.no_privilege/user", "A program has neither user nor group root.", _user),
    _probe("proc.no_privilege/capabilities", "A program has no capability and can get none.", _capabilities),
    _probe("proc.no_privilege/setuid", "No program can gain privileges.", _no_new_privileges),
    _probe("proc.no_privilege/seccomp", "System calls are filtered.", _filter, _SECCOMP_REMEDY),
    _probe(
        "proc.no_privilege/unshare",
        "No namespace can be made or joined.",
        _calls(_NO_NAMESPACE),
        _SECCOMP_REMEDY,
    ),
    _probe(
        "proc.no_privilege/ptrace", "No process can be traced or read.", _calls(_NO_TRACING), _SECCOMP_REMEDY
    ),
    _probe(
        "proc.no_privilege/kernel",
        "io_uring, the kernel's keys and userfaultfd are out of reach.",
        _calls(_NO_KERNEL),
        _SECCOMP_REMEDY,
    ),
    _probe(
        "proc.no_privilege/sockets",
        "No socket of the kernel's cryptography, of virtual machines, or for raw packets.",
        _families,
        _SECCOMP_REMEDY,
    ),
    _probe("proc.no_privilege/pid", "Processes of the host are out of sight.", _pid),
    _probe("proc.no_privilege/ipc", "Shared memory and semaphores are the container's own.", _ipc),
    _probe("proc.no_privilege/uts", "The host's name is out of sight.", _uts),
    _probe("proc.no_privilege/cgroup", "The host's control groups are out of sight.", _cgroup),
    _probe("proc.no_privilege/devices", "There are no devices but null, random and their like.", _devices),
    _probe("proc.no_privilege/masked", "What /proc and /sys tell of the host is masked.", _masked),
    _probe("proc.no_privilege/settings", "The kernel's settings in /proc are read-only.", _read_only),
    _probe(
        "proc.no_privilege/agent",
        "A program cannot reach into the agent, PID 1.",
        _sealed,
        "Run `sandbox-runner setup` to build the images anew; use runc or crun as OCI runtime.",
    ),
    _probe("res/open_files", "The number of open files is limited.", _open_files),
    _probe("res/process", "Core dumps, locked memory, queues and stack are limited.", _hard),
    _probe("res/swap", "A program gets no swap.", _swap, _CGROUP_REMEDY),
    _probe("res/cores", "A program gets no more cores than were asked.", _cores, _CGROUP_REMEDY),
)
