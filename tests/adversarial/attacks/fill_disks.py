# R11, R13, R19, R20: fills every place that can be written, with bytes, with one huge sparse file, and
# with a reservation.
import os

from attempts import attempt, done, tell, until_refused

for place in ("/workspace", "/tmp", "/dev/shm"):
    attempt(f"{place} sparse", os.truncate, os.open(f"{place}/sparse", os.O_CREAT | os.O_RDWR), 1 << 40)
    file = os.open(f"{place}/reserved", os.O_CREAT | os.O_RDWR)
    attempt(f"{place} reserved", os.posix_fallocate, file, 0, 1 << 34)
    os.unlink(f"{place}/reserved")
    os.close(file)
for place in ("/dev/shm", "/tmp", "/workspace"):
    file = os.open(f"{place}/full", os.O_CREAT | os.O_WRONLY)
    count, refusal = until_refused(lambda file=file: os.write(file, b"x" * (1 << 20)))
    tell(f"{place} MiB", count)
    tell(f"{place} full", refusal)
done()
