"""An image without our agent is run as it is: its own command, variables and folder."""

import pytest

from sandbox_runner import Config, RunRequest, hardening
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import WORKSPACE, Image, Placement

PLACEMENT = Placement(run_id="r", instance="i", owner="o", uid=20000, created=0)
APP = Image(
    "sha256:1", "app", agent=False, argv=("./app", "--serve"), cwd="/srv",
    env=("PATH=/opt/bin", "HOME=/root", "TMPDIR=/var/tmp", "OWN=a=b", "odd.name=1", "plain"),
)  # fmt: skip


def admitted(image: Image = APP, **request):
    asked = RunRequest(image=image.name, **request)
    return admit(Config().policy(), asked, LOCAL_USER, language=None, image=image, placement=PLACEMENT)


def test_an_empty_command_is_the_images_own_in_its_own_folder():
    admission = admitted(command=[], args=["more"])
    assert admission.job.argv == admission.spec.argv == ("./app", "--serve", "more")
    assert (admission.job.cwd, admission.spec.cwd) == ("/srv", "/srv")


def test_a_command_that_is_given_runs_in_the_workspace():
    admission = admitted(command=["ls"])
    assert (admission.spec.argv, admission.spec.cwd) == (("ls",), WORKSPACE)


def test_its_variables_hold_but_for_the_places_that_only_ours_are_writable():
    env = admitted(command=["ls"], env={"OWN": "asked"}).spec.env
    assert env["PATH"] == "/opt/bin"
    assert env["OWN"] == "asked"
    assert {name: env[name] for name in ("HOME", "TMPDIR")} == {"HOME": "/workspace", "TMPDIR": "/tmp"}
    assert "odd.name" not in env
    assert env["plain"] == ""


def test_without_a_command_of_its_own_or_an_image_an_empty_one_is_refused():
    with pytest.raises(InvalidRequest, match="no command of its own; give one"):
        admitted(Image("sha256:2", "bare", agent=False), command=[])
    asked = RunRequest(command=[])
    with pytest.raises(InvalidRequest, match="The command is empty"):
        admit(Config().policy(), asked, LOCAL_USER, language=None, image=APP, placement=PLACEMENT)


def test_our_own_images_have_our_own_variables_only():
    ours = Image("sha256:3", "shell", agent=True, env=("PATH=/elsewhere",))
    assert dict(admitted(ours, command=["ls"]).job.env) == hardening.BASE_ENV
