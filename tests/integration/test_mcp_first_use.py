"""A server that is started before all else is ready: it says what to run, and works once that is done."""

import os
import textwrap
from pathlib import Path

import pytest
from faulty_proxy import proxied
from mcp_clients import pipe

from sandbox_runner.engines.docker.connection import find_address
from sandbox_runner.provision.removal import remove_image

pytestmark = pytest.mark.timeout(300)

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def engine_socket() -> Path:
    address = find_address(None)
    assert address.startswith("unix://"), "these tests need an engine behind a Unix socket"
    return Path(address.removeprefix("unix://"))


def passing(_line: str) -> None:
    """No fault."""


def run(server):
    return server.call("run_shell", command="echo ran")


def test_without_an_engine_it_starts_and_says_what_to_run():
    with pipe(env=NOWHERE) as server:
        listed = server.answer(server.request("tools/list"))["result"]["tools"]
        assert {"run_code", "open_session"} <= {tool["name"] for tool in listed}
        result = run(server)
        assert result["isError"] is True
        assert result["structuredContent"]["status"] == "failed"
        assert "sandbox-runner setup" in result["content"][0]["text"]
        languages = server.call("list_languages")["structuredContent"]
        assert "sandbox-runner setup" in languages["notes"][0]
        assert {each["version"] for each in languages["languages"]} == {None}
        server.process.stdin.close()
        assert server.exit_status() == 0


def test_a_run_in_the_background_tells_in_read_output_that_there_is_no_engine():
    with pipe(env=NOWHERE) as server:
        begun = server.call("run_shell", command="true", background=True)["structuredContent"]
        page = server.call("read_output", run_id=begun["run_id"], wait_s=50)
        assert page["structuredContent"]["status"] == "failed"
        assert "sandbox-runner setup" in page["content"][0]["text"]


def test_the_engine_may_come_go_and_come_back(tmp_path, engine_socket, nothing_left):
    with pipe(env={"DOCKER_HOST": f"unix://{tmp_path}/engine.sock"}) as server:
        assert run(server)["structuredContent"]["status"] == "failed"
        for _ in range(2):
            with proxied(tmp_path, engine_socket, passing):
                assert run(server)["structuredContent"]["stdout"] == "ran\n"
            (tmp_path / "engine.sock").unlink(missing_ok=True)
            result = run(server)
            assert result["structuredContent"]["status"] == "failed"
            assert result["structuredContent"]["notes"]


@pytest.fixture
def without_images(tmp_path, docker_client, debian):
    """The environment of a server whose images have tags that the engine does not know yet."""
    repository = f"sandbox-runner-first-use-{os.getpid()}"
    docker_client.tag(debian.id, f"{repository}/debian", "trixie")
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
        import sandbox_runner.definitions
        sandbox_runner.definitions.REPOSITORY = {repository!r}
        """)
    )
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    yield {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "XDG_STATE_HOME": str(tmp_path / "state")}
    for image in docker_client.images(name=f"{repository}/*"):
        for tag in image["RepoTags"]:
            if tag.startswith(repository):
                remove_image(docker_client, tag)


def test_missing_images_are_told_where_none_may_be_built(without_images, nothing_left):
    with pipe(env=without_images) as server:
        result = run(server)
        assert result["isError"] is True
        assert "sandbox-runner setup" in result["structuredContent"]["notes"][0]


def test_missing_images_are_built_by_the_first_call(without_images, nothing_left):
    with pipe(env={**without_images, "SANDBOX_RUNNER_BUILD_ON_FIRST_USE": "true"}) as server:
        result, calls = None, 0
        while result is None or "Call this again" in result["content"][0]["text"]:
            calls += 1
            number = server.start_call("run_shell", token=calls, command="echo ran")
            result = server.answer(number, 120)["result"]
        assert result["structuredContent"]["stdout"] == "ran\n"
        said = [each["params"]["message"] for each in server.lines if "method" in each]
        assert any(message.startswith("building the images, once") for message in said)
        assert run(server)["structuredContent"]["stdout"] == "ran\n"
