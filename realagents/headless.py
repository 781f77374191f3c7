"""How each agent is run without a terminal, in front of a model of ours.

What is said here is about its model, its silence towards the outside, and its leave to call tools.
Its MCP servers are none of this: `llmenv client AGENT --write` tells it those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALLED = Path(__file__).resolve().parent / "node_modules"
PROMPT = "Store in the memory server what you are told to, until there is no more."
# Stands in words and variables for the URL of the model.
URL = "{url}"


@dataclass(frozen=True)
class Headless:
    """One agent.

    Attributes:
        package: its name at npm.
        program: the command, in `node_modules/.bin`.
        arguments: what makes it work on `PROMPT` alone.
        variables: what it wants to know by its environment.
        file, content: what its user has in a file in the home already, before `llmenv client`.
    """

    package: str
    program: str
    arguments: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    file: str = ""
    content: str = ""

    @property
    def version(self) -> str:
        """The version that is installed."""
        return str(json.loads((INSTALLED / self.package / "package.json").read_text())["version"])

    def prepare(self, home: Path) -> None:
        """Put into *home* what its user has there."""
        if self.file:
            path = home / self.file
            path.parent.mkdir(parents=True)
            path.write_text(self.content)

    def argv(self, url: str) -> list[str]:
        """Return the command line, for a model at *url*."""
        program = str(INSTALLED / ".bin" / self.program)
        return [program, *(word.replace(URL, url) for word in self.arguments)]

    def environment(self, url: str) -> Mapping[str, str]:
        """Return what is added to the environment, for a model at *url*: all else is refused."""
        quiet = {"HTTPS_PROXY": url, "HTTP_PROXY": url, "NO_PROXY": "127.0.0.1,localhost"}
        return quiet | {name: value.replace(URL, url) for name, value in self.variables.items()}


# By itself it takes another address of its model for another way to log in.
GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
}
# What Codex is told of its model is in a file of its own, or here.
CODEX = {
    "model": "gpt-5",
    "model_provider": "scripted",
    "model_providers.scripted.name": "scripted",
    "model_providers.scripted.base_url": f"{URL}/v1",
    "model_providers.scripted.wire_api": "responses",
}
OPENCODE = {
    "provider": {
        "scripted": {
            "npm": "@ai-sdk/anthropic",
            "options": {"baseURL": f"{URL}/v1", "apiKey": "none"},
            "models": {"scripted": {"limit": {"context": 200_000, "output": 8_000}}},
        }
    },
    "share": "disabled",
}

HEADLESS = {
    "claude": Headless(
        "@anthropic-ai/claude-code",
        "claude",
        ["-p", PROMPT, "--allowedTools", "mcp__memory"],
        {
            "ANTHROPIC_BASE_URL": URL,
            "ANTHROPIC_API_KEY": "none",
            # https://code.claude.com/docs/en/settings
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    ),
    "codex": Headless(
        "@openai/codex",
        "codex",
        [
            *("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
            *(word for key, value in CODEX.items() for word in ("-c", f'{key}="{value}"')),
            *("-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"),
            PROMPT,
        ],
    ),
    "gemini": Headless(
        "@google/gemini-cli",
        "gemini",
        ["--yolo", "--model", "gemini-2.5-flash", "--prompt", PROMPT],
        {
            "GOOGLE_GEMINI_BASE_URL": URL,
            "GEMINI_API_KEY": "none",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        file=".gemini/settings.json",
        content=json.dumps(GEMINI, indent=2),
    ),
    "opencode": Headless(
        "opencode-ai",
        "opencode",
        ["run", "--model", "scripted/scripted", PROMPT],
        {
            "OPENCODE_CONFIG_CONTENT": json.dumps(OPENCODE),
            "OPENCODE_DISABLE_AUTOUPDATE": "true",
            "OPENCODE_DISABLE_MODELS_FETCH": "true",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "true",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "true",
        },
    ),
}
