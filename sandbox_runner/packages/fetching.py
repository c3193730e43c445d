"""What an index may be asked for, and asking it. All that is asked comes from inside the builder."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from sandbox_runner.errors import IndexUnavailable, NotPermitted
from sandbox_runner.policy.packages import Index
from sandbox_runner.requirements import NPM, PIP, refuse

if TYPE_CHECKING:
    import requests

_ADDRESS = re.compile(r"[!-~]{1,4096}")
_KIND = re.compile(r"[!-~ ]{0,200}")
_UNTRUSTED = re.compile(r"certificate verify failed: (.{1,200}?)\.? \(_ssl")
_TIMES = (20, 60)  # seconds to connect, and for each piece of an answer
_REDIRECTS = 5
_PIECE = 1 << 16
_ACCEPTED = {
    PIP: "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, */*;q=0.1",
    NPM: "application/vnd.npm.install-v1+json, application/json;q=0.8, */*;q=0.1",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An index's answer: HTTP's status, its type, how many bytes follow if that is known, and these."""

    status: int
    kind: str
    length: int | None
    pieces: Iterator[bytes]


class Fetcher:
    """Fetches from one index. Its calls block, and may be made in several threads.

    Raises IndexUnavailable where the file of certificates has none.
    """

    def __init__(self, index: Index) -> None:
        import requests  # noqa: PLC0415 - for those who install packages

        if index.ca is not None:
            _check_certificates(index.ca)
        self._index = index
        self._session = requests.Session()
        headers = {"User-Agent": "sandbox-runner", "Accept": _ACCEPTED[index.installer]}
        headers["Accept-Encoding"] = "identity"  # what is packed small could be large here
        self._session.headers.update(headers)

    def check(self, address: str) -> None:
        """Raises NotPermitted for what is not the index's, or is of a package that is refused."""
        self._check_place(address)
        for name in _packages_in(address, self._index):
            refuse(name, installer=self._index.installer, refused=self._index.refused)

    def fetch(self, address: str) -> Answer:
        """The answer to GET, where redirections lead nowhere else. Raises IndexUnavailable, NotPermitted."""
        import requests  # noqa: PLC0415 - as above

        try:
            return self._follow(address)
        except (requests.RequestException, ValueError) as error:
            raise IndexUnavailable(_reason(address, error)) from error

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()

    def _follow(self, address: str) -> Answer:
        for _ in range(_REDIRECTS):
            self.check(address)
            response = self._session.get(
                address, stream=True, timeout=_TIMES, allow_redirects=False, verify=self._index.ca or True
            )
            if not response.is_redirect:
                return _answer(response)
            response.close()
            address = urljoin(address, response.headers["Location"])
        raise ValueError("it redirects too often")

    def _check_place(self, address: str) -> None:
        ours, asked = urlsplit(self._index.url), urlsplit(address)
        known = asked.netloc == ours.netloc or asked.netloc in self._index.hosts
        if not _ADDRESS.fullmatch(address) or asked.scheme not in ("https", ours.scheme) or not known:
            raise NotPermitted(
                f"The index {self._index.url} has files at {asked.scheme}://{asked.netloc[:200]}, from which "
                "none may be fetched here; the operator can add that host to package_hosts."
            )


def _packages_in(address: str, index: Index) -> Iterator[str]:
    """The packages that ``address`` is about: the one whose page it is, and the one whose file."""
    path = unquote(urlsplit(address).path)
    below = path.removeprefix(unquote(urlsplit(index.url).path)).strip("/").split("/")
    if index.installer == PIP:
        yield below[0]
        yield path.rpartition("/")[2].partition("-")[0]
    else:
        yield "/".join(below[:2]) if below[0].startswith("@") else below[0]


def _answer(response: "requests.Response") -> Answer:
    length = response.headers.get("Content-Length", "")
    whole = length.isdigit() and not response.headers.get("Content-Encoding")
    kind = response.headers.get("Content-Type", "")

    def pieces() -> Iterator[bytes]:
        with response:
            yield from response.iter_content(_PIECE)

    return Answer(
        response.status_code,
        kind if _KIND.fullmatch(kind) else "",
        int(length) if whole else None,
        pieces(),
    )


def _reason(address: str, error: Exception) -> str:
    place = "://".join(urlsplit(address)[:2])
    untrusted = _UNTRUSTED.search(str(error))
    if untrusted is not None:
        return (
            f"The certificate of {place} is not trusted: {untrusted[1]}. Put it right on that server; where "
            "its authority is one of your own, name a file with the authority's certificate in package_ca."
        )
    return f"The index of packages at {place} does not answer as one ({type(error).__name__}); check it."


def _check_certificates(file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        raise IndexUnavailable(
            f"The setting package_ca names {file!r}, which has no certificates that can be read "
            f"({error.strerror or error}); name a file with certificates in PEM."
        ) from error
