"""Packages that a run asks for: installed once, from the index alone, and nothing of them trusted."""

import threading
from dataclasses import replace

import anyio
import pytest
from docker.errors import ImageNotFound as NoImage
from mcp_clients import pipe, sdk_client
from package_indexes import PAUSE, make_authority, make_certificate, serving
from package_runs import recorded_apart, run

from sandbox_runner import Runner, RunRequest
from sandbox_runner.errors import (
    IndexUnavailable,
    InstallFailed,
    InvalidRequest,
    NotPermitted,
)
from sandbox_runner.packages import builder, kept_packages

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

NETWORK = """
import socket
for address in [("127.0.0.1", {port}), ("1.1.1.1", 80)]:
    try:
        socket.create_connection(address, 2)
        print("reached", address)
    except OSError as error:
        print("none")
"""
HOOK = "import os; os.environ['HOOKED'] = os.environ.get('HOOKED', '') + str(os.getpid()) + ' '\n"


@pytest.fixture
def index():
    with serving() as served:
        yield served


@pytest.fixture(params=["docker", "oci"])
def engine(request) -> str:
    return request.param


@pytest.fixture
async def config(index, tmp_path, monkeypatch):
    async with recorded_apart(index, tmp_path, monkeypatch) as config:
        yield config


def flags(index, package) -> list[str]:
    settings = {"packages": f"pip:{package}", "pip_index": f"{index.url}/simple", "package_memory": "512m"}
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


async def test_a_package_and_what_it_needs_are_installed_once_and_the_program_has_no_network(
    index, config, engine
):
    config = replace(config, engine=engine)
    digest = index.add_wheel("needy", requires=("needed>=1",))
    index.add_wheel("needed")
    code = "import needy, needed\nprint(needy.VALUE, needed.VALUE, needy.__file__)\n" + NETWORK.format(
        port=index.url.rpartition(":")[2]
    )
    result = await run(config, code, "Needy == 1.*")
    assert result.stdout.splitlines()[0].startswith("needy needed /usr/l")
    assert result.stdout.splitlines()[1:] == ["none", "none"]
    asked = len(index.asked)
    assert (await run(config, "import needy; print(1)", "needy==1.*")).stdout == "1\n"
    assert len(index.asked) == asked, "it was installed again"
    (record,) = kept_packages()
    assert [(each.name, each.version) for each in record.installed] == [("needed", "1.0"), ("needy", "1.0")]
    assert record.installed[1].sha256 == digest
    assert (record.engine, record.requirements) == (engine, ("needy==1.*",))
    assert "No module" in (await run(config, "import needy")).stderr


async def test_a_session_has_the_packages_that_it_is_opened_with(index, config, engine):
    index.add_wheel("lasting")
    async with Runner.open(replace(config, engine=engine)) as runner:
        async with runner.session(packages=["lasting"]) as session:
            assert (await session.run("import lasting; print(lasting.VALUE)")).stdout == "lasting\n"
            assert "lasting" in (await session.run("lasting.VALUE", context="main")).displays[0]["text/plain"]
            assert (await session.shell("python3 -c 'import lasting'")).ok
        asked = len(index.asked)
        async with runner.session(packages=["lasting"]) as session:
            assert (await session.run("import lasting", context="another")).ok
        assert len(index.asked) == asked, "it was installed again"
        async with runner.session() as session:
            assert "No module" in (await session.run("import lasting")).stderr
        with pytest.raises(InstallFailed, match="missing"):
            async with runner.session(packages=["missing"]):
                pass


async def test_opening_a_session_tells_that_it_installs_and_can_be_cancelled(index):
    index.add_wheel("slow")
    index.files["/files/slow-1.0-py3-none-any.whl"] = PAUSE
    told = {"Collecting slow": threading.Event(), "opening for": threading.Event()}

    async def progress(_seconds, _total, message):
        for words, event in told.items():
            if words in message:
                event.set()

    with sdk_client(*flags(index, "slow")) as client:
        opening = client.start("open_session", progress=progress, packages=["slow"])
        assert all(event.wait(60) for event in told.values())
        opening.cancel()
        assert client.call("list_sessions").structured_content["sessions"] == []
        assert "open" in client.call("open_session").structured_content["status"]


