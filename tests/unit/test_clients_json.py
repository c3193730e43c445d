"""A server put into a client's JSON, and taken out: all else stays, to the byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.clients.command import ServerCommand
from sandbox_runner.clients.definitions import CLIENTS
from sandbox_runner.clients.documents import server_in, with_server, without_server
from sandbox_runner.clients.reasons import Unsuitable

STRICT, COMMENTED = CLIENTS["claude-desktop"], CLIENTS["cursor"]
NAME = "sandbox-runner"
SERVER = ServerCommand(
    "/opt/bin/sandbox-runner", ("stdio", "--set", "memory=1g"), {"DOCKER_HOST": "tcp://é:1"}
)
ENTRY = {
    "command": "/opt/bin/sandbox-runner",
    "args": ["stdio", "--set", "memory=1g"],
    "env": {"DOCKER_HOST": "tcp://é:1"},
}

# Texts with what a careless reader takes for structure or for a comment.
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(['"', "\\", "// no", "/* no */", "{", "}", ",]", "mcpServers", NAME])
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)
others = st.dictionaries(texts.filter(lambda name: name != NAME), objects, max_size=3)
layouts = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 1, 2, 4, "\t"]),
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(",", ":"), (", ", ": ")]),
    }
)


@st.composite
def configurations(draw):
    """A document that has other servers, perhaps none, perhaps no list of them; and its text."""
    document = draw(objects.map(lambda found: {k: v for k, v in found.items() if k != "mcpServers"}))
    if draw(st.booleans()):
        items = list(document.items())
        items.insert(draw(st.integers(0, len(items))), ("mcpServers", draw(others)))
        document = dict(items)
    text = json.dumps(document, **draw(layouts)) + draw(st.sampled_from(["", "\n"]))
    return document, text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(configurations())
def test_a_server_is_added_to_any_document_and_the_rest_is_kept(configuration):
    document, text = configuration
    new = with_server(text, STRICT, NAME, SERVER)
    found = json.loads(new)
    assert found == {**document, "mcpServers": {**document.get("mcpServers", {}), NAME: ENTRY}}
    assert [key for key in found if key in document] == list(document)
    assert with_server(new, STRICT, NAME, SERVER) == new


@given(configurations())
def test_only_the_place_of_the_server_is_written(configuration):
    _, text = configuration
    new = with_server(text, STRICT, NAME, SERVER)
    added = len(new) - len(text)
    places = range(len(text) + 1)
    assert any(new[:at] + new[at + added :] == text for at in places) or text.strip() == "{}"


@given(configurations())
def test_taking_the_server_out_gives_back_the_text(configuration):
    document, text = configuration
    left = without_server(with_server(text, STRICT, NAME, SERVER), STRICT, NAME)
    assert json.loads(left) == {"mcpServers": {}, **document}
    if document.get("mcpServers"):
        assert left == text


@given(configurations(), st.data())
def test_comments_and_last_commas_stay(configuration, data):
    document, text = configuration
    comments = st.sampled_from(["", '// it\'s "one", {', "/* two\n lines, } */", "/**/ // both"])
    lines = [line + data.draw(comments) for line in text.replace("\r\n", "\n").split("\n")]
    commented = "\n".join(lines) + "\n"
    new = with_server(commented, COMMENTED, NAME, SERVER)
    assert server_in(new, COMMENTED, NAME) == ENTRY
    for name, entry in document.get("mcpServers", {}).items():
        assert server_in(new, COMMENTED, name) == entry
    for mark in ("// it's", "/* two", "/**/ // both"):
        assert new.count(mark) == commented.count(mark)


@given(st.text(max_size=60))
def test_any_text_is_edited_rightly_or_refused(text):
    for client in (STRICT, COMMENTED):
        try:
            new = with_server(text, client, NAME, SERVER)
        except Unsuitable:
            continue
        assert server_in(new, client, NAME) == ENTRY


COMMENTED_TEXT = """\
{
    // what I use
    "mcpServers": {
        "a": {"command": "a"}, // the first
    },
    "other": [1, 2,], /* the end */
}
"""


def test_a_commented_document_gets_its_server_where_a_person_would_write_it():
    assert (
        with_server(COMMENTED_TEXT, COMMENTED, "s", ServerCommand("/s", (), {}))
        == """\
{
    // what I use
    "mcpServers": {
        "a": {"command": "a"}, // the first
        "s": {
            "command": "/s",
            "args": []
        },
    },
    "other": [1, 2,], /* the end */
}
"""
    )


def test_comments_are_refused_where_the_client_reads_none():
    with pytest.raises(Unsuitable, match=r"is not JSON .* in line 2"):
        with_server(COMMENTED_TEXT, STRICT, NAME, SERVER)


def test_a_server_with_a_comment_in_it_is_left_alone():
    text = with_server(COMMENTED_TEXT, COMMENTED, NAME, SERVER).replace('"args": [', '"args": [ // mine')
    for edit in (
        lambda: with_server(text, COMMENTED, NAME, ServerCommand("/new", (), {})),
        lambda: without_server(text, COMMENTED, NAME),
    ):
        with pytest.raises(Unsuitable, match="comments"):
            edit()


def test_an_update_keeps_what_the_user_added_to_the_server():
    mine = {
        **ENTRY,
        "command": "/old",
        "disabled": True,
        "env": {"SANDBOX_RUNNER_PIDS": "9", "DOCKER_HOST": "old"},
    }
    text = json.dumps({"mcpServers": {"a": {}, NAME: mine, "z": {}}}, indent=3)
    found = json.loads(with_server(text, STRICT, NAME, SERVER))["mcpServers"]
    env = {"SANDBOX_RUNNER_PIDS": "9", "DOCKER_HOST": "tcp://é:1"}
    assert list(found) == ["a", NAME, "z"]
    assert found[NAME] == {**ENTRY, "disabled": True, "env": env}


def test_an_entry_without_a_command_is_replaced_whole():
    text = json.dumps({"mcpServers": {NAME: {"type": "http", "url": "https://example.com/mcp"}}})
    assert json.loads(with_server(text, STRICT, NAME, SERVER))["mcpServers"][NAME] == ENTRY


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_server_is_taken_out_wherever_it_is(position):
    servers = [("a", {"command": "a"}), ("z", {"command": "z"})]
    with_it = [*servers[:position], (NAME, ENTRY), *servers[position:]]
    texts = [
        json.dumps({"x": 1, "mcpServers": dict(each), "y": 2}, indent="\t") for each in (with_it, servers)
    ]
    assert without_server(texts[0], STRICT, NAME) == texts[1]


def test_of_two_lists_the_last_counts_as_for_a_client():
    text = '{"mcpServers": {"a": {}}, "mcpServers": {"b": {}}}'
    new = with_server(text, STRICT, NAME, SERVER)
    assert new.startswith('{"mcpServers": {"a": {}}, "mcpServers": {"b": {}, "sandbox-runner": ')


def test_an_edit_that_would_not_do_what_was_meant_is_refused():
    twice = json.dumps({"mcpServers": {NAME: {}, "z": {}, "other": {}}}).replace("other", NAME)
    with pytest.raises(Unsuitable, match="cannot be edited safely"):
        without_server(twice, STRICT, NAME)


def test_the_indentation_is_that_of_the_file():
    new = with_server('{\n\t"mcpServers": {}\n}', STRICT, "s", ServerCommand("/s", (), {}))
    assert new == '{\n\t"mcpServers": {\n\t\t"s": {\n\t\t\t"command": "/s",\n\t\t\t"args": []\n\t\t}\n\t}\n}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ('{"a": 1} {"b": 2}', "is not JSON"),
        ("[]", "holds no object"),
        ('"text"', "holds no object"),
        ('{"mcpServers": []}', "mcpServers that is not an object"),
        ('{"mcpServers": null}', "mcpServers that is not an object"),
        ('{"a": ' + "[" * 100_000, "beyond all measure"),
        ('{"a": ' + "9" * 5000 + "}", "beyond all measure"),
        ("{'a': 1}", "is not JSON"),
        ('{"a": NaN}', "is not JSON"),
    ],
)
@pytest.mark.parametrize("client", [STRICT, COMMENTED], ids=lambda client: client.name)
def test_what_is_no_configuration_is_refused(client, text, reason):
    for edit in (lambda: with_server(text, client, NAME, SERVER), lambda: without_server(text, client, NAME)):
        with pytest.raises(Unsuitable, match=reason):
            edit()


@pytest.mark.parametrize("text", ["", " \n", "{}", "{ }\n"])
def test_an_empty_document_is_filled(text):
    assert json.loads(with_server(text, STRICT, NAME, SERVER)) == {"mcpServers": {NAME: ENTRY}}
