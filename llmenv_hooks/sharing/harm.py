"""Which servers do harm when agents share one: by their packages, and by their tools.

A server over stdio may take it for granted that one agent is at its other end, and keep for that
one what it does: a browser, a shell, a current project.  A second agent then gets at the first
one's.  Where a server has each call say which session is meant, it can tell agents apart.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from llmenv_hooks import places
from llmenv_hooks.sharing.packages import run_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llmenv_hooks.sharing.meaning import Meaning

_BROWSER = "it drives one browser: an agent would leave the page that another is reading"
_DEVICE = "it drives one device or simulator: an agent would tap in what another is testing"
_SHELL = "it keeps shells open: an agent would see, and could end, what another runs"
_PROJECT = "it has one current project: an agent would work on the one that another has chosen"
_NOTEBOOK = "it has one current notebook: an agent would run its cells in another's"
_DIRECTORIES = "its directories are those of the agent that named its own last, for all agents"
_THOUGHTS = "it counts the steps of one train of thought: those of all agents would be one"

# By the name of the package at npm, PyPI or Docker Hub, or of the program.
KNOWN = {
    # https://github.com/microsoft/playwright-mcp/issues/893 and 1631
    "@playwright/mcp": _BROWSER,
    "mcp/playwright": _BROWSER,
    "mcr.microsoft.com/playwright/mcp": _BROWSER,
    "@cloudflare/playwright-mcp": _BROWSER,
    "@executeautomation/playwright-mcp-server": _BROWSER,
    # https://github.com/supercorp-ai/supergateway/issues/35
    "@modelcontextprotocol/server-puppeteer": _BROWSER,
    "mcp/puppeteer": _BROWSER,
    "puppeteer-mcp-server": _BROWSER,
    "chrome-devtools-mcp": _BROWSER,
    "@browsermcp/mcp": _BROWSER,
    "@agentdeskai/browser-tools-mcp": _BROWSER,
    "mcp-chrome-bridge": _BROWSER,
    "@browserbasehq/mcp": _BROWSER,
    "@browserbasehq/mcp-server-browserbase": _BROWSER,
    "@angiejones/mcp-selenium": _BROWSER,
    "browser-use": _BROWSER,
    "@mobilenext/mobile-mcp": _DEVICE,
    "ios-simulator-mcp": _DEVICE,
    "@wonderwhy-er/desktop-commander": _SHELL,
    "iterm-mcp": _SHELL,
    "tmux-mcp": _SHELL,
    # https://github.com/oraios/serena/issues/1278
    "serena": _PROJECT,
    "serena-agent": _PROJECT,
    "serena-mcp-server": _PROJECT,
    "xcodebuildmcp": _PROJECT,
    "jupyter-mcp-server": _NOTEBOOK,
    # It takes the roots of its client in the place of its arguments (MCP, "Roots").
    "@modelcontextprotocol/server-filesystem": _DIRECTORIES,
    "mcp/filesystem": _DIRECTORIES,
    "@modelcontextprotocol/server-sequential-thinking": _THOUGHTS,
    "mcp/sequentialthinking": _THOUGHTS,
}

# A tool is named by what it keeps, or by what it makes the current one.
_NAMES_A_SESSION = re.compile(
    r"(?:^|[_-])(?:sessions?|browser|tabs?|terminal|repl)(?:[_-]|$)"
    r"|(?:^|[_-])(?:activate|switch|change|select|set)[_-](?:\w+[_-])?"
    r"(?:project|workspace|directory|dir|cwd|notebook)$"
)
_SESSION_ID = re.compile(r"(?:session|tab|browser|context|terminal|page)[_-]?(?:id|name)$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def by_package(meant: Meaning) -> str:
    """Return why the server *meant* is known to do harm when it is shared; "" when it is not."""
    names = run_of(meant.command).names
    return next((KNOWN[name] for name in map(str.lower, names) if name in KNOWN), "")


def by_tools(tools: Iterable[Mapping[str, Any]]) -> str:
    """Return why *tools*, as `tools/list` has them, speak against sharing; "" when they do not."""
    tools = list(tools)
    if any(_SESSION_ID.search(_snake(key)) for tool in tools for key in _required(tool)):
        return ""
    named = [name for name in (str(tool.get("name")) for tool in tools) if _keeps(name)]
    return f"by its tools it keeps something for one agent: {', '.join(named)}" if named else ""


def project_of(meant: Meaning) -> str:
    """Return the project that an argument of the server *meant* lies in; "" for none.

    Its own code may lie in one.  A home that is a repository is no project.
    """
    for word in [*run_of(meant.command).own, meant.cwd]:
        for part in re.split(r"[=:,]", os.path.expanduser(word)):
            if os.path.isabs(part) and (project := _repository(part)):
                return project
    return ""


def _repository(path: str) -> str:
    at = os.path.normpath(path)
    while at not in (places.home(), os.path.dirname(at)):
        if os.path.lexists(os.path.join(at, ".git")):
            return at
        at = os.path.dirname(at)
    return ""


def _required(tool: Mapping[str, Any]) -> list[str]:
    schema = tool.get("inputSchema")
    required = schema.get("required") if isinstance(schema, dict) else None
    return [str(key) for key in required] if isinstance(required, list) else []


def _keeps(tool: str) -> bool:
    return bool(_NAMES_A_SESSION.search(_snake(tool)))


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower()
