"""Setup and its undoing against a real engine and real packages."""

import json
import secrets
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from sandbox_runner import definitions
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.errors import BuildFailed, EngineUnavailable
from sandbox_runner.places import state_folder
from sandbox_runner.provision import packages
from sandbox_runner.provision.base import find_base, made_tag, make_base, obtain_base
from sandbox_runner.provision.build import Build, build_image
from sandbox_runner.provision.engine_install import remove_log, stop_daemon
from sandbox_runner.provision.host import this_host
from sandbox_runner.provision.setup import prepare
from sandbox_runner.provision.state import SetupState, load_state, save_state
from sandbox_runner.provision.turns import one_at_a_time
from sandbox_runner.provision.uninstall import uninstall


def ignore(_progress) -> None:
    """Nobody watches."""


def agree(_question: str) -> bool:
    return True


def refuse(question: str) -> bool:
    raise AssertionError(question)


@pytest.fixture
def another():
    """A namespace for tags that nothing else uses."""
    return f"sandbox-runner-tests-{secrets.token_hex(4)}"


def tags(api, repository: str) -> set[str]:
    return {tag for image in api.images(name=f"{repository}/*") for tag in image["RepoTags"]}


def test_a_base_that_is_nowhere_is_refused_with_what_to_do(docker_client, tmp_path):
    with pytest.raises(BuildFailed) as caught:
        obtain_base(
            docker_client, "no-such/image:1", host=this_host(), folder=tmp_path, consent=refuse, report=ignore
        )
    assert "no-such/image:1 is not on the engine and cannot be pulled" in str(caught.value)
    assert "docker load" in str(caught.value)
    assert load_state(tmp_path) == SetupState()


@pytest.mark.timeout(1800)
def test_a_base_made_here_is_found_again_and_holds_nothing_of_this_machine(docker_client, tmp_path, another):
    base = make_base(
        docker_client, host=this_host(), folder=tmp_path, consent=agree, report=ignore, repository=another
    )
    assert base.reference == made_tag(another)
    try:
        assert find_base(docker_client, None, repository=another) == base
        config = docker_client.inspect_image(base.id)["Config"]
        assert [each.partition("=")[0] for each in config["Env"] or ()] in ([], ["PATH"])
        files = list(layer_files(docker_client, base.id, tmp_path))
    finally:
        docker_client.remove_image(base.reference)
        packages.remove(load_state(tmp_path).packages, on_line=lambda line: None)
    assert not {"etc/resolv.conf", "etc/hostname"} & {name for name, _ in files}
    settings = b"".join(data for name, data in files if name.startswith("etc/apt/apt.conf.d"))
    assert b"DPkg" in settings
    assert b"proxy" not in settings.lower()


def layer_files(api, image, folder):
    """The names of an image's files, each with its content where it is a setting of apt."""
    saved = folder / "image.tar"
    with saved.open("wb") as file:
        file.writelines(api.get_image(image))
    with tarfile.open(saved) as whole:
        (manifest,) = json.load(whole.extractfile("manifest.json"))
        with tarfile.open(fileobj=whole.extractfile(manifest["Layers"][0])) as layer:
            for member in layer:
                wanted = member.isfile() and "apt.conf.d" in member.name
                yield member.name.removeprefix("./"), layer.extractfile(member).read() if wanted else b""


STARTS = """
import sys
from pathlib import Path
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.provision.build import Build, build_image
from sandbox_runner.provision.engine_install import start_dockerd
address, folder, *arguments = sys.argv[1:]
start_dockerd(lambda: connect(address), folder=Path(folder), arguments=arguments).close()
"""


