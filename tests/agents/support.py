"""What each agent's documentation shows, files as people have them, and a home to put them in."""

from __future__ import annotations

import json
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

import json5
from ruamel.yaml import YAML

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.client import client

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CONFIG = """
[services.memory]
command = ["icm", "serve"]
bind = "127.0.0.1:7878"

[services.tunnel]
command = ["ssh", "-N", "-L", "7879:127.0.0.1:7878", "nas"]
bind = "[::1]:7879"
bridge = false
"""
URLS = {"memory": "http://127.0.0.1:7878/mcp", "tunnel": "http://[::1]:7879/mcp"}

# What each agent's documentation shows, with the URL in the place of {url}.
SHAPES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "claude": (("mcpServers",), {"type": "http", "url": "{url}"}),
    "claude-desktop": (("mcpServers",), {}),
    "codex": (("mcp_servers",), {"url": "{url}"}),
    "gemini": (("mcpServers",), {"type": "http", "url": "{url}"}),
    "cursor": (("mcpServers",), {"url": "{url}"}),
    "vscode": (("servers",), {"type": "http", "url": "{url}"}),
    "copilot": (("mcpServers",), {"type": "http", "tools": ["*"], "url": "{url}"}),
    "windsurf": (("mcpServers",), {"serverUrl": "{url}"}),
    "antigravity": (("mcpServers",), {"serverUrl": "{url}"}),
    "zed": (("context_servers",), {"url": "{url}"}),
    "opencode": (("mcp",), {"type": "remote", "url": "{url}"}),
    "kilo": (("mcp",), {"type": "remote", "url": "{url}"}),
    "crush": (("mcp",), {"type": "http", "url": "{url}"}),
    "amp": (("amp.mcpServers",), {"url": "{url}"}),
    "goose": (("extensions",), {"enabled": True, "type": "streamable_http", "uri": "{url}"}),
    "cline": (("mcpServers",), {"type": "streamableHttp", "url": "{url}"}),
    "roo": (("mcpServers",), {"type": "streamable-http", "url": "{url}"}),
    "kiro": (("mcpServers",), {"url": "{url}"}),
    "qwen": (("mcpServers",), {"httpUrl": "{url}"}),
    "kimi": (("mcpServers",), {"url": "{url}"}),
    "droid": (("mcpServers",), {"type": "http", "url": "{url}"}),
    "junie": (("mcpServers",), {"url": "{url}"}),
    "continue": (("mcpServers",), {"type": "streamable-http", "url": "{url}"}),
}
# What an entry with a command has besides that.
STDIO: dict[str, dict[str, Any]] = {
    **{name: {"type": "stdio"} for name in ("claude", "vscode", "crush", "droid", "continue")},
    **{name: {"type": "local"} for name in ("opencode", "kilo")},
    "copilot": {"type": "stdio", "tools": ["*"]},
    "goose": {"enabled": True, "type": "stdio"},
    # https://developers.openai.com/codex/mcp: it hands on hardly any variable by itself.
    "codex": {
        "env_vars": "LLMENV_CONFIG XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME XDG_CACHE_HOME"
        " XDG_RUNTIME_DIR SSH_AUTH_SOCK".split()
    },
}
# One agent for each form that a file or an entry has; what holds for them holds for the others.
FORMS = ["claude", "codex", "windsurf", "copilot", "opencode", "amp", "goose", "continue"]
IN_JSON = [name for name in FORMS if name not in ("codex", "goose", "continue")]

