"""Files and a value come back when the program is over, and nothing put there leads elsewhere."""

import pytest
from agent_client import PYTHON, AgentContainer

from sandbox_runner.agent import protocol
from sandbox_runner.agent.protocol import MAX_RETURNED, MAX_VALUE

MIB = 1 << 20
MAX_ARTIFACT = 4 * MIB  # unless a test says another
READ_VALUE = "import os; print(os.pread(3, 9, 0), os.read(3, 1 << 21)[:9]); "


def test_files_that_match_come_back_the_shorter_names_first(agent: AgentContainer) -> None:
    code = "[open(name, 'w').write(name) for name in ('b.png', 'a10.png', 'a9.png', '.png', 'x.txt')]"
    result = agent.run([*PYTHON, code + "; print('out')"], artifacts=["*.png"])
    assert [(name, bytes(data)) for name, data in result.files.items()] == [
        (name, name) for name in (b".png", b"b.png", b"a9.png", b"a10.png")
    ]
    assert result.kinds[-1] == protocol.EXIT
    assert result.kinds.index(protocol.STDOUT) < result.kinds.index(protocol.ARTIFACT)
    assert (result.stdout, result.end.artifacts_omitted) == (b"out\n", 0)


def test_without_a_pattern_nothing_comes_back(agent: AgentContainer) -> None:
    assert agent.run(["touch", "x.png"]).files == {}


def test_links_pipes_sockets_and_folders_do_not_come_back(agent: AgentContainer) -> None:
    code = (
        "import os, socket; os.symlink('/etc/passwd', 'link'); os.symlink('real', 'near'); os.mkfifo('fifo');"
        "os.mkdir('folder'); open('folder/inner', 'w'); socket.socket(socket.AF_UNIX).bind('socket');"
        "os.symlink('/dev/zero', 'zero'); os.symlink('/proc/1/environ', 'environ');"
        "open('real', 'w').write('1')"
    )
    result = agent.run([*PYTHON, code], artifacts=["*"])
    assert result.files == {b"real": b"1"}
    assert (result.end.status, result.end.artifacts_omitted) == (0, 6)


def test_files_in_folders_come_back_where_a_pattern_means_them(agent: AgentContainer) -> None:
    code = (
        "import os; os.makedirs('plots/deep'); os.makedirs('other'); os.symlink('plots', 'link');"
        "[open(name, 'w').write(name) for name in"
        " ('plots/a.png', 'plots/deep/b.png', 'other/c.png', 'd.png', 'plots/e.txt')]"
    )
    for job, (patterns, names) in enumerate(
        [
            (["plots/*.png"], [b"plots/a.png"]),
            (["plots/**/*.png"], [b"plots/a.png", b"plots/deep/b.png"]),
            (["**/c.*", "*"], [b"d.png", b"other/c.png"]),
        ],
        start=1,
    ):
        result = agent.run([*PYTHON, f"import shutil, os\nif os.path.exists('plots'):\n"
            f" shutil.rmtree('plots'); shutil.rmtree('other'); os.unlink('link')\n{code}"],
            artifacts=patterns, job=job,
        )  # fmt: skip
        assert {name: bytes(data) for name, data in result.files.items()} == {name: name for name in names}
        assert list(result.files) == names


def test_what_was_there_before_comes_back_only_where_it_was_altered(agent: AgentContainer) -> None:
    for name in ("same", "folder/same", "rewritten", "replaced", "moved", "folder/longer"):
        agent.send_file(name, b"1")
    code = (
        "import os; open('rewritten', 'r+').write('2');"
        "open('t', 'w').write('3'); os.rename('t', 'replaced');"
        "os.rename('moved', 'elsewhere'); open('folder/longer', 'a').write('1'); open('new', 'w');"
        "open('same').read(); os.symlink('same', 'link')"
    )
    result = agent.run([*PYTHON, code], artifacts=["**"])
    assert {name: bytes(data) for name, data in result.files.items()} == {
        b"rewritten": b"2", b"replaced": b"3", b"elsewhere": b"1", b"folder/longer": b"11", b"new": b"",
    }  # fmt: skip
    assert result.end.artifacts_omitted == 1
    again = agent.run([*PYTHON, "open('new', 'w').write('x')"], artifacts=["**"], job=2)
    assert {name: bytes(data) for name, data in again.files.items()} == {b"new": b"x"}
    assert again.end.artifacts_omitted == 0


