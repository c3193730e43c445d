"""What is published for MCP clients: made for real, judged by the tools that its readers use, and started.

The judge of the bundle is the official `mcpb`. That of `server.json` is skillsaw, which carries the released
schema of the MCP Registry unchanged: the registry's own tool is no package of npm or PyPI.
"""

import json
import os
import subprocess
import sys
import zipfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from node_tools import CACHE, NODE, npm_folder, npm_tool

from sandbox_runner import __version__
from sandbox_runner.clients.bundled_server import server_environment
from sandbox_runner.clients.registry import SERVER_NAME
from sandbox_runner.config import load_config

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
MCPB = "@anthropic-ai/mcpb@2.1.2"
WAIT = 300  # seconds: a bound for a loaded machine, no test depends on it
UV = {
    "UV_CACHE_DIR": str(CACHE / "uv"),
    "UV_PYTHON": sys.executable,
    "UV_PYTHON_DOWNLOADS": "never",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def call(*command, **options):
    options = {"capture_output": True, "text": True, "timeout": WAIT, "check": False, **options}
    return subprocess.run([str(word) for word in command], **options)


def mcpb(*words):
    return call(*npm_tool(MCPB, "mcpb"), *words)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The folder with what is published."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = call(sys.executable, "-m", "sandbox_runner.clients", folder, env=environ, cwd="/")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def bundle(release):
    return release / f"sandbox-runner-{__version__}.mcpb"


@pytest.fixture(scope="module")
def unpacked(bundle, tmp_path_factory):
    """The bundle as the official tool unpacks it."""
    folder = tmp_path_factory.mktemp("unpacked") / "bundle"
    done = mcpb("unpack", bundle, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def names(path):
    with zipfile.ZipFile(path) as archive:
        return sorted(name for name in archive.namelist() if not name.endswith("/"))


def test_the_official_tool_finds_the_manifest_valid(unpacked):
    done = mcpb("validate", unpacked)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((unpacked / "manifest.json").read_text())
    assert (manifest["manifest_version"], manifest["server"]["type"]) == ("0.4", "uv")
    assert (unpacked / manifest["server"]["entry_point"]).is_file()
    assert manifest["version"] == __version__


def test_the_official_tool_refuses_a_manifest_that_is_wrong(unpacked, tmp_path):
    manifest = json.loads((unpacked / "manifest.json").read_text())
    manifest["server"]["type"] = "uvx"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert mcpb("validate", tmp_path).returncode != 0


def test_the_official_tool_packs_the_same_files(bundle, unpacked, tmp_path):
    packed = tmp_path / "packed.mcpb"
    done = mcpb("pack", unpacked, packed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(packed) == names(bundle)


def test_the_same_checkout_makes_the_same_bundle(bundle, tmp_path):
    call(
        sys.executable, "-m", "sandbox_runner.clients", tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (tmp_path / bundle.name).read_bytes() == bundle.read_bytes()


def test_a_bundle_has_the_package_its_assets_and_no_leftovers(bundle):
    there = names(bundle)
    for name in (
        "pyproject.toml",
        "LICENSE",
        "src/server.py",
        "src/images/base/Dockerfile",
        "src/seccomp/strict.json",
    ):
        assert name in there
    assert [name for name in there if "__pycache__" in name or "_assets" in name] == []


def client_configuration(unpacked, chosen):
    """What a client makes of the manifest and of what its user chose, by the official library."""
    library = npm_folder(MCPB) / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "index.js"
    code = f"""
        import {{ readFileSync }} from 'node:fs';
        import {{ getMcpConfigForManifest }} from {json.dumps(library.as_uri())};
        const extensionPath = {json.dumps(str(unpacked))};
        const manifest = JSON.parse(readFileSync(extensionPath + '/manifest.json', 'utf8'));
        console.log(JSON.stringify(await getMcpConfigForManifest({{
            manifest, extensionPath, systemDirs: {{}}, userConfig: {json.dumps(chosen)}, pathSeparator: '/',
        }})));
    """
    done = call(NODE, "--input-type=module", "-e", code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settings_in(environ, unpacked):
    """The settings that the bundle's server would have in force."""
    environ = server_environment(environ, unpacked / "src")
    return load_config(environ=environ).config


def test_what_the_user_chose_is_in_force(unpacked):
    entry = client_configuration(unpacked, {"memory": "1g", "max_concurrent": 3, "wall_time": 7.5})
    config = settings_in(entry["env"], unpacked)
    assert (config.memory, config.max_concurrent, config.wall_time) == (1 << 30, 3, 7.5)


def test_where_nothing_is_chosen_our_defaults_are_in_force(unpacked):
    environ = client_configuration(unpacked, {})["env"]
    assert environ["SANDBOX_RUNNER_MAX_CONCURRENT"] == "${user_config.max_concurrent}"
    assert settings_in(environ, unpacked) == load_config(environ={}).config


def test_what_the_bundles_server_starts_finds_the_package(unpacked):
    environ = server_environment({"PATH": os.environ["PATH"], "PYTHONPATH": "/more"}, unpacked / "src")
    shown = call(sys.executable, "-m", "sandbox_runner", "--version", env=environ, cwd="/")
    assert shown.stdout == f"sandbox-runner {__version__}\n"
    assert environ["PYTHONPATH"] == f"{unpacked / 'src'}{os.pathsep}/more"


@asynccontextmanager
async def started(entry, **environ):
    """A client that talks to a server which is started as a client's configuration says."""
    parameters = StdioServerParameters(
        command=entry["command"], args=entry["args"], env={**UV, **entry.get("env", {}), **environ}, cwd="/"
    )
    async with Client(stdio_client(parameters)) as client:
        yield client


@pytest.fixture(scope="module")
def fetched(unpacked):
    """The bundle when uv has its packages: fetching them may need variables that clients do not pass."""
    done = call("uv", "sync", "--directory", unpacked, env=os.environ | UV)
    assert done.returncode == 0, done.stderr
    return unpacked


@pytest.mark.anyio
async def test_the_bundle_is_started_by_uv_and_runs_a_program(fetched, built_image, nothing_left):
    entry = client_configuration(fetched, {"memory": "96m"})
    async with started(entry, UV_OFFLINE="1") as client:
        answer = await client.call_tool("run_code", {"language": "python", "code": "print(6 * 7)"})
        assert "42" in answer.content[0].text
        limits = await client.call_tool("list_languages", {})
        assert "96m" in limits.content[0].text


def test_from_uvx_the_registration_is_uvx_by_its_path():
    command = ["uvx", "--from", ROOT, "sandbox-runner", "install", "cursor", "--print"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = call(*command, env=environ | UV, cwd="/")
    assert done.returncode == 0, done.stderr
    entry = json.loads(done.stdout)["mcpServers"]["sandbox-runner"]
    assert Path(entry["command"]) == Path(sys.executable).with_name("uvx")
    assert entry["args"] == ["sandbox-runner", "stdio"]


def skillsaw(folder):
    return call(sys.executable, "-m", "skillsaw", "lint", folder)


def test_server_json_is_of_the_registrys_schema(release, tmp_path):
    document = json.loads((release / "server.json").read_text())
    assert document["$schema"].endswith("/2025-12-11/server.schema.json")
    (tmp_path / "server.json").write_text(json.dumps(document))
    judged = skillsaw(tmp_path)
    assert judged.returncode == 0, judged.stdout
    assert "mcp-registry" in judged.stdout
    del document["packages"][0]["transport"]
    (tmp_path / "server.json").write_text(json.dumps(document))
    refused = skillsaw(tmp_path)
    assert refused.returncode != 0
    assert "does not conform to MCP Registry 2025-12-11" in refused.stdout


def test_server_json_tells_of_this_version_and_the_readme_vouches_for_it(release):
    document = json.loads((release / "server.json").read_text())
    (package,) = document["packages"]
    assert document["version"] == package["version"] == __version__
    assert document["name"] == SERVER_NAME
    assert f"mcp-name: {SERVER_NAME}" in (ROOT / "README.md").read_text()


def test_what_server_json_offers_are_settings_with_their_defaults(release):
    (package,) = json.loads((release / "server.json").read_text())["packages"]
    offered = {each["name"]: each["default"] for each in package["environmentVariables"] if "default" in each}
    assert load_config(environ=offered).config == load_config(environ={}).config
    assert "SANDBOX_RUNNER_MEMORY" in offered
