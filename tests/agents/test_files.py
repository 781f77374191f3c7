"""Where each agent's file is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from agents.support import SHAPES, expected, parsed

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
def test_a_project_has_a_file_of_its_own(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    if name == "windsurf":
        with pytest.raises(UsageError, match=r"^Windsurf has no configuration in a project$"):
            home(name, "write", "project")
        return
    home(name, "write", "project")
    (written,) = (path for path in project.rglob("*") if path.is_file())
    assert str(written) == AGENTS[name].path(True)
    assert parsed(name, written.read_bytes())[SHAPES[name][0][0]] == expected(name)
    assert not home.path(name).exists()
    home(name, "remove", "project")
    assert not written.exists()


def test_opencode_has_comments_in_a_file_of_another_name(home: Home) -> None:
    twin = home.path("opencode").with_suffix(".jsonc")
    twin.parent.mkdir(parents=True)
    twin.write_bytes(b"{} // mine\n")
    assert str(twin) in home("opencode", "write")
    assert b"mine" in twin.read_bytes()
    assert not twin.with_suffix(".json").exists()
