# R28: a System V segment of a gibibyte, whose memory stays when its process ends; then touches it.
import ctypes

from attempts import LIBC

LIBC.shmat.restype = ctypes.c_void_p
segment = LIBC.shmget(0x5EC2E7, ctypes.c_size_t(1 << 30), 0o1600)
address = LIBC.shmat(segment, None, 0)
print("attached", flush=True)
ctypes.memset(address, 1, 1 << 30)
print("GOT IN", flush=True)
