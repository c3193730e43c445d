# E40, E43, I01, I02, I10: looks around: descriptors it was not meant to have, environment, names, control
# groups, sockets of an engine, processes of others.
import os
import socket
import stat

from attempts import done, tell

descriptors = []
for number in range(1024):
    try:
        os.fstat(number)
        descriptors.append(number)
    except OSError:
        pass
tell("descriptors", descriptors)
tell("variables", sorted(os.environ))
tell("names", [socket.gethostname(), os.uname().nodename, open("/proc/sys/kernel/domainname").read().strip()])
tell("control groups", sorted({line.rstrip("\n").split(":")[2] for line in open("/proc/self/cgroup")}))
sockets = []
for folder, _, names in os.walk("/"):
    if not folder.startswith("/proc"):
        paths = (os.path.join(folder, name) for name in names)
        sockets += [path for path in paths if os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode)]
tell("sockets", sockets)
tell(
    "processes",
    sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()),
)
tell("segments", open("/proc/sysvipc/shm").read().splitlines()[1:])
done()
