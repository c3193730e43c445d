"""What the operator says about installing packages."""

from dataclasses import dataclass

from sandbox_runner.requirements import NPM, PIP

_USUAL = {PIP: "https://pypi.org/simple", NPM: "https://registry.npmjs.org"}
_FILES_OF = {_USUAL[PIP]: ("files.pythonhosted.org",)}  # where an index keeps what it lists


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRules:
    """``hosts`` are those that packages may be fetched from beside the index's own, as HOST or HOST:PORT.

    ``ca`` is a file with certificates. Seconds and bytes. ``disk`` bounds what one installation writes,
    ``cache`` what is kept of all.
    """

    pip_index: str | None
    npm_registry: str | None
    hosts: tuple[str, ...]
    ca: str | None
    refused: tuple[str, ...]
    time: float
    memory: int
    disk: int
    cache: int

    def index(self, installer: str) -> "Index":
        """Where ``installer`` finds packages."""
        url = (self.pip_index if installer == PIP else self.npm_registry) or _USUAL[installer]
        return Index(
            installer=installer,
            url=url,
            hosts=frozenset((*self.hosts, *_FILES_OF.get(url, ()))),
            ca=self.ca,
            refused=self.refused,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index of packages; ``url`` ends without a slash."""

    installer: str
    url: str
    hosts: frozenset[str]
    ca: str | None
    refused: tuple[str, ...]
