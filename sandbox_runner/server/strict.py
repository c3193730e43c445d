"""Arguments are checked before a tool sees them, and what is wrong is said in words a model can act on.

Left to itself the SDK ignores unknown arguments: a misspelt limit would silently not hold.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sandbox_runner.config import Config
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.server.render import refused

_MOST = 5  # errors that are told


def fit(tool: Tool, config: Config) -> Tool:
    """``tool`` with this server's limits in its schema, refusing arguments that it does not have."""
    model = tool.fn_metadata.arg_model
    fields = model.model_fields
    if "timeout_s" in fields:
        fields["timeout_s"].default = config.wall_time
        fields[
            "timeout_s"
        ].description = f"{fields['timeout_s'].description}; at most {config.max_wall_time:g}"
    if "memory_mb" in fields:
        fields[
            "memory_mb"
        ].description = f"memory in MiB, at most {config.max_memory >> 20}; null means {config.memory >> 20}"
    for name, setting in (("ttl_s", "session_ttl"), ("idle_s", "session_idle")):
        if name in fields:
            usual, most = getattr(config, setting), getattr(config, f"max_{setting}")
            fields[name].description = f"{fields[name].description}, at most {most:g}; null means {usual:g}"
    model.model_config = {**model.model_config, "extra": "forbid"}
    model.model_rebuild(force=True)
    tool.parameters = model.model_json_schema(by_alias=True)
    return tool


class ArgumentCheck:
    """Middleware that answers a call of one of ``tools`` with bad arguments in its stead."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params = ctx.params or {}
        name = params.get("name")
        tool = self._tools.get(name) if ctx.method == "tools/call" and isinstance(name, str) else None
        arguments = params.get("arguments") or {}
        if tool is not None and isinstance(arguments, dict):
            try:
                tool.fn_metadata.validate_arguments(arguments)
            except ValidationError as error:
                return refused(
                    tool.fn_metadata.output_model, InvalidRequest(" ".join(_sentences(tool, error)))
                )
        return await call_next(ctx)


def _sentences(tool: Tool, error: ValidationError) -> Iterator[str]:
    errors = error.errors(include_url=False, include_context=False)
    yield from (_sentence(tool, each) for each in errors[:_MOST])
    if len(errors) > _MOST:
        yield f"{len(errors) - _MOST} more arguments are wrong."


def _sentence(tool: Tool, error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])[:200]
    if error["type"] == "missing":
        return f"{tool.name} needs {where}."
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        known = list(tool.parameters["properties"])
        close = difflib.get_close_matches(where, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else f" It takes {', '.join(known) or 'none'}."
        return f"{tool.name} has no argument {where}.{meant}"
    message = error["msg"]
    return f"{where}: {message[0].lower()}{message[1:]}, not {repr(error['input'])[:100]}."
