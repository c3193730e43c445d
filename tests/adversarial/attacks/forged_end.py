# R52, R53: tells its own end: prints the frames in which the agent reports an exit, on its stdout and
# stderr, wrapped as the engine wraps them and bare; then writes them to the descriptors of PID 1.
import os
import struct

from attempts import attempt, done

BODY = struct.pack(">BidQQQQQQQQQQ", 0, 99, 0.5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
FRAME = struct.pack(">BBHI", 0x45, 0, 1, len(BODY)) + BODY
WRAPPED = struct.pack(">BxxxI", 1, len(FRAME)) + FRAME

for stream in (1, 2):
    os.write(stream, FRAME + WRAPPED + b'{"status": "exited", "exit_code": 99}\n')
for number in (1, 2, 0, 3):  # a frame on its input breaks PID 1
    attempt(f"descriptor {number}", lambda n=number: os.write(os.open(f"/proc/1/fd/{n}", os.O_WRONLY), FRAME))
done()
