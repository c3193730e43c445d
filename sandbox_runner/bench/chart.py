"""The figures as a picture, drawn in a sandbox: its image has matplotlib."""

import json
from pathlib import Path
from typing import Any

from sandbox_runner.config import Config
from sandbox_runner.errors import EngineError
from sandbox_runner.request import InputFile, RunRequest
from sandbox_runner.runner import Runner

_PROGRAM = Path(__file__).with_name("programs") / "chart.py"
_PICTURE = "chart.png"


async def drawn(document: dict[str, Any], config: Config) -> bytes:
    """The chart of ``document`` as PNG. Raises EngineError where none can be drawn."""
    figures = InputFile("figures.json", json.dumps(document).encode())
    request = RunRequest(
        language="python", code=_PROGRAM.read_text("utf-8"), files=[figures], artifacts=[_PICTURE]
    )
    async with Runner.open(config) as runner:
        result = await runner.run(request)
    if not result.ok or not result.artifacts:
        raise EngineError(f"The chart was not drawn: {result.status}; {result.stderr.strip()[-500:]}")
    return result.artifacts[0].data
