"""Runs programs by the waiting interpreter and without it, in containers as `policy.admit` describes them."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agent_client import AgentContainer, Result

from sandbox_runner import hardening
from sandbox_runner.agent import protocol
from sandbox_runner.config import Config
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.languages import find_language
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER, InputFile, RunRequest
from sandbox_runner.spec import Admission, Image, Job, Placement

StartAgent = Callable[..., AgentContainer]

UID = 31235


@dataclass(frozen=True, slots=True)
class Program:
    """The bytes of the program itself, what it finds on stdin, and files beside it."""

    code: bytes
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)


def admission(image: str, language: str, **request: object) -> Admission:
    """What policy makes of a request for code in ``image``."""
    placement = Placement(
        run_id=secrets.token_hex(8), instance="tests", owner="tests", uid=UID, created=int(time.time())
    )
    return admit(
        Config().policy(),
        RunRequest(language=language, code="0", **request),
        LOCAL_USER,
        language=find_language(language),
        image=Image(image, language, agent=True),
        placement=placement,
    )


def start(
    start_agent: StartAgent, image: str, *, warm: bool, language: str = "python", **request: object
) -> tuple[AgentContainer, Job]:
    """A container for the request, whose interpreter waits or does not, and the job that policy made."""
    admitted = admission(image, language, **request)
    cold = replace(admitted.spec, argv=hardening.AGENT_ARGV, env=hardening.BASE_ENV)
    container = start_agent(body=create_body(admitted.spec if warm else cold))
    assert bool(container.greet() & protocol.WARM) == warm
    return container, admitted.job


def run(container: AgentContainer, job: Job, program: Program, **changes: object) -> Result:
    """Runs ``program`` as ``job`` says."""
    files = (
        *(InputFile(name, data) for name, data in program.files.items()),
        InputFile(job.files[-1].path, program.code),
    )
    for file in files:
        container.send_file(file.path, file.data, mode=file.mode)
    settings = {
        "argv": job.argv,
        "env": [f"{name}={value}" for name, value in job.env.items()],
        "cwd": job.cwd,
        **changes,
    }
    return container.run(settings.pop("argv"), stdin=program.stdin, **settings)
