"""Requirements: the packages that a caller may name, and the one way in which each is written here.

For pip a name, extras and versions as PEP 508 has them; for npm a name and a range of versions or a tag.
Nothing else can be said: no address, no path, no option, no other name for a package, no marker. What is
kept is written anew from what was understood, so that an installer is never given a caller's own text.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from sandbox_runner.errors import InvalidRequest, NotPermitted

PIP, NPM = INSTALLERS = ("pip", "npm")
MAX_REQUIREMENTS = 64
_MAX_LENGTH = 200  # characters of one
# As text: compiling them would cost each run its time.
_PIP = r"[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~*+ ]*"
_NPM_PART = r"[a-z0-9][a-z0-9._-]*"
_NPM = rf"((?:@{_NPM_PART}/)?{_NPM_PART})(?:@(.+))?"
_NUMBER = r"(?:\d{1,9}|[xX*])"
_VERSION = rf"v?{_NUMBER}(?:\.{_NUMBER}){{0,2}}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_COMPARED = rf"(?:\^|~|[<>]=?|=)?{_VERSION}"
_SET = rf"{_VERSION} - {_VERSION}|{_COMPARED}(?: {_COMPARED})*"
_RANGE = rf"(?:{_SET})(?: \|\| (?:{_SET}))*"
_TAG = r"[A-Za-z][A-Za-z0-9_-]*"
_ARCHIVE = r"\.(?:tgz|tar|tar\.gz)$"  # which npm takes for a file's name


class Requirement(NamedTuple):
    """``name`` is the package's, as its installer normalises it; ``versions`` what follows it."""

    name: str
    versions: str

    def __str__(self) -> str:
        return self.name + self.versions


def parse_requirements(texts: Iterable[str], *, installer: str) -> tuple[Requirement, ...]:
    """What ``texts`` ask for: each package once, by name. Raises InvalidRequest, naming what to change."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidRequest("packages must be a list, such as ['numpy'].")
    if len(texts) > MAX_REQUIREMENTS:
        raise InvalidRequest(f"At most {MAX_REQUIREMENTS} packages can be named; {len(texts)} were.")
    parse = _parse_pip if installer == PIP else _parse_npm
    found: dict[str, Requirement] = {}
    for text in texts:
        if not isinstance(text, str) or len(text) > _MAX_LENGTH:
            raise InvalidRequest(f"A package is text of at most {_MAX_LENGTH} characters, such as 'numpy'.")
        requirement = parse(text.strip())
        if found.setdefault(requirement.name, requirement) != requirement:
            raise InvalidRequest(f"The package {requirement.name!r} is named twice; name it once.")
    return tuple(sorted(found.values()))


def normalised(name: str, *, installer: str) -> str:
    """``name``, or a pattern of names, in the one spelling that stands for all (PEP 503).

    >>> normalised("Foo__Bar.baz", installer="pip")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower() if installer == PIP else name.lower()


def matches(name: str, patterns: Iterable[str], *, installer: str) -> bool:
    """Whether one of ``patterns``, each ``pip:PATTERN`` or ``npm:PATTERN``, means the package ``name``."""
    name = normalised(name, installer=installer)
    pairs = (pattern.partition(":") for pattern in patterns)
    return any(
        kind == installer and fnmatchcase(name, normalised(each, installer=installer))
        for kind, _, each in pairs
    )


def check_permitted(
    requirements: Iterable[Requirement], *, installer: str, allowed: Sequence[str], refused: Sequence[str]
) -> None:
    """Raises NotPermitted for a package that is not among ``allowed``, or is among ``refused``."""
    for each in requirements:
        if not matches(each.name, allowed, installer=installer):
            ours = [pattern for pattern in allowed if pattern.startswith(f"{installer}:")]
            raise NotPermitted(
                f"The package {each.name!r} is not allowed here; allowed: {', '.join(ours) or 'none'}."
            )
        refuse(each.name, installer=installer, refused=refused)


def refuse(name: str, *, installer: str, refused: Sequence[str]) -> None:
    """Raises NotPermitted where ``name`` is among ``refused``."""
    if matches(name, refused, installer=installer):
        raise NotPermitted(f"The package {name!r} is refused here; do without it, and what needs it.")


def _parse_pip(text: str) -> Requirement:
    if not re.fullmatch(_PIP, text):
        raise _nonsense(text, PIP)
    # 45 ms to load, for those who name packages.
    from packaging.requirements import InvalidRequirement  # noqa: PLC0415 - as said
    from packaging.requirements import Requirement as Parsed  # noqa: PLC0415 - as said
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - as said

    try:
        parsed = Parsed(text)
    except InvalidRequirement:
        raise _nonsense(text, PIP) from None
    if parsed.url or parsed.marker:
        raise _nonsense(text, PIP)
    extras = sorted({canonicalize_name(extra) for extra in parsed.extras})
    shown = f"[{','.join(extras)}]" if extras else ""
    return Requirement(canonicalize_name(parsed.name), shown + ",".join(sorted(map(str, parsed.specifier))))


def _parse_npm(text: str) -> Requirement:
    match = re.fullmatch(_NPM, text)
    if match is None or len(match[1]) > 214:  # npm's own bound
        raise _nonsense(text, NPM)
    wanted = " ".join((match[2] or "latest").replace("||", " || ").split())
    known = re.fullmatch(_RANGE, wanted) or re.fullmatch(_TAG, wanted)
    if not known or re.search(_ARCHIVE, wanted, re.IGNORECASE):
        raise _nonsense(text, NPM)
    return Requirement(match[1], f"@{wanted}")


def _nonsense(text: str, installer: str) -> InvalidRequest:
    wanted = "'numpy', 'numpy>=2' or 'uvicorn[standard]==0.30'"
    if installer == NPM:
        wanted = "'lodash', 'lodash@^4.17' or '@scope/name@latest'"
    return InvalidRequest(
        f"{text[:100]!r} is not a package that can be asked for; give a name and versions, as in {wanted}."
    )
