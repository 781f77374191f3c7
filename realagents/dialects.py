"""How three makers' models are asked, and how they answer, as far as a script needs it.

A dialect finds in a request which tools there are and what came back from those that were called,
and writes an answer that says something or calls a tool.  Anthropic's is that of
https://docs.anthropic.com/en/api/messages-streaming, OpenAI's of
https://platform.openai.com/docs/api-reference/responses-streaming, and Gemini's of
https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


class Tool(NamedTuple):
    """A tool as the agent names it to its model; *namespace* is "" where there are none."""

    name: str
    namespace: str = ""


class Call(NamedTuple):
    """A tool that the model wants called; its result comes back under *id*."""

    id: str
    tool: Tool
    arguments: Json


class Dialect(ABC):
    """What requests and answers look like."""

    @abstractmethod
    def tools(self, request: Json) -> Iterator[Tool]:
        """Yield the tools that the model may call."""

    @abstractmethod
    def results(self, request: Json) -> Iterator[tuple[str, str]]:
        """Yield what was returned, the id of the call and the text, of all calls until now."""

    @abstractmethod
    def answer(self, model: str, call: Call | None) -> list[Json]:
        """Return the events of an answer that makes *call*, or says that all is done."""


def event_stream(events: list[Json]) -> bytes:
    """Return *events* as server-sent events, each named by its type if it has one."""
    lines = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        if "type" in event
        else f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return "".join(lines).encode()


class Anthropic(Dialect):
    """POST /v1/messages: Claude Code, and opencode."""

    def tools(self, request: Json) -> Iterator[Tool]:
        for tool in request.get("tools", []):
            yield Tool(tool["name"])

    def results(self, request: Json) -> Iterator[tuple[str, str]]:
        for message in request["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else []
            for block in blocks:
                if block["type"] == "tool_result":
                    yield block["tool_use_id"], _text(block.get("content"))

    def answer(self, model: str, call: Call | None) -> list[Json]:
        block: Json = {"type": "text", "text": ""}
        delta: Json = {"type": "text_delta", "text": "Done."}
        if call:
            block = {"type": "tool_use", "id": call.id, "name": call.tool.name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        message: Json = {
            "id": f"msg_{call.id if call else 'last'}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]


class OpenAI(Dialect):
    """POST /v1/responses: Codex.  Its tools of one MCP server stand together in a namespace."""

    def tools(self, request: Json) -> Iterator[Tool]:
        for tool in request.get("tools", []):
            if tool["type"] == "namespace":
                for one in tool["tools"]:
                    yield Tool(one["name"], tool["name"])
            elif tool["type"] == "function":
                yield Tool(tool["name"])

    def results(self, request: Json) -> Iterator[tuple[str, str]]:
        for item in request["input"]:
            if item.get("type") == "function_call_output":
                yield item["call_id"], _text(item["output"])

    def answer(self, model: str, call: Call | None) -> list[Json]:
        item: Json = {
            "type": "message",
            "id": "msg_last",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Done.", "annotations": []}],
        }
        if call:
            item = {
                "type": "function_call",
                "id": f"fc_{call.id}",
                "call_id": call.id,
                "name": call.tool.name,
                "arguments": json.dumps(call.arguments),
            }
            if call.tool.namespace:
                item["namespace"] = call.tool.namespace
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": f"resp_{call.id if call else 'last'}", "model": model, "usage": usage}
        return [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]


class Gemini(Dialect):
    """POST /v1beta/models/MODEL:streamGenerateContent, or without the stream: Gemini CLI."""

    def tools(self, request: Json) -> Iterator[Tool]:
        for group in request.get("tools", []):
            for tool in group.get("functionDeclarations", []):
                yield Tool(tool["name"])

    def results(self, request: Json) -> Iterator[tuple[str, str]]:
        for content in request["contents"]:
            for part in content.get("parts", []):
                if found := part.get("functionResponse"):
                    yield found.get("id", ""), json.dumps(found["response"])

    def answer(self, model: str, call: Call | None) -> list[Json]:
        part: Json = {"text": "Done."}
        if call:
            named = {"id": call.id, "name": call.tool.name, "args": call.arguments}
            part = {"functionCall": named}
        candidate = {
            "index": 0,
            "content": {"role": "model", "parts": [part]},
            "finishReason": "STOP",
        }
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        return [{"candidates": [candidate], "usageMetadata": usage, "modelVersion": model}]


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
