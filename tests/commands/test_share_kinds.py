"""Which entries `llmenv share` takes, as people have them, and what it says of the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv, program, refused

from llmenv_hooks.agents.table import AGENTS

if TYPE_CHECKING:
    from commands.agenthomes import Home

# What can be shared, and then what cannot.  PYTHON and SERVER start the tests' own, in JSON.
GEMINI = """\
// mine
{
  "theme": "x", // a theme
  "mcpServers": {
    // the first
    "commented": { // one
      "command": PYTHON, // two
      "args": [SERVER], /* three */
      "trust": true, "timeout": 600000,
    },
    "from-npm": {"command": "npx", "args": ["-y", "@scope/server@1.2"]},
    "from-pypi": {"command": "uvx", "args": ["mcp-server-x", "--port", "1"]},
    "contained": {"command": "docker", "args": ["run", "-i", "--rm", "-e", "TOKEN", "mcp/x"],
      "env": {"TOKEN": "${TOKEN}"}},
    "here": {"command": "./server"},
    "unset": {"command": "run", "env": {"A": "$NOT_SET"}},
    "browser": {"command": "npx", "args": ["@playwright/mcp@latest"]},
    "files": {"command": "run", "args": ["PROJECT/data"]},
    "differs": {"command": "run", "args": ["1"]},
    "dotted.name": {"command": "run"},
    "taken": {"command": "run"},
    "remote": {"httpUrl": "https://example.com/mcp"}
  }
}
"""
CODEX = """\
[mcp_servers.differs]
command = "run"
args = ["2"]

# mine
[mcp_servers.off] # switched off
command = "run"
enabled = false

[mcp_servers.commented]
command = PYTHON
args = [SERVER] # mine too
startup_timeout_sec = 30

[mcp_servers.commented.tools.echo]
approval_mode = "approve"
"""
CLAUDE = """\
{"mcpServers": {}, "projects": {"/p": {"mcpServers": {"local": {"command": "run"}}}}}
"""
SHARED = ["commented", "from-npm", "from-pypi", "contained"]
WHY = {
    "here": "Gemini CLI: ./server is another file in each directory; write its whole path",
    "unset": "Gemini CLI: NOT_SET, which it takes from the environment, is not set here",
    "browser": "by --force: it drives one browser",
    "files": "by --force: it is told of the project ",
    "differs": "it is not the same in all of them",
    "dotted.name": "its name cannot be a service's",
    "taken": "the config has another service of that name",
    "off": "it is switched off",
    "local": "it is of the project /p alone",
}


@pytest.fixture
def home(home: Home) -> Home:
    """A home with one entry of each kind; npx, uvx, docker and run all run the tests' server."""
    words = home.server()
    for name in ("npx", "uvx", "docker"):
        program(home, name, f'echo "$0 $* $TOKEN" >>{home.root}/ran; exec {" ".join(words)}')
    program(home, "run", 'exec "$@"')
    project = home.root / "project"
    (project / ".git").mkdir(parents=True)
    python, *server = map(json.dumps, words)
    files = {"gemini": GEMINI, "codex": CODEX, "claude": CLAUDE}
    for agent, text in files.items():
        home.file(agent).parent.mkdir(exist_ok=True)
        for word, meant in (
            ("PYTHON", python),
            ("SERVER", ", ".join(server)),
            ("PROJECT", str(project)),
        ):
            text = text.replace(word, meant)
        home.file(agent).write_text(text)
    home.env["TOKEN"] = "t0ken"
    home.config.write_text(f'[services.taken]\ncommand = ["icm"]\nbind = "{home.bind}"\n')
    return home


def test_each_kind_is_shared_or_refused_with_the_reason_and_restored(home: Home) -> None:
    before, config = home.contents(), home.config.read_bytes()
    rows = home.listed()
    for name in SHARED:
        assert " yes " in rows[name], rows[name]
    for name, why in WHY.items():
        assert why in rows[name], rows[name]
    assert "remote" not in rows
    said = llmenv(home, "share").stdout
    assert "differs in Codex CLI: run 2\n" in said
    assert "differs in Gemini CLI: run 1\n" in said

    done = llmenv(home, "share", "--all")
    assert (done.returncode, done.stderr) == (0, ""), done
    text = home.file("gemini").read_text()
    entries = AGENTS["gemini"].entries(text)[1]
    for name, entry in entries.items():
        by_connect = AGENTS["gemini"].command_of(entry)[-2:] == ["connect", name]
        assert by_connect == (name in SHARED), name
    assert entries["commented"] | {"command": 0, "args": 0} == {
        "command": 0,
        "args": 0,
        "trust": True,
        "timeout": 600000,
    }
    for comment in ("// mine", "// the first", "// one", "// two", "/* three */"):
        assert comment in text
    codex = AGENTS["codex"].entries(home.file("codex").read_text())[1]["commented"]
    assert codex["tools"] == {"echo": {"approval_mode": "approve"}}
    ran = (home.root / "ran").read_text()
    assert "npx -y @scope/server@1.2 \n" in ran
    assert "uvx mcp-server-x --port 1 \n" in ran
    assert "docker run -i --rm -e TOKEN mcp/x t0ken\n" in ran
    assert home.listed()["commented"].endswith("is shared llmenv connect commented")

    assert llmenv(home, "share", "--undo", "from-pypi").returncode == 0
    assert "uvx" in home.file("gemini").read_text()
    assert llmenv(home, "share", "--undo").returncode == 0
    assert home.contents() == before
    assert home.config.read_bytes() == config


def test_one_that_cannot_be_shared_is_refused_by_name(home: Home) -> None:
    refused(llmenv(home, "share", "here", "commented"), 1, "here cannot be shared: Gemini CLI: ./")
    refused(llmenv(home, "share", "browser"), 1, "should not be shared", "--force does it")
    done = llmenv(home, "share", "browser", "--force", "--dry-run")
    assert done.returncode == 0
    assert "although it drives one browser" in done.stdout
    assert "[services.here]" not in home.config.read_text()
