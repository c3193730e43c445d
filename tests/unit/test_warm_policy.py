"""Which containers have a command whose interpreter waits, as policy decides."""

from dataclasses import replace

import pytest

from sandbox_runner import hardening
from sandbox_runner.config import Config
from sandbox_runner.languages import Language, find_language
from sandbox_runner.policy import admit, admit_session, admit_step
from sandbox_runner.request import LOCAL_USER, RunRequest
from sandbox_runner.spec import Admission, ContainerSpec, Image, Job, Placement

PLACEMENT = Placement(run_id="0" * 16, instance="i", owner="o", uid=23456, created=1_700_000_000)


def admitted(definition: Language | None = None, *, agent: bool = True, **request: object) -> Admission:
    request = {"language": "python", "code": "print(1)", **request}
    named = find_language(request["language"]) if request["language"] else None
    image = Image("sha256:0", "an image", agent)
    return admit(
        Config().policy(),
        RunRequest(**request),
        LOCAL_USER,
        language=definition or named,
        image=image,
        placement=PLACEMENT,
    )


def test_python_code_is_run_by_what_pid_1_has_started_in_its_own_environment():
    result = admitted(stdin=b"x", artifacts=["*.png"])
    kernel = ("-k", "/usr/lib/sandbox-runner/kernel")  # what else that interpreter could be
    assert result.spec.argv == (*hardening.AGENT_ARGV, *kernel, "python3", "main.py")
    assert result.job.argv == ("python3", "main.py")
    assert list(result.spec.env.items()) == list(result.job.env.items())


@pytest.mark.parametrize(
    "request_",
    [
        {"args": ("x",)},
        {"env": {"PYTHONOPTIMIZE": "1"}},
        {"value": b"1"},
        {"image": "an-image"},
        {"language": "bash", "code": "echo"},
        {"language": None, "code": None, "command": ("python3", "main.py")},
    ],
    ids=str,
)
def test_what_a_waiting_interpreter_could_not_run_gets_the_plain_agent(request_):
    spec = admitted(**request_).spec
    assert (spec.argv, spec.env) == (hardening.AGENT_ARGV, hardening.BASE_ENV)


def test_modules_are_loaded_ahead_only_where_an_interpreter_waits():
    python = replace(find_language("python"), preload=("numpy",))
    assert admitted(python).spec.preload == ("numpy",)
    assert admitted(python, args=("x",)).spec.preload == ()


def test_javascript_is_run_by_what_pid_1_has_started():
    result = admitted(language="javascript")
    assert result.spec.argv == (*hardening.AGENT_ARGV, *result.job.argv)
    assert list(result.spec.env.items()) == list(result.job.env.items())


def test_an_image_without_the_agent_runs_the_program_itself():
    result = admitted(agent=False, image="debian")
    assert (result.spec.argv, result.spec.env) == (result.job.argv, result.job.env)


def session(language: str) -> tuple[ContainerSpec, Job]:
    """A session's container, and its first step."""
    named, request = find_language(language), RunRequest(language=language, code="1")
    policy, image = Config().policy(), Image("sha256:0", "an image", agent=True)
    spec = admit_session(
        policy, request, LOCAL_USER, language=named, image=image, placement=PLACEMENT, ttl=60, cpu_time=60
    )
    return spec, admit_step(
        policy, request, language=named, spec=spec, kernel=language if named.kernel else None
    ).job


def test_in_a_python_session_what_waits_can_be_the_kernel():
    spec, job = session("python")
    assert spec.argv[-2:] == ("python3", "main.py")
    assert spec.argv[2] == job.argv[1]
    assert (job.argv, list(job.env.items())) == (
        find_language("python").kernel,
        list(spec.env.items()),
    )


@pytest.mark.parametrize("language", ["javascript", "typescript", "bash"])
def test_in_other_sessions_nothing_waits(language):
    spec, _ = session(language)
    assert (spec.argv, spec.env) == (hardening.AGENT_ARGV, hardening.BASE_ENV)
