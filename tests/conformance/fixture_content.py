"""What the conformance suite calls and reads besides our own tools: each name and text is the suite's.

Mounted by tests on the server they serve, never by the product: no setting of ours leads here.
"""

import base64
import json
from typing import Annotated

import anyio
from mcp.server import MCPServer, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import Field

OURS = "A fixture of the conformance suite."
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
SILENCE = (
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x02\x00\x00\x00\x00\x00"
)
PAUSE = 0.05  # seconds; the suite asks for it between a tool's messages


def mount_content(server: MCPServer) -> None:
    """Adds the suite's tools, resources and prompts to ``server``."""
    for tool in (simple_text, image, audio, embedded, several_kinds, fails, header, log, progress, quiet):
        server.add_tool(tool, name=NAMES[tool.__name__], description=OURS)
    _mount_changes(server)
    _mount_resources(server)
    _mount_prompts(server)
    _mount_handlers(server)


def png() -> ImageContent:
    return ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")


def text(said: str) -> TextContent:
    return TextContent(type="text", text=said)


def resource(uri: str, mime_type: str, said: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=said)
    return EmbeddedResource(type="resource", resource=contents)


def simple_text() -> str:
    return "This is a simple text response for testing."


def image() -> list[ImageContent]:
    return [png()]


def audio() -> list[AudioContent]:
    data = base64.b64encode(SILENCE).decode()
    return [AudioContent(type="audio", data=data, mime_type="audio/wav")]


def embedded() -> list[EmbeddedResource]:
    return [resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


def several_kinds() -> list[TextContent | ImageContent | EmbeddedResource]:
    data = json.dumps({"test": "data", "value": 123})
    mixed = resource("test://mixed-content-resource", "application/json", data)
    return [text("Multiple content types test:"), png(), mixed]


def fails() -> str:
    raise ToolError("This tool intentionally returns an error for testing")


def header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "") -> str:
    return f"The region is {region!r}."


async def log(ctx: Context) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)
        await anyio.sleep(PAUSE)
    return "Said three things."


async def progress(ctx: Context) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(PAUSE)
    return "Went from 0 to 100."


async def quiet(ctx: Context) -> str:
    await ctx.info("Only for a client that asked for a log level.")
    return "Logged once."


NAMES = {
    "simple_text": "test_simple_text",
    "image": "test_image_content",
    "audio": "test_audio_content",
    "embedded": "test_embedded_resource",
    "several_kinds": "test_multiple_content_types",
    "fails": "test_error_handling",
    "header": "test_x_mcp_header",
    "log": "test_tool_with_logging",
    "progress": "test_tool_with_progress",
    "quiet": "test_logging_tool",
}


def _mount_changes(server: MCPServer) -> None:
    async def tools_changed(ctx: Context) -> str:
        await ctx.notify_tools_changed()
        return "Said that the tools changed."

    async def prompts_changed(ctx: Context) -> str:
        await ctx.notify_prompts_changed()
        return "Said that the prompts changed."

    server.add_tool(tools_changed, name="test_trigger_tool_change", description=OURS)
    server.add_tool(prompts_changed, name="test_trigger_prompt_change", description=OURS)


def _mount_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return PIXEL

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "Watched."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the suite's name for it
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _mount_prompts(server: MCPServer) -> None:
    @server.prompt(name="test_simple_prompt", description=OURS)
    def simple() -> list[UserMessage]:
        return [UserMessage("This is a simple prompt for testing.")]

    @server.prompt(name="test_prompt_with_arguments", description=OURS)
    def with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt(name="test_prompt_with_embedded_resource", description=OURS)
    def with_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name for it
        shown = resource(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(shown), UserMessage("Please process the embedded resource above.")]

    @server.prompt(name="test_prompt_with_image", description=OURS)
    def with_image() -> list[UserMessage]:
        return [UserMessage(png()), UserMessage("Please analyze the image above.")]


def _mount_handlers(server: MCPServer) -> None:
    """Three requests of the older revisions that MCPServer has no public way to answer."""

    async def agree(_ctx: ServerRequestContext, _params: object) -> EmptyResult:
        return EmptyResult()

    for method, params in (
        ("logging/setLevel", SetLevelRequestParams),
        ("resources/subscribe", SubscribeRequestParams),
        ("resources/unsubscribe", UnsubscribeRequestParams),
    ):
        server._lowlevel_server.add_request_handler(method, params, agree)

    @server.completion()
    async def complete(_ref, _argument, _context) -> Completion:
        return Completion(values=[], total=0, has_more=False)
