"""The fast lane: PID 1 is our agent, and a job is a conversation with it in frames.

What arrives is untrusted: by forging it a program could only misreport itself, and
`protocol.Splitter` takes nothing else.
"""

import math
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import replace
from typing import Protocol

import anyio

from sandbox_runner.agent import protocol
from sandbox_runner.engines import Emit
from sandbox_runner.engines.giveback import KINDS, GivenBack
from sandbox_runner.errors import EngineError, InvalidRequest, StartFailed
from sandbox_runner.events import Event, Exited, Output, Started, Status, Stream, Usage
from sandbox_runner.spec import Job

HELLO_TIMEOUT = 30  # seconds for PID 1 to report: a loaded host may be slow to start it
CANCEL_TIME = 0.5  # seconds for the agent to end the program before the container is killed
KERNEL_GRACE = protocol.GRACE + 1  # seconds more in a session: a kernel is interrupted first
DEADLINE_GRACE = 2  # seconds after the wall time at which the host stops waiting for the agent
GIVEBACK_GRACE = 10  # seconds more, from the first sign that files or a value come back …
GIVEBACK_RATE = 1 << 20  # … and for each so many bytes of them that have come another one
_PIECE = 128 * 1024
_SMALL = 16 * 1024  # bytes: a channel takes them at once
_OUTPUTS: dict[int, Stream] = {protocol.STDOUT: "stdout", protocol.STDERR: "stderr"}
_STATUS: tuple[Status, ...] = ("exited", "signaled", "timed_out", "cpu_limit", "output_limit", "cancelled")
_SIGKILL = 9


class ChannelEnded(Exception):
    """The stream ended, or stopped making sense, before the job was over."""


