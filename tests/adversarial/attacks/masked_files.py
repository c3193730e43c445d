# I04, I07: reads what tells of the machine and its other users, or lets heat and power be measured:
# counts of interrupts, keys, timers, firmware, power and throttling.
import glob
import os

from attempts import attempt, done, tell


def told(path):
    """Whether there is anything to read in a file, or in a folder."""
    found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    if not found:
        raise OSError(61, "empty")


for path in ("/proc/interrupts", "/proc/keys", "/proc/timer_list", "/sys/firmware"):
    attempt(path, told, path)
for path in ("/proc/kcore", "/proc/sched_debug", "/proc/latency_stats", "/proc/acpi", "/proc/scsi",
             "/sys/devices/virtual/powercap"):  # fmt: skip
    if os.path.exists(path):
        attempt(path, told, path)
for path in glob.glob("/sys/devices/system/cpu/cpu*/thermal_throttle"):
    attempt(path, told, path)
addresses = (
    {line.split()[0].strip("0") for line in open("/proc/kallsyms")}
    if os.path.exists("/proc/kallsyms")
    else {""}
)
tell("addresses of the kernel", sorted(addresses)[:3])
done()
