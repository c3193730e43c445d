"""Which names may come back from a container, and which of them a pattern means."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox_runner.agent.patterns import matches, plain

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
