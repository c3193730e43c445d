"""The program runs under PID 1's own user id, and yet cannot read, stop or imitate it.

Each attack is run against an agent that does not seal itself, too: there it succeeds.
"""

import pytest
from agent_client import PYTHON, AgentContainer, StartAgent
from weakened import UNSEALED_HONESTLY, weakened_argv

from sandbox_runner.agent import protocol
from sandbox_runner.hardening import AGENT_ARGV

_LIBC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
"""

# Each prints GOT IN, or fails with EPERM or EACCES.
ATTACKS = {
    "opening its stdout": "import os; os.open('/proc/1/fd/1', os.O_WRONLY); print('GOT IN')",
    "opening its stdin": "import os; os.open('/proc/1/fd/0', os.O_RDONLY); print('GOT IN')",
    "opening its memory": "import os; os.open('/proc/1/mem', os.O_RDWR); print('GOT IN')",
    "reading its environment": (
        "data = open('/proc/1/environ', 'rb').read(); print('GOT IN' if b'of-pid-1' in data else data)"
    ),
    "reading its memory map": "print('GOT IN' if 'heap' in open('/proc/1/maps').read() else '')",
    "tracing it": _LIBC + "check(libc.ptrace(0x4206, 1, None, None)); print('GOT IN')",
    "process_vm_readv": _LIBC + """
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
try:
    address = next(int(line.split("-")[0], 16) for line in open("/proc/1/maps") if " rw-p " in line)
except PermissionError:
    address = 4096
data = ctypes.create_string_buffer(16)
here, there = Piece(ctypes.addressof(data), 16), Piece(address, 16)
check(libc.process_vm_readv(1, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)); print('GOT IN')
""",
    "taking its descriptor": _LIBC + """
check(libc.syscall(438, os.pidfd_open(1), 1, 0)); print('GOT IN')
""",
    "lowering its OOM rank": "open('/proc/1/oom_score_adj', 'w').write('1000'); print('GOT IN')",
}  # fmt: skip

FORGED = protocol.Exit(**dict.fromkeys(protocol.Exit.FIELDS, 0) | {"status": 99})
FORGERY = f"""
import os
os.write(os.open('/proc/1/fd/1', os.O_WRONLY), {protocol.frame(protocol.EXIT, 1, FORGED.pack())!r})
"""

UNTOUCHED = ("opening its memory", "tracing it", "process_vm_readv", "taking its descriptor")


def test_hello_says_whether_the_agent_is_sealed(start_agent: StartAgent) -> None:
    assert start_agent().greet() == protocol.UNDUMPABLE
    assert start_agent(pid1=weakened_argv(*UNSEALED_HONESTLY)).greet() == 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_pid_1_is_refused(agent: AgentContainer, attack: str) -> None:
    result = agent.run([*PYTHON, ATTACKS[attack]])
    assert b"GOT IN" not in result.stdout
    assert b"PermissionError" in result.stderr


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_attack_succeeds_on_an_agent_that_is_not_sealed(
    start_agent: StartAgent, attack: str
) -> None:
    agent = start_agent(pid1=weakened_argv(*UNSEALED_HONESTLY))
    agent.greet()
    yama = _yama(agent)
    if attack in UNTOUCHED and yama:
        # The host's Yama forbids tracing what is not a descendant, sealed or not.
        assert b"PermissionError" in agent.run([*PYTHON, ATTACKS[attack]], job=2).stderr
    else:
        assert b"GOT IN" in agent.run([*PYTHON, ATTACKS[attack]], job=2).stdout


def _yama(agent: AgentContainer) -> bool:
    shown = agent.run(["cat", "/proc/sys/kernel/yama/ptrace_scope"]).stdout
    return shown.strip() not in (b"", b"0")


def test_a_forged_exit_reaches_the_host_only_from_an_unsealed_agent(start_agent: StartAgent) -> None:
    sealed, unsealed = start_agent(), start_agent(pid1=weakened_argv(*UNSEALED_HONESTLY))
    sealed.greet()
    unsealed.greet()
    assert sealed.run([*PYTHON, FORGERY]).end.status == 1
    assert unsealed.run([*PYTHON, FORGERY]).end.status == 99


def test_no_signal_ends_or_stops_pid_1(agent: AgentContainer) -> None:
    code = """
import os, signal
for number in signal.valid_signals():
    for _ in range(3): os.kill(1, number)
print("still here")
"""
    assert agent.run([*PYTHON, code]).stdout == b"still here\n"
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


def test_a_descriptor_that_signals_its_owner_does_not_end_pid_1(agent: AgentContainer) -> None:
    code = """
import fcntl, os, signal
for number in (0, signal.SIGKILL, signal.SIGSTOP, signal.SIGIO, signal.SIGUSR1, signal.SIGRTMIN):
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, 1)
    fcntl.fcntl(reader, 10, number)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")
print("still here")
"""
    assert agent.run([*PYTHON, code]).stdout == b"still here\n"
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


def test_killing_all_processes_reaches_only_the_program(agent: AgentContainer) -> None:
    result = agent.run(["sh", "-c", "kill -9 -1; kill -STOP 1; kill -9 $$"])
    assert (result.end.cause, result.end.status) == (protocol.SIGNALED, 9)


def test_lowering_the_limits_of_pid_1_neither_ends_it_nor_hides_the_outcome(agent: AgentContainer) -> None:
    code = """
import resource, os
for name in dir(resource):
    if name.startswith("RLIMIT_") and name != "RLIMIT_CPU":
        try: resource.prlimit(1, getattr(resource, name), (0, 0))
        except (OSError, ValueError) as error: print(name, error)
print("x" * 300000, end="")
os._exit(7)
"""
    result = agent.run([*PYTHON, code])
    assert (result.end.cause, result.end.status) == (protocol.EXITED, 7)
    assert bytes(result.stdout) == b"x" * 300000


def test_pid_1_is_preferred_to_the_program_where_memory_runs_out(agent: AgentContainer) -> None:
    agent.start(["sh", "-c", "read go; cat /proc/self/oom_score_adj /proc/1/oom_score_adj"])
    assert agent.receive()[0] == protocol.STARTED  # until then PID 1 may not have lowered its own again
    agent.send(protocol.STDIN, b"go\n")
    shown = agent.finish().stdout.split()
    assert int(shown[0]) == 1000
    assert int(shown[1]) < 1000


def test_the_agent_refuses_to_be_anything_but_pid_1(agent: AgentContainer) -> None:
    result = agent.run(AGENT_ARGV)
    assert result.end.status == 1
    assert b"PID 1 of a container" in result.stderr
