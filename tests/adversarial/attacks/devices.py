# E25, E26, E49: makes devices, opens those of the host, and types into a terminal.
import fcntl
import os
import stat

from attempts import attempt, done, tell

attempt("memory device", os.mknod, "mem", stat.S_IFCHR | 0o600, os.makedev(1, 1))
attempt("disk device", os.mknod, "disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
attempt("fifo", os.mknod, "fifo", stat.S_IFIFO | 0o600)
opened = []
for name in ("mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "kvm", "fuse", "net/tun", "loop0",
             "loop-control", "vhost-net", "vsock", "uinput", "cpu_dma_latency",
             "mapper/control", "dri/card0"):  # fmt: skip
    try:
        os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK)
        opened.append(name)
    except OSError:
        pass
tell("devices of the host", opened)
known = {"full", "null", "random", "urandom", "zero", "tty", "ptmx", "fd", "stdin", "stdout", "stderr",
         "shm", "mqueue", "pts", "core", "console"}  # fmt: skip
tell("unknown in /dev", sorted(set(os.listdir("/dev")) - known))
attempt("terminal", lambda: fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x") and None)
done()
