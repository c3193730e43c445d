"""The images and seccomp profiles are found from a checkout, an editable install, a wheel and an sdist.

Each is made and installed for real, and asked from a folder that has neither.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("sandbox_runner", "images", "seccomp", "tests", "examples", ".ci")
PAGES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md")

ASK = """
import json
from sandbox_runner.assets import asset_folder
from sandbox_runner.definitions import agent_digest, definition_digest, image_names
from sandbox_runner.languages import load_languages
print(json.dumps({
    "images": {name: definition_digest(name) for name in image_names()},
    "agent": {name: agent_digest(name) for name in image_names()},
    "languages": [language.name for language in load_languages()],
    "profiles": sorted(path.name for path in asset_folder("seccomp").glob("*.json")),
    "folder": str(asset_folder("images")),
}))
"""

pytestmark = pytest.mark.timeout(900)


def call(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(python: str | Path, elsewhere: Path) -> dict[str, object]:
    return json.loads(call(python, "-I", "-c", ASK, cwd=elsewhere))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy, so that nothing is built in, or linked to, the one that is tested."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_assets"))
    for name in PAGES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
    return copy


def files(checkout: Path, *folders: str) -> list[Path]:
    found = [path for folder in folders for path in (checkout / folder).rglob("*") if path.is_file()]
    return [path.relative_to(checkout) for path in found if "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def expected(checkout):
    """What the checkout itself says."""
    code = f"import sys; sys.path.insert(0, {str(checkout)!r})\n{ASK}"
    said = json.loads(call(sys.executable, "-I", "-c", code, cwd=checkout.parent))
    assert said["folder"] == str(checkout / "images")
    assert said["profiles"] == ["default.json", "strict.json"]
    return {key: value for key, value in said.items() if key != "folder"}


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory):
    """The folder with an sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--outdir", folder, checkout)
    return folder


@pytest.fixture
def environment(tmp_path):
    """A Python environment that is empty, and the function that installs into it."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def install(*what: str | Path) -> Path:
        call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", *what)
        return python

    return install


def test_a_wheel_carries_them_within_the_package(built, environment, expected, tmp_path):
    said = ask(environment(next(built.glob("*.whl"))), tmp_path)
    assert Path(said.pop("folder")).parts[-3:] == ("sandbox_runner", "_assets", "images")
    assert said == expected


def test_an_sdist_installs_with_them(built, environment, expected, tmp_path):
    said = ask(environment(next(built.glob("*.tar.gz"))), tmp_path)
    assert said.pop("folder").endswith("images")
    assert said == expected


def test_an_unpacked_sdist_has_them_beside_the_package(built, expected, tmp_path):
    with tarfile.open(next(built.glob("*.tar.gz"))) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none
        tar.extractall(tmp_path)
    (unpacked,) = tmp_path.glob("sandbox_runner-*")
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{ASK}"
    said = json.loads(call(sys.executable, "-I", "-c", code, cwd=tmp_path.parent))
    assert said.pop("folder") == str(unpacked / "images")
    assert said == expected


def test_an_editable_install_uses_those_of_the_checkout(checkout, environment, expected, tmp_path):
    said = ask(environment("--editable", checkout), tmp_path)
    assert said.pop("folder") == str(checkout / "images")
    assert said == expected


def test_a_wheel_has_the_package_and_its_assets_and_nothing_else(built, checkout):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = {path.as_posix() for path in files(checkout, "sandbox_runner")}
    assets = {f"sandbox_runner/_assets/{path.as_posix()}" for path in files(checkout, "images", "seccomp")}
    assert names == package | assets
    assert "sandbox_runner/py.typed" in names


def test_an_sdist_has_what_its_own_tests_need(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "tests/conftest.py", "images/base/Dockerfile"):
        assert name in names
