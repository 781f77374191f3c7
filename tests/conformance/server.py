"""The MCP server that the conformance suite asks: `python -m conformance.server [PORT]`.

It has the tools, resources and prompts that the suite's scenarios call by name, on the 2.x line of
the official SDK.  It speaks stdio, for a bridge; with PORT it serves HTTP by itself, to compare.
What it says in its texts is what the suite compares with.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

from conformance.inputs import add_input_tools
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CompletionArgument,
    CompletionContext,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    PromptReference,
    RequestParams,
    ResourceTemplateReference,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
PAUSE_S = 0.05  # between two notifications, so that they are seen to come one by one

server = MCPServer(
    "conformance",
    version="1",
    log_level="CRITICAL",
    request_state_security=RequestStateSecurity(keys=[b"not a secret, but thirty-two bytes long"]),
)

# --- what a tool can answer -----------------------------------------------------------------------


def text(value: str) -> TextContent:
    """Return *value* as content."""
    return TextContent(type="text", text=value)


def embedded(uri: str, mime_type: str, value: str) -> EmbeddedResource:
    """Return a text resource as content."""
    resource = TextResourceContents(uri=uri, mime_type=mime_type, text=value)
    return EmbeddedResource(type="resource", resource=resource)


IMAGE = ImageContent(type="image", data=PNG, mime_type="image/png")


@server.tool()
def test_simple_text() -> str:
    """Answers with text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """Answers with an image."""
    return [IMAGE]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """Answers with a sound."""
    return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """Answers with a resource."""
    said = "This is an embedded resource content."
    return [embedded("test://embedded-resource", "text/plain", said)]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answers with three kinds of content."""
    said = json.dumps({"test": "data", "value": 123})
    resource = embedded("test://mixed-content-resource", "application/json", said)
    return [text("Multiple content types test:"), IMAGE, resource]


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "none",  # noqa: PT028
) -> str:
    """Has an argument that clients repeat in the header `Mcp-Param-Region`."""
    return f"region={region}"


@server.tool()
def json_schema_2020_12_tool() -> str:
    """Has a schema with the keywords that the suite looks for."""
    return "json_schema_2020_12_tool"


# The SDK makes the schema of a tool from its signature, and has no way to say another.
server._tool_manager._tools["json_schema_2020_12_tool"].parameters = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

# --- what comes before an answer ------------------------------------------------------------------


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs, three times."""
    for step in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(step)
        await asyncio.sleep(PAUSE_S)
    return "Tool with logging executed successfully"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Tells how far it is, three times."""
    for step in (0, 50, 100):
        await ctx.report_progress(step, 100, f"Completed step {step} of 100")
        await asyncio.sleep(PAUSE_S)
    return "Tool with progress executed successfully"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Ends the stream of its answer, which the client takes up again."""
    await ctx.close_sse_stream()
    await asyncio.sleep(4 * PAUSE_S)
    return "Reconnection test completed"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Changes the list of tools, and says so."""
    server.add_tool(test_simple_text, name="test_dynamic_tool")
    server.remove_tool("test_dynamic_tool")
    await ctx.notify_tools_changed()
    return "tool list changed"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Changes the list of prompts, and says so."""
    server.add_prompt(Prompt.from_function(test_simple_text, name="test_dynamic_prompt"))
    server.remove_prompt("test_dynamic_prompt")
    await ctx.notify_prompts_changed()
    return "prompt list changed"


# --- what it asks the client, in the era of sessions ----------------------------------------------


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    answer = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=text(prompt))],
        max_tokens=100,
        related_request_id=ctx.request_id,
    )
    return f"LLM response: {getattr(answer.content, 'text', 'no text')}"


async def elicit(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    """Ask the client's user; return what came of it."""
    answer = await ctx.elicit(message=message, schema=schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


class Response(BaseModel):
    """What `test_elicitation` asks."""

    response: str = Field(description="User's response")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user a question."""
    return f"User response: {await elicit(ctx, message, Response)}"


def one_of(*values: str, **more: Any) -> Any:
    """Return a field for one of *values*."""
    return Field(json_schema_extra={"enum": list(values), **more})


def titled(keyword: str, **titles: str) -> dict[str, Any]:
    """Return the JSON schema for one of several values that have titles."""
    return {keyword: [{"const": value, "title": title} for value, title in titles.items()]}


class Defaults(BaseModel):
    """A default for each primitive type (SEP-1034)."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the user what has defaults."""
    return f"Elicitation completed: {await elicit(ctx, 'Who are you?', Defaults)}"


LEVELS = titled("oneOf", low="Low Priority", medium="Medium Priority", high="High Priority")
TOPICS = titled("anyOf", feature="New Feature", bug="Bug Fix", docs="Documentation")
MODES: Any = {"type": "string", "enum": ["read", "write", "execute"]}


class Enums(BaseModel):
    """A choice in each form (SEP-1330)."""

    untitledSingle: str = one_of("active", "inactive", "pending")  # noqa: N815
    titledSingle: str = Field(json_schema_extra=LEVELS)  # noqa: N815
    untitledMulti: list[str] = Field(json_schema_extra={"items": MODES})  # noqa: N815
    titledMulti: list[str] = Field(json_schema_extra={"items": TOPICS})  # noqa: N815
    legacyEnum: str = one_of("small", "large", enumNames=["Small Size", "Large Size"])  # noqa: N815


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the user to choose."""
    return f"Elicitation completed: {await elicit(ctx, 'Please choose', Enums)}"


@server.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Wants a client that can be asked for sampling."""
    abilities = ctx.session.client_capabilities
    if abilities is None or abilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs a client with sampling",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "The client has sampling."


# --- resources ------------------------------------------------------------------------------------


@server.resource("test://static-text")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PNG)


@server.resource("test://template/{id}/data")
def template(id: str) -> str:
    """A text that has its address in it."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched() -> str:
    """A text to subscribe to."""
    return "Watched resource content"


# --- prompts --------------------------------------------------------------------------------------


def user(content: Any) -> UserMessage:
    """Return a message of the user."""
    return UserMessage(role="user", content=content)


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """A prompt."""
    return [user(text("This is a simple prompt for testing."))]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """A prompt with arguments."""
    return [user(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
    """A prompt with a resource in it."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [user(resource), user(text("Please process the embedded resource above."))]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with an image in it."""
    return [user(IMAGE), user(text("Please analyze the image above."))]


# --- the rest -------------------------------------------------------------------------------------


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion:
    """Complete nothing."""
    return Completion(values=[], total=0, has_more=False)


async def agree(ctx: ServerRequestContext, params: object) -> EmptyResult:
    """Do nothing, gladly: nothing here changes, and all is logged."""
    return EmptyResult()


HANDLED: dict[str, type[RequestParams]] = {
    "logging/setLevel": SetLevelRequestParams,
    "resources/subscribe": SubscribeRequestParams,
    "resources/unsubscribe": UnsubscribeRequestParams,
}
for method, params in HANDLED.items():
    # The SDK's MCPServer has no handlers for these, and no way to add one but this.
    server._lowlevel_server.add_request_handler(method, params, agree)

add_input_tools(server)

if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
