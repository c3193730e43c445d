"""What the host has to say to the program inside the builder, and what it takes from it.

All that arrives is untrusted. Refusals are kept, as the installer tells only that it got none.
"""

import hashlib
import json
from collections import deque

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from sandbox_runner.errors import (
    IndexUnavailable,
    InstallFailed,
    NotPermitted,
    SandboxError,
    StartFailed,
)
from sandbox_runner.events import Event, Output
from sandbox_runner.packages import messages
from sandbox_runner.packages.fetching import Answer, Fetcher
from sandbox_runner.packages.layer import LayerWriter, Refused
from sandbox_runner.packages.messages import Messages, Nonsense, message
from sandbox_runner.packages.source import Tell

LAST_LINES = 15
_LINE = 500  # characters of one that are kept
_AT_ONCE = 4  # requests to the index
_WAITING = 256
_REQUESTS = 50_000
_BAD_GATEWAY, _FORBIDDEN = 502, 403
_BROKEN = "The program that installs packages broke its protocol: {}."


class Conversation:
    """One with one builder. ``fetched`` is the SHA-256 of each file by its address.

    At most ``most`` bytes are fetched in all. ``report`` is None until the installer has succeeded.
    ``tell`` hears what it says meanwhile.
    """

    def __init__(
        self, fetcher: Fetcher, layer: LayerWriter, tasks: TaskGroup, *, most: int, tell: Tell
    ) -> None:
        self.fetched: dict[str, str] = {}
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self.report: list[tuple[str, str, str]] | None = None
        self.refusal: SandboxError | None = None
        self._fetcher = fetcher
        self._layer = layer
        self._tasks = tasks
        self._left = most
        self._tell = tell
        self._messages = Messages()
        self._fetching = anyio.CapacityLimiter(_AT_ONCE)
        self._asked = self._open = 0
        self._send, self.answers = anyio.create_memory_object_stream[bytes](_AT_ONCE)

    async def take(self, event: Event) -> None:
        """Takes in what the builder printed. Raises StartFailed where that makes no sense."""
        if not isinstance(event, Output) or event.stream != "stdout":
            return
        try:
            for kind, number, payload in self._messages.feed(event.data):
                self._handle(kind, number, payload)
        except (Nonsense, Refused) as error:
            if isinstance(error, Refused):
                self.refusal = InstallFailed(f"The packages cannot be taken in: they have {error}.")
            raise StartFailed(_BROKEN.format(error)) from None
        except OSError as error:
            raise StartFailed(
                f"What was installed cannot be held here ({error.strerror}); make room."
            ) from None

    def close(self) -> None:
        """Ends what the builder is told."""
        self._send.close()
        self.answers.close()

    def _handle(self, kind: int, number: int, payload: bytes) -> None:
        if self.report is not None:
            raise Nonsense("more after the report")
        if kind == messages.GET:
            self._asked += 1
            if self._asked > _REQUESTS or self._open >= _WAITING:
                raise Nonsense("too many requests")
            self._open += 1
            self._tasks.start_soon(self._answer, number, payload.decode("latin-1"))
        elif kind == messages.LINE:
            self.lines.append(_plain(payload[:_LINE]))
            self._tell(self.lines[-1])
        elif kind == messages.FILE:
            if len(payload) <= messages.FILE_BODY.size:
                raise Nonsense("a file without a name")
            executable, size = messages.FILE_BODY.unpack_from(payload)
            self._layer.begin(payload[messages.FILE_BODY.size :], executable=bool(executable), size=size)
        elif kind == messages.DATA:
            self._layer.write(payload)
        else:
            self._layer.finish()
            self.report = _report(payload)

    async def _answer(self, number: int, address: str) -> None:
        try:
            async with self._fetching:
                self._fetcher.check(address)
                answer = await to_thread.run_sync(self._fetcher.fetch, address, abandon_on_cancel=True)
                await self._pass_on(number, address, answer)
        except NotPermitted as error:
            self.refusal, status = self.refusal or error, _FORBIDDEN
        except IndexUnavailable as error:
            self.refusal, status = error, _BAD_GATEWAY
        else:
            return
        finally:
            self._open -= 1
        await self._send.send(message(messages.STATUS, number, messages.STATUS_BODY.pack(status, 0)))
        await self._send.send(message(messages.BODY, number))

    async def _pass_on(self, number: int, address: str, answer: Answer) -> None:
        length = messages.UNKNOWN if answer.length is None else answer.length
        head = messages.STATUS_BODY.pack(answer.status, length) + answer.kind.encode()
        await self._send.send(message(messages.STATUS, number, head))
        digest = hashlib.sha256()
        while piece := await to_thread.run_sync(_next, answer, abandon_on_cancel=True):
            self._left -= len(piece)
            if self._left < 0:
                self.refusal = InstallFailed("The packages are too large for the operator's package_disk.")
                break
            digest.update(piece)
            await self._send.send(message(messages.BODY, number, piece))
        if piece == b"":  # all of it
            self.fetched[address] = digest.hexdigest()
        await self._send.send(message(messages.BODY, number))


def _plain(line: bytes) -> str:
    """``line`` without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in line.decode(errors="replace"))


def _next(answer: Answer) -> bytes | None:
    """The next piece, none at the end; None where that came too soon."""
    import requests  # noqa: PLC0415 - loaded by the fetcher

    try:
        return next(answer.pieces, b"")
    except requests.RequestException:  # the installer finds that it is not whole
        return None


def _report(payload: bytes) -> list[tuple[str, str, str]]:
    try:
        entries = json.loads(payload)
        if all(len(entry) == 3 and all(isinstance(each, str) for each in entry) for entry in entries):
            return [(name, version, address) for name, version, address in entries]
    except (ValueError, TypeError, RecursionError):
        pass
    raise Nonsense("a report that is none")
