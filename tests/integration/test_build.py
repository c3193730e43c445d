"""Building: what is current is left alone, what is replaced is removed, what fails says why."""

import os
import secrets
from dataclasses import replace

import pytest
from chosen_languages import IMAGES

from sandbox_runner import definitions
from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision.build import Build, build_image, current_id, remove_replaced
from sandbox_runner.provision.setup import build_images


def ignore(_progress) -> None:
    """Nobody watches."""


@pytest.fixture
def build(repository):
    """An image of no importance, on our base."""
    name = f"test-{os.getpid()}-{secrets.token_hex(4)}"
    return Build(
        name=name,
        tag=f"{repository}/{name}:latest",
        parent=f"{repository}/base:latest",
        files={"Dockerfile": b"ARG BASE\nFROM ${BASE}\nCOPY note /note\n", "note": b"one"},
        labels={**definitions.identity("python"), **LABELS, definitions.LABEL_IMAGE: name},
    )


LABELS = {definitions.LABEL_DEFINITION: "one", definitions.LABEL_PARENT: "sha256:0"}


def changed(build: Build) -> Build:
    labels = {**build.labels, definitions.LABEL_DEFINITION: "two"}
    return replace(build, files={**build.files, "note": b"two"}, labels=labels)


def exists(api, image: str) -> bool:
    return any(found["Id"] == image for found in api.images(all=True))


def test_building_again_does_nothing(docker_client, debian, repository):
    again = build_images(docker_client, debian, report=ignore, wanted=(), repository=repository)
    assert again.built == ()
    assert set(again.images) == set(IMAGES)


def test_images_stay_current_when_the_debian_that_they_were_built_on_is_gone(docker_client, repository):
    assert build_images(docker_client, None, report=ignore, wanted=(), repository=repository).built == ()


def test_a_changed_definition_is_built_anew_and_what_it_replaces_is_removed(docker_client, build):
    old = build_image(docker_client, build, report=ignore)
    assert current_id(docker_client, build.tag, build.labels) == old
    second = changed(build)
    assert current_id(docker_client, second.tag, second.labels) is None
    new = build_image(docker_client, second, report=ignore)
    remove_replaced(docker_client, (build.name,), report=ignore)
    assert current_id(docker_client, second.tag, second.labels) == new
    assert not exists(docker_client, old)


def test_a_replaced_image_that_a_container_uses_goes_when_the_container_has_gone(docker_client, build):
    old = build_image(docker_client, build, report=ignore)
    container = docker_client.create_container(old, ["true"])
    said = []
    try:
        build_image(docker_client, changed(build), report=ignore)
        remove_replaced(docker_client, (build.name,), report=said.append)
        assert exists(docker_client, old)
        assert "stays for now" in said[0].text
    finally:
        docker_client.remove_container(container)
    remove_replaced(docker_client, (build.name,), report=ignore)
    assert not exists(docker_client, old)


def test_what_someone_built_on_our_image_is_not_ours_to_remove(docker_client, build):
    ours = build_image(docker_client, build, report=ignore)
    theirs = replace(
        build, tag=f"{build.tag.rpartition('/')[0]}/theirs:latest", parent=build.tag, labels={},
        files={"Dockerfile": b"ARG BASE\nFROM ${BASE}\nRUN echo theirs > /theirs\n"},
    )  # fmt: skip
    image = build_image(docker_client, theirs, report=ignore)
    labels = docker_client.inspect_image(image)["Config"]["Labels"]
    assert labels[definitions.LABEL_IMAGE] == build.name  # inherited
    docker_client.tag(ours, theirs.tag.removesuffix(":latest"), "latest")  # leaves theirs without a tag
    remove_replaced(docker_client, (build.name,), report=ignore)
    assert exists(docker_client, image)
    docker_client.remove_image(image)


def test_a_build_that_fails_says_what_the_installer_said_last_and_leaves_nothing(docker_client, build):
    before = {image["Id"] for image in docker_client.images(all=True)}
    dockerfile = b"ARG BASE\nFROM ${BASE}\nRUN echo one > /one\nRUN echo cannot find it >&2; exit 3\n"
    with pytest.raises(BuildFailed) as caught:
        build_image(docker_client, replace(build, files={"Dockerfile": dockerfile}), report=ignore)
    assert str(caught.value) == f"The image {build.name} could not be built: a step ended with status 3."
    assert any("cannot find it" in line for line in caught.value.lines)
    assert {image["Id"] for image in docker_client.images(all=True)} == before


def test_a_full_disk_is_called_that(docker_client, build):
    dockerfile = b"ARG BASE\nFROM ${BASE}\nRUN dd if=/dev/zero of=/dev/shm/full bs=1M count=100\n"
    with pytest.raises(BuildFailed, match=r"^The engine's disk is full: .* Make room .* setup` again\.$"):
        build_image(docker_client, replace(build, files={"Dockerfile": dockerfile}), report=ignore)


def test_progress_counts_the_steps(docker_client, build):
    said = []
    build_image(docker_client, build, report=said.append)
    assert {(each.stage, each.subject) for each in said} == {("image", build.name)}
    assert len({each.total for each in said}) == 1
    assert [each.done for each in said] == sorted(each.done for each in said)