def test_a_change_in_the_very_moment_after_is_seen(agent: AgentContainer) -> None:
    """The kernel's clock stands still for milliseconds, so that two changes may have the same time."""
    agent.run(["sh", "-c", "printf 1 >x"])
    for job in range(2, 12):
        result = agent.run(["sh", "-c", f"printf {job % 10} >x"], artifacts=["x"], job=job)
        assert result.files == {b"x": b"%d" % (job % 10)}


def test_of_a_files_mode_it_is_told_whether_its_owner_may_execute_it(agent: AgentContainer) -> None:
    result = agent.run(
        ["sh", "-c", "touch a b c d; chmod 755 a; chmod 4700 b; chmod 6655 c"], artifacts=["*"]
    )
    assert (list(result.files), result.executable) == ([b"a", b"b", b"c", b"d"], [b"a", b"b"])
    again = agent.run(["chmod", "+x", "c"], artifacts=["*"], job=2)
    assert (list(again.files), again.executable) == ([b"c"], [b"c"])


def test_folders_are_looked_into_only_so_deep(agent: AgentContainer) -> None:
    code = "import os\nfor depth in range(200): open('f', 'w').close(); os.mkdir('d'); os.chdir('d')"
    result = agent.run([*PYTHON, code], artifacts=["**"], artifact_count=1000)
    assert sorted(map(len, result.files)) == [2 * depth + 1 for depth in range(32)]
    assert result.end.artifacts_omitted == 1
    again = agent.run(["true"], artifacts=["**"], job=2)
    assert (again.files, again.end.artifacts_omitted) == ({}, 0)


def test_folders_that_the_program_has_barred_are_counted(agent: AgentContainer) -> None:
    code = "mkdir -p shut/in listed/in; touch shut/f listed/f listed/in/f; chmod 0 shut; chmod 444 listed"
    result = agent.run(["sh", "-c", code], artifacts=["**"])
    assert (result.files, result.end.artifacts_omitted) == ({}, 3)  # shut, listed/f, listed/in
    again = agent.run(["sh", "-c", "chmod 755 shut listed"], artifacts=["*/f"], job=2)
    assert (sorted(again.files), again.end.artifacts_omitted) == ([b"listed/f", b"shut/f"], 0)


def test_long_names_by_the_thousand_take_no_memory_of_the_agents(agent: AgentContainer) -> None:
    code = (
        "import os\nfor part in range(3):\n os.mkdir('d' * 255); os.chdir('d' * 255)\n"
        "for n in range(20_000): open(f'{n:0255}', 'w').close()"
    )
    result = agent.run([*PYTHON, code], artifacts=["**"], artifact_count=1000)
    assert len(result.files) == 1000, result.stderr
    assert result.end.artifacts_omitted == 19_000


def test_names_that_are_no_text_or_mislead_are_counted_only(agent: AgentContainer) -> None:
    code = r"[open(name, 'w') for name in (b'a\n.png', b'\xff.png', b'\x1b[2J.png', 'g\u202e.png', 'é.png')]"
    result = agent.run([*PYTHON, code], artifacts=["*.png"])
    assert list(result.files) == ["é.png".encode()]
    assert result.end.artifacts_omitted == 4


