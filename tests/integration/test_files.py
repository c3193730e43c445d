"""Files into the workspace and out of it, on a real engine: many, odd and hostile ones."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from sandbox_runner import Config, InputFile, Limits, Runner, RunRequest, run
from sandbox_runner.errors import InvalidRequest, LimitExceeded

pytestmark = pytest.mark.timeout(180)

MIB = 1 << 20


def in_folder(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


# Into the workspace.

ODD_NAMES = [
    "-rf",
    "a\nb",
    "x" * 255,
    "é" * 127,
    "\u202egnp.exe",
    " ",
    "*",
    "...",
    "~",
    "$(id)",
    "a\\b",
    "C:",
]


def test_ten_thousand_files_arrive_with_their_names_bytes_and_modes():
    files = [InputFile(f"many/{n % 100}/{n}", b"%d" % n, 0o640 if n % 2 else 0o755) for n in range(9_900)]
    files += [InputFile(f"odd/{name}", name.encode() + b"\0\xff", 0o600) for name in ODD_NAMES]
    code = (
        "import hashlib, os\nlines = []\n"
        "for root, folders, names in os.walk(b'.'):\n"
        "    for name in names:\n"
        "        path = os.path.join(root, name)\n"
        "        state = os.stat(path)\n"
        "        assert state.st_uid == os.getuid() != 0\n"
        "        data = open(path, 'rb').read()\n"
        "        lines.append(repr((path[2:], state.st_mode & 0o7777, hashlib.sha256(data).hexdigest())))\n"
        "print(len(lines), hashlib.sha256('\\n'.join(sorted(lines)).encode()).hexdigest())\n"
    )
    result = run(code, files=files, limits=Limits(wall_time=60))
    everything = [*files, InputFile("main.py", code.encode())]
    lines = [repr((f.path.encode(), f.mode, hashlib.sha256(f.data).hexdigest())) for f in everything]
    digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert result.stdout == f"{len(lines)} {digest}\n", result.stderr


def test_more_files_than_the_workspace_has_places_for_are_refused():
    files = [InputFile(f"{n}/file", b"") for n in range(9_000)]  # and as many folders
    with pytest.raises(InvalidRequest, match="do not fit into the workspace"):
        run("1", files=files)


def test_more_files_than_the_ceiling_are_refused_by_the_command_line_before_they_are_read(
    tmp_path, sandbox_runner
):
    for number in range(12):
        (tmp_path / str(number)).write_text("x")
    words = ("--set", "max_files=10", "--file", f"{tmp_path}:in", "-c", "1")
    refused = sandbox_runner("run", *words)
    assert refused.returncode == 2
    assert "more files than the ceiling max_files of 10; send an archive" in refused.stderr


def test_a_link_that_leads_out_of_a_given_folder_is_refused_and_one_within_is_a_file(
    tmp_path, sandbox_runner
):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/real").write_text("here")
    (tmp_path / "in/near").symlink_to("real")
    words = ("run", "--file", f"{tmp_path}/in", "--", "sh", "-c", "cat in/near")
    assert sandbox_runner(*words).stdout == "here"
    (tmp_path / "in/secret").symlink_to("/etc/hostname")
    refused = sandbox_runner(*words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "secret is a link that leads out of" in refused.stderr


def test_a_zip_bomb_is_only_bytes_until_it_meets_the_limit_of_the_workspace():
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(64 * MIB))
    assert len(bomb.getvalue()) < MIB
    code = "import zipfile\nzipfile.ZipFile('bomb.zip').extractall('.')"
    result = run(code, files=[InputFile("bomb.zip", bomb.getvalue())], limits=Limits(workspace="8m"))
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "workspace" in result.limits_hit


# Out of the workspace.

LEAVES = """
import os, socket
for folder in ('plots/deep', 'empty'):
    os.makedirs(folder)
