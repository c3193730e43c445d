"""Files of a session: the command that looks after them, in a real container, whatever lies there.

Each operation is a command of its own container here, after a script that lays out the workspace.
"""

import re
import tarfile
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO

import pytest

from sandbox_runner import Config, Limits, Runner, RunRequest
from sandbox_runner.errors import InvalidRequest, LimitExceeded
from sandbox_runner.sessions import workspace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

MOST = 1 << 20
LAID_OUT = """
mkdir -p folder/deeper; printf 'hello world' > folder/deeper/file; printf x > -rf; printf y > $'two\\nlines'
name=$(printf 'ü%.0s' {1..127}); printf z > "$name"; printf bad > $'\\xff\\xfe'
ln -s /etc/passwd out; ln -s / root; ln -s folder inside; ln -s nowhere broken; mkfifo fifo
truncate -s 200M sparse; printf s > secret; chmod 0 secret
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
"""


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def runner():
    async with Runner.open(pool=True) as runner:
        yield runner


@pytest.fixture
def after(runner):
    """A Command for `workspace`, each in a container of its own after ``script``; ``then`` comes last."""

    def made(script, *, then="", size=None):
        @asynccontextmanager
        async def command(argv, *, stdin, limits):
            limits = replace(limits, workspace=size)
            words = ["bash", "-c", f'{script}\n"$@" || exit; {then}', "bash", *argv]
            request = RunRequest(command=words, stdin=stdin, limits=limits)
            async with runner.stream(request, lossless=True) as run:
                yield run

        return command

    return made


async def test_a_folder_is_listed_with_all_kinds_of_entries(after):
    listing = await workspace.list_files(after(LAID_OUT))
    kinds = {entry.name: entry.kind for entry in listing.entries}
    assert kinds.pop("ü" * 127) == "file"
    assert kinds == {
        "-rf": "file", "two\nlines": "file", "\ufffd\ufffd": "file", "broken": "link", "fifo": "fifo",
        "folder": "folder", "inside": "link", "out": "link", "root": "link", "secret": "file",
        "socket": "socket", "sparse": "file",
    }  # fmt: skip
    assert listing.total == len(listing.entries)
    assert {entry.name: entry.size for entry in listing.entries}["sparse"] == 200 << 20


async def test_ten_thousand_files_are_listed_in_parts(after):
    command = after("seq -f f%05g 0 9999 | xargs touch")
    listing = await workspace.list_files(command, offset=9990, count=20)
    assert [entry.name for entry in listing.entries] == [f"f{number:05}" for number in range(9990, 10000)]
    assert (listing.total, listing.offset) == (10000, 9990)
    assert len((await workspace.list_files(command)).entries) == workspace.MAX_LISTED


@pytest.mark.parametrize(
    "path", ["folder/deeper/file", "/workspace/folder/deeper/file", "./folder//deeper/file"]
)
async def test_a_file_is_read_whole_or_in_part(after, path):
    part = await workspace.read_file(after(LAID_OUT), path, most=MOST)
    assert (part.data, part.total) == (b"hello world", 11)
    part = await workspace.read_file(after(LAID_OUT), path, offset=6, size=3, most=MOST)
    assert (part.data, part.offset, part.total) == (b"wor", 6, 11)


@pytest.mark.parametrize(("path", "content"), [("-rf", b"x"), ("two\nlines", b"y"), ("ü" * 127, b"z")])
async def test_a_file_of_any_name_is_read(after, path, content):
    assert (await workspace.read_file(after(LAID_OUT), path, most=MOST)).data == content


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("out", "a link to /etc/passwd"),
        ("root/etc/passwd", "a link to /"),
        ("inside/deeper/file", "a link to folder"),
        ("fifo", "is a fifo"),
        ("socket", "is a socket"),
        ("folder", "is a folder"),
        ("nothing", "There is no 'nothing'"),
        ("secret/deeper", "is no folder"),
        ("secret", "may not be touched"),
        ("../etc/passwd", "leaves the workspace"),
        ("/etc/passwd", "leaves the workspace"),
        ("n" * 300, "too long"),
        ("nul\0", "not a file's name"),
    ],
)
async def test_what_is_no_file_of_the_workspace_is_not_read(after, path, words):
    with pytest.raises(InvalidRequest, match=words):
        await workspace.read_file(after(LAID_OUT), path, most=MOST)


async def test_a_large_file_is_read_in_parts_only(after):
    with pytest.raises(LimitExceeded, match="read it in parts"):
        await workspace.read_file(after(LAID_OUT), "sparse", most=MOST)
    part = await workspace.read_file(after(LAID_OUT), "sparse", offset=100 << 20, size=MOST, most=MOST)
    assert part.data == bytes(MOST)
    assert part.total == 200 << 20


