"""The tools of the conformance server that want more input before they answer.

This is how a server of 2026-07-28 asks its client (SEP-2322): it answers with what it needs to
know, and with a state that comes back with the client's next try.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import Context  # noqa: TC002 (the SDK reads the signatures)
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.mcpserver import MCPServer


def question(message: str, key: str, kind: str = "string") -> ElicitRequest:
    """Return what asks the user for one value."""
    schema = {"type": "object", "properties": {key: {"type": kind}}, "required": [key]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str) -> CreateMessageRequest:
    """Return what asks the client's model."""
    content = TextContent(type="text", text=prompt)
    messages = [SamplingMessage(role="user", content=content)]
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=messages, max_tokens=100)
    )


def wanted(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    """Return the answer that asks for more."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def answers(ctx: Context) -> Mapping[str, Any]:
    """Return what the client answered."""
    return ctx.input_responses or {}


def value(ctx: Context, name: str, key: str) -> object:
    """Return what the user answered to a `question`."""
    answer = answers(ctx).get(name)
    return answer.content.get(key) if isinstance(answer, ElicitResult) and answer.content else None


async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the user."""
    if "user_name" in answers(ctx):
        return f"Hello, {value(ctx, 'user_name', 'name')}!"
    return wanted(user_name=question("What is your name?", "name"))


async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the model."""
    if answer := answers(ctx).get("capital_question"):
        return f"Model said: {answer.content.text}"
    return wanted(capital_question=sampling("What is the capital of France?"))


async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the roots."""
    if answer := answers(ctx).get("client_roots"):
        return f"Client exposed {len(answer.roots)} root(s)."
    return wanted(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Wants its state back."""
    if "confirm" in answers(ctx) and ctx.request_state == "nonce":
        return "state-ok: confirmation received"
    return wanted("nonce", confirm=question("Please confirm", "ok", "boolean"))


async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Asks for three things at once."""
    if answers(ctx).keys() >= {"user_name", "greeting", "client_roots"}:
        return "All inputs received."
    return wanted(
        "asked",
        user_name=question("What is your name?", "name"),
        greeting=sampling("Generate a greeting"),
        client_roots=ListRootsRequest(),
    )


async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Asks for one thing after the other."""
    state = json.loads(ctx.request_state or "{}")
    if "step2" in answers(ctx) and "name" in state:
        return f"{state['name']} likes {value(ctx, 'step2', 'color')}."
    if "step1" in answers(ctx) and state:
        kept = json.dumps({"round": 2, "name": value(ctx, "step1", "name")})
        return wanted(kept, step2=question("Step 2: What is your favorite color?", "color"))
    return wanted(json.dumps({"round": 1}), step1=question("Step 1: What is your name?", "name"))


async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Leaves it to the SDK to refuse a state that is not what it sent."""
    if ctx.request_state is None:
        return wanted("round-1", confirm=question("Please confirm", "ok", "boolean"))
    return f"state-ok: {ctx.request_state}"


async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    """Asks only what the client can be asked."""
    abilities = ctx.client_capabilities
    requests: dict[str, InputRequest] = {}
    if abilities is None or abilities.sampling is not None:
        requests["sample"] = sampling("Say hello")
    if abilities is None or abilities.elicitation is not None:
        requests["ask"] = question("What is your name?", "name")
    return wanted("capabilities", **requests)


async def test_input_required_result_prompt(
    ctx: Context,
) -> list[UserMessage] | InputRequiredResult:
    """A prompt that asks the user."""
    if "user_context" in answers(ctx):
        said = f"Use the following context: {value(ctx, 'user_context', 'context')}"
        return [UserMessage(role="user", content=TextContent(type="text", text=said))]
    return wanted(user_context=question("What context should the prompt use?", "context"))


def add_input_tools(server: MCPServer) -> None:
    """Give *server* what this module has."""
    for tool in (
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_tampered_state,
        test_input_required_result_capabilities,
    ):
        server.tool()(tool)
    server.prompt()(test_input_required_result_prompt)