open('plots/a.csv', 'w').write('1,2')
open('plots/deep/b.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n')
open('given', 'a').write('!')
open('-rf', 'w').write('plain')
open('a\\nb', 'w').write('odd')
os.chmod('plots/a.csv', 0o4777)
os.symlink('/etc/passwd', 'link')
os.symlink('plots', 'folder-link')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 200 << 20)
open('barred', 'w').write('x')
os.chmod('barred', 0)
"""


def test_what_changed_lands_in_the_folder_and_what_is_no_plain_file_is_counted(tmp_path):
    files = [InputFile("given", b"here"), InputFile("same", b"same"), InputFile("plots/same", b"same")]
    (tmp_path / "unrelated").write_text("mine")

    async def main():
        async with Runner.open(Config(max_out_file=100 * MIB)) as runner:
            request = RunRequest(language="python", code=LEAVES, files=files, out=tmp_path)
            return await runner.run(request)

    import anyio

    result = anyio.run(main)
    assert (result.stderr, result.exit_code) == ("", 0)
    written = {
        "-rf": b"plain", "given": b"here!", "plots/a.csv": b"1,2", "plots/deep/b.png": b"\x89PNG\r\n\x1a\n",
    }  # fmt: skip
    assert in_folder(tmp_path) == {**written, "unrelated": b"mine"}
    assert {artifact.path: artifact.data for artifact in result.artifacts} == written
    assert result.artifacts_omitted == 7  # a\nb, link, folder-link, fifo, socket, sparse, barred
    described = {each["path"]: each for each in result.as_dict()["artifacts"]}
    assert described["plots/a.csv"] == {
        "path": "plots/a.csv", "size": 3, "type": "text/csv", "sha256": hashlib.sha256(b"1,2").hexdigest(),
        "file": str(tmp_path / "plots/a.csv"), "executable": True,
    }  # fmt: skip
    assert not (tmp_path / "empty").exists()


MODES = """
import os
for number, mode in enumerate((0o644, 0o755, 0o4755, 0o6777, 0o2644, 0o1500, 0o444, 0o611)):
    open(f'{number}', 'w').write(oct(mode))
    os.chmod(f'{number}', mode)
assert os.stat('3').st_mode & 0o7777 == 0o6777
"""


def test_of_modes_no_more_comes_back_than_whether_it_is_a_program(tmp_path):
    """The attack: a file that would run with the rights of who took it, or that others may write."""
    former = os.umask(0o022)
    try:
        result = run(MODES, out=tmp_path)
    finally:
        os.umask(former)
    assert (result.stderr, result.artifacts_omitted) == ("", 0)
    modes = [(tmp_path / f"{number}").stat().st_mode & 0o7777 for number in range(8)]
    assert modes == [0o644, 0o755, 0o755, 0o755, 0o644, 0o755, 0o644, 0o644]
    assert [artifact.executable for artifact in result.artifacts] == [mode == 0o755 for mode in modes]


def test_links_in_the_folder_are_not_followed(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.mkdir()
    (victim / "file").write_text("mine")
    (out / "folder").symlink_to(victim)
    (out / "file").symlink_to(victim / "file")
    code = (
        "import os; os.mkdir('folder'); open('folder/file', 'w').write('x'); open('file', 'w').write('new')"
    )
    result = run(code, out=out)
    assert in_folder(victim) == {"file": b"mine"}
    assert ([artifact.path for artifact in result.artifacts], result.artifacts_omitted) == (["file"], 1)
    assert not (out / "file").is_symlink()


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "while True: pass", "os.kill(0, 9)"])
def test_files_land_however_the_program_ended(tmp_path, end):
    result = run(f"import os\nopen('x', 'w').write('kept')\n{end}", out=tmp_path, limits=Limits(wall_time=2))
    assert result.status in ("signaled", "timed_out")
    assert in_folder(tmp_path) == {"x": b"kept"}


def test_a_terabyte_that_is_none_is_left_out_without_being_read(tmp_path):
    code = (
        "import os, resource\nfile = os.open('x', os.O_CREAT | os.O_RDWR)\n"
        "try: os.truncate(file, 1 << 40)\nexcept OSError as error: print(error.strerror)\n"
        "os.truncate(file, 256 << 20)"
    )
    result = run(code, artifacts=["**"])
    assert (result.stdout, result.artifacts, result.artifacts_omitted) == ("File too large\n", (), 1)


def peak_memory(megabytes: int, out: Path) -> int:
    """The most memory, in bytes, that a process takes to receive a file of that size."""
    code = f"open('x', 'wb').write(bytes({megabytes} << 20))"
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom sandbox_runner import Limits, run\n"
        f"[artifact] = run({code!r}, out=Path(sys.argv[1]), limits=Limits(memory='1g')).artifacts\n"
        "print(artifact.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)], capture_output=True, text=True, timeout=120, check=True
    )
    size, peak = map(int, done.stdout.split())
    assert size == megabytes << 20 == (out / "x").stat().st_size
    return peak << 10


def test_a_large_file_goes_to_the_folder_without_being_held_in_memory(tmp_path):
    grown = peak_memory(200, tmp_path / "large") - peak_memory(1, tmp_path / "small")
    assert grown < 16 * MIB


# Archives: each is malicious, and each comes back as one plain file.

ARCHIVES = """
import io, tarfile, zipfile
def member(name, kind=tarfile.REGTYPE, link='', size=0, **extra):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    info.pax_headers = extra
    return info
