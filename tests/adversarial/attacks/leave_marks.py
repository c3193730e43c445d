# A29, I11, R28: leaves a mark in every place that can be written, for the next run to find. With the
# argument "look" it looks for the marks instead.
import os
import sys

from attempts import LIBC, attempt, done, tell, write

PLACES = ("/workspace", "/tmp", "/dev/shm", "/var/tmp", "/run/lock", "/dev/mqueue")
if sys.argv[1:] == ["look"]:
    tell("marks", [p for p in PLACES if os.path.exists(f"{p}/mark")])
    tell("segment", LIBC.shmget(0x5EC2E7, 0, 0) != -1)
else:
    for place in PLACES:
        attempt(place, write, f"{place}/mark")
    tell("segment", LIBC.shmget(0x5EC2E7, 4096, 0o1666) != -1)
done()