async def test_a_file_beyond_the_workspace_cannot_be_made_in_the_first_place(runner):
    result = await runner.run(RunRequest(command=["truncate", "-s", "1T", "giant"]))
    assert not result.ok


async def test_a_file_is_written_with_its_folders_and_its_mode(after):
    command = after("", then="stat -c %a a/b/tool >&2; ./a/b/tool >&2; ls -A a/b >&2; exit 9")
    with pytest.raises(InvalidRequest, match="exit code 9"):
        await workspace.write_file(command, "a/b/tool", b"#!/bin/sh\necho ran", mode=0o755, most=MOST)


@pytest.mark.parametrize(
    ("path", "then"),
    [
        ("-rf", '[ "$(cat ./-rf)" = new ]'),
        ("out", '[ ! -L out ] && [ "$(cat out)" = new ]'),
        ("fifo", '[ "$(cat fifo)" = new ]'),
        ("two\nlines", "[ \"$(cat $'two\\nlines')\" = new ]"),
        ("secret", '[ "$(cat secret)" = new ]'),
    ],
)
async def test_a_file_is_written_in_place_of_whatever_was_there(after, path, then):
    await workspace.write_file(after(LAID_OUT, then=then), path, b"new", most=MOST)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("folder", "is a folder"),
        ("root/tmp/file", "a link to /"),
        ("secret/file", "is no folder"),
        ("../file", "leaves the workspace"),
        ("folder/" + "n" * 300, "too long"),
    ],
)
async def test_a_file_cannot_be_written_where_it_has_no_place(after, path, words):
    with pytest.raises(InvalidRequest, match=words):
        await workspace.write_file(after(LAID_OUT), path, b"new", most=MOST)


KILLED = """
mkfifo /tmp/fed
printf old > there
for name in there new; do
    {program} write $name 644 2000000 < /tmp/fed &
    exec 3> /tmp/fed
    head -c 1000000 /dev/zero >&3  # returns when all but the pipe's 64 KiB have been read
    kill -9 $!
    wait $!
    exec 3>&-
done
echo $(ls -A) $(cat there)
printf x | {program} write after 644 1 >&2
echo $(ls -A)
"""


@pytest.mark.parametrize("engine", ["docker", "oci", "docker-runsc", "oci-runsc"])
async def test_of_a_write_that_is_killed_midway_nothing_is_left(request, engine):
    """Under gVisor, which knows no file without a name, until the next write there."""
    kind, _, runtime = engine.partition("-")
    address = request.getfixturevalue("gvisor_address") if engine == "docker-runsc" else None
    script = KILLED.format(program=" ".join(workspace._PROGRAM))
    async with Runner.open(Config(engine=kind, docker_host=address, oci_runtime=runtime or None)) as runner:
        result = await runner.run(RunRequest(command=["bash", "-c", script]))
    left, then = result.stdout.splitlines()
    assert left == "there old" or (runtime and re.fullmatch(r"\.sandbox-runner-\d+ there old", left))
    assert then == "after there", result.stderr


async def test_a_full_workspace_is_told_and_leaves_no_half_file(after):
    full = after("head -c 16M /dev/zero > filler 2>/dev/null || true", size=8 << 20)
    with pytest.raises(InvalidRequest, match="The workspace is full"):
        await workspace.write_file(full, "file", bytes(MOST), most=MOST)


@pytest.mark.parametrize(
    ("path", "then"),
    [
        ("-rf", "[ ! -e ./-rf ] && [ -e fifo ]"),
        ("folder", "[ ! -e folder ]"),
        ("root", "[ ! -L root ] && [ -e /etc/passwd ]"),
        ("inside", "[ -e folder/deeper/file ]"),
        ("fifo", "[ ! -e fifo ]"),
        ("two\nlines", "[ $(ls | wc -l) = 12 ]"),
    ],
)
async def test_a_file_a_link_or_a_folder_is_deleted_and_nothing_else(after, path, then):
    await workspace.delete_file(after(LAID_OUT, then=then), path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".", "cannot be deleted"),
        ("/workspace/", "cannot be deleted"),
        ("nothing", "There is no"),
        ("root/etc", "a link to /"),
        ("..", "leaves the workspace"),
    ],
)
async def test_what_is_not_there_or_is_too_much_is_not_deleted(after, path, words):
    with pytest.raises(InvalidRequest, match=words):
        await workspace.delete_file(after(LAID_OUT), path)


