"""An entry becomes `llmenv connect`, keeps the rest of it, and comes back to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.sharing.rewriting import Turned, restored, turned, what_turned

ARGV = ["/usr/bin/llmenv", "connect", "x"]
# Whose file; the file; and what stays of the entry beside its start.
FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "as Claude Code writes it": (
        "claude",
        json.dumps(
            {
                "numStartups": 7,
                "mcpServers": {
                    "a": {"type": "stdio", "command": "y", "args": [], "env": {}},
                    "x": {
                        "type": "stdio",
                        "command": "npx",
                        "args": ["-y", "p"],
                        "env": {"A": "é"},
                    },
                },
                "projects": {},
            },
            indent=2,
            ensure_ascii=False,
        ),
        {},
    ),
    "comments and unknown keys": (
        "vscode",
        '// mine\n{\n\t"servers": {\n\t\t// the first\n\t\t"x": { // one\n'
        '\t\t\t"command": "npx", // two\n\t\t\t/* three */ "args": ["-y", "p",],\n'
        '\t\t\t"env": {"A": "1", /* four */},\n\t\t\t"dev": {"watch": "**"}, // five\n'
        "\t\t},\n\t},\n}\n",
        {"dev": {"watch": "**"}},
    ),
    "one line": (
        "cursor",
        '{"mcpServers": {"x": {"command": "npx", "timeout": 5}, "y": {"command": "z"}}}',
        {"timeout": 5},
    ),
    "windows newlines": (
        "gemini",
        '{\r\n  "mcpServers": {\r\n    "x": {\r\n      "command": "npx",\r\n      "trust": true\r\n'
        "    }\r\n  }\r\n}\r\n",
        {"trust": True},
    ),
    "a list for a command": (
        "opencode",
        '{\n  "mcp": {\n    "x": {\n      "type": "local",\n      "command": ["npx", "-y"],\n'
        '      "enabled": false,\n      "environment": {"A": "b"}\n    }\n  }\n}\n',
        {"enabled": False},
    ),
    "the servers of opencode 2": (
        "opencode",
        '{"mcp": {"servers": {"x": {"type": "local", "command": ["npx"]}}}}',
        {},
    ),
    "a table with comments": (
        "codex",
        'model = "m"\n\n# mine\n[mcp_servers.x] # x\ncommand = "npx" # the command\n'
        "# the arguments\n"
        'args = [\n  "-y", # yes\n  "p",\n]\nstartup_timeout_sec = 20\n\n[mcp_servers.x.env]\n'
        '# secret\nA = "b" # b\n# last\n\n[tui]\ntheme = "t"\n',
        {"startup_timeout_sec": 20},
    ),
    "a table without arguments": (
        "codex",
        '[mcp_servers.x]\nenabled = false\ncommand = "npx"\nenv = { A = "b" }',
        {"enabled": False},
    ),
    "tables below it": (
        "codex",
        '[mcp_servers.x]\ncommand = "npx"\nargs = []\n[mcp_servers.x.env]\nA = "b"\n'
        '[mcp_servers.x.tools.t]\napproval_mode = "approve"\n',
        {"tools": {"t": {"approval_mode": "approve"}}},
    ),
    "in one line of a table": (
        "codex",
        '[mcp_servers]\ny = { command = "z" }\n'
        'x = { command = "npx", args = ["p"], cwd = "/" } # x\n',
        {},
    ),
    "dotted keys": (
        "codex",
        'mcp_servers.x.command = "npx"\nmcp_servers.x.args = []\nmcp_servers.x.env_vars = ["A"]\n'
        'mcp_servers.x.env.A = "b"\n[tui]\n',
        {},
    ),
}


def entry(name: str, text: str) -> dict[str, Any]:
    found = AGENTS[name].entries(text)[1]["x"]
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def share(name: str, text: str) -> tuple[str, Turned]:
    new = turned(name, AGENTS[name], text, "x", ARGV)
    return new, what_turned(AGENTS[name], "/f", "x", text, new)


def back(name: str, text: str, was: Turned) -> str:
    return restored(name, AGENTS[name], text, "x", was, "x")


@pytest.mark.parametrize(("name", "text", "stays"), FILES.values(), ids=FILES)
def test_there_and_back(name: str, text: str, stays: dict[str, Any]) -> None:
    new, was = share(name, text)
    kept = {key: value for key, value in entry(name, text).items() if key == "type"}
    assert entry(name, new) == {**AGENTS[name].by_command(ARGV), **stays, **kept}
    others = {key: value for key, value in AGENTS[name].entries(text)[1].items() if key != "x"}
    assert {k: v for k, v in AGENTS[name].entries(new)[1].items() if k != "x"} == others
    for comment in ("mine", "the first", "# x", "the command", "// five"):
        assert (comment in new) == (comment in text)
    assert back(name, new, was) == text


@pytest.mark.parametrize(("name", "text", "stays"), FILES.values(), ids=FILES)
def test_what_came_beside_it_stays(name: str, text: str, stays: dict[str, Any]) -> None:
    """An entry that another program adds meanwhile, and takes out again."""
    new, was = share(name, text)
    agent = AGENTS[name]
    path = (*agent.entries(new)[0], "added")
    more = agent.format.put(new, path, agent.by_command(["added"]))
    restored_all = back(name, more, was)
    assert entry(name, restored_all) == entry(name, text)
    assert "added" in agent.entries(restored_all)[1]
    assert agent.format.drop(restored_all, path) == text


def test_a_file_that_its_agent_has_written_anew() -> None:
    name, text, _ = FILES["as Claude Code writes it"]
    new, was = share(name, text)
    anew = json.loads(new) | {"numStartups": 8}
    again = json.dumps(anew, indent=2, ensure_ascii=False)
    assert again != new.replace("7", "8"), "the list is laid out otherwise"
    assert back(name, again, was) == text.replace('"numStartups": 7', '"numStartups": 8')


def test_another_path_of_llmenv_is_ours_too() -> None:
    name, text, _ = FILES["a table with comments"]
    new, was = share(name, text)
    assert back(name, new.replace("/usr/bin", "/opt/bin"), was) == text


@pytest.mark.parametrize(("name", "added"), [("cursor", '"more": 1, "command"'), ("codex", "")])
def test_what_was_edited_in_it_stays(name: str, added: str) -> None:
    case = "one line" if name == "cursor" else "a table without arguments"
    text = FILES[case][1]
    new, was = share(name, text)
    edited = new.replace('"command"', added, 1) if added else f"{new}\nmore = 1\n"
    assert entry(name, back(name, edited, was)) == {**entry(name, text), "more": 1}


def test_what_is_another_by_now_is_left_alone() -> None:
    for name, text, _ in FILES.values():
        new, was = share(name, text)
        assert back(name, text, was) == text
        gone = AGENTS[name].format.drop(new, (*AGENTS[name].entries(new)[0], "x")) or ""
        assert back(name, gone, was) == gone


def test_what_does_not_stand_in_one_piece_is_refused() -> None:
    text = '[mcp_servers.x]\ncommand = "npx"\n[tui]\n[mcp_servers.x.env]\nA = "b"\n'
    with pytest.raises(Unreadable, match="one piece"):
        share("codex", text)
