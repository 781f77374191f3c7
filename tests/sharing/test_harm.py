"""Which servers keep something for one agent: by their packages, their tools, their arguments."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from llmenv_hooks.sharing import harm
from llmenv_hooks.sharing.meaning import Meaning

if TYPE_CHECKING:
    from pathlib import Path


def of(line: str) -> Meaning:
    return Meaning(shlex.split(line), {}, "/")


def tool(name: str, *required: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "required": list(required)}}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("npx -y @playwright/mcp@latest --headless", "browser"),
        ("npx Chrome-DevTools-MCP@1", "browser"),
        ("docker run -i --rm mcp/playwright", "browser"),
        ("node /x/node_modules/puppeteer-mcp-server/dist/index.js", "browser"),
        ("uvx --from git+https://github.com/oraios/serena serena start-mcp-server", "project"),
        ("npx -y @wonderwhy-er/desktop-commander", "shells"),
        ("npx -y @modelcontextprotocol/server-filesystem /data", "directories"),
        ("npx -y @modelcontextprotocol/server-memory", ""),
        ("uvx mcp-server-git", ""),
    ],
)
def test_the_known_ones_are_told_by_their_package(line: str, word: str) -> None:
    why = harm.by_package(of(line))
    assert word in why
    assert bool(word) == bool(why)


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ([tool("browser_click"), tool("add")], "browser_click"),
        ([tool("start-session")], "start-session"),
        ([tool("activate_project")], "activate_project"),
        ([tool("setWorkingDirectory")], "setWorkingDirectory"),
        ([tool("open_terminal")], "open_terminal"),
        # Each call says which session it is of.
        ([tool("create_session"), tool("run", "sessionId", "code")], ""),
        ([tool("create_page"), tool("search"), tool("get_project"), tool("set_title")], ""),
        ([{"name": "odd", "inputSchema": None}, {"name": "odder"}], ""),
        ([], ""),
    ],
)
def test_what_a_server_says_by_its_tools_is_believed(
    tools: list[dict[str, Any]], named: str
) -> None:
    why = harm.by_tools(tools)
    assert named in why
    assert bool(named) == bool(why)


def test_an_argument_that_lies_in_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (tmp_path / ".git").mkdir()  # dotfiles
    (tmp_path / "notes").mkdir()
    inside = project / "src"
    for line in (
        f"x {inside}",
        f"x --dir={project}",
        "x ~/project/a",
        f"docker run -v {inside}:/s i",
    ):
        assert harm.project_of(of(line)) == str(project), line
    assert harm.project_of(Meaning(["x"], {}, str(inside))) == str(project)
    own_code = f"node {project}/index.js", f"uv run --directory {project} server.py"
    for line in (*own_code, f"x {tmp_path}/notes", "x /", "x relative/path"):
        assert harm.project_of(of(line)) == "", line
