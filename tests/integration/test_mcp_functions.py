"""The tool run_function over a real pipe: values go there and back exactly, apart from what is printed."""

import json

import pytest
from mcp_clients import pipe

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server():
    """A client of raw lines: it sends what the SDK's would not."""
    with pipe() as server:
        yield server


def applied(server, code, **arguments):
    """The structured answer of run_function, over raw lines."""
    return server.call("run_function", code=code, **arguments)["structuredContent"]


@pytest.mark.parametrize(
    "value",
    [
        "[1,2]", "null", "3", "true", '"x"', '{"a": 1}', "", "ü\u2028\x00\x1b", None, True, False, 0, -1, 1.5,
        1e300, 10**40, [], {}, [[]], {"": ""}, {"a": {"b": [1, "2", None]}}, ["[1]"],
    ],
    ids=repr,
)  # fmt: skip
def test_a_function_gets_and_returns_exactly_the_value(client, value):
    code = "import json\ndef execute(input):\n    print(json.dumps(input))\n    return input"
    answer = client.call("run_function", code=code, input=value)
    assert answer.structured_content["returned"] is True
    assert answer.structured_content["value"] == value
    assert type(answer.structured_content["value"]) is type(value)
    assert json.loads(answer.structured_content["stdout"]) == value


def test_a_functions_value_is_apart_from_what_it_prints(either):
    code = 'def execute(input):\n    print("value: 1")\n    return "value: 2"'
    answer = either.call("run_function", code=code, input=0)
    assert answer.content[0].text.splitlines()[1:] == ['value: "value: 2"', "stdout:", "value: 1"]
    assert answer.structured_content["stdout"] == "value: 1\n"


@pytest.mark.parametrize("sent", [b"NaN", b"1e999", b"-Infinity"])
def test_numbers_without_end_are_refused(server, sent):
    server.write(
        b'{"jsonrpc":"2.0","id":"n'
        + sent
        + b'","method":"tools/call","params":{"name":"run_function","arguments":'
        b'{"code":"def execute(input): return input","input":' + sent + b'},"_meta":'
        b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}\n'
    )
    answer = server.answer("n" + sent.decode())
    assert "numbers must be finite" in answer["result"]["content"][0]["text"]
    assert answer["result"]["isError"]


@pytest.mark.parametrize("sent", [b'"\\ud800"', b"[" * 5000 + b"]" * 5000])
def test_what_no_parser_takes_is_answered_under_its_id(server, sent):
    server.write(
        b'{"jsonrpc":"2.0","id":"bad%d","method":"tools/call","params":{"name":"run_function","arguments":'
        b'{"code":"def execute(input): return input","input":%b}}}\n' % (len(sent), sent)
    )
    assert server.answer(f"bad{len(sent)}")["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def other(input): return 1", "defines no function execute(input)"),
        ("execute = 3", "defines no function execute(input)"),
        ("def execute(input): raise ValueError('mine')", "ValueError: mine"),
        ("def execute(input): return {1, 2}", "cannot be written as JSON"),
        ("def execute(input): return float('nan')", "cannot be written as JSON"),
        ("def execute(input): return 'x' * (2 << 20)", "more than 1048576"),
        ("def execute(input): return chr(0xd800)", "cannot be written as JSON"),
    ],
)
def test_a_function_that_returns_nothing_usable_tells_why(server, code, said):
    report = applied(server, code, input=1)
    assert (report["status"], report["exit_code"], report["returned"]) == ("exited", 1, False)
    assert said in report["stderr"]


@pytest.mark.parametrize(
    "data", ["'1e999'", "'NaN'", "'[' * 100000", "'\"\\\\ud800\"'", "'{'", "'[' * 500 + ']' * 500"]
)
def test_a_value_forged_past_the_function_reaches_no_client(server, data):
    code = f"import os\nos.write(4, ({data}).encode())\nos._exit(0)"
    report = applied(server, code, input=1)
    assert (report["status"], report["exit_code"], report["returned"]) == ("exited", 0, False)
    assert report["notes"][0].startswith("What it returned is ")


@pytest.mark.parametrize(("depth", "passed"), [(100, True), (150, False), (900, False)])
def test_a_value_is_nested_only_as_deep_as_clients_can_read(client, depth, passed):
    code = f"def execute(input):\n    for _ in range({depth}): input = [input]\n    return input"
    report = client.call("run_function", code=code, input=1).structured_content
    assert report["returned"] is passed
    assert passed or "nested more than 128 levels" in report["notes"][0]


def test_a_function_that_ends_its_program_returned_nothing(client):
    report = client.call("run_function", code="import os\ndef execute(input): os._exit(0)", input=1)
    assert report.structured_content["returned"] is False
    assert "returned nothing" in report.structured_content["notes"][0]


@pytest.mark.parametrize(
    ("size", "passed"), [((1 << 20) - 2, True), ((1 << 20) - 1, False), (2 << 20, False)]
)
def test_a_value_has_a_size_that_is_told(client, size, passed):
    answer = client.call("run_function", code="def execute(input): return len(input)", input="x" * size)
    assert answer.is_error is not passed
    if passed:
        assert answer.structured_content["value"] == size
    else:
        assert "above 1048576; pass it in files" in answer.content[0].text


def test_a_language_without_functions_is_refused(client):
    answer = client.call("run_function", code="1", input=1, language="bash")
    said = "has no functions that can be called here; use one of: javascript, python, typescript."
    assert said in answer.content[0].text
