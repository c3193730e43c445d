"""What is told while packages are installed, on stderr: a bar on a terminal, else a line."""

from collections.abc import Sequence
from contextlib import ExitStack

from sandbox_runner.provision.progress import Progress, Report


class Installing:
    """Shows what it is told, from the first line until it is closed; nothing if ``quiet``."""

    def __init__(self, packages: Sequence[str], *, quiet: bool) -> None:
        self._packages = ", ".join(packages)
        self._quiet = quiet
        self._shown = ExitStack()
        self._report: Report | None = None

    def tell(self, line: str) -> None:
        """Shows ``line``."""
        if self._quiet:
            return
        if self._report is None:
            from sandbox_runner.cli.progress import shown_progress  # noqa: PLC0415 - few runs install

            self._report = self._shown.enter_context(shown_progress()).report
        self._report(Progress("packages", self._packages, line))

    def close(self) -> None:
        """Ends what is shown. Harmless to repeat."""
        self._shown.close()
