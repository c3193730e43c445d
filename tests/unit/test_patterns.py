"""Which names may come back from a container, and which of them a pattern means."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox_runner.agent.patterns import fits, leads_to, matches, plain, plain_path

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


@given(paths, path_patterns)
def test_a_folder_is_looked_into_wherever_something_in_it_can_fit(path: str, pattern: str) -> None:
    folder, slash, _ = path.rpartition("/")
    assert not (slash and fits(path, pattern)) or leads_to(folder, pattern)


def test_folders_that_hold_nothing_wanted_are_not_looked_into() -> None:
    assert not leads_to("node_modules", "*.png")
    assert not leads_to("node_modules", "out/**")
    assert not leads_to("out/deep", "out/*.png")
    assert leads_to("out/deep", "out/**/*.png")


def test_a_pattern_takes_no_time_that_grows_with_its_stars() -> None:
    assert not fits("/".join(["a"] * 32), "/".join(["**", "a"] * 16) + "/b")


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
