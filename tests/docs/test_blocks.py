"""The reader of documents' code blocks."""

import pytest
from blocks import Block, Program, blocks, commands, matches, programs

DOCUMENT = """\
# Title

```python
print(1)
```

It prints:

```text
1
```

```python
x = 2
```

```sh
rm -rf nothing
```

```text
not the output of the program above
```

```console
$ tool one
a
…
$ tool two
```
"""


def test_blocks_are_found_with_language_text_and_line():
    assert blocks("```sh\na\n\nb\n```\ntext\n```\nc\n```\n") == [
        Block("sh", "a\n\nb\n", 2),
        Block("", "c\n", 8),
    ]


def test_a_longer_fence_holds_a_shorter_one():
    assert blocks("````md\n```python\n1\n```\n````\n") == [Block("md", "```python\n1\n```\n", 2)]


def test_a_block_that_is_not_closed_is_an_error():
    with pytest.raises(ValueError, match="line 2 is not closed"):
        blocks("```python\nprint(1)\n")


def test_a_program_has_the_text_block_that_comes_next_as_its_output():
    assert programs(DOCUMENT) == [Program("print(1)\n", "1\n", 4), Program("x = 2\n", None, 14)]


def test_a_console_block_is_commands_with_their_output():
    assert commands(DOCUMENT) == [Program("tool one", "a\n…\n", 26), Program("tool two", "", 29)]


def test_output_before_any_command_is_an_error():
    with pytest.raises(ValueError, match="line 2"):
        commands("```console\nwhat\n$ tool\n```\n")


@pytest.mark.parametrize(
    ("printed", "promised"),
    [
        ("a\n", "a\n"),
        ("a", "a\n"),
        ("", ""),
        ("a 1.5 b\n", "a … b\n"),
        ("x\ny\nz\n", "…\nz\n"),
        ("z\n", "…\nz\n"),
        ("x\n", "x\n…\n"),
        ("x\ny\n", "x\n…\n"),
        ("", "…\n"),
        ("a.b (c)*\n", "a.b (c)*\n"),
    ],
)
def test_what_was_promised_matches(printed, promised):
    assert matches(printed, promised)


@pytest.mark.parametrize(
    ("printed", "promised"),
    [
        ("b\n", "a\n"),
        ("a\nb\n", "a\n"),
        ("a\n", ""),
        ("", "a\n"),
        ("axb\n", "a.b\n"),
        ("a\nx\nb\n", "a … b\n"),
        ("zz\n", "…\nz\n"),
    ],
)
def test_anything_else_does_not(printed, promised):
    assert not matches(printed, promised)
