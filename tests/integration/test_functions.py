"""A function is called with a value and its result comes back, apart from all that is printed."""

import json

import pytest

from sandbox_runner import InputFile, Limits, run
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.languages import find_language


@pytest.fixture
def call(repository):
    """Runs `execute` of the code with ``value``, in the image of this checkout."""

    def called(code: str, value: object = None, *, language: str = "python", **request):
        image = f"{repository}/{find_language(language).image}:latest"
        return run(code, language=language, value=json.dumps(value).encode(), image=image, **request)

    return called


def test_the_value_and_what_is_printed_go_separate_ways(call):
    code = (
        "import sys\n"
        "print('loaded', __name__, sys.argv, sys.path[0])\n"
        "def execute(given):\n"
        "    print('called'); print('warned', file=sys.stderr)\n"
        "    return {'twice': given['x'] * 2, 'read': sys.stdin.read(), 'text': 'é'}"
    )
    result = call(code, {"x": 21}, stdin="typed", args=["a b"])
    assert json.loads(result.value) == {"twice": 42, "read": "typed", "text": "é"}
    assert result.stdout == "loaded __main__ ['main.py', 'a b'] /workspace\ncalled\n"
    assert (result.stderr, result.exit_code, result.artifacts) == ("warned\n", 0, ())
    assert "value" not in result.as_dict()


@pytest.mark.parametrize("returned", [None, False, 0, 1.5, "", [], {"a": [None]}, "図", 10**40])
def test_what_json_can_hold_comes_back_as_it_was(call, returned):
    assert json.loads(call("def execute(given): return given", returned).value) == returned


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import asyncio\nasync def execute(x):\n  await asyncio.sleep(0)\n  return x + 1", 2),
        ("import helper\ndef execute(x): return helper.more(x)", 2),
        ("import pickle\nclass A: x = 2\ndef execute(x): return pickle.loads(pickle.dumps(A())).x", 2),
        ("import multiprocessing as m\ndef f(x): return x + 1\n"
         "def execute(x):\n  with m.get_context('spawn').Pool(1) as pool: return pool.map(f, [x])[0]", 2),
        ("import subprocess as s\ndef execute(x):\n"
         "  listing = s.run('ls /proc/self/fd', shell=True, stdout=s.PIPE, close_fds=False)\n"
         "  return listing.stdout.count(b'4')", 0),
    ],
    ids=["async", "module beside it", "pickle", "spawned process", "descriptors of a child"],
)  # fmt: skip
def test_a_function_can_be_what_a_program_can(call, code, value):
    files = [InputFile("helper.py", b"def more(x): return x + 1")]
    result = call(code, 1, files=files)
    assert (result.stderr, result.value) == ("", str(value).encode())


RETURNED = "What execute() returned "
NOT_JSON = RETURNED + "cannot be written as JSON: "
TRACE = 'Traceback (most recent call last):\n  File "/workspace/main.py", line {}, in {}\n'


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def execute(x):\n  return x['y']", TRACE.format(2, "execute")),
        ("async def execute(x):\n  return x['y']", TRACE.format(2, "execute")),
        ("1 / 0", TRACE.format(1, "<module>")),
        ("def execute(x:\n  1", '  File "/workspace/main.py", line 1\n'),
        ("def execute(): pass", "TypeError: execute() takes 0 positional arguments but 1 was given\n"),
        ("def other(x): pass", "The code defines no function execute(input); define one"),
        ("execute = 3", "The code defines no function execute(input); define one"),
        ("def execute(x): return {1}", NOT_JSON + "Object of type set"),
        ("def execute(x): return float('nan')", NOT_JSON + "Out of range"),
        ("def execute(x): return float('-inf')", NOT_JSON + "Out of range"),
        ("def execute(x): return '\\ud800'", NOT_JSON + "'utf-8'"),
        ("def execute(x):\n  a = []; a.append(a); return a", NOT_JSON + "Circular"),
        ("def execute(x): return 'x' * (1 << 20)", RETURNED + "has 1048578 bytes as JSON, more than"),
        ("import os\ndef execute(x): os.closerange(3, 99)", RETURNED + "could not be given back"),
    ],
)  # fmt: skip
def test_what_fails_says_so_and_gives_no_value(call, code, said):
    result = call(code, 1)
    assert result.stderr.startswith(said)
    assert "/usr/lib/sandbox-runner" not in result.stderr
    assert (result.value, result.exit_code, result.stdout) == (None, 1, "")


@pytest.mark.parametrize(
    ("last", "status", "exit_code"),
    [
        ("import os; os._exit(0)", "exited", 0),
        ("import sys; sys.exit(0)", "exited", 0),
        ("import sys; sys.exit(7)", "exited", 7),
        ("import os; os.kill(0, 9)", "signaled", None),
        ("while True: pass", "timed_out", None),
    ],
)
def test_a_function_that_does_not_return_gives_no_value(call, last, status, exit_code):
    result = call(f"def execute(x):\n  {last}", limits=Limits(wall_time=2))
    assert (result.value, result.status, result.exit_code) == (None, status, exit_code)


