"""The tool list_languages: what can run here, asked of the images themselves, once each."""

from dataclasses import dataclass, field
from typing import Annotated

import anyio
from mcp_types import CallToolResult

from sandbox_runner.config import Config, format_setting
from sandbox_runner.errors import SandboxError
from sandbox_runner.languages import Language, addable, images_of, load_languages
from sandbox_runner.request import RunRequest
from sandbox_runner.runner import Runner
from sandbox_runner.server.render import page
from sandbox_runner.server.reports import LanguageInfo, LanguageList
from sandbox_runner.server.service import Service
from sandbox_runner.server.text import neutral

_SHOWN = ("wall_time", "memory", "cpus", "pids", "workspace", "output")
_MORE = "There are more that are not built; ask for one by its name to hear how to get it."


@dataclass(frozen=True, slots=True)
class Offer:
    """list_languages over one service. ``versions`` are those that were asked for already, by language."""

    service: Service
    versions: dict[str, str] = field(default_factory=dict)
    _asking: anyio.Lock = field(default_factory=anyio.Lock)

    async def list_languages(self) -> Annotated[CallToolResult, LanguageList]:
        """List the languages that programs may be written in, their versions, packages and limits."""
        problem = await self._ask_versions()
        notes = [problem] if problem else []
        configured = images_of(self.service.config.languages)
        languages = [
            self._info(language)
            for language in load_languages()
            if language.name in self.versions or language.image in configured
        ]
        if self.service.operator and len(languages) < len(load_languages()):
            notes.append(_MORE)
        report = LanguageList(languages=languages, limits=_limits(self.service.config), notes=notes)
        return page(report, "\n".join(_lines(report)))

    async def _ask_versions(self) -> str | None:
        """Fills in the versions that are not known yet; the reason where that is not possible."""
        async with self._asking:
            missing = [language for language in load_languages() if language.name not in self.versions]
            if not missing:
                return None
            try:
                runner = await self.service.connection.runner()
                for language in missing:
                    if await runner.has(language):
                        self.versions[language.name] = await _version(runner, language)
            except SandboxError as error:
                if not self.service.operator:
                    return "Some versions are not known at the moment."
                return str(error)
            return None

    def _info(self, language: Language) -> LanguageInfo:
        return LanguageInfo(
            name=language.name,
            aliases=list(language.aliases),
            version=self.versions.get(language.name),
            packages=list(language.packages),
            may_add=list(addable(language, self.service.config.packages)),
            file=language.file,
            functions=language.function is not None,
        )


async def _version(runner: Runner, language: Language) -> str:
    result = await runner.run(RunRequest(language=language.name, command=language.version))
    lines = neutral(result.stdout or result.stderr).splitlines()
    return lines[0][:100] if lines else "unknown"


def _limits(config: Config) -> dict[str, str]:
    return {
        name: f"{format_setting(name, getattr(config, name))}, at most "
        f"{format_setting(f'max_{name}', getattr(config, f'max_{name}'))}"
        for name in _SHOWN
    }


def _lines(report: LanguageList) -> list[str]:
    lines = [f"Note: {note}" for note in report.notes]
    for each in report.languages:
        names = ", ".join([each.name, *each.aliases])
        packages = f"; packages: {', '.join(each.packages)}" if each.packages else ""
        more = f"; may be added: {', '.join(each.may_add)}" if each.may_add else ""
        lines.append(f"{names}: {each.version or 'not ready yet'}{packages}{more}")
    lines += [f"{name}: {value}" for name, value in report.limits.items()]
    return lines