async def test_a_client_hears_how_a_run_installs_and_can_cancel_it(index):
    index.add_wheel("slow")
    index.files["/files/slow-1.0-py3-none-any.whl"] = PAUSE

    with pipe(*flags(index, "slow")) as server:
        arguments = {"language": "python", "code": "1", "packages": ["slow"]}
        call = server.start_call("run_code", token="installs", **arguments)

        def told(words):
            return server.line(lambda each: words in each.get("params", {}).get("message", ""))["params"]

        heard = [told(words) for words in ("starting python", "installing slow", "Collecting slow")]
        assert [each["progressToken"] for each in heard] == ["installs"] * 3
        assert heard[0]["progress"] < heard[1]["progress"] < heard[2]["progress"]
        (run,) = server.call("list_runs")["structuredContent"]["runs"]
        assert run["status"] == "installing"
        server.notify("notifications/cancelled", {"requestId": call})
        (run,) = server.call("list_runs")["structuredContent"]["runs"]
        ended = server.call("read_output", run_id=run["run_id"], wait_s=30)["structuredContent"]
        assert ended["status"] == "cancelled"


async def test_those_who_ask_for_the_same_at_once_wait_for_one_installation(index, config):
    index.add_wheel("shared")
    results = []

    async def one(runner):
        request = RunRequest(language="python", code="import shared; print(1)", packages=["shared"])
        results.append((await runner.run(request)).stdout)

    async with Runner.open(config, pool=True) as runner, Runner.open(config) as other:
        async with anyio.create_task_group() as tasks:
            for each in (runner, runner, runner, other):
                tasks.start_soon(one, each)
    assert results == ["1\n"] * 4
    assert len([path for path in index.asked if path.endswith(".whl")]) == 1


async def test_what_cannot_be_installed_says_why_and_leaves_nothing(index, config, docker_client):
    before = {each["Id"] for each in docker_client.images(all=True)}
    with pytest.raises(InstallFailed, match="No matching distribution found for missing") as failed:
        await run(config, "import missing", "missing")
    assert any("missing" in line for line in failed.value.lines)
    index.add_wheel("broken", requires=("missing",))
    with pytest.raises(InstallFailed, match="missing"):
        await run(config, "import broken", "broken")
    assert kept_packages() == []
    assert {each["Id"] for each in docker_client.images(all=True)} == before


async def test_an_index_that_does_not_answer_is_the_operators_to_mend(config):
    with pytest.raises(IndexUnavailable, match=r"127\.0\.0\.1:9 does not answer"):
        await run(replace(config, pip_index="http://127.0.0.1:9/simple"), "1", "x")


@pytest.fixture
def authority(tmp_path):
    return make_authority(tmp_path, "authority")


async def test_an_index_with_a_certificate_of_a_private_authority_installs(authority, config):
    with serving(make_certificate(authority, "valid")) as index:
        index.add_wheel("sealed")
        index.add_npm("leaf", "1.5.0", files={"index.js": "module.exports = 1"})
        config = replace(
            config, pip_index=f"{index.url}/simple", npm_registry=index.url, package_ca=str(authority)
        )
        done = await run(config, "import sealed; print(sealed.VALUE)", "sealed")
        assert done.stdout == "sealed\n"
        code = "import leaf from 'leaf'; console.log(leaf)"
        assert (await run(config, code, "leaf", language="javascript")).stdout == "1\n"