class AgentChannel(Protocol):
    """The agent's two descriptors, whatever carries them. Used by one reader and one writer at a time."""

    @property
    def messages(self) -> bytes:
        """The last bytes that PID 1 wrote to stderr, for an error: the agent itself writes none."""
        ...

    async def receive(self) -> bytes:
        """Some bytes, or none at the end. Raises ChannelEnded where they make no sense."""
        ...

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``; quietly nothing where the other side is gone, as reading will tell."""
        ...


class AgentLane:
    """One container's conversation with its agent."""

    def __init__(self, channel: AgentChannel, run_id: str) -> None:
        self._channel = channel
        self._run_id = run_id
        self._frames = self._receive_frames()
        self._sending = anyio.Lock(fast_acquire=True)
        self._credit = protocol.STDIN_WINDOW
        self._credited = anyio.Event()
        self._job = 0
        self._patience = 0.0

    @property
    def patience(self) -> float:
        """Seconds that the agent may take for the end of a job that is cancelled."""
        return CANCEL_TIME + self._patience

    async def greet(self) -> None:
        """Waits for the agent. Raises StartFailed where it does not come up or speaks another version."""
        try:
            with anyio.fail_after(HELLO_TIMEOUT):
                kind, _, body = await anext(self._frames)
        except (TimeoutError, ChannelEnded) as error:
            reason = self._channel.messages.decode(errors="replace").strip()[-300:] or "it said nothing"
            raise StartFailed(f"The agent in the container did not start: {reason}") from error
        version, flags = _unpack_hello(kind, body)
        if version != protocol.VERSION:
            raise StartFailed("The images are older than this version: sandbox-runner setup")
        if not flags & protocol.UNDUMPABLE:
            raise StartFailed("The agent could not protect itself from being traced, so nothing was run.")

    async def preload(self, modules: tuple[str, ...]) -> None:
        """Waits until the interpreter has imported ``modules``. Raises StartFailed where nothing is heard."""
        try:
            with anyio.fail_after(HELLO_TIMEOUT):
                body = " ".join(modules).encode()
                await self._channel.send(protocol.frame(protocol.PRELOAD, self._job + 1, body))
                kind, _, _ = await anext(self._frames)
        except (TimeoutError, ChannelEnded) as error:
            raise StartFailed("The interpreter in the container could not load its modules.") from error
        if kind != protocol.PRELOADED:
            raise StartFailed("The agent in the container broke its protocol.")

    async def execute(self, job: Job, emit: Emit) -> Exited:
        """Raises InvalidRequest, and ChannelEnded where the container died under the program."""
        self._job += 1
        self._credit = protocol.STDIN_WINDOW
        self._patience = KERNEL_GRACE if job.session else 0.0
        try:
            longest = job.limits.wall_time + self._patience + DEADLINE_GRACE
            with GivenBack(job) as given, anyio.fail_after(longest) as deadline:
                return await self._converse(job, _outside(deadline, emit), deadline, given)
        except TimeoutError:
            # The agent holds the deadline; it did not keep it, so the container is ended from outside.
            return Exited(
                status="timed_out", reason="sandbox_broken", usage=Usage(wall_time=job.limits.wall_time)
            )

    async def cancel(self) -> None:
        await self._send(protocol.CANCEL)

    async def _converse(self, job: Job, emit: Emit, deadline: anyio.CancelScope, given: GivenBack) -> Exited:
        if _is_small(job):
            await self._send_job(job)  # a task of its own for it would cost the run more than it
            return await self._follow(job, emit, deadline, given)
        failure: BaseException | None = None
        exited: Exited | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_job, job)
            try:
                exited = await self._follow(job, emit, deadline, given)
            except (ChannelEnded, EngineError, InvalidRequest) as error:
                failure = error  # raised outside, so that it does not arrive in an ExceptionGroup
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        assert exited is not None
        return exited

    async def _send_job(self, job: Job) -> None:
        # All in one piece where it is small: each that the agent waits for costs the run a wakeup.
        unsent = bytearray()
        for kind, payload in _job_frames(job):
            unsent += protocol.frame(kind, self._job, payload)
            if len(unsent) >= _PIECE:
                await self._send_frames(bytes(unsent))
                unsent.clear()
        if job.stdin == b"":
            await self._send_frames(bytes(unsent) + protocol.frame(protocol.STDIN_EOF, self._job))
            return
        await self._send_frames(bytes(unsent))
        await self._send_stdin(job.stdin)

    async def _send_stdin(self, stdin: bytes | str | AsyncIterable[bytes]) -> None:
        async for data in pieces(stdin):
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                while self._credit < len(piece):
                    self._credited = anyio.Event()
                    await self._credited.wait()
                self._credit -= len(piece)
                await self._send(protocol.STDIN, piece)
        await self._send(protocol.STDIN_EOF)

    async def _send(self, kind: int, payload: bytes = b"") -> None:
        await self._send_frames(protocol.frame(kind, self._job, payload))

    async def _send_frames(self, frames: bytes) -> None:
        async with self._sending:
            # Half a frame would garble all that follows it.
            with anyio.CancelScope(shield=True), anyio.move_on_after(DEADLINE_GRACE):
                await self._channel.send(frames)

    async def _follow(self, job: Job, emit: Emit, deadline: anyio.CancelScope, given: GivenBack) -> Exited:
        try:
            return await self._hear(job, emit, deadline, given)
        except protocol.ProtocolError as error:
            raise ChannelEnded(str(error)) from error

    async def _hear(self, job: Job, emit: Emit, deadline: anyio.CancelScope, given: GivenBack) -> Exited:
        offsets: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        async for kind, number, body in self._frames:
            if number != self._job:
                raise ChannelEnded("a frame of another job")
            stream = _OUTPUTS.get(kind)
            if stream is not None:
                await emit(_output(stream, body, offsets, job))
                offsets[stream] += len(body)
            elif kind == protocol.CREDIT and len(body) == 4:
                self._credit += int.from_bytes(body, "big")
                self._credited.set()
            elif kind == protocol.STARTED:
                await emit(Started(self._run_id))
            elif kind in KINDS:
                deadline.deadline += _giveback_time(job, kind, body, begun=given.begun)
                given.take(kind, body)
            elif kind == protocol.EXIT:
                exited = _exited(body, offsets, given)
                for artifact in given.artifacts():
                    await emit(artifact)
                return replace(exited, artifacts_omitted=exited.artifacts_omitted + given.omitted)
            elif kind == protocol.FAILED:
                raise _failure(body)
            else:
                raise ChannelEnded(f"unexpected frame {kind}")
        raise ChannelEnded("the stream ended")

    async def _receive_frames(self) -> AsyncIterator[tuple[int, int, bytes]]:
        splitter = protocol.Splitter()
        while data := await self._channel.receive():
            try:
                for frame in splitter.feed(data):
                    yield frame
            except protocol.ProtocolError as error:
                raise ChannelEnded(str(error)) from error
        raise ChannelEnded("the stream ended")


def _is_small(job: Job) -> bool:
    """Whether nobody need listen while it is sent."""
    sizes = (len(file.data) for file in job.files)
    return job.stdin == b"" and sum(sizes) + len(job.value or b"") <= _SMALL


def _giveback_time(job: Job, kind: int, body: bytes, *, begun: bool) -> float:
    """Seconds more that the agent has; none for what a kernel shows, which it does at any time."""
    if job.kernel and kind == protocol.RETURNED:
        return 0
    return len(body) / GIVEBACK_RATE + (0 if begun else GIVEBACK_GRACE)


