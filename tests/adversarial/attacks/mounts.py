# E01, E02, E08, E35: mounts: new file systems by the old calls and by the new, a cgroup hierarchy with a
# program for the host to run when it empties, another root; and makes the root writable again.
import ctypes
import os
import platform

from attempts import attempt, call, done, write

NEW = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
       "mount_setattr": 442}  # fmt: skip
os.mkdir("at")


def mount(source, target, kind, flags=0):
    call("mount", source, target, kind, flags, None)


attempt("tmpfs", mount, b"none", b"at", b"tmpfs")
attempt("proc", mount, b"proc", b"at", b"proc")
attempt("bind", mount, b"/", b"at", None, 4096)
attempt("root writable", mount, None, b"/", None, 32 | 4096)
attempt("cgroup", mount, b"none", b"at", b"cgroup")
attempt("cgroup2", mount, b"none", b"at", b"cgroup2")
attempt("umount", lambda: call("umount2", b"/proc/sys", 2))
for name, number in NEW.items():
    attempt(name, lambda n=number: call("syscall", n, ctypes.c_char_p(b"tmpfs"), 0, 0, 0, 0))
attempt("pivot_root", lambda: call("syscall", 155 if platform.machine() == "x86_64" else 41, b"at", b"at"))
attempt("chroot", os.chroot, "at")
for controller in sorted(os.listdir("/sys/fs/cgroup")):
    if os.path.isdir(f"/sys/fs/cgroup/{controller}"):
        attempt(f"cgroup {controller}", os.mkdir, f"/sys/fs/cgroup/{controller}/mine")
attempt("release_agent", write, "/sys/fs/cgroup/memory/release_agent")
attempt("cgroup.procs", write, "/sys/fs/cgroup/cgroup.procs", b"1")
done()