def test_a_value_of_the_greatest_length_comes_back(call):
    text = "x" * ((1 << 20) - 2)
    assert json.loads(call("def execute(x): return x", text).value) == text


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_value_that_is_not_json_is_told_to_the_caller(repository, value):
    result = run("def execute(x): return x", value=value, image=f"{repository}/python:latest")
    assert result.stderr.startswith("The input is not JSON: ")
    assert (result.value, result.exit_code) == (None, 1)


def test_bytes_that_a_program_writes_itself_come_back_unchecked(call):
    code = "import os\nos.write(4, b'\\xff not JSON')\nos._exit(0)"
    assert call(code).value == b"\xff not JSON"


def test_an_image_without_the_agent_is_refused(debian):
    with pytest.raises(InvalidRequest, match="no function can be called in it"):
        run("def execute(x): return x", value=b"1", image=debian.reference)


NODE_FUNCTIONS = {
    "declared": ("javascript", "function execute(v) { return v.x }"),
    "constant": ("javascript", "const execute = async (v) => v.x"),
    "exported property": ("javascript", "exports.execute = (v) => v.x"),
    "exported object": ("javascript", "module.exports = { execute(v) { return v.x } }"),
    "of a module": ("javascript", "import os from 'node:os'; export function execute(v) { return v.x }"),
    "default of a module": ("javascript", "export default async function execute(v) { return v.x }"),
    "not exported": ("javascript", "import os from 'node:os'; const execute = (v) => v.x"),
    "after an await": ("javascript", "const y = await 0; function execute(v) { return v.x + y }"),
    "main program": ("javascript", "function execute(v) { return require.main === module ? v.x : 0 }"),
    "with a last comment": ("javascript", "#!/usr/bin/env node\nlet execute = (v) => v.x // ;"),
    "typed": ("typescript", "interface A { x: number }\nfunction execute(v: A): number { return v.x }"),
    "typed, exported": ("typescript", "import 'node:os'; export const execute = async (v: any) => v.x"),
    "typed, after an await": ("typescript", "const y: number = await 0; const execute = (v: any) => v.x + y"),
}


@pytest.mark.parametrize("case", NODE_FUNCTIONS)
def test_a_function_of_node_is_found_as_it_is_written(call, case):
    language, code = NODE_FUNCTIONS[case]
    result = call(code, {"x": 21}, language=language)
    assert (result.value, result.stdout, result.stderr, result.exit_code) == (b"21", "", "", 0)


def test_what_a_function_of_node_prints_and_its_arguments_are_its_own(call):
    code = "console.log(process.argv.slice(1)); function execute() { console.error('e'); setTimeout(later) }"
    result = call(f"{code}\nconst later = () => console.log('later')", language="javascript", args=["a b"])
    assert (result.value, result.exit_code) == (b"null", 0)
    assert (result.stdout, result.stderr) == ("[ '/workspace/main.js', 'a b' ]\nlater\n", "e\n")


@pytest.mark.parametrize(
    ("language", "code", "said"),
    [
        ("javascript", "function execute() {\n  null.x\n}", "TypeError: Cannot read properties of null"),
        ("javascript", "async function execute() {\n  throw 7\n}", "Uncaught 7\n"),
        ("typescript", "type A = 1;\nfunction execute() {\n  throw Error('x')\n}", "main.ts:3:9"),
        ("javascript", "null.x", "/workspace/main.js:1\nnull.x"),
        ("javascript", "function execute(v {}", "/workspace/main.js:1\nfunction execute(v {}"),
        ("typescript", "const a: number = = 1", "main.ts:1:18"),
        ("javascript", "let x = 1", "The code defines no function execute(input); define one"),
        ("javascript", "function execute() { return [NaN] }", NOT_JSON + "NaN is not a JSON number"),
        (
            "javascript",
            "function execute() { return 1n }",
            NOT_JSON + "Do not know how to serialize a BigInt",
        ),
        ("javascript", "function execute() { return execute }", NOT_JSON + "a function has no form in JSON"),
        ("javascript", "function execute() { return '\\ud800' }", NOT_JSON + "a text holds half"),
        (
            "javascript",
            "function execute() { const a = []; a.push(a); return a }",
            NOT_JSON + "Converting circular",
        ),
        ("javascript", "function execute() { return 'x'.repeat(1 << 20) }", RETURNED + "has 1048578 bytes"),
        (
            "javascript",
            "function execute() { require('fs').closeSync(4) }",
            RETURNED + "could not be given back",
        ),
    ],
)
def test_what_fails_in_node_says_so_and_gives_no_value(call, language, code, said):
    result = call(code, 1, language=language)
    assert said in result.stderr
    assert "/usr/lib/sandbox-runner" not in result.stderr
    assert (result.value, result.exit_code, result.stdout) == (None, 1, "")


@pytest.mark.parametrize(
    ("last", "exit_code"), [("process.exit(0)", 0), ("return new Promise(() => {})", 13)]
)
def test_a_function_of_node_that_does_not_return_gives_no_value(call, last, exit_code):
    result = call(f"function execute() {{ {last} }}", language="javascript")
    assert (result.value, result.exit_code) == (None, exit_code)
