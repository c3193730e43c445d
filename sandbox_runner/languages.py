"""The languages a program can be written in: one `language.toml` in each image's folder.

    [[language]]
    name = "python"                              what callers say
    aliases = ["py"]                             what else they may say; any case
    extensions = ["py"]                          of files in it, without the dot
    version = ["python3", "--version"]           a command that prints the version
    file = "main.py"                             the code's name in the workspace
    run = ["python3", "main.py"]                 the command that runs it there
    compile = ["gcc", "-o", "program", "main.c"] the command before it that makes what it runs
    inline = ["python3", "-c", "{code}"]         the same in an image without our agent
    function = ["python3", "call.py", "main.py"] the command that calls its function `execute`
    display = ["python3", "show.py", "main.py"]  the command that displays its last value
    kernel = ["python3", "kernel.py"]            what runs its code in a session and keeps its state
    packages = ["numpy"]                         what is installed, for people to read
    env = { PYTHONUNBUFFERED = "1" }             environment of each run
    agent_env = { MPLBACKEND = "module://ours" } and what is added in images with our agent
    warm = "import"                              how its interpreter can be up before there is a job
    preload = ["numpy"]                          modules that it then has imported already
    installer = "pip"                            what installs packages for a run that names some
    image = "python"                             the folder of its image, where that is another
    selftest = { code = "…", stdout = "…" }      a program and what it must print

`aliases`, `extensions`, `compile`, `inline`, `function`, `display`, `kernel`, `packages`, `env`,
`agent_env`, `warm`, `preload` and `installer` may be left out. The image is the folder's own, unless
`image` names another. A folder may define several languages.

`compile` has limits of its own, and its output is apart from the program's; what it leaves in the
workspace `run` finds there. Where it does not exit with 0 `run` is not run.

With `warm` an interpreter waits for a program that takes no arguments: PID 1 starts the command `run`, which
must read a byte from descriptor 62, and close that and 63, before it looks at the program ("start"). With
"import" it waits in the last import of its start (see `agent.usercustomize`), and in a session it becomes the
kernel, which then is the same interpreter with a folder as its only argument. `preload` goes with that; each
module costs every waiting container its memory, and must neither print nor look at the workspace as it is
imported.

What `function` runs finds a JSON text on descriptor 3, calls the code's function `execute`
with its value, and writes what that returned to descriptor 4, as JSON. What `display` runs writes
a line of JSON to descriptor 4 for each value that it displays; see `displays`.

What `kernel` runs speaks the protocol of `agent/pid1/kernel.c`. Without one each code of a session is a
program of its own, which finds the files of those before it.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from sandbox_runner.assets import image_folders
from sandbox_runner.errors import SandboxError, UnknownLanguage
from sandbox_runner.requirements import INSTALLERS

CODE = "{code}"
ALL = "all"
USUAL = ("python", "javascript", "typescript", "bash")  # what setup makes ready unless it is told
IMPORT, START = WARM = "import", "start"

_NAME = re.compile(r"[a-z][a-z0-9+#_-]*")
_EXTENSION = re.compile(r"[a-z0-9]+")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Selftest:
    """A program and exactly what it must print."""

    code: str
    stdout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language, as its `language.toml` defines it; see this module's docstring.

    ``image`` is the name of the image's folder. ``inline`` is None where a program in this
    language can only be run from a file; ``compile`` where it runs as it is; ``function`` where
    nothing calls a function in it; ``display`` where nothing displays its values; ``kernel`` where nothing
    keeps its state; ``warm`` where no interpreter can wait; ``installer`` where no packages can be added.
    """

    name: str
    image: str
    version: tuple[str, ...]
    file: str
    run: tuple[str, ...]
    selftest: Selftest
    aliases: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    compile: tuple[str, ...] | None = None
    inline: tuple[str, ...] | None = None
    function: tuple[str, ...] | None = None
    display: tuple[str, ...] | None = None
    kernel: tuple[str, ...] | None = None
    packages: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    agent_env: Mapping[str, str] = field(default_factory=dict)
    warm: str | None = None
    preload: tuple[str, ...] = ()
    installer: str | None = None


