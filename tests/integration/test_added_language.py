"""Languages that an operator adds in a folder beside the configuration: no code, no change of the package."""

import json
import os
import re
from pathlib import Path

import pytest

from sandbox_runner.definitions import image_tag

pytestmark = pytest.mark.usefixtures("nothing_left")
README = Path(__file__).parents[2] / "README.md"

OWN_IMAGE = """
[[language]]
name = "shout"
extensions = ["shout"]
version = ["shout", "--version"]
file = "main.shout"
run = ["shout", "main.shout"]
selftest = { code = "hello", stdout = "HELLO" }
"""
DOCKERFILE = r"""
ARG BASE=sandbox-runner/base
FROM ${BASE}
RUN printf '#!/bin/sh\ntr a-z A-Z < "$1"\n' > /usr/bin/shout && chmod 755 /usr/bin/shout
COPY agent /usr/lib/sandbox-runner/agent
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/sandbox-runner/agent
"""


@pytest.fixture
def added(tmp_path):
    """Adds a language; gives the environment in which it is there."""

    def add(name: str, **files: str) -> dict[str, str]:
        folder = tmp_path / "sandbox-runner" / "images" / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / {"toml": "language.toml", "dockerfile": "Dockerfile"}[file]).write_text(text)
        return {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}

    return add


def test_the_language_of_the_readme_is_a_row_on_an_image_that_is_there(sandbox_runner, added):
    row = re.search(
        r"```toml\n(\[\[language\]\]\nname = \"jq\"\n.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    environment = added("jq", toml=row[1])
    listed = json.loads(sandbox_runner("languages", "--json", env=environment).stdout)
    assert "jq" in [language["name"] for language in listed]
    ran = sandbox_runner("run", "--language", "jq", "-c", "pow(2; 10)", env=environment)
    assert (ran.returncode, ran.stdout) == (0, "1024\n"), ran.stderr


def test_one_with_an_image_of_its_own_is_built_by_setup_and_runs(sandbox_runner, added, docker_client):
    environment = added("shout", toml=OWN_IMAGE, dockerfile=DOCKERFILE)
    assert image_tag("shout") is None, "here it is unknown"
    try:
        made = sandbox_runner("setup", "--languages", "shout", env=environment, timeout=600)
        assert made.returncode == 0, made.stderr
        assert "shout" in made.stdout
        ran = sandbox_runner("run", "--language", "shout", "-c", "works", env=environment)
        assert (ran.returncode, ran.stdout) == (0, "WORKS"), ran.stderr
    finally:
        docker_client.remove_image("sandbox-runner/shout:latest")


def test_before_setup_it_says_what_to_do(sandbox_runner, added):
    environment = added("shout", toml=OWN_IMAGE, dockerfile=DOCKERFILE)
    ran = sandbox_runner("run", "--language", "shout", "-c", "works", env=environment)
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "sandbox-runner setup --languages shout" in ran.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[language]]\nname = 'x'\n", "'version' is missing"),
        ("not toml", "is not valid TOML"),
        (OWN_IMAGE.replace('"shout"', '"python"', 1), "Both python and python claim the name 'python'"),
        (OWN_IMAGE.replace("extensions", "extentions"), "'extentions' is not a key"),
    ],
    ids=["incomplete", "no TOML", "a name that is taken", "a key that is none"],
)
def test_a_definition_that_is_wrong_is_named_with_its_file(sandbox_runner, added, text, told):
    ran = sandbox_runner("languages", env=added("wrong", toml=text))
    assert ran.returncode == 125
    assert told in ran.stderr
