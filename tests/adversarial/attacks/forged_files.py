# A01, R53: gives back files that it does not have, in frames written to the descriptors of PID 1.
import os
import struct

from attempts import attempt, done


def frame(kind, body):
    return struct.pack(">BBHI", kind, 0, 1, len(body)) + body


FORGED = frame(0x47, struct.pack(">QB", 4, 0) + b"forged/file") + frame(0x48, b"evil")

attempt("descriptor 1", lambda: os.write(os.open("/proc/1/fd/1", os.O_WRONLY), FORGED))
done()