@cache
def load_languages(folder: Path | None = None) -> tuple[Language, ...]:
    """Every language defined in ``folder``, or in this installation and what was added to it, by name.

    Raises SandboxError where a definition is not valid, naming the file and what to change.
    """
    files = _definitions() if folder is None else _in_folders(sorted(folder.iterdir()))
    return _together(language for file in files for language in _read(file))


def find_language(name: str) -> Language:
    """The language called ``name``, or that has it as an alias, in any case.

    Raises UnknownLanguage, whose message says what was probably meant.
    """
    word = name.lower()
    try:
        return _found(word)
    except KeyError:
        known = _known(load_languages())
        near = dict.fromkeys(known[each].name for each in _near(word, known, most=2))
        meant = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Usual are {', '.join(USUAL)}."
        raise UnknownLanguage(
            f"There is no language {name!r}. {meant} 'sandbox-runner languages' shows all."
        ) from None


@cache
def _found(word: str) -> Language:
    """Raises KeyError, of which nothing is kept: callers may ask for anything."""
    near = _known(_mentioning(word))
    return near[word] if word in near else _known(load_languages())[word]


def _known(languages: Iterable[Language]) -> dict[str, Language]:
    return {word: language for language in languages for word in (language.name, *language.aliases)}


def _mentioning(word: str) -> tuple[Language, ...]:
    """The languages of those definitions that have ``word`` in quotes: reading all takes milliseconds."""
    files = [each for each in _definitions() if any(f"{q}{word}{q}" in _text(each) for q in "\"'")]
    return _together(language for file in files for language in _read(file))


def language_for_path(path: str | PurePath) -> Language | None:
    """The language of files with this extension; None where no language claims it."""
    extension = PurePath(path).suffix[1:].lower()
    for languages in (_mentioning, lambda _: load_languages()):
        for each in languages(extension):
            if extension in each.extensions:
                return each
    return None


def addable(language: Language, allowed: Iterable[str]) -> tuple[str, ...]:
    """Of the patterns ``allowed``, such as ``pip:numpy``, those for ``language``, without what says so."""
    prefix = f"{language.installer}:"
    return tuple(each.removeprefix(prefix) for each in allowed if each.startswith(prefix))


def images_of(names: Iterable[str]) -> frozenset[str]:
    """The images that programs in these languages run in; ``all`` means every language there is.

    Raises UnknownLanguage.
    """
    wanted = frozenset(names)
    if ALL in wanted:
        return frozenset(language.image for language in load_languages())
    return frozenset(find_language(name).image for name in wanted)


def setup_command(image: str) -> str:
    """What an operator runs to get the image of this name."""
    names = _names_on(image)
    if not names or image in images_of(USUAL):
        return "sandbox-runner setup"
    return f"sandbox-runner setup --languages {names[0]}"


def describe_image(image: str) -> str:
    """The image of this name, with the languages whose programs run in it, for a sentence."""
    names = _names_on(image)
    return f"image {image!r} ({', '.join(names)})" if names else f"image {image!r}"


def _names_on(image: str) -> list[str]:
    return [language.name for language in load_languages() if language.image == image]


def _meant(word: str, known: Iterable[str]) -> str:
    return "".join(f" Did you mean {each!r}?" for each in _near(word, known, most=1))


def _near(word: str, known: Iterable[str], *, most: int) -> list[str]:
    import difflib  # noqa: PLC0415 - only where something is wrong: it would cost each run its time to load

    return difflib.get_close_matches(word, known, n=most)


@cache
def _definitions() -> tuple[Path, ...]:
    return _in_folders(image_folders())