@pytest.mark.parametrize(
    ("made", "vouches", "said"),
    [
        ({}, "another", "unable to get local issuer"),
        ({}, None, "not trusted"),
        ({"days": -1}, "authority", "certificate has expired"),
        ({"host": "DNS:index.example"}, "authority", r"not valid for '127\.0\.0\.1'"),
        ({}, "missing", "package_ca names .*No such file"),
        ({}, "nonsense", "package_ca names .*no certificate"),
    ],
    ids=[
        "of-another-authority",
        "of-no-known-one",
        "expired",
        "for-another-name",
        "no-file",
        "no-certificates",
    ],
)
async def test_an_index_whose_certificate_is_not_trusted_is_asked_for_nothing(
    authority, tmp_path, config, made, vouches, said
):
    make_authority(tmp_path, "another")
    (tmp_path / "nonsense.pem").write_text("no certificate")
    ca = vouches and str(tmp_path / f"{vouches}.pem")
    with serving(make_certificate(authority, "server", **made)) as index:
        index.add_wheel("sealed")
        config = replace(config, pip_index=f"{index.url}/simple", package_ca=ca)
        with pytest.raises(IndexUnavailable, match=said):
            await run(config, "1", "sealed")
        assert index.asked == []
    assert kept_packages() == []


async def test_packages_are_refused_where_none_may_be_asked_for(config):
    for settings, request in (
        (replace(config, packages=()), {"language": "python"}),
        (replace(config, packages=("pip:numpy",)), {"language": "python"}),
        (replace(config, refused_packages=("pip:some_*",)), {"language": "python"}),
    ):
        with pytest.raises(NotPermitted, match="some-thing"):
            await run(settings, "1", "Some.Thing", **request)
    with pytest.raises(InvalidRequest, match=r"these languages only: .*python"):
        await run(config, "1", "some-thing", language="bash")
    with pytest.raises(NotPermitted, match="name the packages"):
        await run(config, "1", image="sandbox-runner/packages:" + "0" * 64)


async def test_a_refused_package_comes_in_by_no_other_package_or_extra(index, config):
    index.add_wheel("evil_pkg")
    index.add_wheel("front", requires=("Evil.Pkg; extra == 'more'",))
    assert (await run(config, "import front, evil_pkg; print(1)", "front[more]")).stdout == "1\n", (
        "the control"
    )
    refusing = replace(config, refused_packages=("pip:evil-pkg",))
    with pytest.raises(NotPermitted, match="evil-pkg"):
        await run(refusing, "1", "front[more]")
    with pytest.raises(NotPermitted, match="evil-pkg"):
        await run(refusing, "1", "front[more]==1.0")
    assert (await run(refusing, "import front; print(1)", "front")).stdout == "1\n"


async def test_nothing_of_a_package_runs_before_the_program(index, config, monkeypatch):
    hooks = {"evil.pth": HOOK, "sitecustomize.py": HOOK, "usercustomize.py": HOOK, "evil.py": ""}
    index.add_wheel("evil", files=hooks)
    code = "import os, evil; print(os.environ.get('HOOKED'))"
    assert (await run(config, code, "evil")).stdout == "None\n"
    monkeypatch.setattr(builder, "starts_with_python", lambda path: path == "usercustomize.py")
    index.add_wheel("evil2", files={**hooks, "evil2.py": ""})
    assert (await run(config, code.replace("evil", "evil2"), "evil2")).stdout != "None\n", (
        "the attack is none"
    )


async def test_a_wheel_writes_nowhere_but_among_the_packages(index, config):
    for number, path in enumerate(
        ("../../outside.py", "/workspace/install.py", "x-1.0.data/data/../../../o.py")
    ):
        index.add_wheel(f"evil{number}", files={path: "evil", f"evil{number}.py": ""})
        code = "import os; print(sorted(name for name in os.listdir('/usr/lib/sandbox-runner')))"
        try:
            result = await run(config, code, f"evil{number}")
        except InstallFailed:
            continue
        assert "outside" not in result.stdout


