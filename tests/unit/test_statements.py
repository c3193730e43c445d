"""When what is typed at a session's prompt is complete."""

import pytest

from sandbox_runner.cli.statements import goes_on, statements

COMPLETE = {
    "python": [
        "x=1", "1+", "if 1:\n  x=1\n", "await x", "async def f():\n  await x\n", "x = 'it(', 2", "$",
        "%%bash\nls\n", "!ls", "%time x",
    ],
    "javascript": [
        "f({a: '{'})", "function f() { return '{' } // {", "`a\nb`", "a /* ( */", ")",
        "f(1, // don't\n2) // can't",
    ],
    "bash": [
        "for i in 1 2; do echo $i; done", "if true; then echo; fi", "f() { echo; }", "cat <<EOF\nx\nEOF",
        "echo don\\'t", "echo for", "case x in a) echo;; esac", "echo ${x} $(ls) # (", "echo '{' \"do\"",
    ],
}  # fmt: skip
BEGUN = {
    "python": [
        "for i in range(3):", "if 1:\n  x=1", "x = (1,", "x = \'\'\'a", "async def f():\n  await x", "@d",
        "%%bash", "%%bash\nls",
    ],
    "javascript": ["function f() {", "`a\nb", "const a = [1, // ]", "f(1,", "a \\", "`// a", "f('//', {"],
    "bash": [
        "for i in 1 2", "for i in 1 2; do", "if true; then", "f() {", "cat <<EOF", "cat <<EOF\nEOF2",
        "echo 'a", "ls |", "true &&", "case x in", "while read x", "echo \\",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), [(name, text) for name in COMPLETE for text in COMPLETE[name]])
def test_what_is_complete_or_wrong_is_run_at_once(language, text):
    assert not goes_on(language, text)


@pytest.mark.parametrize(("language", "text"), [(name, text) for name in BEGUN for text in BEGUN[name]])
def test_what_is_only_begun_goes_on(language, text):
    assert goes_on(language, text)


def test_lines_become_statements_and_the_end_of_input_ends_the_last():
    lines = iter(["x = 1", "", "def f():", "  return x", "", "f()", "if x:", "  f()"])
    asked = []

    def read_line(more):
        asked.append(more)
        return next(lines, None)

    assert list(statements("python", read_line)) == [
        "x = 1", "def f():\n  return x\n", "f()", "if x:\n  f()",
    ]  # fmt: skip
    assert asked == [False, False, False, True, True, False, False, True, True]
