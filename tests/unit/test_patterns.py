"""Which names may come back from a container, and which of them a pattern means."""

import os
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pid1_parts import Parts

from sandbox_runner.agent.patterns import fits, matches, plain, plain_path

few_letters = st.text("ab.", max_size=12)
patterns = st.text("ab.*?", max_size=12)


@given(few_letters, patterns)
@example("", "")
@example("", "**")
@example("ab", "ab*ab")
@example("abab", "*ab*ab*")
@example(".a", "*")
def test_a_pattern_means_what_it_means_to_a_shell(name: str, pattern: str) -> None:
    assert matches(name, pattern) == fnmatchcase(name, pattern)


@given(st.text(max_size=20))
def test_a_star_alone_means_every_name(name: str) -> None:
    assert matches(name, "*")


@pytest.mark.parametrize("name", ["figure-1.png", ".hidden", "a b", "...", "é", "图.svg", "x" * 255, "-rf"])
def test_a_plain_name_is_one(name: str) -> None:
    assert plain(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/", "a\0", "a\nb", "\x1b[2J", "a\x7f", "a\x9b", "\ud800", "x" * 256, "é" * 128,
     "a\u2028b", "gnp.\u202eexe"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_misleads_is_none(name: str) -> None:
    assert not plain(name)


paths = st.lists(st.sampled_from(["a", "b", "ab", ".a"]), min_size=1, max_size=5).map("/".join)
path_patterns = st.lists(st.sampled_from(["a", "*", "?", "a*", "**", ".*"]), min_size=1, max_size=5).map(
    "/".join
)


def fits_slowly(names: list[str], parts: list[str]) -> bool:
    """What `fits` means, said as plainly as can be."""
    if not names or not parts:
        return not names and not parts
    if parts[0] == "**":
        return (
            fits_slowly(names[1:], parts)
            or fits_slowly(names, parts[1:])
            or fits_slowly(names[1:], parts[1:])
        )
    return matches(names[0], parts[0]) and fits_slowly(names[1:], parts[1:])


@given(paths, path_patterns)
@example("a", "a/**")
@example("a/b", "**")
def test_a_pattern_of_paths_means_folder_by_folder(path: str, pattern: str) -> None:
    assert fits(path, pattern) == fits_slowly(path.split("/"), pattern.split("/"))


def by_pid_1(pid1: Parts, path: bytes, pattern: str) -> tuple[bool, bool, bool, int]:
    """Whether it fits, whether something below it can, whether it is plain, and its characters."""
    fitting, leading, is_plain, characters = map(
        int, pid1.call("p", b"%s\0%s\0" % (path, pattern.encode())).split()
    )
    return bool(fitting), bool(leading), bool(is_plain), characters


odd = st.sampled_from(
    ["a", "é", "\udcc3", "\udca9", "図", "\U0001f600", "\u202e", "\udced", "\udca0", ".", "*", "?", "\n"]
)
odd_paths = st.lists(st.lists(odd, min_size=1, max_size=5).map("".join), min_size=1, max_size=4).map("/".join)
odd_patterns = st.lists(
    st.lists(st.sampled_from(["a", "é", "図", "*", "?", "."]), min_size=1, max_size=5).map("".join),
    min_size=1, max_size=4,
).map("/".join)  # fmt: skip


@given(odd_paths | paths, odd_patterns | path_patterns)
@example("a", "a/**")
@example("\udcc3", "?")
@example("é", "?")
@example("a" * 255, "*")
@example("a" * 256, "*")
@example("é" * 128, "*")
def test_pid_1_judges_a_path_as_the_host_does(pid1: Parts, path: str, pattern: str) -> None:
    name = path.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    expected = (fits(name, pattern), plain_path(name), len(name))
    fitting, _, is_plain, characters = by_pid_1(pid1, os.fsencode(path), pattern)
    assert (fitting, is_plain, characters) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_pid_1_takes_any_name_for_plain_that_the_host_does(pid1: Parts, name: str) -> None:
    assert by_pid_1(pid1, name.encode(), "*")[2] == plain_path(name)


@given(paths, path_patterns)
def test_a_folder_is_looked_into_wherever_something_in_it_can_fit(
    pid1: Parts, path: str, pattern: str
) -> None:
    folder, slash, _ = path.rpartition("/")
    assert not (slash and fits(path, pattern)) or by_pid_1(pid1, folder.encode(), pattern)[1]


@pytest.mark.parametrize(
    ("folder", "pattern", "leads"),
    [
        ("node_modules", "*.png", False),
        ("node_modules", "out/**", False),
        ("out/deep", "out/*.png", False),
        ("out/deep", "out/**/*.png", True),
    ],
)
def test_folders_that_hold_nothing_wanted_are_not_looked_into(
    pid1: Parts, folder: str, pattern: str, *, leads: bool
) -> None:
    assert by_pid_1(pid1, folder.encode(), pattern)[1] == leads


def test_a_pattern_takes_no_time_that_grows_with_its_stars(pid1: Parts) -> None:
    path, pattern = "/".join(["a"] * 32), "/".join(["**", "a"] * 16) + "/b"
    assert not fits(path, pattern)
    assert not by_pid_1(pid1, path.encode(), pattern)[0]
    assert not by_pid_1(pid1, b"a" * 255, "*a" * 100 + "b")[0]


@pytest.mark.parametrize("path", ["a", "a/b", ".a/-rf", "/".join("a" * 32)])
def test_a_plain_path_is_one(path: str) -> None:
    assert plain_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a/\0", "a/\nb", "\ud800/a", "/".join("a" * 33),
     "/".join(["x" * 250] * 5)],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_or_misleads_is_none(path: str) -> None:
    assert not plain_path(path)
