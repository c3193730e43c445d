# R53, E07, E10, E41, I01: reads PID 1, which runs under the same user: memory, environment, descriptors,
# root and working folder, and its namespaces by way of a descriptor of its process.
import os

from attempts import attempt, call, done


def namespace():
    call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


attempt("memory", os.open, "/proc/1/mem", os.O_RDWR)
attempt("environment", lambda: open("/proc/1/environ").read() and None)
attempt("map", lambda: open("/proc/1/maps").read() and None)
attempt("descriptors", lambda: os.listdir("/proc/1/fd") and None)
attempt("output", os.open, "/proc/1/fd/1", os.O_WRONLY)
attempt("root", lambda: os.listdir("/proc/1/root") and None)
attempt("working folder", lambda: os.listdir("/proc/1/cwd") and None)
attempt("program", lambda: os.readlink("/proc/1/exe") and None)
attempt("joining its namespace", namespace)
attempt("joining it by its process", lambda: call("setns", os.pidfd_open(1), 0x20000))
done()
