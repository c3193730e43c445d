# E20, E28, E29, E59, E61: becomes another user or root, raises capabilities, gives files capabilities or
# the set-user-id bit, and looks for programs that have them.
import ctypes
import os
import stat

from attempts import attempt, call, done, tell

status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
    tell(name, status[name].strip())
tell("root", 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()))
attempt("setuid", os.setuid, 0)
attempt("setgid", os.setgid, 0)
attempt("setgroups", os.setgroups, [0])
attempt("setfsuid", lambda: str(ctypes.CDLL(None).setfsuid(0) == 0 or ctypes.CDLL(None).setfsuid(-1) == 0))
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
every = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
attempt("capset", lambda: call("capset", header, every))
attempt("ambient", lambda: call("prctl", 47, 2, 12, 0, 0))
with open("tool", "wb") as file:
    file.write(b"#!/bin/sh\nid -u\n")
attempt("chown", os.chown, "tool", 0, 0)
raised = (0x02000000).to_bytes(4, "little") + b"\xff" * 16
attempt("file capabilities", os.setxattr, "tool", "security.capability", raised)
found = []
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/sys")):
        continue
    for name in names:
        path = os.path.join(folder, name)
        try:
            if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(path)
            if "security.capability" in os.listxattr(path, follow_symlinks=False):
                found.append(path)
        except OSError:
            pass
tell("programs with privilege", found)
done()
