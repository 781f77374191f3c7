"""Where each agent's file is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest
from agents.schemas import SCHEMAS
from agents.support import SHAPES, by_connect, by_url, expected, parsed

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.helper.errors import UsageError

if TYPE_CHECKING:
    from agents.support import Home


def test_the_files_follow_the_variables_of_each_agent(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(home.root)
    for variable, name, end in (
        ("CLAUDE_CONFIG_DIR", "claude", ".claude.json"),
        ("CODEX_HOME", "codex", "config.toml"),
        ("GEMINI_CLI_HOME", "gemini", ".gemini/settings.json"),
        ("XDG_CONFIG_HOME", "opencode", "opencode/opencode.json"),
        ("XDG_CONFIG_HOME", "zed", "zed/settings.json"),
        ("XDG_CONFIG_HOME", "vscode", "Code/User/mcp.json"),
        ("CONTINUE_GLOBAL_DIR", "continue", "mcpServers/llmenv.yaml"),
        ("COPILOT_HOME", "copilot", "mcp-config.json"),
        ("XDG_CONFIG_HOME", "crush", "crush/crush.json"),
        ("CRUSH_GLOBAL_CONFIG", "crush", "crush.json"),
        ("CLINE_DIR", "cline", "data/settings/cline_mcp_settings.json"),
        ("CLINE_DATA_DIR", "cline", "settings/cline_mcp_settings.json"),
    ):
        usual = AGENTS[name].path(False)
        assert usual.startswith(root)
        for ignored in ("", "relative"):
            monkeypatch.setenv(variable, ignored)
            assert AGENTS[name].path(False) == usual
        monkeypatch.setenv(variable, f"{root}/else where")
        assert AGENTS[name].path(False) == f"{root}/else where/{end}"
        monkeypatch.delenv(variable)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert AGENTS["zed"].path(False) == f"{root}/.config/zed/settings.json"
    assert AGENTS["vscode"].path(False) == (
        f"{root}/Library/Application Support/Code/User/mcp.json"
    )


@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_has_a_file_of_its_own_in_a_project_too(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = AGENTS[name]
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    home.http = False
    home(name, "write")
    assert parsed(name, home.path(name).read_bytes())[SHAPES[name][0][0]] == home.commands(name)
    home(name, "remove")
    assert not home.path(name).exists()
    home.http = bool(agent.url_key)
    if not agent.project:
        with pytest.raises(UsageError, match=f"^{agent.title} has no configuration in a project$"):
            home(name, "write", "project")
        return
    home(name, "write", "project")
    (written,) = (path for path in project.rglob("*") if path.is_file())
    assert str(written) == AGENTS[name].path(True)
    assert parsed(name, written.read_bytes())[SHAPES[name][0][0]] == expected(name)
    assert not home.path(name).exists()
    home(name, "remove", "project")
    assert not written.exists()


def test_no_two_agents_have_the_same_file(home: Home) -> None:
    for in_project in (False, True):
        paths = [one.path(in_project) for one in AGENTS.values() if one.project or not in_project]
        assert len(set(paths)) == len(paths)


def test_an_agent_that_takes_no_url_starts_the_command(home: Home) -> None:
    with pytest.raises(UsageError, match=r"^Claude Desktop takes no URL; leave out --http$"):
        home("claude-desktop", "write", "http")
    url = '{"mcpServers": {"x": {"url": "http://127.0.0.1:7878/mcp"}}}'
    path = home.put("claude-desktop", url.encode())
    home.http = False
    home("claude-desktop", "write")
    home.port(17001)
    assert home(None, "write").startswith("no agent that has our servers has an old address")
    home("claude-desktop", "remove")
    assert path.read_text() == url


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_entry_is_as_the_schema_of_its_agent_says(name: str) -> None:
    schema = jsonschema.Draft202012Validator(SCHEMAS[name])
    for entry in (
        by_url(name, "http://127.0.0.1:7878/mcp"),
        by_connect(name, "/x/llmenv")["memory"],
    ):
        schema.validate(entry | ({"name": "memory"} if name == "goose" else {}))
        wrong = entry | {"command": 1, "cmd": 1, "url": 1, "uri": 1, "httpUrl": 1}
        assert not schema.is_valid(wrong), "it would pass anything"


def test_opencode_has_comments_in_a_file_of_another_name(home: Home) -> None:
    twin = home.path("opencode").with_suffix(".jsonc")
    twin.parent.mkdir(parents=True)
    twin.write_bytes(b"{} // mine\n")
    assert str(twin) in home("opencode", "write")
    assert b"mine" in twin.read_bytes()
    assert not twin.with_suffix(".json").exists()
