# A01, A04, A05, A08, A14, A16, A19, A20, A25: fills the top of the workspace with what must not come back
# as a file of its own: links to files of the system, to devices and to PID 1, pipes that nobody writes, names
# that mislead, a file that is too large, 3,000 others; and leaves a process that swaps a file for a link.
import os
import socket

from attempts import attempt, done

for number, target in enumerate(("/etc/passwd", "/proc/1/environ", "/dev/zero", "/", "../etc/passwd")):
    attempt(f"link {target}", os.symlink, target, f"{number}.png")
attempt("hard link", os.link, "/etc/passwd", "hard.png")
attempt("another folder in its place", os.rename, "/tmp", "/workspace")
attempt("pipe", os.mkfifo, "pipe.png")
attempt("socket", socket.socket(socket.AF_UNIX).bind, "socket.png")
attempt("folder", os.mkdir, "folder.png")
for name in (b"\xff.png", b"\n.png", b"\x1b]52;c;eA==\x07.png", "gnp.\u202e.png".encode()):
    attempt(str(name), lambda path=name: os.close(os.open(path, os.O_CREAT)))
attempt("size", lambda: os.truncate(os.open("size.png", os.O_CREAT | os.O_RDWR), (16 << 20) + 1))
for number in range(3000):
    os.close(os.open(f"{number}-many.png", os.O_CREAT))
os.symlink("/etc/passwd", "link")
os.close(os.open("file", os.O_CREAT))
if os.fork() == 0:
    os.setsid()
    while True:
        for name in ("link", "file"):
            os.link(name, "new", follow_symlinks=False)
            os.rename("new", "swap.png")
            if os.path.exists("new"):  # rename does nothing to two names of one file
                os.unlink("new")
done()
