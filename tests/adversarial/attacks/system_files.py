# E31, E32, E34, E38, A28: writes to the root and to what steers the kernel: sysrq, the handler of core
# dumps, sysfs; and to the running program's own file while it runs.
import os

from attempts import attempt, done, write

for path in (
    "/var/tmp/x", "/run/lock/x", "/etc/passwd", "/usr/lib/sandbox-runner/x", "/x", "/dev/x",
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register",
    "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/vmcoreinfo", "/sys/kernel/mm/ksm/run",
    "/proc/self/exe",
):  # fmt: skip
    attempt(path, write, path)
for _ in range(1000):
    if attempt("/proc/self/exe, a thousand times", os.open, "/proc/self/exe", os.O_WRONLY):
        break
attempt("/workspace/x", write, "/workspace/x")
attempt("/tmp/x", write, "/tmp/x")
attempt("/dev/shm/x", write, "/dev/shm/x")
done()
