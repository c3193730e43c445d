"""Archives from strangers are read strictly, and what is read is what tarfile wrote."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision.tar_stream import TarStream

LONG = "/".join(["folder" * 5] * 8) + "/file"


def archive(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=kind) as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return written.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, mode
    return made


def read(data: bytes) -> list[tuple[str, str, str, bytes]]:
    tar = TarStream(io.BytesIO(data))
    found = []
    for entry in tar.entries():
        content = b""
        while piece := tar.read():
            content += piece
        found.append((entry.name, entry.kind, entry.target, content))
    return found


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_format_is_read_as_it_was_written(kind):
    long = LONG if kind != tarfile.USTAR_FORMAT else "a" * 90 + "/" + "b" * 90
    data = archive(
        (member("plain"), b"x" * 1000), (member(long), b"deep"), (member("d", tarfile.DIRTYPE), b""),
        (member("s", tarfile.SYMTYPE, "plain"), b""), (member("h", tarfile.LNKTYPE, "plain"), b""),
        (member("c", tarfile.CHRTYPE), b""), (member("p", tarfile.FIFOTYPE), b""), kind=kind,
    )  # fmt: skip
    assert read(data) == [
        ("plain", "file", "", b"x" * 1000), (long, "file", "", b"deep"), ("d/", "folder", "", b""),
        ("s", "symlink", "plain", b""), ("h", "link", "plain", b""), ("c", "device", "", b""),
        ("p", "device", "", b""),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_targets_and_odd_names_are_read(kind):
    odd = b"\xff\xe9 \n name".decode(errors="surrogateescape")
    data = archive((member("s", tarfile.SYMTYPE, LONG), b""), (member(odd), b"1"), kind=kind)
    assert [(name, target) for name, _, target, _ in read(data)] == [("s", LONG), (odd, "")]


def test_what_is_not_read_is_passed_over():
    tar = TarStream(io.BytesIO(archive((member("a"), b"x" * 5000), (member("b"), b"y"))))
    assert [entry.name for entry in tar.entries()] == ["a", "b"]


def changed(data: bytes, start: int, new: bytes) -> bytes:
    """``data`` with a header's field changed, and its checksum put right."""
    header = bytearray(data[:512])
    header[start : start + len(new)] = new
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


WHOLE = archive((member("a"), b"x" * 600), kind=tarfile.USTAR_FORMAT)
BROKEN = {
    "ends in the data": (WHOLE[:900], "too soon"),
    "ends in a header": (WHOLE[:300], "within a header"),
    "a wrong checksum": (b"b" + WHOLE[1:], "checksum"),
    "a sparse file": (changed(WHOLE, 156, b"S"), "sparse"),
    "an unknown kind": (changed(WHOLE, 156, b"V"), "unknown kind"),
    "a number that is none": (changed(WHOLE, 124, b"0000000009x\0"), "number"),
    "a negative size": (changed(WHOLE, 124, b"\xff" * 12), "number"),
    "a size beyond all": (changed(WHOLE, 124, b"\x80" + b"\xff" * 11), "too soon"),
    "a huge extended header": (changed(changed(WHOLE, 156, b"x"), 124, b"77777777777\0"), "extended header"),
    "a huge long name": (changed(changed(WHOLE, 156, b"L"), 124, b"77777777777\0"), "extended header"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_refused_and_does_not_just_end(name):
    data, reason = BROKEN[name]
    with pytest.raises(BuildFailed, match=reason):
        read(data)


@pytest.mark.parametrize(
    "records",
    [
        b"0 path=a\n",
        b"5 a=b\n",
        b"999 path=a\n",
        b"x path=a\n",
        b"11 path a b\n",
        b"9 path=a\0",
        b"16 GNU.sparse.=1\n",
        b"12 path=a\0b\n",
    ],
)
def test_a_malformed_extended_header_is_refused(records):
    whole = archive((member("a"), records), (member("b"), b""), kind=tarfile.USTAR_FORMAT)
    with pytest.raises(BuildFailed):
        read(changed(whole, 156, b"x"))


@settings(max_examples=300)
@given(st.binary(max_size=1500), st.integers(0, 1400), st.binary(min_size=1, max_size=8))
def test_garbage_raises_nothing_but_a_refusal(garbage, where, new):
    for data in (garbage, WHOLE[:where] + new + WHOLE[where + len(new) :], changed(WHOLE, where % 500, new)):
        with contextlib.suppress(BuildFailed):
            read(data)