def _output(stream: Stream, body: bytes, offsets: dict[Stream, int], job: Job) -> Output:
    """Raises ChannelEnded where it is more than the agent lets through: on gVisor a program can forge it."""
    if sum(offsets.values()) + len(body) > job.limits.output:
        raise ChannelEnded("more output than there may be")
    return Output(stream, body, offsets[stream])


def _outside(deadline: anyio.CancelScope, emit: Emit) -> Emit:
    """``emit``, the time that it waits for its consumer not counted: the agent cannot report through it."""

    async def emitted(event: Event) -> None:
        left = deadline.deadline - anyio.current_time()
        deadline.deadline = math.inf
        await emit(event)
        deadline.deadline = anyio.current_time() + left

    return emitted


def _unpack_hello(kind: int, body: bytes) -> tuple[int, int]:
    if kind != protocol.HELLO or len(body) != protocol.HELLO_BODY.size:
        return 0, 0
    version, flags = protocol.HELLO_BODY.unpack(body)
    return version, flags


def _job_frames(job: Job) -> Iterator[tuple[int, bytes]]:
    """What a job consists of, before its standard input: the kind and the payload of each frame."""
    for file in job.files:
        yield protocol.FILE, file.mode.to_bytes(4, "big") + file.path.encode()
        for start in range(0, len(file.data), _PIECE):
            yield protocol.FILE_DATA, file.data[start : start + _PIECE]
    if job.files:
        yield protocol.FILE_END, b""
    if job.value is not None:
        for start in range(0, len(job.value) or 1, _PIECE):
            yield protocol.VALUE, job.value[start : start + _PIECE]
    yield protocol.JOB, _job_payload(job)


def _job_payload(job: Job) -> bytes:
    return protocol.pack_job(
        argv=[word.encode() for word in job.argv],
        env=[f"{name}={value}".encode() for name, value in job.env.items()],
        cwd=job.cwd.encode(),
        wall_time=job.limits.wall_time,
        cpu_time=job.limits.cpu_time,
        output=job.limits.output,
        artifacts=[pattern.encode() for pattern in job.artifacts],
        artifact_count=job.artifact_caps.count,
        artifact_size=job.artifact_caps.size,
        artifact_bytes=job.artifact_caps.total,
        session=job.session,
        kernel=(job.kernel or "").encode(),
    )


async def pieces(stdin: bytes | str | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Standard input as it comes, whatever it was given as."""
    if isinstance(stdin, AsyncIterable):
        async for data in stdin:
            yield data
    else:
        yield stdin.encode() if isinstance(stdin, str) else stdin


def _failure(body: bytes) -> Exception:
    if len(body) < 5:
        return ChannelEnded("a FAILED frame that is too short")
    message = body[5:].decode(errors="replace")[:300]
    if body[0] == protocol.STAGE_PROTOCOL:
        return ChannelEnded(message)
    if "No space left on device" in message:
        return InvalidRequest("The files do not fit into the workspace; raise workspace, or send fewer.")
    return InvalidRequest(message)


def _exited(body: bytes, offsets: dict[Stream, int], given: GivenBack) -> Exited:
    end = protocol.Exit.unpack(body)
    status = _STATUS[end.cause]
    if status == "signaled" and end.status == _SIGKILL and end.oom_kills:
        status = "out_of_memory"
    return Exited(
        status=status,
        exit_code=end.status if status == "exited" else None,
        signal=end.status if status == "signaled" else None,
        usage=_usage(end, offsets),
        limits_hit=_limits_hit(status, end),
        value=given.value,
        artifacts_omitted=end.artifacts_omitted,
        reason="kernel_restarted" if end.state_lost else "",
        state_lost=bool(end.state_lost),
    )


def _usage(end: protocol.Exit, offsets: dict[Stream, int]) -> Usage:
    return Usage(
        wall_time=end.wall_time,
        cpu_time=None if end.cpu_time is None else end.cpu_time / 1e9,
        peak_memory=end.peak_memory,
        stdout_bytes=offsets["stdout"],
        stderr_bytes=offsets["stderr"],
    )


def _limits_hit(status: Status, end: protocol.Exit) -> dict[str, int]:
    counts = {
        "wall_time": int(status == "timed_out"),
        "cpu_time": int(status == "cpu_limit"),
        "output": int(status == "output_limit"),
        "memory": end.oom_kills,
        "pids": end.pids_refused,
        "workspace": end.workspace_full,
        "tmp": end.tmp_full,
    }
    return {name: count for name, count in counts.items() if count}
