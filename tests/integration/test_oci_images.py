"""Images that are not ours, on the embedded engine: brought in, listed, run as they are, removed.

No registry is needed: they come from a Docker engine, from archives, and from layouts made by hand.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from oci_layouts import Layout, layer_of

from sandbox_runner import Config, Runner, RunRequest
from sandbox_runner.engines.oci import init
from sandbox_runner.engines.oci.clearing import remove_unnamed
from sandbox_runner.engines.oci.making import PREFIX
from sandbox_runner.engines.oci.store import find_stored, foreign_images, images_folder, rootfs_of
from sandbox_runner.errors import BuildFailed, ImageNotFound, InvalidRequest
from sandbox_runner.events import Started
from sandbox_runner.provision import foreign
from sandbox_runner.provision.foreign import remove_foreign, take_in
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.references import read_reference

NAME = f"sandbox-runner-tests/image:{os.getpid()}"
NO_DEBIAN = Host(system="Linux", debian=False, root=True, systemd=False)
anyio_test = pytest.mark.anyio


def refuse(question: str) -> bool:
    raise AssertionError(question)


def unpacked_now() -> set[str]:
    return {path.name for path in images_folder().iterdir()}


def bring(source: str, *, most: int = 1 << 30, name: str = NAME, said: list[str] | None = None):
    """Takes ``source`` in as a user's setup does, on a machine that has what it needs."""
    lines = [] if said is None else said
    take_in(
        [read_reference(source, name=name)], most=most, host=NO_DEBIAN, folder=Path("/nowhere"),
        consent=refuse, report=lambda step: lines.append(step.text),
    )  # fmt: skip
    return find_stored(name)


@pytest.fixture(autouse=True)
def nothing_stays():
    before = unpacked_now()
    yield
    remove_foreign(NAME)
    assert [each for each in unpacked_now() - before if not each.startswith(PREFIX)] == []


@pytest.fixture
def static(tmp_path) -> Path:
    """A layout whose image has nothing but one static program."""
    process = {"Entrypoint": ["/init", "-h"], "Env": ["PATH=/", "OWN=1"], "WorkingDir": "/"}
    return Layout(layer_of({"init": init.find_init().read_bytes()}), process=process).write(
        tmp_path / "static"
    )


async def ran(*command: str, name: str = NAME, **request):
    async with Runner.open(Config(engine="oci")) as runner:
        return await runner.run(RunRequest(command=command, image=name, **request))


@anyio_test
async def test_an_image_of_a_docker_engine_comes_in_by_an_archive_and_runs(docker_client, tmp_path):
    saved = tmp_path / "saved.tar"
    with saved.open("wb") as file:
        file.writelines(docker_client.get_image("sandbox-runner/base:latest"))
    said: list[str] = []
    image = bring(f"docker-archive:{saved}", said=said)
    assert image.size > 50 << 20
    assert any("layer 1" in line for line in said)
    result = await ran("python3", "-c", "import os; print(os.getuid() > 0, open('/etc/hosts').read())")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "True")
    assert "localhost" in result.stdout
    (written,) = [await ran("sh", "-c", "touch /workspace/a /tmp/b && ! touch /c")]
    assert written.exit_code == 0, written.stderr


@pytest.mark.parametrize("archive", [False, True])
def test_the_same_image_is_one_root_filesystem_however_it_came(static, tmp_path, archive):
    image = bring(f"oci:{static}:image")
    if archive:
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{static}:image", f"oci-archive:{tmp_path}/a.tar"], check=True
        )
    said: list[str] = []
    again = bring(f"oci-archive:{tmp_path}/a.tar" if archive else f"oci:{static}:image", said=said)
    assert again == image
    assert not [line for line in said if "unpacked" in line]


@anyio_test
@pytest.mark.parametrize("runtime", ["crun", "runc"])
async def test_an_image_without_any_library_runs_its_own_command_with_its_own_variables(static, runtime):
    bring(f"oci:{static}:image")
    async with Runner.open(Config(engine="oci", oci_runtime=runtime)) as runner:
        own = await runner.run(RunRequest(command=[], image=NAME))
        given = await runner.run(RunRequest(command=["/init", "--version"], image=NAME))
        image = await runner._engine.image(NAME)
    assert "Usage" in own.stdout + own.stderr or own.stdout != given.stdout
    assert given.exit_code == 0
    assert (image.argv, image.env, image.agent) == (("/init", "-h"), ("PATH=/", "OWN=1"), False)


@anyio_test
async def test_an_image_without_a_command_of_its_own_needs_one(tmp_path):
    layout = Layout(layer_of({"init": init.find_init().read_bytes()})).write(tmp_path / "image")
    bring(f"oci:{layout}:image")
    with pytest.raises(InvalidRequest, match="no command of its own"):
        await ran()


@anyio_test
async def test_an_image_that_is_not_here_says_how_to_bring_it_in():
    with pytest.raises(ImageNotFound, match="setup --engine oci --image no-such-image:1"):
        await ran("true", name="no-such-image:1")


def test_a_link_in_place_of_a_mount_point_leads_nowhere(tmp_path):
    import tarfile

    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "hosts").write_text("the host's")
    members = []
    for name in ("etc", "proc", "tmp", "workspace"):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, str(secret)
        members.append(member)
    layout = Layout(layer_of({}, *members)).write(tmp_path / "image")
    image = bring(f"oci:{layout}:image")
    assert [path.name for path in secret.iterdir()] == ["hosts"]
    assert (secret / "hosts").read_text() == "the host's"
    assert all(not (rootfs_of(image.id) / name).is_symlink() for name in ("proc", "tmp", "workspace"))


