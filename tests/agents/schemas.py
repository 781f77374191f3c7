"""What the schemas of agents demand of an entry: the keys that we write, and which must be.

Written down from the schema that each names, without the keys that we do not write.
"""

from __future__ import annotations

from typing import Any

TEXT, WORDS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
TRANSPORT = {"enum": ["stdio", "sse", "http"]}


def _entry(required: list[str], closed: bool = True, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": not closed,
    }


def _either(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(entries)}


# packages/opencode/src/config: https://opencode.ai/config.json, McpLocalConfig and McpRemoteConfig.
OPENCODE = _either(
    _entry(["type", "command"], type={"const": "local"}, command=WORDS),
    _entry(["type", "url"], type={"const": "remote"}, url=TEXT),
)

SCHEMAS: dict[str, dict[str, Any]] = {
    # codex-rs/core/config.schema.json, RawMcpServerConfig
    "codex": _entry([], command=TEXT, args=WORDS, env_vars=WORDS, url=TEXT),
    # schemas/settings.schema.json, MCPServerConfig
    "gemini": _entry([], command=TEXT, args=WORDS, url=TEXT, type=TRANSPORT),
    "opencode": OPENCODE,
    # Made from opencode; https://app.kilo.ai/config.json has the same two.
    "kilo": OPENCODE,
    # schema.json, MCPConfig
    "crush": _entry(["type"], command=TEXT, args=WORDS, url=TEXT, type=TRANSPORT),
    # content/copilot/reference/copilot-cli-reference/cli-command-reference.md of github/docs
    "copilot": _either(
        _entry(
            ["command", "args", "tools"],
            type={"enum": ["local", "stdio"]},
            command=TEXT,
            args=WORDS,
            tools=WORDS,
        ),
        _entry(["type", "url", "tools"], type={"enum": ["http", "sse"]}, url=TEXT, tools=WORDS),
    ),
    # crates/goose/src/agents/extension.rs, ExtensionConfig, and config/extensions.rs
    "goose": _either(
        _entry(
            ["enabled", "type", "name", "cmd", "args"],
            enabled={"type": "boolean"},
            type={"const": "stdio"},
            name=TEXT,
            cmd=TEXT,
            args=WORDS,
        ),
        _entry(
            ["enabled", "type", "name", "uri"],
            enabled={"type": "boolean"},
            type={"const": "streamable_http"},
            name=TEXT,
            uri=TEXT,
        ),
    ),
    # src/services/mcp/schemas.ts: without a type an URL is taken for SSE
    "cline": _either(
        _entry(["command"], False, type={"const": "stdio"}, command=TEXT, args=WORDS, url=TEXT),
        _entry(["type", "url"], False, type={"const": "streamableHttp"}, url=TEXT, command=TEXT),
    ),
    # src/services/mcp/McpHub.ts: command and url exclude each other
    "roo": _either(
        _entry(["command"], type={"const": "stdio"}, command=TEXT, args=WORDS),
        _entry(["type", "url"], type={"enum": ["sse", "streamable-http"]}, url=TEXT),
    ),
}
