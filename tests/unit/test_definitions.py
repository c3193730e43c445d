"""What changes the digests that say whether an image is current, and what does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner import definitions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    for name in ("sandbox_runner", "images"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def digests(checkout: Path) -> dict[str, str]:
    code = (
        "import json; from sandbox_runner.definitions import *; print(json.dumps("
        "{'agent': agent_digest('python')} | {name: definition_digest(name) for name in image_names()}))"
    )
    command = [sys.executable, "-B", "-c", code]
    shown = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)


def changed(checkout: Path, path: str, text: str = "\n# changed\n") -> set[str]:
    before = digests(checkout)
    with (checkout / path).open("a") as file:
        file.write(text)
    after = digests(checkout)
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_a_change_of_an_image_makes_that_image_older(checkout):
    assert changed(checkout, "images/node/Dockerfile") == {"node"}
    assert changed(checkout, "images/node/preload.cjs") == {"node"}
    assert changed(checkout, "images/node/another.cjs") == {"node"}


def test_a_change_of_the_base_makes_every_image_older(checkout):
    assert changed(checkout, "images/base/install.sh") == set(definitions.image_names())


def test_a_change_of_the_agent_is_seen_apart_from_the_definitions(checkout):
    assert changed(checkout, "sandbox_runner/agent/protocol.py") == {"agent"}
    assert changed(checkout, "sandbox_runner/agent/another.py") == {"agent"}


@pytest.mark.parametrize("path", ["main.c", "pid1.h", "another.c"])
def test_a_change_of_pid_1_makes_every_image_older(checkout, path):
    every = set(definitions.image_names())
    assert changed(checkout, f"sandbox_runner/agent/pid1/{path}", "\n/* changed */\n") == every


@pytest.mark.parametrize(
    "path", ["images/python/language.toml", "images/python/.Dockerfile.swp", "sandbox_runner/agent/x.pyc"]
)
def test_what_is_not_built_in_changes_nothing(checkout, path):
    assert changed(checkout, path, "") == set()


def test_a_file_cannot_pass_for_two(checkout):
    (checkout / "images/node/a").write_text("b")
    before = digests(checkout)
    (checkout / "images/node/a").rename(checkout / "images/node/ab")
    (checkout / "images/node/ab").write_text("")
    assert digests(checkout)["node"] != before["node"]


def test_the_base_comes_before_what_is_built_on_it():
    assert definitions.image_names()[0] == "base"
    assert {"node", "python", "shell"} < set(definitions.image_names())


def test_an_image_is_ours_only_by_its_short_name():
    assert definitions.image_tag("python") == "sandbox-runner/python:latest"
    assert definitions.image_tag("python:3.13") is None
    assert definitions.image_tag("ghost") is None


def test_an_image_with_exactly_our_labels_is_current():
    labels = definitions.identity("python")
    assert definitions.is_current({**labels, "another": "label"})


@pytest.mark.parametrize(
    "label", [definitions.LABEL_IMAGE, definitions.LABEL_DEFINITION, definitions.LABEL_AGENT]
)
def test_an_image_with_another_or_no_value_in_one_of_our_labels_is_not_current(label):
    labels = definitions.identity("python")
    assert not definitions.is_current({**labels, label: "0" * 64})
    assert not definitions.is_current({name: value for name, value in labels.items() if name != label})


def test_the_base_has_pid_1_and_what_runs_programs_the_rest_of_the_agent():
    assert definitions.LABEL_AGENT not in definitions.identity("base")
    assert b"COPY agent/pid1 " in definitions.image_files("base")["Dockerfile"]
    for name in definitions.image_names()[1:]:
        assert definitions.LABEL_AGENT in definitions.identity(name)
        assert b"COPY agent /usr/lib/sandbox-runner/agent\n" in definitions.image_files(name)["Dockerfile"]


def test_an_image_that_is_not_there_has_no_digest():
    with pytest.raises(FileNotFoundError, match="no image 'ghost'"):
        definitions.definition_digest("ghost")