async def test_an_index_sends_the_installer_nowhere_else(index, config):
    with serving() as other:
        other.add_wheel("elsewhere")
        file = "elsewhere-1.0-py3-none-any.whl"
        index.add_wheel("elsewhere", link=f"{other.url}/files/{file}")
        with pytest.raises(NotPermitted, match="package_hosts"):
            await run(config, "import elsewhere", "elsewhere")
        assert other.asked == []
        allowing = replace(config, package_hosts=(other.url.removeprefix("http://"),))
        assert (await run(allowing, "import elsewhere; print(1)", "elsewhere")).stdout == "1\n", "the control"
        assert other.asked == [f"/files/{file}"]


async def test_an_installation_that_is_cancelled_leaves_nothing(index, config, docker_client):
    before = {each["Id"] for each in docker_client.images(all=True)}
    index.add_wheel("slow")
    index.files["/files/slow-1.0-py3-none-any.whl"] = PAUSE
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, config, "1", "slow")
        assert await anyio.to_thread.run_sync(index.paused.wait, 60)
        tasks.cancel_scope.cancel()
    assert kept_packages() == []
    assert {each["Id"] for each in docker_client.images(all=True)} == before


async def test_an_installation_has_limits_of_its_own(index, config):
    index.add_wheel("big", files={"big.py": "", "big.txt": "x" * (20 << 20)})
    with pytest.raises(InstallFailed, match="package_disk"):
        await run(replace(config, package_disk="16m"), "1", "big")
    index.add_wheel("slow")
    index.files["/files/slow-1.0-py3-none-any.whl"] = PAUSE
    with pytest.raises(InstallFailed, match="package_time"):
        await run(replace(config, package_time=1.5), "1", "slow")


async def test_no_more_is_kept_than_the_operator_said(index, config, docker_client):
    config = replace(config, package_cache="3m")
    for name in ("first", "second"):
        index.add_wheel(name, files={f"{name}.py": f"x = 1 # {'x' * (2 << 20)}"})
    await run(config, "import first", "first")
    (first,) = kept_packages()
    await run(config, "import second", "second")
    assert [each.requirements for each in kept_packages()] == [("second",)]
    with pytest.raises(NoImage):
        docker_client.inspect_image(first.image)


async def test_programs_and_prompts_and_clients_get_packages_and_the_command_line_removes_them(
    index, sandbox_runner
):
    digest = index.add_wheel("listed")
    settings = flags(index, "listed")
    code = ("-c", "import listed; print(listed.VALUE)")
    # The record is this machine's own here; what is in it of others is left alone.
    done = sandbox_runner("run", *settings, "--package", "listed", *code)
    assert (done.returncode, done.stdout) == (0, "listed\n"), done.stderr
    assert done.stderr == "packages listed: installing listed\n"
    assert sandbox_runner("run", *settings, "--package", "listed", *code).stderr == ""
    done = sandbox_runner("session", *settings, "--package", "listed", input=code[1])
    assert (done.returncode, done.stdout) == (0, "listed\n"), done.stderr
    with sdk_client(*settings) as client:
        session = client.call("open_session", packages=["listed"]).structured_content["session"]
        ran = client.call("run_code", language="python", code=code[1], session=session)
        assert ran.structured_content["stdout"] == "listed\n", ran.content
        ran = client.call("run_code", language="python", code="import absent", session=session)
        assert "packages of another open_session" in ran.structured_content["notes"][0]
        for tool, arguments in (("open_session", {}), ("run_code", {"session": session, "code": "1"})):
            refused = client.call(tool, language="python", packages=["missing"], **arguments)
            assert refused.structured_content["status"] == "refused"
    listed = sandbox_runner("packages", "--hashes").stdout
    (line,) = [line for line in listed.splitlines() if digest in line]
    assert line.split()[1:] == ["listed", "1.0", digest]
    assert "Removed" in sandbox_runner("packages", "--remove", line.split()[0]).stdout
    assert digest not in sandbox_runner("packages", "--hashes").stdout
    for words in (("run", *code), ("session",)):
        refused = sandbox_runner(words[0], "--package", "listed", *words[1:])
        assert refused.returncode == 2
        assert "'listed' is not allowed here" in refused.stderr