JSON_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "braces": "{}",
    "open braces": "{\n}\n",
    "no servers yet": '{\n  "SERVERS": {}\n}\n',
    "others": '{\n  "a": [1, {"b": null}],\n  "SERVERS": {\n    "x": {\n      "command": "é ☃"\n'
    "    }\n  }\n}\n",
    "others, then more": '{\n    "SERVERS": {\n        "x": {"command": "y"}\n    },\n'
    '    "last": "{\\"memory\\": //}"\n}\n',
    "one line": '{"a": 1, "SERVERS": {"x": {"command": "y", "args": ["/*", "*/"]}}}',
    "comments": "// mine\n{\n\t// first\n\t\"a\": 1, // one, {\n\t/* two } */\n\t\"SERVERS\": {\n"
    '\t\t"x": {"command": "y",}, // x\n\t\t// "z": {},\n\t},\n\t// the end\n}\n// really\n',
    "a comment behind": '{\n  "a": 1 // one\n  // "b": 2\n}\n',
    "a comment inside": '{ // nothing yet\n}\n',
    "only a comment": "// Zed settings\n",
    "only a comment, no newline": "// Zed settings",
    "no final newline": '{\n  "a": 1\n}',
    "twice": '{"SERVERS": {"old": {}}, "SERVERS": {"x": {}}}',
}  # fmt: skip
YAML_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "comments": "# mine\n",
    "comments, no final newline": "\n# mine: mcpServers",
    "others": "name: mine # two\nmcpServers:\n  # - name: z\n  - name: x # one\n    command: y\n"
    "    args:\n    - -v\n    - a: b\n    env:\n      # c\n      A: |\n        - name: memory\n"
    "        #d\n\n  # the end\n",
    "others, then more": "mcpServers: # [] those\n- url: 'it''s # x'\n  name: x\n# - name: z\n"
    '-   type: stdio\n    name: "\\"y: #"\n\nrules:\n  - name: memory\n',
    "none": "schema: v1\nmcpServers: [] # [] none\n# the end\n",
    "no final newline": "mcpServers:\n  - name: x\n    command: y",
    "none, no final newline": "mcpServers: []",
}
GOOSE_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "comments": "# mine\n",
    "comments, no final newline": "\n# mine: extensions",
    "others": "GOOSE_MODEL: mine # two\nextensions:\n  # z:\n  x: # one\n    enabled: true\n"
    "    cmd: y\n    args:\n    - -v\n    - memory\n    envs:\n      # c\n      A: |\n"
    "        memory:\n        #d\n\n  # the end\n",
    "others, then more": "extensions: # {} those\n    \"x\":\n        name: 'it''s # x'\n"
    "    # z:\n    y: {type: stdio, cmd: 'mine'}\n\nproviders:\n  memory:\n    a: 1\n",
    "as goose writes it": "GOOSE_MODE: auto\nextensions:\n  x:\n    enabled: true\n"
    "    type: stdio\n"
    "    name: x\n    description: ''\n    cmd: y\n    args:\n    - a\n    envs: {}\n"
    "    timeout: 300\n    bundled: null\n    available_tools: []\nactive_provider: anthropic\n",
    "none": "a: 1\nextensions: {} # {} none\n# the end\n",
    "no extensions": "---\nGOOSE_MODEL: mine\nlist:\n- x\n# the end\n",
    "no extensions, no final newline": "GOOSE_MODEL: mine",
    "no final newline": "extensions:\n  x:\n    cmd: y",
    "none, no final newline": "extensions: {}",
}
TOML_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "others": 'model = "é ☃"\n\n[mcp_servers.x]\ncommand = "y"\n\n[mcp_servers.x.env]\nA = "b"\n',
    "others, then more": '[mcp_servers.x]\ncommand = "y"\n\n\n[tui]\ntheme = "[z]"\n',
    "comments": '# mine\nmodel = "m" # one\n\n# [mcp_servers.memory]\n[[aot]]\na = 1\n# the end\n',
    "parent": "[mcp_servers]\n",
    "parent behind": "[mcp_servers.x.env]\na = 1\n[tui]\n[mcp_servers] # mine\n",
    "dotted": 'mcp_servers.x.command = "y"\n',
    "no final newline": 'model = "m" # one',
}


def texts(name: str) -> dict[str, str]:
    if name == "continue":
        return YAML_TEXTS
    if name == "goose":
        return GOOSE_TEXTS
    if name == "codex":
        return TOML_TEXTS
    return {case: text.replace("SERVERS", SHAPES[name][0][0]) for case, text in JSON_TEXTS.items()}


