"""What comes out of a builder is held to be a stranger's: its files, its addresses, its messages."""

import io
import os
import tarfile

import pytest

from sandbox_runner.errors import NotPermitted
from sandbox_runner.packages import KeptPackages, conversation, kept
from sandbox_runner.packages.fetching import Fetcher
from sandbox_runner.packages.layer import LayerWriter, Refused, starts_with_python
from sandbox_runner.packages.messages import GET, HEADER, Messages, Nonsense, message
from sandbox_runner.policy.packages import PackageRules

FOLDER = "usr/lib/packages"
RULES = PackageRules(
    pip_index="https://pypi.example:8443/root/simple", npm_registry="https://npm.example/",
    hosts=("files.example",),
    ca=None, refused=("pip:evil-pkg", "npm:evil", "npm:@acme/*"), time=1, memory=1, disk=1, cache=1,
)  # fmt: skip


def layer(*files, most=1 << 20):
    archive = io.BytesIO()
    writer = LayerWriter(archive, folder=FOLDER, most=most, leaves_out=starts_with_python)
    for path, data in files:
        writer.begin(path, executable=False, size=len(data))
        writer.write(data)
    writer.finish()
    archive.seek(0)
    return tarfile.open(fileobj=archive)


@pytest.mark.parametrize(
    "path",
    [
        b"../evil", b"a/../../evil", b"/etc/evil", b"a//b", b"./a", b"a/", b"a/.", b"", b"..", b"a\0b",
        b"a\nb", b"\xff", b"x" * 256, b"a/" * 1600 + b"b", b"a\x1b[0m",
    ],
)  # fmt: skip
def test_a_file_lands_nowhere_but_in_its_folder(path):
    with pytest.raises(Refused):
        layer((path, b"evil"))


def test_the_archive_holds_plain_files_in_its_folder_and_the_folders_above():
    with layer((b"a/b/c.py", b"1"), (b"a/d.py", b"22"), (b"\xc3\xa9.py", b"")) as archive:
        entries = {entry.name: entry for entry in archive}
        assert list(entries) == [
            "usr", "usr/lib", FOLDER, f"{FOLDER}/a", f"{FOLDER}/a/b", f"{FOLDER}/a/b/c.py",
            f"{FOLDER}/a/d.py",
            f"{FOLDER}/\u00e9.py",
        ]  # fmt: skip
        assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
        assert {entry.mode for entry in entries.values()} == {0o755, 0o644}
        assert archive.extractfile(f"{FOLDER}/a/d.py").read() == b"22"


@pytest.mark.parametrize(
    "files",
    [
        ((b"a", b""), (b"a", b"")),
        ((b"a", b""), (b"a/b", b"")),
        ((b"a/b", b""), (b"a", b"")),
    ],
)
def test_no_file_takes_the_place_of_another(files):
    with pytest.raises(Refused, match="two files"):
        layer(*files)


def test_a_file_has_as_many_bytes_as_were_announced_and_all_have_a_bound():
    writer = LayerWriter(io.BytesIO(), folder=FOLDER, most=100, leaves_out=starts_with_python)
    writer.begin(b"a", executable=False, size=3)
    with pytest.raises(Refused, match="more bytes"):
        writer.write(b"1234")
    writer = LayerWriter(io.BytesIO(), folder=FOLDER, most=100, leaves_out=starts_with_python)
    writer.begin(b"a", executable=False, size=3)
    with pytest.raises(Refused, match="not whole"):
        writer.begin(b"b", executable=False, size=1)
    with pytest.raises(Refused, match="package_disk"):
        layer((b"a", b"x" * 60), (b"b", b"x" * 60), most=100)


def test_what_python_would_execute_at_its_start_is_left_out():
    hooks = [b"evil.pth", b"Evil.PTH", b"sitecustomize.py", b"usercustomize/__init__.py", b"usercustomize.so"]
    with layer(
        *((name, b"evil") for name in hooks), (b"a/ok.pth", b""), (b"sitecustomized.py", b"")
    ) as archive:
        files = [entry.name for entry in archive if entry.isfile()]
    assert files == [f"{FOLDER}/a/ok.pth", f"{FOLDER}/sitecustomized.py"]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/root/simple/x/", "http://pypi.example:8443/root/simple/x/",
        "https://pypi.example/root/simple/x/", "https://user@pypi.example:8443/x",
        "https://pypi.example:8443@evil/",
        "https://pypi.example:8443.evil.example/", "ftp://pypi.example:8443/x", "file:///etc/passwd",
        "https://files.example:444/x", "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1/", "//evil",
        "https://pypi.example:8443/\r\nHost: evil", "https://pypi.example:8443/ x", "https://pypi.example:8443/\u00e9",
        "http://files.example/x",
    ],
)  # fmt: skip
def test_the_builder_reaches_nothing_but_the_index(address):
    with pytest.raises(NotPermitted, match="package_hosts"):
        Fetcher(RULES.index("pip")).check(address)


