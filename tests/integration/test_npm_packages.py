"""Packages of npm that are asked for: laid out as Node looks for them, their scripts never run."""

from dataclasses import replace

import pytest
from package_indexes import npm_archive, serving
from package_runs import recorded_apart, run

from sandbox_runner import Runner
from sandbox_runner.errors import InstallFailed, NotPermitted
from sandbox_runner.packages import kept_packages

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def index():
    with serving() as served:
        yield served


@pytest.fixture
async def config(index, tmp_path, monkeypatch):
    async with recorded_apart(index, tmp_path, monkeypatch) as config:
        yield config


async def test_packages_of_npm_are_laid_out_so_that_each_finds_what_it_needs(index, config):
    main = {"index.js": "module.exports = require('./package.json').version"}
    index.add_npm("leaf", "1.5.0", files=main)
    index.add_npm("leaf", "2.0.0", files=main)
    index.add_npm(
        "@scope/twig", "1.0.0", files={"index.js": "module.exports = 'twig ' + require('leaf')"},
        dependencies={"leaf": "^1.0.0"}, scripts={"postinstall": "touch /workspace/files/EVIL"},
        hasInstallScript=True,
    )  # fmt: skip
    code = """
import leaf from "leaf";
import twig from "@scope/twig";
import { existsSync } from "node:fs";
console.log(leaf, twig, existsSync("/EVIL"), existsSync("/node_modules/EVIL"));
"""
    result = await run(config, code, "leaf", "@scope/twig@^1", language="javascript")
    assert result.stdout == "2.0.0 twig 1.5.0 false false\n", result.stderr
    (record,) = kept_packages()
    assert [(each.name, each.version) for each in record.installed] == [
        ("@scope/twig", "1.0.0"), ("leaf", "1.5.0"), ("leaf", "2.0.0"),
    ]  # fmt: skip
    typed = "import leaf from 'leaf';\nconst found: string = leaf;\nconsole.log(found);"
    oci = replace(config, engine="oci")
    assert (await run(oci, typed, "leaf@1", language="typescript")).stdout == "1.5.0\n"


async def test_a_package_of_npm_that_is_another_file_than_was_told_or_reaches_out_is_refused(index, config):
    index.add_npm("forged", "1.0.0", files={"index.js": ""})
    index.files["/forged/-/forged-1.0.0.tgz"] = npm_archive({"index.js": "evil"})
    with pytest.raises(InstallFailed, match="not the one that the registry told of"):
        await run(config, "1", "forged", language="javascript")
    index.add_npm("climbs", "1.0.0", files={"../../../../node_modules/evil.js": "evil"})
    with pytest.raises(InstallFailed, match="has a file called"):
        await run(config, "1", "climbs", language="javascript")
    index.add_npm("strange", "1.0.0", files={}, dependencies={"x": "git+https://evil.example/x"})
    with pytest.raises(InstallFailed, match="no registry"):
        await run(config, "1", "strange", language="javascript")
    assert kept_packages() == []


async def test_a_session_of_javascript_has_packages_of_npm(index, config):
    index.add_npm("leaf", "1.5.0", files={"index.js": "module.exports = require('./package.json').version"})
    async with Runner.open(config) as runner, runner.session("javascript", packages=["leaf"]) as session:
        result = await session.run("const leaf = require('leaf'); console.log(leaf)")
        assert result.stdout == "1.5.0\n", result.stderr
    async with Runner.open(replace(config, packages=())) as runner:
        with pytest.raises(NotPermitted, match="leaf"):
            async with runner.session("javascript", packages=["leaf"]):
                pass