def _in_folders(folders: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(file for each in folders if (file := each / "language.toml").is_file())


def _together(languages: Iterable[Language]) -> tuple[Language, ...]:
    found = list(languages)
    _refuse_doubles(found)
    return tuple(sorted(found, key=lambda language: language.name))


@cache
def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


@cache
def _read(path: Path) -> tuple[Language, ...]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SandboxError(f"{path} is not valid TOML: {error}.") from None
    tables = document.pop("language", None)
    if document or not isinstance(tables, list) or not tables:
        raise SandboxError(f"{path} must hold [[language]] tables and nothing else.")
    return tuple(_language(path, table) for table in tables)


def _language(path: Path, table: dict[str, Any]) -> Language:
    where = f"{path}: language {table.get('name', 'without a name')}"
    table = {"image": path.parent.name, **table} if isinstance(table, dict) else table
    values = _checked(where, table, Language)
    values["selftest"] = Selftest(**_checked(f"{where}: selftest", table["selftest"], Selftest))
    language = Language(**values)
    _check_meaning(where, language)
    return language


def _checked(where: str, table: object, wanted: type, *, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """``table`` as arguments for the dataclass ``wanted``; arrays become tuples."""
    if not isinstance(table, dict):
        raise SandboxError(f"{where} must be a table.")
    known = {each.name: each for each in fields(wanted) if each.name not in given}
    for key in table:
        if key not in known:
            raise SandboxError(f"{where}: {key!r} is not a key of it.{_meant(key, known)}")
    for key, each in known.items():
        if key not in table and each.default is MISSING and each.default_factory is MISSING:
            raise SandboxError(f"{where}: {key!r} is missing.")
    return {key: _value(f"{where}: {key}", value, known[key].type) for key, value in table.items()}


def _value(where: str, value: object, kind: object) -> object:
    if kind in (str, str | None):
        if isinstance(value, str) and value:
            return value
        raise SandboxError(f"{where} must be text.")
    if kind is Selftest:
        return value
    if kind == Mapping[str, str]:
        if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
            return value
        raise SandboxError(f"{where} must be a table of texts.")
    if isinstance(value, list) and value and all(isinstance(each, str) and each for each in value):
        return tuple(value)
    raise SandboxError(f"{where} must be an array of texts, and not empty.")


def _check_meaning(where: str, language: Language) -> None:
    for name in (language.name, *language.aliases):
        if not _NAME.fullmatch(name):
            raise SandboxError(f"{where}: {name!r} must be lower case, a letter first, without blanks.")
    for extension in language.extensions:
        if not _EXTENSION.fullmatch(extension):
            raise SandboxError(f"{where}: extension {extension!r} must be lower case, without the dot.")
    if not _FILE.fullmatch(language.file):
        raise SandboxError(f"{where}: file {language.file!r} must be a plain file name.")
    if language.compile is None and language.file not in language.run:
        raise SandboxError(f"{where}: run must hold {language.file!r}, the file that it runs.")
    if language.function is not None and language.file not in language.function:
        raise SandboxError(f"{where}: function must hold {language.file!r}, the file that it calls into.")
    if language.display is not None and language.file not in language.display:
        raise SandboxError(f"{where}: display must hold {language.file!r}, the file that it runs.")
    _check_warm(where, language)
    if language.inline is not None and language.inline.count(CODE) != 1:
        raise SandboxError(f"{where}: inline must hold {CODE!r} once, where the code goes.")


def _check_warm(where: str, language: Language) -> None:
    if language.installer not in (None, *INSTALLERS):
        raise SandboxError(f"{where}: installer must be one of: {', '.join(INSTALLERS)}.")
    if language.warm not in (None, *WARM):
        raise SandboxError(f"{where}: warm must be one of: {', '.join(WARM)}.")
    if language.preload and language.warm != IMPORT:
        raise SandboxError(f"{where}: preload needs warm = {IMPORT!r}.")
    if language.warm == IMPORT and language.kernel and language.kernel[:-1] != language.run[:1]:
        raise SandboxError(f"{where}: kernel must be {language.run[0]!r} and a folder, as warm = {IMPORT!r}.")
    if not all(_MODULE.fullmatch(name) for name in language.preload):
        raise SandboxError(f"{where}: preload must hold names of modules.")


def _refuse_doubles(languages: list[Language]) -> None:
    for what, words_of in (
        ("name", lambda each: (each.name, *each.aliases)),
        ("extension", lambda each: each.extensions),
    ):
        owner: dict[str, Language] = {}
        for language in languages:
            for word in words_of(language):
                other = owner.setdefault(word, language)
                if other is not language:
                    raise SandboxError(f"Both {other.name} and {language.name} claim the {what} {word!r}.")