REFUSED = {
    "a registry that is not reached": (
        "docker://localhost:1/debian:stable",
        "skopeo copy docker://localhost:1",
    ),
    "an archive that is not there": ("docker-archive:/no/such/file.tar", "no such file"),
    "a layout that is not there": ("oci:/no/such/folder:image", "no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fetched_is_refused_with_what_to_do(name):
    source, reason = REFUSED[name]
    with pytest.raises(BuildFailed, match=reason):
        bring(source)
    assert find_stored(NAME) is None


def test_an_image_for_another_machine_is_refused_before_it_is_unpacked(tmp_path):
    image = Layout(layer_of({"x": b""}))
    image.config["architecture"] = "riscv64"
    with pytest.raises(BuildFailed, match="riscv64"):
        bring(f"oci:{image.write(tmp_path / 'image')}:image")


def test_a_bomb_is_refused_in_time(tmp_path):
    layout = Layout(layer_of({"bomb": bytes(64 << 20)})).write(tmp_path / "image")
    with pytest.raises(BuildFailed, match="max_image"):
        bring(f"oci:{layout}:image", most=1 << 20)
    assert find_stored(NAME) is None


def test_a_file_that_is_larger_than_all_may_be_is_not_even_copied(tmp_path):
    layout = Layout(layer_of({"random": os.urandom(3 << 20)})).write(tmp_path / "image")
    with pytest.raises(BuildFailed, match="could not be fetched"):
        bring(f"oci:{layout}:image", most=1 << 20)


def test_without_skopeo_one_is_told_to_install_it(static, monkeypatch):
    monkeypatch.setattr(foreign.shutil, "which", lambda name: None)
    with pytest.raises(BuildFailed, match="need skopeo; install that"):
        bring(f"oci:{static}:image")


def test_a_hostile_layer_is_refused_and_leaves_nothing(tmp_path):
    layout = Layout(layer_of({"../../../escaped": b"x"})).write(tmp_path / "image")
    before = unpacked_now()
    with pytest.raises(BuildFailed, match="leads out of it"):
        bring(f"oci:{layout}:image")
    assert unpacked_now() == before


def test_an_image_is_listed_and_removed(static):
    image = bring(f"oci:{static}:image")
    assert NAME in [each.name for each in foreign_images()]
    assert remove_foreign(NAME)
    assert not remove_foreign(NAME)
    assert not rootfs_of(image.id).exists()


@anyio_test
async def test_an_image_in_use_stays_until_its_run_is_over(docker_client, tmp_path):
    saved = tmp_path / "saved.tar"
    with saved.open("wb") as file:
        file.writelines(docker_client.get_image("sandbox-runner/base:latest"))
    image = bring(f"docker-archive:{saved}")
    go = anyio.Event()

    async def when_told():
        await go.wait()
        yield b""

    async with Runner.open(Config(engine="oci")) as runner:
        asked = RunRequest(command=["sh", "-c", "cat; cat /etc/hostname"], image=NAME, stdin=when_told())
        async with runner.stream(asked) as run:
            async for event in run:
                if isinstance(event, Started):
                    assert remove_foreign(NAME)
                    assert rootfs_of(image.id).exists()
                    go.set()
            assert (await run.result()).stdout == "sandbox\n"
    remove_unnamed()
    assert not rootfs_of(image.id).exists()


IMPORTS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_oci_images import bring
print("begun", flush=True)
bring(sys.argv[1], name=sys.argv[2])
"""


def test_a_killed_import_leaves_nothing_after_the_next(static, tmp_path):
    layout = Layout(layer_of({f"file{n}": os.urandom(1000) for n in range(20_000)})).write(tmp_path / "image")
    left = set()
    imports = IMPORTS.format(tests=str(Path(__file__).parent))
    for attempt in range(1, 5):
        owner = subprocess.Popen(
            [sys.executable, "-P", "-c", imports, f"oci:{layout}:image", NAME],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        owner.stdout.readline()
        # The moment is the attack: while it is being made, later each time.
        begun = f"{PREFIX}*/image/rootfs/file{attempt}000"
        while owner.poll() is None and not list(images_folder().glob(begun)):
            pass
        os.killpg(owner.pid, signal.SIGKILL)
        owner.wait()
        owner.stdout.close()
        left |= {each for each in unpacked_now() if each.startswith(PREFIX)}
        assert find_stored(NAME) is None
    assert left, "no import was killed while it made something"
    bring(f"oci:{static}:image")
    assert left & unpacked_now() == set()


def test_the_commands_bring_in_list_run_and_remove(static, sandbox_runner):
    refused = sandbox_runner("setup", "--image", "debian:stable", "--engine", "docker")
    assert (refused.returncode, "docker pull" in refused.stderr) == (2, True)
    made = sandbox_runner(
        "setup", "--engine", "oci", "--image", f"oci:{static}:image", "--as", NAME, timeout=300
    )
    assert made.returncode == 0, made.stderr
    assert f"{NAME}  brought in" in sandbox_runner("images", "--engine", "oci").stdout
    shown = sandbox_runner("run", "--engine", "oci", "--image", NAME, "--", "/init", "--version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert sandbox_runner("run", "--engine", "oci", "--image", NAME, "--").returncode in (0, 1)
    assert sandbox_runner("images", "--remove", NAME).returncode == 0
    gone = sandbox_runner("images", "--remove", NAME)
    assert (gone.returncode, "images --engine oci" in gone.stderr) == (125, True)
