# R22, R23, R25, R26, R29: uses up what the kernel counts per user or per process: the buffers of pipes,
# descriptors, watches, timers, semaphores and message queues. Then holds all until its input ends.
import ctypes
import fcntl
import os
import select
import socket
import sys

from attempts import LIBC, call, done, tell, until_refused


def big_pipe():
    pipe = os.pipe()
    fcntl.fcntl(pipe[0], fcntl.F_SETPIPE_SZ, 1 << 20)
    return pipe


def full_pair():
    pair = socket.socketpair()
    pair[0].setblocking(False)
    try:
        while True:
            pair[0].send(b"x" * 4096)
    except BlockingIOError:
        return pair


def inotify():
    file = LIBC.inotify_init1(0)
    if file == -1:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    return file


def timer():
    call("timer_create", 1, None, ctypes.byref(ctypes.c_void_p()))


OBJECTS = {
    "inotify": inotify,
    "pipes": big_pipe,
    "sockets": full_pair,
    "epoll": select.epoll,
    "timers": timer,
    "semaphores": lambda: call("semget", 0, 1, 0o1600),
    "queues": lambda: call("msgget", 0, 0o1600),
}
for name in sys.argv[1:] or OBJECTS:
    tell(name, until_refused(OBJECTS[name]))
done()
sys.stdin.read()