def test_what_is_too_large_or_cannot_be_read_is_counted_only(agent: AgentContainer) -> None:
    code = (
        "import os; open('a', 'w').truncate(4 << 20); open('b', 'w').truncate((4 << 20) + 1);"
        "open('c', 'w').truncate(200 << 20); open('d', 'w').write('x'); os.chmod('d', 0);"
        "open('e', 'w').truncate(4 << 20); open('f', 'w').write('no room'); open('g', 'w')"
    )
    result = agent.run([*PYTHON, code], artifacts=["?"])
    assert {name: len(data) for name, data in result.files.items()} == {
        b"a": MAX_ARTIFACT, b"e": MAX_ARTIFACT, b"g": 0,
    }  # fmt: skip
    assert result.end.artifacts_omitted == 4


def test_of_ten_thousand_files_sixteen_come_back_and_the_others_are_counted(agent: AgentContainer) -> None:
    result = agent.run([*PYTHON, "[open(str(n), 'w') for n in range(10_000)]"], artifacts=["*"])
    assert list(result.files) == [b"%d" % number for number in range(16)]
    assert result.end.artifacts_omitted == 10_000 - 16


def test_the_job_says_how_much_comes_back(agent: AgentContainer) -> None:
    code = "[open(str(n), 'w').write('x' * n) for n in range(10)]"
    caps = [({"artifact_count": 3}, 3), ({"artifact_size": 4}, 5), ({"artifact_bytes": 6}, 4)]
    for job, (cap, count) in enumerate(caps, start=1):
        result = agent.run([*PYTHON, code], artifacts=["*"], job=job, **cap)
        assert list(result.files) == [b"%d" % number for number in range(count)]
        assert result.end.artifacts_omitted == 10 - count


def test_a_sparse_giant_is_left_out_by_its_size_alone(agent: AgentContainer) -> None:
    result = agent.run([*PYTHON, "open('x', 'w').truncate(1 << 40)"], artifacts=["*"], artifact_size=1 << 30)
    assert (result.files, result.end.artifacts_omitted) == ({}, 1), result.stderr


def test_only_so_many_names_are_looked_at(agent: AgentContainer) -> None:
    result = agent.run([*PYTHON, "[open(str(n), 'w').close() for n in range(40_000)]"], artifacts=["*"])
    assert result.end.artifacts_omitted == protocol.MAX_ENTRIES - 16, result.stderr


@pytest.mark.parametrize(("count", "omitted"), [(protocol.MAX_ENTRIES - 1, 0), (protocol.MAX_ENTRIES, 1)])
def test_that_there_was_more_than_is_looked_at_is_told_whatever_it_is(
    agent: AgentContainer, count: int, omitted: int
) -> None:
    result = agent.run([*PYTHON, f"[open(str(n), 'w').close() for n in range({count})]"], artifacts=["*.txt"])
    assert (result.files, result.end.artifacts_omitted) == ({}, omitted), result.stderr


@pytest.mark.parametrize(
    "last", ["os.kill(os.getpid(), 9)", "time.sleep(999)", "while True: print('x' * 999)", "b'x' * (1 << 30)"]
)
def test_files_come_back_however_the_program_ended(agent: AgentContainer, last: str) -> None:
    code = f"import os, time\nopen('x.png', 'w').write('kept')\n{last}"
    result = agent.run([*PYTHON, code], artifacts=["*.png"], wall_time=1, output=9999)
    assert result.files == {b"x.png": b"kept"}
    assert result.end.cause != protocol.EXITED


@pytest.mark.parametrize("last", ["os.chmod('.', 0)", "r.prlimit(1, r.RLIMIT_NOFILE, (3, 3))"])
def test_what_the_program_barred_does_not_come_back(agent: AgentContainer, last: str) -> None:
    code = f"import os, resource as r; open('x', 'w'); {last}"
    result = agent.run([*PYTHON, code], artifacts=["*"])
    assert (result.files, result.end.cause, result.end.status) == ({}, protocol.EXITED, 0)


