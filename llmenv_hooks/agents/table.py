"""The coding agents: where each keeps its MCP servers, and what an entry looks like there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmenv_hooks import places
from llmenv_hooks.agents.formats import Format, Unreadable
from llmenv_hooks.agents.jsonc import JSON
from llmenv_hooks.agents.toml import TOML
from llmenv_hooks.agents.yaml import YAML
from llmenv_hooks.helper.errors import Problem, UsageError


@dataclass(frozen=True)
class Agent:
    """One coding agent, and how it wants to be told of a server.

    *user* is its file, `${VARIABLE:-else}` as in a shell; *mac* the one on macOS, where that is
    another; *project* the one in a project, if there is.  *keys* lead to the table of servers; an
    entry in it is *extra* and the URL at *url_key*.  *private* says that all in the file is ours.
    """

    title: str
    documented: str
    user: str
    project: str
    keys: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)
    url_key: str = "url"
    format: Format = JSON
    mac: str = ""
    private: bool = False

    def path(self, in_project: bool) -> str:
        """Return the file to edit, an absolute path.

        Raises:
            UsageError: the agent has no file in a project.
            Problem: there is no home, or no directory that this runs in.
        """
        if in_project and not self.project:
            raise UsageError(f"{self.title} has no configuration in a project")
        user = self.mac if self.mac and sys.platform == "darwin" else self.user
        path = os.path.join(_here(), self.project) if in_project else _expanded(user)
        if self.title == "opencode" and not os.path.lexists(path) and os.path.lexists(path + "c"):
            return path + "c"  # it reads .jsonc as well
        return path

    def entries(self, text: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        """Return the keys that lead to the servers in *text*, and the servers.

        Raises:
            Unreadable: *text* is broken, or has something else where the servers belong.
        """
        table: Any = {"": self.format.read(text)}
        for key in ("", *self.keys):
            table = table.get(key, {})
            if not isinstance(table, Mapping):
                raise Unreadable(f"{key or 'what it holds'} is no table of servers")
        # opencode 2 has its servers one level down.  Without that level it reads them as version 1.
        newer = table.get("servers") if self.title == "opencode" else None
        if isinstance(newer, Mapping) and "type" not in newer:
            return (*self.keys, "servers"), newer
        return self.keys, table


def _expanded(path: str) -> str:
    """Return *path* with ~ and ${VARIABLE:-else} replaced; a relative value counts as unset."""

    def value(found: re.Match[str]) -> str:
        named = os.environ.get(found[1], "")
        return named if os.path.isabs(named) else found[2]

    path = re.sub(r"\$\{(\w+):-(.*?)\}", value, path)
    return path if os.path.isabs(path) else places.home() + path.removeprefix("~")


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise Problem("the directory that you are in was deleted; go to another first") from None


# A variable is documented on the page that the row names; otherwise a comment beside it names the
# page, or the file of the agent's source.
AGENTS = {
    "claude": Agent(
        "Claude Code",
        "https://code.claude.com/docs/en/mcp",
        "${CLAUDE_CONFIG_DIR:-~}/.claude.json",  # https://code.claude.com/docs/en/settings
        ".mcp.json",
        ("mcpServers",),
        {"type": "http"},
    ),
    "codex": Agent(
        "Codex CLI",
        "https://developers.openai.com/codex/mcp",
        "${CODEX_HOME:-~/.codex}/config.toml",
        ".codex/config.toml",
        ("mcp_servers",),
        format=TOML,
    ),
    "gemini": Agent(
        "Gemini CLI",
        "https://github.com/google-gemini/gemini-cli/blob/main/docs/tools/mcp-server.md",
        "${GEMINI_CLI_HOME:-~}/.gemini/settings.json",  # packages/core/src/utils/paths.ts
        ".gemini/settings.json",
        ("mcpServers",),
        {"type": "http"},
    ),
    "cursor": Agent(
        "Cursor",
        "https://cursor.com/docs/mcp",
        "~/.cursor/mcp.json",
        ".cursor/mcp.json",
        ("mcpServers",),
    ),
    "vscode": Agent(
        "VS Code",
        "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
        # src/vs/platform/environment/node/userDataPath.ts
        "${XDG_CONFIG_HOME:-~/.config}/Code/User/mcp.json",
        ".vscode/mcp.json",
        ("servers",),
        {"type": "http"},
        mac="~/Library/Application Support/Code/User/mcp.json",
    ),
    "windsurf": Agent(
        "Windsurf",
        "https://docs.windsurf.com/windsurf/cascade/mcp",
        "~/.codeium/windsurf/mcp_config.json",
        "",
        ("mcpServers",),
        url_key="serverUrl",
    ),
    "zed": Agent(
        "Zed",
        "https://zed.dev/docs/ai/mcp",
        "${XDG_CONFIG_HOME:-~/.config}/zed/settings.json",  # https://zed.dev/docs/configuring-zed
        ".zed/settings.json",
        ("context_servers",),
        mac="~/.config/zed/settings.json",
    ),
    "opencode": Agent(
        "opencode",
        "https://opencode.ai/docs/mcp-servers",
        "${XDG_CONFIG_HOME:-~/.config}/opencode/opencode.json",  # https://opencode.ai/docs/config
        "opencode.json",
        ("mcp",),
        {"type": "remote"},
    ),
    "continue": Agent(
        "Continue",
        "https://docs.continue.dev/customize/deep-dives/mcp",
        "${CONTINUE_GLOBAL_DIR:-~/.continue}/mcpServers/llmenv.yaml",  # core/util/paths.ts
        ".continue/mcpServers/llmenv.yaml",
        (),
        {"type": "streamable-http"},
        format=YAML,
        private=True,
    ),
}
