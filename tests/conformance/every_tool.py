"""One call of each tool, as a client would make it, and what its answer must say."""

import json
from dataclasses import dataclass, field
from typing import Any

RUN_ID, SESSION = "$run_id", "$session"
HANDLES = {RUN_ID: "run_id", SESSION: "session"}
"""What stands for the handle in the last answer that had one, and where that was."""

READ = "print(open('data.txt').read())"
DOUBLE = "def execute(input):\n    return input['n'] * 2"


@dataclass(frozen=True)
class Call:
    """``said`` must be in the text, and in the structured content: each is enough alone."""

    tool: str
    said: str
    arguments: dict[str, Any] = field(default_factory=dict)


CALLS = (
    Call("list_languages", "javascript"),
    Call("run_code", "forty-two", {"language": "python", "code": "print('forty' + '-two')"}),
    Call("read_output", "forty-two", {"run_id": RUN_ID}),
    Call("list_runs", "python"),
    # A text that looks like JSON must arrive as the text that it is.
    Call("run_shell", "[1, 2]", {"command": "cat", "stdin": "[1, 2]"}),
    Call("run_function", "42", {"code": DOUBLE, "input": {"n": 21}}),
    Call("run_shell", "read_output", {"command": "echo begun; sleep 600", "background": True}),
    Call("cancel_run", "cancelled", {"run_id": RUN_ID}),
    Call("open_session", "open", {"language": "python"}),
    Call("write_file", "data.txt", {"session": SESSION, "path": "data.txt", "content": "[3, 4]"}),
    Call("run_code", "3, 4", {"language": "python", "code": READ, "session": SESSION}),
    Call("list_files", "data.txt", {"session": SESSION}),
    Call("read_file", "3, 4", {"session": SESSION, "path": "data.txt"}),
    Call("delete_file", "deleted", {"session": SESSION, "path": "data.txt"}),
    Call("snapshot_session", "taken", {"session": SESSION}),
    Call("list_sessions", "python"),
    Call("close_session", "ended", {"session": SESSION}),
)
TOOLS = {call.tool for call in CALLS}


def check(call: Call, result: dict[str, Any]) -> None:
    """Fails where ``result`` is not what ``call`` must be answered."""
    assert not result.get("isError"), result
    text = "\n".join(block["text"] for block in result["content"] if block["type"] == "text")
    assert call.said in text, result
    assert call.said in json.dumps(result["structuredContent"]), result
