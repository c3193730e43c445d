"""The languages that are shipped, and what is refused in a definition."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.errors import SandboxError, UnknownLanguage
from sandbox_runner.languages import describe_image, find_language, language_for_path, load_languages

WHOLE = """
[[language]]
name = "lua"
aliases = ["lua5"]
extensions = ["lua"]
version = ["lua", "-v"]
file = "main.lua"
run = ["lua", "main.lua"]
inline = ["lua", "-e", "{code}"]
function = ["lua", "call.lua", "main.lua"]
packages = ["lpeg"]
env = { LUA_INIT = "x=1" }
agent_env = { LUA_PATH = "/y" }
warm = "start"
selftest = { code = "print(1)", stdout = "1\\n" }
"""


def load(folder: Path, **definitions: str):
    for image, text in definitions.items():
        (folder / image).mkdir()
        (folder / image / "language.toml").write_text(text)
    return load_languages(folder)


def test_python_javascript_typescript_and_bash_are_there():
    names = [language.name for language in load_languages()]
    assert {"bash", "javascript", "python", "typescript"} < set(names)
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("python", "python"), ("py", "python"), ("Python3", "python"), ("JS", "javascript"), ("sh", "bash")],
)
def test_a_language_is_found_by_name_or_alias_in_any_case(said, meant):
    assert find_language(said).name == meant


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("pyton", "Did you mean 'python'?"),
        ("Haskel", "Did you mean 'haskell'?"),
        ("gforth", "Did you mean 'fortran'?"),
    ],
)
def test_an_unknown_language_is_refused_with_what_was_meant(said, told):
    with pytest.raises(UnknownLanguage) as caught:
        find_language(said)
    assert str(caught.value) == (
        f"There is no language {said!r}. {told} 'sandbox-runner languages' shows all."
    )


def test_nothing_is_guessed_where_nothing_is_near():
    with pytest.raises(UnknownLanguage, match=r"'xyzzy'\. Usual are python, javascript"):
        find_language("xyzzy")


def test_one_language_is_found_as_it_is_among_all():
    for language in load_languages():
        for word in (language.name, *language.aliases):
            assert find_language(word) == language
        for extension in language.extensions:
            assert language_for_path(f"x.{extension.upper()}") == language


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.py", "python"), ("x.MJS", "javascript"), ("x.cts", "typescript"), ("x.sh", "bash")],
)
def test_a_file_is_in_the_language_of_its_extension(path, name):
    assert language_for_path(path).name == name


@pytest.mark.parametrize("path", ["notes.txt", "Makefile", ".py", ""])
def test_a_file_that_no_language_claims_has_none(path):
    assert language_for_path(path) is None


def test_a_definition_is_read_whole(tmp_path):
    (language,) = load(tmp_path, lua=WHOLE)
    assert (language.name, language.image, language.aliases) == ("lua", "lua", ("lua5",))
    assert language.run == ("lua", "main.lua")
    assert language.inline == ("lua", "-e", "{code}")
    assert language.function == ("lua", "call.lua", "main.lua")
    assert (language.env, language.agent_env) == ({"LUA_INIT": "x=1"}, {"LUA_PATH": "/y"})
    assert language.warm == "start"
    assert (language.selftest.code, language.selftest.stdout) == ("print(1)", "1\n")


def test_what_may_be_left_out_is_empty(tmp_path):
    keys = ("aliases", "extensions", "inline", "packages", "env", "function", "agent_env", "warm")
    text = "\n".join(line for line in WHOLE.splitlines() if not line.startswith(keys))
    (language,) = load(tmp_path, lua=text)
    assert (language.aliases, language.extensions, language.inline, language.packages) == ((), (), None, ())
    assert (language.function, language.env, language.agent_env, language.warm) == (None, {}, {}, None)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "lua"\n', "", "'name' is missing"),
        ("selftest =", "selftset =", "'selftset' is not a key of it. Did you mean 'selftest'?"),
        ('"main.lua"]', '"other.lua"]', "run must hold 'main.lua'"),
        ('"call.lua", "main.lua"', '"call.lua"', "function must hold 'main.lua'"),
        ('"-e", "{code}"', '"-e"', "inline must hold '{code}' once"),
        ('file = "main.lua"', 'file = "../main.lua"', "must be a plain file name"),
        ('name = "lua"', 'name = "Lua 5"', "must be lower case"),
        ('["lua5"]', '["Lua5"]', "must be lower case"),
        ('extensions = ["lua"]', 'extensions = [".lua"]', "without the dot"),
        ('extensions = ["lua"]', 'extensions = "lua"', "extensions must be an array of texts"),
        ('["lua", "main.lua"]', "[]", "run must be an array of texts, and not empty"),
        ('"start"', '"start"\npreload = ["x"]', "preload needs warm = 'import'"),
        ('"start"', '"import"\npreload = ["x y"]', "preload must hold names of modules"),
        ('"start"', '"hot"', "warm must be one of: import, start"),
        ('"start"', "true", "warm must be text"),
        ('"x=1"', "1", "env must be a table of texts"),
        ('stdout = "1\\n"', "stdout = 1", "selftest: stdout must be text"),
        (', stdout = "1\\n"', "", "selftest: 'stdout' is missing"),
        ('{ code = "print(1)", stdout = "1\\n" }', '"print(1)"', "selftest must be a table"),
        ("[[language]]", "[language]", "must hold [[language]] tables"),
        ("[[language]]", "[[lang]]", "must hold [[language]] tables"),
        ("[[language]]", "[[language", "is not valid TOML"),
    ],
)
def test_a_definition_that_cannot_be_right_is_refused_with_the_place_and_the_reason(
    tmp_path, old, new, complaint
):
    assert old in WHOLE
    with pytest.raises(SandboxError) as caught:
        load(tmp_path, lua=WHOLE.replace(old, new, 1))
    assert complaint in str(caught.value)
    assert str(tmp_path / "lua" / "language.toml") in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [('"lua5"', '"lua"'), ('name = "lua"', 'name = "luajit"')])
def test_two_languages_cannot_claim_one_word(tmp_path, old, new):
    with pytest.raises(SandboxError, match="claim the"):
        load(tmp_path, lua=WHOLE, luajit=WHOLE.replace(old, new, 1))


def test_loading_the_languages_brings_in_nothing_slow():
    code = (
        "import sys; from sandbox_runner.languages import find_language; find_language('python');"
        "from sandbox_runner.definitions import is_current; is_current({});"
        "print([m for m in ('docker', 'pydantic', 'requests', 'difflib', 'anyio') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_image_that_is_missing_is_named_with_what_runs_in_it():
    assert describe_image("gcc") == "image 'gcc' (c, c++)"
    assert describe_image("base") == "image 'base'"
