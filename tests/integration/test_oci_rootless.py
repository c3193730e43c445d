"""A user who is not root and asks for the embedded engine: refused, and told each control and the reason.

The user is real: nobody, without a capability but for the one to read files, as this checkout may be root's.
"""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sandbox_runner.engines.oci.cgroups import find_hierarchies
from sandbox_runner.engines.oci.rootless import Unenforced, told

USER = pwd.getpwnam("nobody").pw_uid  # newuidmap wants a user with a name
LIMITS = ("memory", "swap", "cpus", "pids")
USER_IDS = "a user id of its own for each run"
APART = "inotify, queues and pending signals of each run apart"
ASK = (
    "import json; from dataclasses import asdict\n"
    "from sandbox_runner.engines.oci import cgroups, rootless\n"
    "found = rootless.find_unenforced(cgroups.find_hierarchies())\n"
    "print(json.dumps({each.control: each.reason for each in found}))"
)


def as_user(*arguments: str, inside: str = "true", folders: Mapping[str, str] | None = None):
    """The finished process of Python with ``arguments``; before, root does ``inside`` in mounts of its own.

    ``folders`` are the cgroups that it is put into.
    """
    reading = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    user = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", *reading)
    join = "".join(f"echo 0 >{folder}/cgroup.procs && " for folder in (folders or {}).values())
    script = f'{join}{inside} && exec "$@"'
    return subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            *user,
            sys.executable,
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
    )


def unenforced(**named) -> dict[str, str]:
    done = as_user("-c", ASK, **named)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def own_cgroups() -> Iterator[dict[str, str]]:
    """A cgroup in each hierarchy that is the user's."""
    hierarchies = find_hierarchies()
    used = ("memory", "cpu", "pids", "devices")
    by_controller = {name: hierarchies.by_controller[name] for name in used if not hierarchies.unified}
    folders = by_controller or {"": hierarchies.beside[0]}
    made = {}
    for controller, folder in folders.items():
        mine = folder / f"rootless-test-{os.getpid()}"
        if mine not in made.values():
            mine.mkdir(exist_ok=True)
        for path in (mine, *mine.iterdir()):
            os.chown(path, USER, USER)
        made[controller] = mine
    if hierarchies.unified:
        (folders[""] / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    yield {controller: str(path) for controller, path in made.items()}
    for path in set(made.values()):
        path.rmdir()


def test_the_command_line_names_every_control_and_the_reason():
    done = as_user("-m", "sandbox_runner", "run", "--set", "engine=oci", "--", "true")
    assert done.returncode == 125
    for control in (*LIMITS, USER_IDS, APART):
        assert control in done.stderr
    assert "Run it as root, or use the engine docker." in done.stderr


def test_the_doctor_names_them_too():
    done = as_user("-m", "sandbox_runner", "doctor", "--set", "engine=oci", "--json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (done.returncode, finding["status"]) == (1, "failed")
    for control in (*LIMITS, USER_IDS, APART):
        assert control in finding["evidence"]


def test_setup_refuses_before_it_changes_anything():
    done = as_user("-m", "sandbox_runner", "setup", "--engine", "oci", "--yes")
    assert "cannot enforce" in done.stderr


def test_what_is_against_each_is_found_out():
    found = unenforced()
    assert {"memory", "swap", "cpus", "pids", USER_IDS, APART} <= found.keys()
    assert "subuid gives this user no ids" in found[USER_IDS]


def test_a_limit_that_this_user_can_set_is_not_named(own_cgroups):
    found = unenforced(folders=own_cgroups)
    assert not {"memory", "swap", "cpus", "pids"} & found.keys(), found
    # The kernel asks for a capability, whoever has the cgroup. Version 2 has no such controller.
    assert ("devices" in found) is (not find_hierarchies().unified)


def test_ids_that_this_user_may_map_are_not_named():
    """The file with the ranges is another in the process's mounts alone; newuidmap reads it and tries."""
    with tempfile.NamedTemporaryFile(mode="w") as file:
        file.write("nobody:1000000:65536\n")
        file.flush()
        Path(file.name).chmod(0o644)
        inside = f"mount --bind {file.name} /etc/subuid && mount --bind {file.name} /etc/subgid"
        assert USER_IDS not in unenforced(inside=inside)


def test_controls_with_one_reason_are_told_together():
    found = [Unenforced("a", "no x"), Unenforced("b", "no y"), Unenforced("c", "no x")]
    assert told(found) == "a, c (no x); b (no y)"
