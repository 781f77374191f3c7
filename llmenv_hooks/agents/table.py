"""The coding agents that llmenv can tell of a server, a row each.

What is in a row is what the page at *documented* says.  A variable that is not on that page has a
comment beside it with its own page, or the file of the agent's source.
"""

from __future__ import annotations

from llmenv_hooks.agents.agent import Agent
from llmenv_hooks.agents.toml import TOML
from llmenv_hooks.agents.yaml import CONTINUE, GOOSE

HTTP, STDIO = {"type": "http"}, {"type": "stdio"}

# Codex gives a server a dozen variables of its own choice (codex-rs/rmcp-client/src/utils.rs), and
# those that are named.  Without these, `connect` would look for config and state in another place
# than shells do, a memory server for its database, and a tunnel nowhere for its keys.
PLACES = [
    "LLMENV_CONFIG",
    *(f"XDG_{kind}_HOME" for kind in ("CONFIG", "STATE", "DATA", "CACHE")),
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
]

AGENTS = {
    "claude": Agent(
        "Claude Code",
        "https://code.claude.com/docs/en/mcp",
        "${CLAUDE_CONFIG_DIR:-~}/.claude.json",  # https://code.claude.com/docs/en/settings
        ".mcp.json",
        "claude",
        extra=HTTP,
        stdio=STDIO,
        locks=True,
    ),
    "claude-desktop": Agent(
        "Claude Desktop",
        "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
        # Electron's appData, https://www.electronjs.org/docs/latest/api/app#appgetpathname
        "${XDG_CONFIG_HOME:-~/.config}/Claude/claude_desktop_config.json",
        "",
        "claude-desktop",
        url_key="",
        mac="~/Library/Application Support/Claude/claude_desktop_config.json",
    ),
    "codex": Agent(
        "Codex CLI",
        "https://developers.openai.com/codex/mcp",
        "${CODEX_HOME:-~/.codex}/config.toml",
        ".codex/config.toml",
        "codex",
        ("mcp_servers",),
        stdio={"env_vars": PLACES},
        format=TOML,
    ),
    "gemini": Agent(
        "Gemini CLI",
        "https://github.com/google-gemini/gemini-cli/blob/main/docs/tools/mcp-server.md",
        "${GEMINI_CLI_HOME:-~}/.gemini/settings.json",  # packages/core/src/utils/paths.ts
        ".gemini/settings.json",
        "gemini",
        extra=HTTP,
    ),
    "cursor": Agent(
        "Cursor",
        "https://cursor.com/docs/mcp",
        "~/.cursor/mcp.json",
        ".cursor/mcp.json",
        "cursor",
    ),
    "vscode": Agent(
        "VS Code",
        "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
        # src/vs/platform/environment/node/userDataPath.ts
        "${XDG_CONFIG_HOME:-~/.config}/Code/User/mcp.json",
        ".vscode/mcp.json",
        "code",
        ("servers",),
        HTTP,
        stdio=STDIO,
        mac="~/Library/Application Support/Code/User/mcp.json",
    ),
    "copilot": Agent(
        "Copilot CLI",
        # Says that `tools` is required.
        "https://docs.github.com/en/copilot/reference/copilot-cli-reference/cli-command-reference",
        "${COPILOT_HOME:-~/.copilot}/mcp-config.json",
        ".github/mcp.json",
        "copilot",
        extra={"type": "http", "tools": ["*"]},
        stdio={"type": "stdio", "tools": ["*"]},
    ),
    "windsurf": Agent(
        "Windsurf",
        "https://docs.windsurf.com/windsurf/cascade/mcp",
        "~/.codeium/windsurf/mcp_config.json",
        "",
        "windsurf",
        url_key="serverUrl",
    ),
    "antigravity": Agent(
        "Antigravity",
        "https://antigravity.google/docs/mcp",
        "~/.gemini/config/mcp_config.json",
        ".agents/mcp_config.json",
        "agy",
        url_key="serverUrl",
    ),
    "zed": Agent(
        "Zed",
        "https://zed.dev/docs/ai/mcp",
        "${XDG_CONFIG_HOME:-~/.config}/zed/settings.json",  # https://zed.dev/docs/configuring-zed
        ".zed/settings.json",
        "zed",
        ("context_servers",),
        mac="~/.config/zed/settings.json",
    ),
    "opencode": Agent(
        "opencode",
        "https://opencode.ai/docs/mcp-servers",
        "${XDG_CONFIG_HOME:-~/.config}/opencode/opencode.json",  # https://opencode.ai/docs/config
        "opencode.json",
        "opencode",
        ("mcp",),
        {"type": "remote"},
        stdio={"type": "local"},
        one_list=True,
        forked=True,
    ),
    "kilo": Agent(
        "Kilo Code",
        "https://kilo.ai/docs/automate/mcp/using-in-kilo-code",
        "${XDG_CONFIG_HOME:-~/.config}/kilo/kilo.json",
        "kilo.json",
        "kilo",
        ("mcp",),
        {"type": "remote"},
        stdio={"type": "local"},
        one_list=True,
        forked=True,
    ),
    "crush": Agent(
        "Crush",
        "https://github.com/charmbracelet/crush/tree/main/docs/config",
        # CRUSH_GLOBAL_CONFIG: internal/config/load.go
        "${CRUSH_GLOBAL_CONFIG:-${XDG_CONFIG_HOME:-~/.config}/crush}/crush.json",
        "crush.json",
        "crush",
        ("mcp",),
        HTTP,
        stdio=STDIO,
    ),
    "amp": Agent(
        "Amp",
        "https://ampcode.com/manual#configuration",
        "~/.config/amp/settings.json",
        ".amp/settings.json",
        "amp",
        ("amp.mcpServers",),
    ),
    "goose": Agent(
        "Goose",
        "https://github.com/aaif-goose/goose/blob/main/documentation/docs/guides/config-files.md",
        "${XDG_CONFIG_HOME:-~/.config}/goose/config.yaml",
        "",
        "goose",
        (),
        {"enabled": True, "type": "streamable_http"},
        "uri",
        {"enabled": True, "type": "stdio"},
        "cmd",
        format=GOOSE,
    ),
    "cline": Agent(
        "Cline",
        "https://docs.cline.bot/mcp/mcp-overview",
        # sdk/packages/shared/src/storage/paths.ts: the editors' extension reads it as well.
        "${CLINE_DATA_DIR:-${CLINE_DIR:-~/.cline}/data}/settings/cline_mcp_settings.json",
        "",
        "cline",
        extra={"type": "streamableHttp"},
    ),
    "roo": Agent(
        "Roo Code",
        "https://docs.roocode.com/features/mcp/using-mcp-in-roo",
        "${XDG_CONFIG_HOME:-~/.config}/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings"
        "/mcp_settings.json",
        ".roo/mcp.json",
        "",
        extra={"type": "streamable-http"},
        mac="~/Library/Application Support/Code/User/globalStorage/rooveterinaryinc.roo-cline"
        "/settings/mcp_settings.json",
    ),
    "kiro": Agent(
        "Kiro",
        "https://kiro.dev/docs/mcp/configuration",
        "~/.kiro/settings/mcp.json",
        ".kiro/settings/mcp.json",
        "kiro-cli",
    ),
    "qwen": Agent(
        "Qwen Code",
        "https://github.com/QwenLM/qwen-code/blob/main/docs/users/features/mcp.md",
        "${QWEN_HOME:-~/.qwen}/settings.json",  # packages/core/src/config/storage.ts
        ".qwen/settings.json",
        "qwen",
        url_key="httpUrl",
    ),
    "kimi": Agent(
        "Kimi Code",
        "https://moonshotai.github.io/kimi-code/en/customization/mcp",
        "${KIMI_CODE_HOME:-~/.kimi-code}/mcp.json",
        ".kimi-code/mcp.json",
        "kimi",
    ),
    "droid": Agent(
        "Factory Droid",
        "https://docs.factory.ai/cli/configuration/mcp",
        "~/.factory/mcp.json",
        ".factory/mcp.json",
        "droid",
        extra=HTTP,
        stdio=STDIO,
    ),
    "junie": Agent(
        "Junie",
        "https://junie.jetbrains.com/docs/junie-cli-mcp-configuration.html",
        "~/.junie/mcp/mcp.json",
        ".junie/mcp/mcp.json",
        "junie",
    ),
    "continue": Agent(
        "Continue",
        "https://docs.continue.dev/customize/deep-dives/mcp",
        "${CONTINUE_GLOBAL_DIR:-~/.continue}/mcpServers/llmenv.yaml",  # core/util/paths.ts
        ".continue/mcpServers/llmenv.yaml",
        "cn",
        (),
        {"type": "streamable-http"},
        stdio=STDIO,
        format=CONTINUE,
        private=True,
    ),
}