def parsed(name: str, content: bytes | None) -> dict[str, Any]:
    """Return what *content* holds, read by another parser than ours."""
    text = (content or b"").decode("utf-8-sig")
    if name == "codex":
        return tomllib.loads(text)
    if name == "goose":
        found = dict(YAML(typ="safe").load(text) or {})
        for service, entry in found.get("extensions", {}).items():
            if service in (*URLS, "brain", "mcp-proxy"):
                assert entry.pop("name") == service
        return found
    if name == "continue":
        found = dict(YAML(typ="safe").load(text) or {})
        servers = found.pop("mcpServers", [])
        if "version" in found:
            assert found.pop("name"), found == {"version": "0.0.1", "schema": "v1"}
            del found["version"], found["schema"]
        return found | {"mcpServers": {server.pop("name"): server for server in servers}}
    if not re.sub(r"//.*|\s", "", text):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = json5.loads(text)
    assert isinstance(value, dict)
    return value


def by_url(name: str, url: str) -> dict[str, Any]:
    """Return what each agent's documentation shows of a server at *url*."""
    return {key: url if value == "{url}" else value for key, value in SHAPES[name][1].items()}


def expected(name: str, port: int = 7878) -> dict[str, dict[str, Any]]:
    return {service: by_url(name, u.replace("7878", str(port))) for service, u in URLS.items()}


def by_connect(name: str, program: str) -> dict[str, dict[str, Any]]:
    """Return what each agent's documentation shows of a stdio server, for our services."""
    entries = {}
    for service in URLS:
        command: dict[str, Any] = {"command": program, "args": ["connect", service]}
        if name in ("opencode", "kilo"):
            command = {"command": [program, "connect", service]}
        if name == "goose":
            command["cmd"] = command.pop("command")
        entries[service] = STDIO.get(name, {}) | command
    return entries


def others(name: str, content: bytes | None) -> dict[str, Any]:
    """Return what *content* holds besides our servers, and tables without any."""
    found = parsed(name, content)
    holder = SHAPES[name][0][0]
    servers = {key: value for key, value in found.pop(holder, {}).items() if key not in URLS}
    return found | ({holder: servers} if servers else {})


class Home:
    """A home with a config, in which `llmenv client` is called without a process of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], program: Path) -> None:
        self.root = root
        self.capsys = capsys
        self.config = root / "config.toml"
        self.config.write_text(CONFIG)
        self.program = program  # the path that entries are to have
        self.http = True  # whether entries are to be URLs

    def path(self, name: str) -> Path:
        return self.root / os.path.relpath(AGENTS[name].path(False), self.root)

    def backup(self, name: str) -> Path:
        path = os.path.realpath(self.path(name))
        return self.root / ".local/state/llmenv/backup" / path.lstrip("/")

    def put(self, name: str, content: bytes | None) -> Path:
        path = self.path(name)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return path

    def port(self, port: int) -> None:
        self.config.write_text(CONFIG.replace('127.0.0.1:7878"\n', f'127.0.0.1:{port}"\n'))

    def commands(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the entries by connect that the file of the agent *name* is to have."""
        return by_connect(name, str(self.program))

    def __call__(self, name: str | None, *options: str) -> str:
        """Return what `llmenv client` prints."""
        more = ["http"] if self.http and name and "remove" not in options else []
        client([name] if name else None, **dict.fromkeys([*options, *more], True))
        return self.capsys.readouterr().out


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def with_entry(name: str, entry: dict[str, Any]) -> bytes:
    if name == "codex":
        lines = "".join(f"{key} = {json.dumps(value)} # mine\n" for key, value in entry.items())
        return f"[mcp_servers.memory]\n{lines}".encode()
    return json.dumps({SHAPES[name][0][0]: {"memory": entry, "x": {}}}).encode()