with tarfile.open('bad.tar', 'w', format=tarfile.PAX_FORMAT) as tar:
    for name in ('../escaped', '/tmp/escaped', 'a/../../escaped', 'twice', 'twice'):
        tar.addfile(member(name, size=4), io.BytesIO(b'evil'))
    tar.addfile(member('link', tarfile.SYMTYPE, '/etc/passwd'))
    tar.addfile(member('way', tarfile.SYMTYPE, '..'))
    tar.addfile(member('way/escaped', size=4), io.BytesIO(b'evil'))
    tar.addfile(member('hard', tarfile.LNKTYPE, '/etc/passwd'))
    tar.addfile(member('device', tarfile.CHRTYPE))
    tar.addfile(member('long', comment='x' * (1 << 20)))
with zipfile.ZipFile('bad.zip', 'w') as archive:
    archive.writestr('../escaped', 'evil')
    archive.writestr('zeros', bytes(8 << 20), zipfile.ZIP_DEFLATED)
"""


def test_an_archive_comes_back_as_the_file_that_it_is(tmp_path):
    out = tmp_path / "a" / "out"
    result = run(ARCHIVES, out=out)
    assert (result.stderr, result.artifacts_omitted) == ("", 0)
    assert sorted(in_folder(tmp_path)) == ["a/out/bad.tar", "a/out/bad.zip"]
    assert [artifact.type for artifact in result.artifacts] == ["application/x-tar", "application/zip"]
    # It is malicious indeed: who unpacks it, and trusts it, writes outside.
    inner = tmp_path / "b" / "c"
    inner.mkdir(parents=True)
    with tarfile.open(out / "bad.tar") as archive:
        archive.extraction_filter = lambda member, _: member  # Python 3.11.2 has no filters
        archive.extract(archive.next(), inner)
    assert (tmp_path / "b/escaped").read_bytes() == b"evil"


# The command line.


def test_the_command_line_writes_what_changed_and_says_so(tmp_path, sandbox_runner):
    out = tmp_path / "out"
    code = "import os; os.mkdir('p'); open('p/a.csv', 'w').write('1'); open('b', 'w'); os.symlink('b', 'c')"
    done = sandbox_runner("run", "--out", str(out), "-c", f"{code}; print('own')")
    assert (done.returncode, done.stdout) == (0, "own\n")
    assert f"sandbox-runner: wrote {out}/p/a.csv (text/csv, 1 bytes)\n" in done.stderr
    assert f"sandbox-runner: wrote {out}/b (text/plain, 0 bytes)\n" in done.stderr
    assert "sandbox-runner: left out 1: links and other special files" in done.stderr
    assert in_folder(out) == {"p/a.csv": b"1", "b": b""}


def test_the_command_line_writes_what_a_pattern_means_and_tells_it_as_json(tmp_path, sandbox_runner):
    words = ("--out", str(tmp_path), "--artifact", "*.csv", "--artifact", "p/**", "--json")
    done = sandbox_runner("run", *words, "--", "bash", "-c", "mkdir p q; touch a.csv a.txt p/x q/y.csv")
    listed = json.loads(done.stdout)["artifacts"]
    assert sorted(in_folder(tmp_path)) == ["a.csv", "p/x"] == sorted(each["path"] for each in listed)
    assert (done.stderr, listed[0]["file"]) == ("", str(tmp_path / listed[0]["path"]))


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--artifact", "*.csv"), "add --out DIR"),
        (("--out", "taken"), "taken is there and is no folder"),
        (("--out", "o", "--artifact", "../x"), "'../x' is not a pattern"),
    ],
)
def test_the_command_line_refuses_what_makes_no_sense(tmp_path, sandbox_runner, words, fragment):
    (tmp_path / "taken").write_text("x")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    refused = sandbox_runner("run", *words, "-c", "1", cwd=tmp_path, env=environment)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert fragment in refused.stderr


def test_an_image_without_the_agent_says_that_no_file_comes_back(debian, tmp_path):
    for asked in ({"artifacts": ["*"]}, {"out": tmp_path}):
        with pytest.raises(InvalidRequest, match="no file can come back from it"):
            run(command=["touch", "x.png"], image=debian.reference, **asked)


def test_more_files_than_the_ceiling_are_refused_from_python():
    with pytest.raises(LimitExceeded, match="max_files of 10000; send an archive"):
        run("1", files=[InputFile(str(n), b"") for n in range(10_001)])