@pytest.mark.parametrize(
    ("installer", "address"),
    [
        ("pip", "https://pypi.example:8443/root/simple/evil-pkg/"),
        ("pip", "https://pypi.example:8443/root/simple/Evil_Pkg/"),
        ("pip", "https://pypi.example:8443/root/simple/%65vil.pkg/"),
        ("pip", "https://files.example/packages/aa/evil_pkg-1.0-py3-none-any.whl"),
        ("npm", "https://npm.example/evil"),
        ("npm", "https://npm.example/evil/-/evil-1.0.0.tgz"),
        ("npm", "https://npm.example/@acme%2fx"),
        ("npm", "https://npm.example/@acme/x/-/x-1.0.0.tgz"),
    ],
)
def test_a_refused_package_is_not_fetched_whoever_needs_it(installer, address):
    with pytest.raises(NotPermitted, match="refused"):
        Fetcher(RULES.index(installer)).check(address)


def test_the_index_and_the_hosts_beside_it_are_reached():
    Fetcher(RULES.index("pip")).check("https://pypi.example:8443/root/simple/numpy/")
    Fetcher(RULES.index("pip")).check("https://files.example/packages/numpy-1.0-py3-none-any.whl")
    usual = PackageRules(**{**{name: getattr(RULES, name) for name in RULES.__slots__}, "pip_index": None})
    Fetcher(usual.index("pip")).check("https://files.pythonhosted.org/packages/numpy-1.0-py3-none-any.whl")


def test_messages_come_in_pieces_of_any_size_and_what_is_none_is_refused():
    whole = message(GET, 7, b"http://x") + message(GET, 8)
    splitter = Messages()
    found = [each for byte in whole for each in splitter.feed(bytes([byte]))]
    assert found == [(GET, 7, b"http://x"), (GET, 8, b"")]
    for header in (HEADER.pack(0, 0, 0), HEADER.pack(6, 0, 0), HEADER.pack(GET, 0, (1 << 20) + 1)):
        with pytest.raises(Nonsense):
            Messages().feed(header)


def test_what_an_installer_says_commands_no_terminal():
    assert conversation._plain(b"evil\x1b]0;title\x07 \xff\xe2\x80\xae ok") == "evil ]0;title  \ufffd  ok"


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "state_folder", lambda: tmp_path)
    for age, name in enumerate(("new", "old", "oldest")):
        record = KeptPackages(
            engine="docker", address="unix:///a", image=f"x:{name}", base="", language="", requirements=(),
            installed=(), size=10,
        )  # fmt: skip
        kept.keep(record)
        os.utime(kept._file("docker", "unix:///a", f"x:{name}"), (1000 - age, 1000 - age))
    there = ("docker", "unix:///a")
    names = [each.image for each in kept.surplus(*there, most=15, but="x:new")]
    assert names == ["x:oldest", "x:old"]
    assert kept.surplus(*there, most=30, but="x:new") == []
    assert kept.find(*there, "x:oldest") is not None
    assert [each.image for each in kept.surplus(*there, most=25, but="x:new")] == ["x:old"]


def test_one_engines_packages_are_not_anothers(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "state_folder", lambda: tmp_path)
    for address in ("unix:///a", "ssh://b"):
        kept.keep(KeptPackages(
            engine="docker", address=address, image="x:1", base="", language="", requirements=(),
            installed=(), size=10,
        ))  # fmt: skip
    assert sorted(each.where for each in kept.kept_packages()) == ["docker", "docker at ssh://b"]
    assert kept.find("docker", "unix:///c", "x:1") is None
    (going,) = kept.surplus("docker", "ssh://b", most=0, but="")
    kept.forget_packages(going)
    (left,) = kept.kept_packages()
    assert left.address == "unix:///a"
