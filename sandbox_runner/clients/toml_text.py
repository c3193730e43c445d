"""TOML edited as text: a new server is appended, another is changed in its place, all else stays."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox_runner.clients.reasons import UNSAFE, Unsuitable


class TomlText:
    """The language of a client that reads TOML."""

    def load(self, text: str) -> Any:  # noqa: ANN401 - whatever the file holds
        """Raises Unsuitable where ``text`` is not TOML."""
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Unsuitable(f"is not TOML ({error})") from None
        except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
            raise Unsuitable("holds TOML beyond all measure") from None

    def put(self, text: str, key: str, name: str, entry: Mapping[str, Any]) -> str:
        """``text`` with the table ``key.name``. Raises Unsuitable."""
        import tomlkit  # noqa: PLC0415 - 60 ms, for this client only

        if name not in self.load(text).get(key, {}):
            new = tomlkit.dumps({key: {name: entry}})
            return _same_lines(f"{text.rstrip()}\n\n{new}" if text.strip() else new, text)
        with _doubtful():
            document = tomlkit.parse(text)
            servers: Any = document[key]
            if isinstance(servers[name], Mapping):
                _update(servers[name], entry)
            else:
                servers[name] = entry
            return _same_lines(tomlkit.dumps(document), text)

    def drop(self, text: str, key: str, name: str) -> str:
        """``text`` without the table ``key.name``. Raises Unsuitable."""
        import tomlkit  # noqa: PLC0415 - as above

        with _doubtful():
            document = tomlkit.parse(text)
            servers: Any = document[key]
            del servers[name]
            left = tomlkit.dumps(document)
        return _same_lines(f"{left.rstrip()}\n" if left.strip() else "", text)


@contextmanager
def _doubtful() -> Iterator[None]:
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415 - as above

    try:
        yield
    except (
        TOMLKitError,
        ValueError,
        TypeError,
        KeyError,
    ):  # a form that tomlkit cannot edit, as inline tables
        raise Unsuitable(UNSAFE) from None


def _update(table: Any, values: Mapping[str, Any]) -> None:  # noqa: ANN401 - one of tomlkit's tables
    for key in [key for key in table if key not in values]:
        del table[key]
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), Mapping):
            _update(table[key], value)
        elif table.get(key) != value:
            table[key] = value


def _same_lines(text: str, before: str) -> str:
    only_crlf = before.count("\r\n") == before.count("\n") > 0
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if only_crlf else text
