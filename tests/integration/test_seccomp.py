"""The seccomp profiles, tested by making the calls in containers.

Each refusal is paired with its control: the same call without a filter must end otherwise,
or the refusal is not the filter's. Where the kernel of some hosts refuses too, a second
probe passes an argument that every kernel answers before it looks at privileges.
"""

import json
import uuid
from pathlib import Path

import pytest

from sandbox_runner.seccomp import load_profile

PAYLOADS = Path(__file__).parent / "payloads"
PROFILES = ("default", "strict")
NO_FILTER, ENGINES_OWN = "no filter", "the engine's own"

# The kernel has them since 6.5, 6.8, 6.8 and 5.13: on an older one there is nothing to refuse.
NEWER = {"cachestat", "listmount", "statmount", "landlock_create_ruleset"}


def run(client, image, profile, payload, *arguments):
    """What the payload printed, in a container like ours but for ``profile``."""
    options = {NO_FILTER: ["seccomp=unconfined"], ENGINES_OWN: []}
    seccomp = options[profile] if profile in options else [f"seccomp={load_profile(profile)}"]
    host_config = client.create_host_config(
        cap_drop=["ALL"],
        security_opt=["no-new-privileges", *seccomp],
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "rw,nosuid,nodev,exec,size=256m,mode=1777"},
        pids_limit=128,
        mem_limit="512m",
    )
    container = client.create_container(
        image,
        ["python3", "-c", (PAYLOADS / payload).read_text(), *arguments],
        name=f"seccomp-test-{uuid.uuid4().hex[:12]}",
        user="65000:65000",
        working_dir="/tmp",
        host_config=host_config,
    )["Id"]
    try:
        client.start(container)
        status = client.wait(container, timeout=120)["StatusCode"]
        assert status == 0, client.logs(container).decode()[-2000:]
        return json.loads(client.logs(container, stderr=False))
    finally:
        client.remove_container(container, force=True, v=True)


@pytest.fixture(scope="module")
def calls(docker_client, base_image):
    """The answers of every probe under every profile, and the machine they were made on."""
    profiles = (*PROFILES, NO_FILTER)
    results = {
        profile: run(docker_client, base_image, profile, "syscalls.py", "calls") for profile in profiles
    }
    return {profile: result["answers"] for profile, result in results.items()} | {
        "machine": results[NO_FILTER]["machine"]
    }


@pytest.fixture(scope="module")
def scans(docker_client, base_image):
    """The answers to system calls by number, under every profile."""
    profiles = (*PROFILES, NO_FILTER, ENGINES_OWN)
    results = {
        profile: run(docker_client, base_image, profile, "syscalls.py", "scan") for profile in profiles
    }
    return {
        profile: {int(number): answer for number, answer in result["answers"].items()}
        for profile, result in results.items()
    }


def expect(calls, profile, expected):
    assert {name: calls[profile][name] for name in expected} == expected


def expect_by_the_filter(calls, profile, expected):
    """The answers are as expected, and otherwise without the filter."""
    expect(calls, profile, expected)
    unpaired = {name for name, answer in expected.items() if calls[NO_FILTER][name] == answer} - NEWER
    assert not unpaired, "without a filter the answer is the same, so these prove nothing"


def all_of(answer, *names):
    return dict.fromkeys(names, answer)


each_profile = pytest.mark.parametrize("profile", PROFILES)


@each_profile
def test_a_filter_is_in_force(calls, profile):
    expect_by_the_filter(calls, profile, {"filter mode": "2"})


@each_profile
def test_no_namespace_can_be_made_or_joined(calls, profile):
    kinds = ("NEWNS", "NEWCGROUP", "NEWUTS", "NEWIPC", "NEWUSER", "NEWPID", "NEWNET")
    expect_by_the_filter(
        calls,
        profile,
        all_of("EPERM", *(f"clone {kind}, bad flags" for kind in kinds))
        | all_of("EPERM", "clone NEWUSER, high bits", "unshare nothing", "setns")
        | {"clone3": "ENOSYS"},
    )
    expect(calls, profile, all_of("EPERM", "clone NEWUSER", "unshare NEWUSER", "unshare NEWUSER NEWNS"))