def test_what_the_host_sends_meanwhile_leaves_the_files_whole(agent: AgentContainer) -> None:
    code = "[open(n, 'wb').write(bytes(range(256)) * (4 << 12)) for n in 'ab']; print('over', flush=True)"
    agent.start([*PYTHON, code], artifacts=["?"])
    kinds = []
    while protocol.STDOUT not in kinds:
        kinds.append(agent.receive()[0])
    for _ in range(200):
        agent.send(protocol.STDIN, b"x")
    agent.send(protocol.CANCEL)
    result = agent.finish()
    assert {bytes(data) for data in result.files.values()} == {bytes(range(256)) * (4 << 12)}
    assert (list(result.files), result.end.artifacts_omitted) == ([b"a", b"b"], 0)


def test_a_value_is_read_on_3_and_written_on_4(agent: AgentContainer) -> None:
    for piece in (b"[1, ", b"2]"):
        agent.send(protocol.VALUE, piece)
    result = agent.run([*PYTHON, READ_VALUE + "os.write(4, b'{}'); os.write(4, b'x' * 9)"])
    assert result.stdout == b"b'[1, 2]' b'[1, 2]'\n"
    assert result.value == b"{}" + b"x" * 9


def test_a_value_of_the_greatest_length_goes_both_ways(agent: AgentContainer) -> None:
    agent.send(protocol.VALUE, bytes(MAX_VALUE))
    result = agent.run(
        [*PYTHON, "import os; data = os.read(3, 1 << 21); os.write(4, data.replace(b'\\0', b'1'))"]
    )
    assert result.value == b"1" * MAX_VALUE


def test_what_a_program_gives_back_may_be_8_mib_and_no_byte_more(agent: AgentContainer) -> None:
    write = "import os; left = {}\nwhile left: left -= os.write(4, b'x' * min(left, 1 << 20))"
    agent.send(protocol.VALUE)
    assert agent.run([*PYTHON, write.format(MAX_RETURNED)]).value == b"x" * MAX_RETURNED
    agent.send(protocol.VALUE, job=2)
    assert agent.run([*PYTHON, write.format(MAX_RETURNED + 1)], job=2).value == b""


def test_an_empty_value_opens_the_channel_and_no_value_does_not(agent: AgentContainer) -> None:
    listing = [*PYTHON, "import os; print(*sorted(os.listdir('/proc/self/fd'))[:-1])"]
    agent.send(protocol.VALUE)
    assert agent.run(listing).stdout == b"0 1 2 3 4\n"
    assert agent.run(listing, job=2).stdout == b"0 1 2\n"


def test_the_value_of_one_job_is_not_the_next_ones(agent: AgentContainer) -> None:
    agent.send(protocol.VALUE, b"first")
    agent.run([*PYTHON, "import os; os.write(4, b'one')"])
    agent.send(protocol.VALUE, b"second", job=2)
    result = agent.run([*PYTHON, READ_VALUE], job=2)
    assert (result.stdout, result.value) == (b"b'second' b'second'\n", b"")


def test_a_value_sent_for_a_program_that_is_not_there_is_forgotten(agent: AgentContainer) -> None:
    agent.send(protocol.VALUE, b"lost")
    assert agent.run(["no-such-program"]).failed is not None
    assert (
        agent.run([*PYTHON, "import os; print(os.path.exists('/proc/self/fd/4'))"], job=2).stdout
        == b"False\n"
    )


@pytest.mark.parametrize(
    "code", ["os.ftruncate(4, (8 << 20) + 1)", "os.ftruncate(4, 1 << 28)", "os.close(4)", "1"]
)
def test_too_much_or_nothing_on_the_channel_is_no_value(agent: AgentContainer, code: str) -> None:
    agent.send(protocol.VALUE, b"1")
    result = agent.run([*PYTHON, f"import os; {code}"])
    assert (result.value, result.end.status) == (b"", 0)


def test_a_value_survives_the_program_that_was_killed(agent: AgentContainer) -> None:
    agent.send(protocol.VALUE, b"1")
    result = agent.run([*PYTHON, "import os; os.write(4, b'[7'); os.kill(0, 9)"])
    assert (result.value, result.end.cause) == (b"[7", protocol.SIGNALED)
