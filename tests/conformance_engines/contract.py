"""What every engine promises to the runner: the Engine contract, each part with an id."""

import pytest

PROMISES = {
    "image.found": "A name stands for one image at a time, whose id `create` takes.",
    "image.missing": "A name that stands for nothing is ImageNotFound, and the message says what to do.",
    "image.now": "A name stands for what it means now, not for what it meant before.",
    "image.derived": "`derive` makes a name stand for another image, which has the files of the layer.",
    "image.discarded": "What `derive` made is gone after `discard`, harmless twice; its base stays.",
    "facts.size": "The engine has a core and some memory to share out, at least.",
    "create.refused": "What cannot be made raises StartFailed or ControlNotEnforced, and leaves nothing.",
    "create.apart": "Each container is another one, with an id that none had before.",
    "life.removed": "When the context ends the container is gone.",
    "life.removed.exception": "The same where an exception ends the context; it arrives as it was raised.",
    "life.removed.cancelled": "The same where a cancellation ends it, at any moment of the start, too.",
    "life.removed.running": "The same where the program still runs.",
    "wait.quiet": "`lost` does not return while the container waits.",
    "wait.lost": "`lost` returns when the container dies, and `why_lost` tells of what.",
    "wait.cpu_time": "`cpu_time` of one that waits counts what all its jobs took, and never goes back.",
    "wait.resumed": "After `lost` was cancelled the container runs a job like any other.",
    "wait.resized": "`resize` gives a container that waits the limits that its engine names, or it refuses.",
    "job.started": "Started comes first, with the id that the container is labelled with.",
    "job.output": "Both streams arrive whole, apart, in order, with offsets that count their bytes.",
    "job.exit_code": "A program that exits gives its exit code, and no signal.",
    "job.signal": "A program that a signal ends gives the signal, and no exit code.",
    "job.words": "The program has the arguments, the environment and the folder of the job.",
    "job.stdin": "The program reads the whole of stdin, given as bytes, text or pieces, and then its end.",
    "job.files": "The files of the job are in its folder.",
    "job.artifacts": "The files that were asked for come back before the end, and no others.",
    "job.out": "Where the job names a folder the files are there, and nothing else, before they are told of.",
    "job.value": "The value that a function returns comes back, where there was one to call it with.",
    "job.usage": "Usage tells the wall time and the bytes of both streams.",
    "job.patient": "While a consumer takes nothing nothing is lost.",
    "job.broken": "A container that dies under its program is a result: signaled, sandbox_broken.",
    "limit.wall_time": "A program that takes longer is `timed_out`.",
    "limit.cpu_time": "A program that computes longer is `cpu_limit`.",
    "limit.memory": "A program that needs more is `out_of_memory`.",
    "limit.output": "A program that prints more is `output_limit`, and no byte more than that arrives.",
    "cancel.ends": "`cancel` ends the program, which is `cancelled`.",
    "cancel.harmless": "`cancel` before a job and twice does no harm.",
    "session.kept": "A job of a session ends with its own processes; kernels keep theirs, and their state.",
    "session.cancelled": "`cancel` interrupts a kernel's code, which is `cancelled`; the state is kept.",
    "session.lost": "A kernel that ends loses its state, which is told; others keep theirs, the next is new.",
}


def promise(name: str) -> pytest.MarkDecorator:
    """Marks a test of the promise with that id."""
    return pytest.mark.promise(name)
