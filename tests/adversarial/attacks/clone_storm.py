# R04: clones that share the memory of their parent (CLONE_VM), each on a small stack, until one is refused.
import ctypes
import os
import signal

from attempts import LIBC, done, tell, until_refused

STACK = 16384


def clone():
    stack = ctypes.create_string_buffer(STACK)
    top = (ctypes.addressof(stack) + STACK - 64) & ~15
    pid = LIBC.clone(LIBC.pause, ctypes.c_void_p(top), 0x100 | signal.SIGCHLD, None)
    if pid == -1:
        raise OSError(ctypes.get_errno(), "clone")
    return stack


count, refusal = until_refused(clone, most=200)
tell("clones", count)
tell("refusal", refusal)
done()
os._exit(0)