@each_profile
def test_no_process_can_be_traced_read_or_compared(calls, profile):
    names = ("ptrace TRACEME", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd")
    expect_by_the_filter(calls, profile, all_of("EPERM", *names, "process_madvise", "process_mrelease"))


@each_profile
def test_pid_1_can_be_neither_limited_nor_slowed(calls, profile):
    names = ("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr", "setpriority")
    high = ("prlimit64", "sched_setscheduler", "setpriority")
    expect_by_the_filter(
        calls,
        profile,
        all_of("EPERM", *(f"{name} of pid 1" for name in names))
        | all_of("EPERM", *(f"{name} of pid 1, high bits" for name in high))
        | all_of("EPERM", "setpriority of a process group", "setpriority of a user", "ioprio_set"),
    )


@each_profile
def test_a_program_can_limit_and_schedule_itself_and_its_children(calls, profile):
    names = ("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr", "setpriority")
    expect(calls, profile, all_of("ok", *(f"{name} of the caller" for name in names)))
    expect(calls, profile, all_of("ok", "sched_setaffinity of the caller"))
    expect(calls, profile, all_of("ok", "sched_setscheduler of the caller by its id"))
    strangers = (1 << bit | low for bit in range(8, 22) for low in (0, 1))
    expect(calls, profile, all_of("ESRCH", *(f"sched_setscheduler of {pid}" for pid in strangers)))


@each_profile
def test_calls_with_a_fallback_say_that_they_do_not_exist(calls, profile):
    expect_by_the_filter(
        calls,
        profile,
        all_of("ENOSYS", "io_uring_setup", "io_uring_enter", "io_uring_register")
        | all_of("ENOSYS", "userfaultfd", "keyctl", "add_key", "request_key", "splice", "tee", "vmsplice")
        | all_of("ENOSYS", *NEWER)
        | {"preadv2 NOWAIT": "EOPNOTSUPP"},
    )
    expect(calls, profile, all_of("ENOSYS", "number 600", "number 9999") | {"preadv2": "EBADF"})


@each_profile
def test_calls_that_administer_the_system_are_refused(calls, profile):
    names = ("mount", "umount2", "chroot", "open_tree", "perf_event_open", "fanotify_mark", "mlockall")
    more = ("seccomp", "memfd_secret", "name_to_handle_at", "remap_file_pages", "io_setup", "io_submit")
    expect_by_the_filter(calls, profile, all_of("EPERM", *names, *more, "clock_adjtime", "adjtimex"))


@each_profile
def test_sync_succeeds_without_reaching_the_disks(calls, profile):
    expect_by_the_filter(calls, profile, {"syncfs of no file": "ok"})
    expect(calls, profile, {"sync": "ok"})


@each_profile
def test_the_personality_can_be_asked_for_and_not_changed(calls, profile):
    names = ("ADDR_NO_RANDOMIZE", "ADDR_NO_RANDOMIZE, high bits", "READ_IMPLIES_EXEC", "PER_LINUX32")
    expect_by_the_filter(calls, profile, all_of("EPERM", *(f"personality {name}" for name in names)))
    expect(calls, profile, all_of("ok", "personality PER_LINUX", "personality query"))


@each_profile
def test_of_special_files_only_a_fifo_can_be_made(calls, profile):
    expect_by_the_filter(calls, profile, all_of("EPERM", "mknodat file", "mknodat socket"))
    expect(calls, profile, all_of("EPERM", "mknodat character device", "mknodat block device"))
    expect(calls, profile, {"mknodat fifo": "ok"})


@each_profile
def test_only_unix_internet_and_route_sockets_exist(calls, profile):
    refused = [family for family in range(1, 50) if family not in (1, 2, 10, 16)]
    expect_by_the_filter(
        calls,
        profile,
        all_of("EAFNOSUPPORT", *(f"socket family {family}, bad type" for family in refused))
        | all_of("EPROTONOSUPPORT", *(f"netlink {protocol}, bad type" for protocol in range(1, 23)))
        | {"socket AF_ALG, high bits": "EAFNOSUPPORT", "socket sock_diag, high bits": "EAFNOSUPPORT"}
        | all_of("EOPNOTSUPP", "socketpair AF_TIPC", "socketpair AF_TIPC, high bits"),
    )
    expect(calls, profile, all_of("EAFNOSUPPORT", "socket AF_VSOCK", "socket AF_ALG"))
    expect(calls, profile, all_of("ok", "socket AF_UNIX", "socket AF_UNIX seqpacket, nonblocking"))
    expect(calls, profile, all_of("ok", "socket AF_NETLINK route", "socketpair AF_UNIX"))


@each_profile
def test_of_internet_sockets_only_tcp_and_udp_exist(calls, profile):
    allowed = {(1, 0), (1, 6), (2, 0), (2, 17)}
    refused = {
        f"inet {family} {kind} {protocol}, bad type": "EPROTONOSUPPORT" if protocol > 17 else "EPERM"
        for family in (2, 10)
        for kind in range(1, 7)
        for protocol in (0, 1, 2, 6, 17, 33, 132, 136, 255, 262)
        if (kind, protocol) not in allowed
    }
    expect_by_the_filter(calls, profile, refused | {"socket sctp, high bits": "EPROTONOSUPPORT"})
    expect(calls, profile, all_of("ok", *(f"inet {f} {k} {p}" for f in (2, 10) for k, p in allowed)))


@each_profile
def test_the_processors_other_doors_are_shut(calls, profile):
    """int 0x80, x32 and the calls that only x86 has; 64-bit ARM has no such doors."""
    if calls["machine"] == "aarch64":
        assert not [name for name in calls[profile] if "0x80" in name or "x32" in name]
        return
    expect_by_the_filter(
        calls,
        profile,
        all_of("SIGSYS", "int 0x80 getpid", "int 0x80 socketcall", "x32 getpid")
        | all_of("EPERM", "modify_ldt", "iopl", "ioperm", "mknod file"),
    )
    expect(calls, profile, {"mknod fifo": "ok"})


LOCKS = {
    **all_of("EPERM", "fcntl F_SETLK", "fcntl F_SETLKW", "fcntl F_GETLK", "fcntl F_SETLK, high bits"),
    **all_of("EPERM", "fcntl F_OFD_SETLK", "fcntl F_OFD_SETLKW", "fcntl F_OFD_GETLK"),
    **all_of("EPERM", "fcntl F_SETLEASE", "fcntl F_GETLEASE", "fcntl F_NOTIFY"),
    "flock": "ENOSYS",
}


def test_the_strict_profile_refuses_locks_leases_and_notices(calls):
    expect_by_the_filter(calls, "strict", LOCKS)


def test_the_default_profile_allows_locks_leases_and_notices(calls):
    expect(calls, "default", all_of("ok", *LOCKS))


@each_profile
def test_fcntl_otherwise_works(calls, profile):
    names = ("F_DUPFD", "F_GETFD", "F_SETFL", "F_SETOWN", "F_DUPFD_CLOEXEC", "F_SETPIPE_SZ", "F_ADD_SEALS")
    expect(calls, profile, all_of("ok", *(f"fcntl {name}" for name in names)) | {"clone": "ok"})


def blocked(scan, last):
    """The numbers that amicontained counts as blocked."""
    return {number for number, answer in scan.items() if number <= last and answer in ("EPERM", "EACCES")}


@each_profile
def test_at_least_81_of_the_calls_that_amicontained_counts_are_blocked(scans, profile):
    last = 334  # rseq, where amicontained ends
    assert len(blocked(scans[profile], last)) >= 81
    assert len(blocked(scans[NO_FILTER], last)) < 40


@each_profile
def test_nothing_is_allowed_that_the_engines_own_profile_refuses(scans, profile):
    # Memory protection keys (on x86, on ARM), which older engines refuse: they only restrict the caller.
    keys = {329, 330, 331} | {288, 289, 290}
    refused = blocked(scans[ENGINES_OWN], 460)
    ours = blocked(scans[profile], 460)
    absent = {number for number, answer in scans[profile].items() if answer == "ENOSYS"}
    assert refused - ours - absent <= keys
    assert len(ours) > len(refused)


NEED_LOCKS = {"python_sqlite", "python_record_locks", "python_whole_file_locks", "flock_program"}

# What is not in the base image, and the image that must have it.
ELSEWHERE = {"git": "shell", "node_threads_processes_and_loopback": "node"}


@pytest.fixture(scope="module")
def ordinary(docker_client, base_image, image_called):
    """How ordinary programs went under each profile: those of the base image, git, and node."""

    def under(profile):
        went = run(docker_client, base_image, profile, "ordinary.py")
        for check, image in ELSEWHERE.items():
            went |= run(docker_client, image_called(image), profile, "ordinary.py", check)
        return went

    return {profile: under(profile) for profile in (*PROFILES, NO_FILTER)}


def test_ordinary_programs_work_under_the_default_profile(ordinary):
    assert set(ordinary["default"].values()) == {"ok"}, ordinary["default"]


def test_under_the_strict_profile_only_what_locks_files_fails(ordinary):
    failed = {name for name, how in ordinary["strict"].items() if how != "ok"}
    assert failed == NEED_LOCKS
    assert set(ordinary[NO_FILTER].values()) == {"ok"}, ordinary[NO_FILTER]
