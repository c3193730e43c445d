"""What tests take from npm: exact versions, and no half of an installation."""

import subprocess

import pytest
from node_tools import NODE, installed_once, npm_folder


@pytest.mark.parametrize("package", ["left-pad", "left-pad@^1.3.0", "left-pad@latest", "@a/b", "../x@1.0.0"])
def test_a_package_without_an_exact_version_is_refused(package):
    with pytest.raises(ValueError, match="is not pinned"):
        npm_folder(package)


def break_half_way(folder):
    with installed_once(folder) as fresh:
        (fresh / "half").touch()
        raise OSError("broke")


def test_an_installation_that_broke_is_made_again(tmp_path):
    folder = tmp_path / "tool"
    with pytest.raises(OSError, match="broke"):
        break_half_way(folder)
    with installed_once(folder) as fresh:
        (fresh / "whole").touch()
    with installed_once(folder) as fresh:
        assert fresh is None
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_node_is_new_enough_for_the_inspector():
    said = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    assert tuple(int(part) for part in said.strip().lstrip("v").split(".")) >= (22, 19)
