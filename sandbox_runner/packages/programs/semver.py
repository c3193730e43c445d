"""Versions and ranges of versions as npm means them: https://github.com/npm/node-semver#ranges."""

import re

_PART = r"(?:0|[1-9]\d*|[xX*])"
_PARTIAL = re.compile(
    rf"[v=\s]*({_PART})(?:\.({_PART})(?:\.({_PART})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)?)?"
)
_FULL = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_HYPHEN = re.compile(r"^\s*(\S+)\s+-\s+(\S+)\s*$")
_LOWEST = (0, "")  # before any prerelease
_RELEASE = (2,)  # after each of them


def version_key(text):
    """What versions are ordered by. Raises ValueError where it is none."""
    match = _FULL.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return (*map(int, match.groups()[:3]), _prerelease(match[4]))


def _prerelease(text):
    if not text:
        return _RELEASE
    return (1, *((0, int(each), "") if each.isdigit() else (1, 0, each) for each in text.split(".")))


class Range:
    """A range. One that makes no sense matches nothing."""

    def __init__(self, text):
        self._sets = []
        for each in text.split("||"):
            try:
                self._sets.append(_comparators(each))
            except ValueError:
                continue

    def matches(self, version):
        try:
            key = version_key(version)
        except ValueError:
            return False
        return any(_all_match(each, key) for each in self._sets)


def _all_match(comparators, key):
    if not all(_compare(sign, key, bound) for sign, bound in comparators):
        return False
    # A prerelease is meant only where one of the same version is named.
    return key[3] == _RELEASE or any(
        bound[:3] == key[:3] and bound[3] != _RELEASE and len(bound[3]) > 1 and bound[3] != _LOWEST
        for _, bound in comparators
    )


def _compare(sign, key, bound):
    return {
        ">=": key >= bound, ">": key > bound, "<": key < bound, "<=": key <= bound, "=": key == bound,
    }[sign]  # fmt: skip


def _comparators(text):
    if hyphen := _HYPHEN.match(text):
        low, high = _parts(hyphen[1]), _parts(hyphen[2])
        return [*_at_least(low), *_until(high)]
    text = re.sub(r"(~>|[~^]|[<>]=?|=)\s+", r"\1", text.strip())
    found = []
    for word in text.split():
        sign = re.match(r"~>|[~^]|[<>]=?|=?", word)[0]
        found += _one(sign, _parts(word[len(sign) :]))
    return found


def _parts(text):
    """Major, minor, patch, None where any will do, and the prerelease."""
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise ValueError(text)
    numbers = [None if each is None or each in "xX*" else int(each) for each in match.groups()[:3]]
    for position in range(2):
        if numbers[position] is None:
            numbers[position + 1 :] = [None] * (2 - position)
    return (*numbers, match[4] if None not in numbers else None)


def _one(sign, parts):
    major, minor, patch, prerelease = parts
    if major is None:
        return [("<", (0, 0, 0, _LOWEST))] if sign in ("<", ">") else []
    whole = (major, minor or 0, patch or 0, _prerelease(prerelease))
    if sign == "^":
        return [(">=", whole), ("<", _after_caret(major, minor, patch))]
    if sign in ("~", "~>"):
        return [(">=", whole), ("<", _next(major, minor, None))]
    if sign in ("", "="):
        return [("=", whole)] if patch is not None else [(">=", whole), ("<", _next(major, minor, patch))]
    if patch is not None:
        return [(sign, whole)]
    if sign == ">":
        return [(">=", _next(major, minor, None))]
    if sign == "<=":
        return [("<", _next(major, minor, None))]
    return [(sign, (*whole[:3], _LOWEST) if sign == "<" else whole)]


def _at_least(parts):
    major, minor, patch, prerelease = parts
    return [] if major is None else [(">=", (major, minor or 0, patch or 0, _prerelease(prerelease)))]


def _until(parts):
    major, minor, patch, prerelease = parts
    if major is None:
        return []
    if patch is None:
        return [("<", _next(major, minor, None))]
    return [("<=", (major, minor, patch, _prerelease(prerelease)))]


def _next(major, minor, patch):
    """The first version after all that begin like this."""
    if minor is None:
        return (major + 1, 0, 0, _LOWEST)
    return (major, minor + 1, 0, _LOWEST)


def _after_caret(major, minor, patch):
    if major or minor is None:
        return (major + 1, 0, 0, _LOWEST)
    if minor or patch is None:
        return (0, minor + 1, 0, _LOWEST)
    return (0, 0, patch + 1, _LOWEST)
