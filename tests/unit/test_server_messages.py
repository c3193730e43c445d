"""Lines of stdin: what is said of those that are no message, and under which id."""

import pytest
from mcp_types import JSONRPCNotification, JSONRPCRequest

from sandbox_runner.server.messages import MAX_LINE, _Nonsense, _parsed


def refused(line):
    with pytest.raises(_Nonsense) as caught:
        _parsed(line)
    return caught.value.answer


def test_messages_are_read():
    assert isinstance(_parsed(b'{"jsonrpc":"2.0","id":1,"method":"x"}\n'), JSONRPCRequest)
    assert isinstance(
        _parsed(b'{"jsonrpc":"2.0","method":"x","params":{"a":"\xc3\xbc"}}'), JSONRPCNotification
    )


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"nonsense", None),
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"\\ud800"}}', 7),
        (b'{"jsonrpc":"2.0","id":"a7","method":"x","params":[[[', "a7"),
        (b'{"method":"x","params":{"a":"\\ud800","id":8},"jsonrpc":"2.0","id":7}\n', 7),
        (b'{"method":"x","params":{"id":8,"a":"\\ud800"}}', None),
        (b'{"jsonrpc":"2.0","id":-7.5,"method":"\\ud800"}', None),
        (b'{"jsonrpc":"2.0","id":"\xff","method":"x"}', "\ufffd"),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"\\ud800"}', None),
    ],
)
def test_the_id_is_found_where_clients_write_it(line, number):
    answer = refused(line)
    assert answer.id == number
    assert answer.error.code == -32700


def test_json_that_is_no_message_has_another_code():
    assert refused(b"[]").error.code == -32600
    assert refused(b'{"jsonrpc":"2.0","id":7,"method":5}').id == 7


def test_a_line_that_was_too_long_is_told_its_bound():
    answer = refused((b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"xxx', b"xxx"))
    assert answer.id == 7
    assert str(MAX_LINE) in answer.error.message
