"""Tools of the conformance suite that ask the client for something: its names, its questions.

The older revisions ask during the call; 2026-07-28 answers with what is needed and is called again.
"""

import json
from collections.abc import Mapping
from typing import Any

from fixture_content import OURS
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

STATES = ["active", "inactive", "pending"]
LEVELS = [{"const": level, "title": f"{level.title()} Priority"} for level in ("low", "medium", "high")]


def mount_input(server: MCPServer) -> None:
    """Adds to ``server`` every tool and prompt of the suite that needs an answer from the client."""
    for name, tool in ASKING.items():
        server.add_tool(tool, name=name, description=OURS)

    @server.prompt(name="test_input_required_result_prompt", description=OURS)
    async def prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        if "user_context" not in (ctx.input_responses or {}):
            return InputRequiredResult(input_requests={"user_context": form("Which context?", "context")})
        return [UserMessage(f"Use the following context: {answer(ctx, 'user_context')}")]


def form(message: str, field: str = "name") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def question(said: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=said))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def answer(ctx: Context, key: str) -> str:
    """The first value that the client filled into the form ``key``."""
    content = getattr((ctx.input_responses or {})[key], "content", None)
    return str(next(iter(content.values()))) if isinstance(content, Mapping) else "nothing"


async def sampling(prompt: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    # Without the request's id it would go to the stream of a GET, which the client need not have opened.
    said = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {said.content.text}"


class Response(BaseModel):
    response: str = Field(description="User's response")


class Defaults(BaseModel):
    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(default="active", json_schema_extra={"enum": STATES})
    verified: bool = Field(default=True)


class Enums(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": STATES})  # noqa: N815 - the suite's name for it
    titledSingle: str = Field(json_schema_extra={"oneOf": LEVELS})  # noqa: N815 - the suite's name for it
    untitledMulti: list[str] = Field(  # noqa: N815 - the suite's name for it
        json_schema_extra={"items": {"type": "string", "enum": STATES}}
    )
    titledMulti: list[str] = Field(  # noqa: N815 - the suite's name for it
        json_schema_extra={"items": {"anyOf": LEVELS}}
    )
    legacyEnum: str = Field(  # noqa: N815 - the suite's name for it
        json_schema_extra={"enum": STATES, "enumNames": [state.title() for state in STATES]}
    )


async def elicited(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    said = await ctx.elicit(message, schema)
    content = said.data.model_dump_json() if said.action == "accept" else "{}"
    return f"User response: action={said.action}, content={content}"


async def elicitation(message: str, ctx: Context) -> str:
    return await elicited(ctx, message, Response)


async def defaults(ctx: Context) -> str:
    return await elicited(ctx, "Please provide user information", Defaults)


async def enums(ctx: Context) -> str:
    return await elicited(ctx, "Please select", Enums)


async def needs_sampling(ctx: Context) -> str:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs a client that declares sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "The client declares sampling."


async def ask_name(ctx: Context) -> str | InputRequiredResult:
    if "user_name" not in (ctx.input_responses or {}):
        return InputRequiredResult(input_requests={"user_name": form("What is your name?")})
    return f"Hello, {answer(ctx, 'user_name')}!"


async def ask_model(ctx: Context) -> str | InputRequiredResult:
    responses = ctx.input_responses or {}
    if "capital_question" not in responses:
        asked = question("What is the capital of France?")
        return InputRequiredResult(input_requests={"capital_question": asked})
    return f"The model said: {responses['capital_question'].content.text}"


async def ask_roots(ctx: Context) -> str | InputRequiredResult:
    responses = ctx.input_responses or {}
    if "client_roots" not in responses:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return f"The client has {len(responses['client_roots'].roots)} roots."


async def keeps_state(ctx: Context) -> str | InputRequiredResult:
    if ctx.request_state == "kept" and "confirm" in (ctx.input_responses or {}):
        return "state-ok"
    return InputRequiredResult(input_requests={"confirm": form("Please confirm", "ok")}, request_state="kept")


async def ask_all(ctx: Context) -> str | InputRequiredResult:
    asked = {
        "user_name": form("What is your name?"),
        "greeting": question("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    if asked.keys() <= (ctx.input_responses or {}).keys():
        return "Everything was answered."
    return InputRequiredResult(input_requests=asked, request_state="asked")


async def ask_twice(ctx: Context) -> str | InputRequiredResult:
    state: dict[str, Any] = json.loads(ctx.request_state or "{}")
    responses = ctx.input_responses or {}
    if "name" in state and "step2" in responses:
        return f"{state['name']} likes {answer(ctx, 'step2')}."
    if "asked" in state and "step1" in responses:
        kept = json.dumps({"name": answer(ctx, "step1")})
        asked = form("Step 2: What is your favorite color?", "color")
        return InputRequiredResult(input_requests={"step2": asked}, request_state=kept)
    asked = form("Step 1: What is your name?")
    return InputRequiredResult(input_requests={"step1": asked}, request_state=json.dumps({"asked": True}))


async def guards_state(ctx: Context) -> str | InputRequiredResult:
    if ctx.request_state is None:
        asked = {"confirm": form("Please confirm", "ok")}
        return InputRequiredResult(input_requests=asked, request_state="round-1")
    return "state-ok"


async def ask_what_is_declared(ctx: Context) -> InputRequiredResult:
    declared = ctx.client_capabilities
    asked: dict[str, Any] = {}
    if declared is None or declared.sampling is not None:
        asked["sample"] = question("Say hello")
    if declared is None or declared.elicitation is not None:
        asked["ask"] = form("What is your name?")
    return InputRequiredResult(input_requests=asked, request_state="declared")


ASKING = {
    "test_sampling": sampling,
    "test_elicitation": elicitation,
    "test_elicitation_sep1034_defaults": defaults,
    "test_elicitation_sep1330_enums": enums,
    "test_missing_capability": needs_sampling,
    "test_streaming_elicitation": ask_name,
    "test_input_required_result_elicitation": ask_name,
    "test_input_required_result_sampling": ask_model,
    "test_input_required_result_list_roots": ask_roots,
    "test_input_required_result_request_state": keeps_state,
    "test_input_required_result_multiple_inputs": ask_all,
    "test_input_required_result_multi_round": ask_twice,
    "test_input_required_result_tampered_state": guards_state,
    "test_input_required_result_capabilities": ask_what_is_declared,
}
