"""A server put into Codex's TOML, and taken out: comments, order and form of the rest stay."""

import tomllib

import pytest

from sandbox_runner.clients.command import ServerCommand
from sandbox_runner.clients.definitions import CLIENTS
from sandbox_runner.clients.documents import with_server, without_server
from sandbox_runner.clients.reasons import Unsuitable

CODEX = CLIENTS["codex"]
NAME = "sandbox-runner"
SERVER = ServerCommand("/opt/é/sandbox-runner", ("stdio",), {"DOCKER_HOST": "tcp://a:1"})
ENTRY = {"command": "/opt/é/sandbox-runner", "args": ["stdio"], "env": {"DOCKER_HOST": "tcp://a:1"}}

TEXTS = [
    '# mine\nmodel = "x"   # the best\n',
    'model = "x"',
    '[mcp_servers.a]\ncommand="c" # why\n\n[other]\nx=1\n',
    '[mcp_servers]\na = {command="c"}\n',
    '[mcp_servers.a]\ncommand="c"\n[other]\nx=1\n[mcp_servers.b]\ncommand="d"\n[z]\ny=2\n',
    'mcp_servers.a.command="x"\nother = """\n[mcp_servers.no]\n"""\n',
    "[a]\r\nb = 1\r\n",
    "[[profiles]]\nname = 'one'\n[[profiles]]\nname = 'two'\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_server_is_added_after_what_is_there(text):
    new = with_server(text, CODEX, NAME, SERVER)
    assert new.startswith(text.rstrip())
    before = tomllib.loads(text)
    assert tomllib.loads(new) == {**before, "mcp_servers": {**before.get("mcp_servers", {}), NAME: ENTRY}}
    assert with_server(new, CODEX, NAME, SERVER) == new
    assert new.count("\n") == new.count("\r\n") or "\r" not in new


@pytest.mark.parametrize("text", TEXTS)
def test_taking_the_server_out_gives_back_the_document(text):
    left = without_server(with_server(text, CODEX, NAME, SERVER), CODEX, NAME)
    assert left.rstrip() == text.rstrip()


def test_an_update_keeps_comments_and_what_the_user_added():
    text = f"""\
[mcp_servers.{NAME}] # runs code
command = "/old" # was here
args = []
startup_timeout_sec = 20 # slow disk

[mcp_servers.{NAME}.env]
SANDBOX_RUNNER_PIDS = "9" # few

[other] # last
x = 1
"""
    new = with_server(text, CODEX, NAME, SERVER)
    assert tomllib.loads(new)["mcp_servers"][NAME] == {
        **ENTRY,
        "startup_timeout_sec": 20,
        "env": {"SANDBOX_RUNNER_PIDS": "9", **ENTRY["env"]},
    }
    for kept in ("# runs code", "# was here", "20 # slow disk", '"9" # few', "[other] # last\nx = 1\n"):
        assert kept in new


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "is not TOML"),
        ("{}", "is not TOML"),
        ("mcp_servers = 1", "mcp_servers that is not an object"),
        ("[[mcp_servers]]\na = 1", "mcp_servers that is not an object"),
        ('mcp_servers = {a = {command = "c"}}', "cannot be edited safely"),
        ("a = " + "[" * 100_000, "beyond all measure"),
        ("a = " + "9" * 5000, "beyond all measure"),
    ],
)
def test_what_is_no_configuration_or_of_a_strange_form_is_refused(text, reason):
    with pytest.raises(Unsuitable, match=reason):
        with_server(text, CODEX, NAME, SERVER)


def test_a_server_that_is_no_table_is_replaced():
    new = with_server(f"[mcp_servers]\n{NAME} = 1\na = {{}}\n", CODEX, NAME, SERVER)
    assert tomllib.loads(new) == {"mcp_servers": {NAME: ENTRY, "a": {}}}