async def test_a_tree_that_is_thousands_of_folders_deep_is_deleted(after):
    deep = 'python3 -c \'import os\nfor _ in range(2000): os.mkdir("d"); os.chdir("d")\''
    await workspace.delete_file(after(deep, then="[ ! -e d ]"), "d")


async def packed(command, most=MOST):
    return b"".join([data async for data in workspace.pack(command, most=most)])


async def test_a_workspace_is_packed_small_and_comes_back_as_it_was(after):
    archive = await packed(after(LAID_OUT + "chmod 644 secret; ln -s -f nothing folder/link; rm socket"))
    assert len(archive) < 64 << 10  # with a sparse file of 200 MiB
    same = '[ $(ls | wc -l) = 13 ] && [ -p fifo ] && [ "$(readlink out)" = /etc/passwd ] && '
    same += '[ "$(cat folder/deeper/file)" = "hello world" ] && [ $(du -k sparse | cut -f1) -lt 100 ]'
    await workspace.unpack(after("", then=same), archive)


async def test_programs_stay_programs_in_a_snapshot_and_get_no_other_rights(after):
    archive = await packed(after("touch plain tool suid; chmod 755 tool; chmod 6755 suid; [ -u suid ]"))
    same = '[ "$(stat -c %a plain tool suid | xargs)" = "644 755 755" ]'
    await workspace.unpack(after("", then=same), archive)


async def test_a_workspace_that_is_too_large_is_not_packed(after):
    with pytest.raises(LimitExceeded, match="max_snapshot"):
        await packed(after("head -c 8M /dev/urandom > noise"))


async def test_a_file_that_cannot_be_read_is_named_when_packing(after):
    with pytest.raises(InvalidRequest, match="secret"):
        await packed(after(LAID_OUT))


async def test_what_does_not_fit_or_is_no_archive_is_not_unpacked(after):
    bomb = BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as archive:
        member = tarfile.TarInfo("bomb")
        member.size = 16 << 20
        archive.addfile(member, BytesIO(bytes(member.size)))
    assert len(bomb.getvalue()) < MOST
    with pytest.raises(InvalidRequest, match="workspace is full"):
        await workspace.unpack(after("", size=8 << 20), bomb.getvalue())
    with pytest.raises(InvalidRequest, match="That cannot be done"):
        await workspace.unpack(after(""), b"no archive at all")


async def test_an_archive_that_was_forged_lands_in_its_own_container_alone(after):
    """What packs is a program like the session's others, which can write into its pipe."""
    forged = BytesIO()
    with tarfile.open(fileobj=forged, mode="w:gz") as archive:
        for name in ("../escaped", "/tmp/absolute", "plain"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, BytesIO(b"x"))
    check = "[ -e plain ] && [ -e escaped ] && [ -e tmp/absolute ] && [ ! -e /tmp/absolute ]"
    try:
        await workspace.unpack(after("", then=check), forged.getvalue())
    except InvalidRequest as error:
        assert "'..'" in str(error)


async def test_answers_that_a_program_of_the_session_forged_are_refused():
    lines = [
        b"", b"[]\n", b"{\n", b'{"entries": -1}\n', b'{"entries": true}\n', b'{"entries": 1e99}\n',
        b'{"entries": 1}\n{"name": 5}\n', b'{"entries": 1}\n' + b"[" * 100_000,
        b'{"entries": 1}\n{"name": "a", "kind": "device", "size": 1, "mode": 1, "modified": 1}\n',
        b'{"entries": 1}\n{"name": "a", "kind": "file", "size": 1, "mode": 1, "modified": NaN}\n',
        b'{"entries": 2}\n' + 2 * b'{"name": "a", "kind": "file", "size": 1, "mode": 1, "modified": 1}\n',
    ]  # fmt: skip
    entry = b'{"name": "%s", "kind": "file", "size": 1, "mode": 1, "modified": 1}\n'
    names = (b"../../.bashrc", b"/etc/passwd", b"..", b".", b"", b"a\\u0000b")
    for line in (*lines, *(b'{"entries": 1}\n' + entry % name for name in names)):
        with pytest.raises(InvalidRequest, match="makes no sense"):
            await workspace.list_files(answering(line), count=1)
    for line in (b"", b'{"size": 1}\nab', b"x" * 100_000, b'{"size": "1"}\n'):
        with pytest.raises(InvalidRequest, match="makes no sense"):
            await workspace.read_file(answering(line), "file", size=1, most=1)


def answering(printed):
    from sandbox_runner.testing import Reply, fake_runner

    @asynccontextmanager
    async def command(argv, *, stdin, limits):
        async with fake_runner(lambda job: Reply(stdout=printed)) as runner:
            async with runner.stream(RunRequest(command=argv, limits=Limits()), lossless=True) as run:
                yield run

    return command
