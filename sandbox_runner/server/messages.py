"""Stdin as messages: lines of bounded length, and an answer to each that is no message.

The SDK drops such a line: its sender would wait for an answer until its patience ends.
"""

import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO, Self

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared._stream_protocols import WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

MAX_LINE = 100 << 20  # bytes of a message: the files of a call, in base64, and some
_UNREAD = 1024  # messages that wait for a client which asks and does not read
_TOLD = 16  # answers that wait for a client which sends nonsense and does not read
_ENDS = 256  # bytes of a line's ends in which its id is looked for
# An id that stands before whatever is nested, or at the very end: where clients write it.
_ID = re.compile(rb'\A\s*\{[^{}\[\]]*?"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")\s*[,}]')
_LAST_ID = re.compile(rb'"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")\s*\}\s*\Z')


class Lines:
    """The lines of stdin; ``ended`` is set at their end. Of one beyond MAX_LINE only the ends are kept."""

    def __init__(self) -> None:
        self._file = _claimed_stdin()
        self.ended = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes | tuple[bytes, bytes]]:
        while line := await to_thread.run_sync(self._read_line, abandon_on_cancel=True):
            yield line
        self.ended.set()

    def _read_line(self) -> bytes | tuple[bytes, bytes]:
        line = self._file.readline(MAX_LINE + 1)
        if len(line) <= MAX_LINE:
            return line
        first, last = line[:_ENDS], line[-_ENDS:]
        while line and not line.endswith(b"\n"):
            line = self._file.readline(1 << 20)
            last = (last + line)[-_ENDS:]
        return first, last


class Answers:
    """The way out. It knows how much waits for the client to read."""

    def __init__(self, write: WriteStream[SessionMessage]) -> None:
        self._write = write
        self._waiting = 0
        self._fewer = anyio.Event()

    async def send(self, item: SessionMessage, /) -> None:
        self._waiting += 1
        try:
            await self._write.send(item)
        finally:
            self._waiting -= 1
            self._fewer.set()

    async def room(self) -> None:
        """Waits while so much is unread that no more should be asked for."""
        while self._waiting >= _UNREAD:
            self._fewer = anyio.Event()
            await self._fewer.wait()

    async def aclose(self) -> None:
        await self._write.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def read_messages(
    lines: Lines,
    messages: MemoryObjectSendStream[SessionMessage | Exception],
    answers: Answers,
) -> None:
    """Passes what ``lines`` say on to ``messages``, to their end, and answers what is none."""
    told, waiting = anyio.create_memory_object_stream[SessionMessage](_TOLD)
    async with anyio.create_task_group() as tasks, messages, told:
        tasks.start_soon(_tell, waiting, answers)
        async for line in lines:
            if isinstance(line, bytes) and not line.strip():
                continue
            try:
                message = _parsed(line)
            except _Nonsense as nonsense:
                with suppress(anyio.WouldBlock):
                    told.send_nowait(SessionMessage(nonsense.answer))
            else:
                await messages.send(SessionMessage(message))
            await answers.room()


async def _tell(waiting: MemoryObjectReceiveStream[SessionMessage], answers: Answers) -> None:
    async with waiting:
        async for message in waiting:
            await answers.send(message)


def _parsed(line: bytes | tuple[bytes, bytes]) -> JSONRPCMessage:
    if isinstance(line, tuple):
        said = f"A message has more than {MAX_LINE} bytes; send less, such as data in fewer files."
        raise _nonsense(INVALID_REQUEST, said, *line)
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        raise _nonsense(PARSE_ERROR, f"This is not JSON in UTF-8: {problem['msg']}.", line, line)
    raise _nonsense(INVALID_REQUEST, f"This is no JSON-RPC message: {problem['msg']}.", line, line)


class _Nonsense(Exception):
    """A line that is no message."""

    def __init__(self, answer: JSONRPCError) -> None:
        super().__init__(answer.error.message)
        self.answer = answer


def _nonsense(code: int, message: str, first: bytes, last: bytes) -> _Nonsense:
    found = _ID.search(first[:_ENDS]) or _LAST_ID.search(last[-_ENDS:])
    number = json.loads(found[1].decode(errors="replace")) if found else None
    return _Nonsense(JSONRPCError(jsonrpc="2.0", id=number, error=ErrorData(code=code, message=message)))


def _claimed_stdin() -> BinaryIO:
    """Stdin, taken away from whatever else this process starts."""
    private = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return os.fdopen(private, "rb")