def start_elsewhere(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Starts a dockerd, from a process that then ends, in a network of its own.

    On the machine's network a second dockerd would take away the bridge of the first.
    """
    address = f"unix://{folder}/docker.sock"
    options = (
        f"--host={address}", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false",
    )  # fmt: skip
    command = ["unshare", "--net", sys.executable, "-c", STARTS, address, folder / "state"]
    return subprocess.run(
        [*command, *options, *arguments], capture_output=True, text=True, timeout=200, check=False
    )


def test_a_dockerd_that_was_started_outlives_the_starter_and_is_stopped_by_its_record(tmp_path):
    started = start_elsewhere(tmp_path)
    assert started.returncode == 0, started.stderr
    daemon = load_state(tmp_path / "state").daemon
    address = f"unix://{tmp_path}/docker.sock"
    try:
        with closing(connect(address)) as api:
            assert api.ping()
        assert str(daemon.pid) == (tmp_path / "pid").read_text().strip()
    finally:
        assert stop_daemon(daemon) is True
    with pytest.raises(EngineUnavailable):
        connect(address)
    assert stop_daemon(daemon) is False
    remove_log(tmp_path / "state")
    save_state(tmp_path / "state", SetupState())
    assert not (tmp_path / "state").exists()


def test_a_dockerd_that_cannot_start_is_told_with_the_end_of_its_log_and_not_recorded(tmp_path):
    started = start_elsewhere(tmp_path, "--no-such-option")
    assert "EngineUnavailable: The Docker engine ended as soon as it was started" in started.stderr
    assert "unknown flag: --no-such-option" in started.stderr
    assert load_state(tmp_path / "state").daemon is None


@pytest.fixture
def machine(repository, debian, tmp_path):
    """Sets up under tags of its own, on an engine that is there already."""

    def setup(name: str, **options):
        return prepare(
            lambda: connect(None),
            host=this_host(),
            folder=tmp_path,
            consent=refuse,
            report=ignore,
            base=debian.reference,
            repository=name,
            wanted={"node"},
            **options,
        )

    return setup


def test_setups_of_two_engines_at_once_take_turns():
    begun = []

    def waiting(engine):
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_runner", "setup", "--yes", "--engine", engine,
             "--languages", "python"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        begun.append(process)
        return process.stderr.readline()

    try:
        with one_at_a_time(state_folder(), ignore):
            before = load_state(state_folder())
            told = [waiting(engine) for engine in ("docker", "oci")]
        assert told == ["engine setup: waiting for another setup on this machine\n"] * 2
        for process in begun:
            said, errors = process.communicate(timeout=120)
            assert said.startswith("Ready (all images were current)"), errors
    finally:
        for process in begun:
            process.kill()
            process.communicate()
    assert load_state(state_folder()) == before


def test_a_second_setup_changes_nothing(machine, docker_client, another, tmp_path):
    first = machine(another)
    try:
        assert set(first.built) == {"base", "node"}
        second = machine(another)
        assert (second.built, second.images) == ((), first.images)
        assert load_state(tmp_path) == SetupState()
    finally:
        uninstall(lambda: connect(None), folder=tmp_path, report=ignore, repository=another)


def test_uninstalling_removes_our_images_and_leaves_everybody_elses(
    machine, docker_client, debian, another, tmp_path
):
    theirs = f"{another}/theirs"
    images = machine(another).images
    docker_client.tag(images["node"], theirs)
    try:
        left = uninstall(lambda: connect(None), folder=tmp_path, report=ignore, repository=another)
        assert left == ()
        assert tags(docker_client, another) == {f"{theirs}:latest"}
        assert docker_client.inspect_image(debian.reference)["Id"] == debian.id
    finally:
        docker_client.remove_image(theirs)


def test_an_image_in_use_stays_is_named_and_goes_the_next_time(docker_client, repository, another, tmp_path):
    build = Build(
        name="former",  # as of an older version
        tag=f"{another}/former:latest",
        parent=f"{repository}/base:latest",
        files={"Dockerfile": b"ARG BASE\nFROM ${BASE}\nRUN true\n"},
        labels={definitions.LABEL_IMAGE: "former", definitions.LABEL_DEFINITION: another},
    )
    build_image(docker_client, build, report=ignore)
    container = docker_client.create_container(build.tag, ["true"])

    def again():
        return uninstall(lambda: connect(None), folder=tmp_path, report=ignore, repository=another)

    try:
        (left,) = again()
        assert left.startswith(f"The image {build.tag} stays: ")
        assert "container" in left
        assert tags(docker_client, another) == {build.tag}
    finally:
        docker_client.remove_container(container)
    assert again() == ()
    assert tags(docker_client, another) == set()
