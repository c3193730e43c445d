"""Runs inside a container: does what ordinary programs do and prints how each went, as one JSON object.

Arguments name the checks to make; without any, all are made. An answer is "ok", "absent" where the
image lacks the program, or what went wrong. Works in the current directory.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
from multiprocessing import shared_memory
from pathlib import Path

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


class Absent(Exception):
    pass


def shell(script, *, program="bash", flag="-c"):
    """What ``script`` prints, run by ``program``."""
    if shutil.which(program) is None:
        raise Absent
    done = subprocess.run([program, flag, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-500:])
    assert not done.stderr, done.stderr[-500:]
    return done.stdout


@check
def python_starts_programs():
    assert subprocess.check_output([sys.executable, "-c", "print(6 * 7)"]) == b"42\n"
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    assert os.waitpid(child, 0)[1] == 0
    assert os.system("exit 3") >> 8 == 3


@check
def python_threads():
    found = []
    threads = [threading.Thread(target=found.append, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(20))


@check
def python_multiprocessing():
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
    memory = shared_memory.SharedMemory(create=True, size=4096)
    memory.close()
    memory.unlink()


@check
def python_asyncio():
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"over loopback\n")
        assert await reader.read() == b"over loopback\n"
        writer.close()
        server.close()
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert (await child.communicate(b"piped"))[0] == b"piped"

    asyncio.run(main())


@check
def python_sqlite():
    for mode in ("delete", "wal"):
        with contextlib.closing(sqlite3.connect(f"{mode}.db")) as database:
            database.execute(f"pragma journal_mode={mode}")
            database.execute("create table t (n)")
            database.executemany("insert into t values (?)", [(n,) for n in range(100)])
            database.commit()
            assert database.execute("select sum(n) from t").fetchone() == (4950,)


@check
def python_record_locks():
    with tempfile.TemporaryFile() as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@check
def python_whole_file_locks():
    with tempfile.TemporaryFile() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@check
def python_files():
    Path("from").write_bytes(os.urandom(1 << 20))
    for copy in (shutil.copyfile, shutil.copy2):
        copy("from", "to")
        assert Path("from").read_bytes() == Path("to").read_bytes()
    os.sync()
    with Path("to").open("r+b") as file:
        os.fsync(file.fileno())
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:4] = b"here"
            mapped.flush()
    Path("to").rename("moved")
    Path("link").symlink_to("moved")
    assert Path("link").read_bytes()[:4] == b"here"
    shutil.make_archive("packed", "gztar", ".", "moved")
    shutil.unpack_archive("packed.tar.gz", "unpacked")


@check
def python_fifo():
    os.mkfifo("fifo")
    child = subprocess.Popen(["sh", "-c", "echo through > fifo"])
    assert Path("fifo").read_text() == "through\n"
    child.wait()


@check
def python_sockets():
    left, right = socket.socketpair()
    left.send(b"x")
    assert right.recv(1) == b"x"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as server:
            server.bind(("127.0.0.1", 0))
    assert "lo" in [name for _, name in socket.if_nameindex()]
    assert socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


@check
def python_limits_and_priorities():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
    assert resource.prlimit(0, resource.RLIMIT_NOFILE)[0] == 64
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    child = os.fork()
    if child == 0:
        os._exit(0 if os.nice(5) == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0


@check
def python_signals_and_timers():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    assert child.wait() == -signal.SIGTERM
    file = os.pidfd_open(os.getpid())
    signal.pidfd_send_signal(file, 0)


@check
def threads_that_choose_their_processor():
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = ctypes.c_ulong
    mask = ctypes.create_string_buffer(128)
    mine = ctypes.c_ulong(libc.pthread_self())
    assert libc.pthread_getaffinity_np(mine, ctypes.c_size_t(128), mask) == 0
    assert libc.pthread_setaffinity_np(mine, ctypes.c_size_t(128), mask) == 0


@check
def ipc_notices_and_attributes():
    libc = ctypes.CDLL(None)
    semaphore = libc.semget(0, 1, 0o600)
    assert semaphore >= 0
    raise_it = struct.pack("Hhh", 0, 1, 0)
    assert libc.semop(semaphore, raise_it, 1) == 0
    assert libc.semctl(semaphore, 0, 0) == 0
    assert libc.inotify_init1(0) >= 0
    Path("file").touch()
    assert os.listxattr("file") is not None
    try:
        os.getxattr("file", "user.none")
    except OSError as error:
        assert error.errno in (errno.ENODATA, errno.EOPNOTSUPP)


@check
def bash_job_control():
    assert shell("set -m; sleep 60 & kill %1; wait %1; echo $?") == "143\n"
    assert shell("set -m; sleep 60 & jobs | wc -l; kill -STOP %1; kill -CONT %1; kill %1") == "1\n"
    assert shell("set -m; (exit 4) & wait %1; echo $?") == "4\n"


@check
def bash_pipes_and_limits():
    assert shell("seq 1000 | tee copy | sort -rn | head -1; cat copy | wc -l") == "1000\n1000\n"
    assert shell("ulimit -n 32; ulimit -S -c 0; ulimit -n") == "32\n"
    assert shell("diff <(echo a) <(echo a) && cat <<< here") == "here\n"
    assert shell("trap 'echo caught' USR1; kill -USR1 $$; umask 077; nice -n 5 nice") == "caught\n5\n"


@check
def coreutils():
    steps = (
        "mkdir -p d/e && seq 9 > d/e/f && cp -a d c && cp --sparse=always d/e/f g && mv g h && ln -s h i",
        "ls -laR --color=always . && stat . && df . && du -s .",
        "tar cf t.tar d && tar xf t.tar -C c && timeout 9 sha256sum t.tar",
        "dd if=d/e/f of=x bs=1 status=none && truncate -s 9 x && sync && sync x && chmod 600 x && touch x",
        "mkfifo p && find . -name f | xargs -P2 -n1 cat && yes | head -c 1000000 | cat && rm -r d c",
    )
    for step in steps:
        shell(step)


@check
def flock_program():
    shell("flock lockfile true", program="bash")


@check
def node_threads_processes_and_loopback():
    shell(
        """
        const {Worker} = require('worker_threads'), http = require('http'), fs = require('fs');
        const {execFileSync} = require('child_process');
        if (execFileSync('echo', ['x']).toString() !== 'x\\n') throw 1;
        fs.cpSync(process.execPath, 'node-copy'); fs.rmSync('node-copy');
        os = require('os'); os.setPriority(5); os.networkInterfaces(); os.cpus();
        new Worker('require("worker_threads").parentPort.postMessage(7)', {eval: true}).on('message', n => {
          if (n !== 7) throw 2;
          const server = http.createServer((q, a) => a.end('hello')).listen(0, '127.0.0.1', () =>
            http.get({port: server.address().port, host: '127.0.0.1'}, a => a.on('data', d => {
              console.log(d.toString()); process.exit(d.toString() === 'hello' ? 0 : 3); })));
        });
        """,
        program="node",
        flag="-e",
    )


@check
def git():
    if shutil.which("git") is None:
        raise Absent
    shell(
        "export HOME=$PWD; git init -q -b main r && cd r && git config user.email a@example.org && "
        "git config user.name a && seq 999 > f && git add f && git commit -qm one && git gc -q && "
        "git clone -q . ../s"
    )


def answer(function):
    try:
        function()
    except Absent:
        return "absent"
    except Exception as error:  # noqa: BLE001 -- what went wrong is the answer
        return f"{type(error).__name__}: {error}"
    return "ok"


if __name__ == "__main__":
    os.environ["HOME"] = str(Path.cwd())
    answers = {}
    for name in sys.argv[1:] or CHECKS:
        with tempfile.TemporaryDirectory(dir=".") as folder, contextlib.chdir(folder):
            answers[name] = answer(CHECKS[name])
    print(json.dumps(answers))
