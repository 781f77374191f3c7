"""What a command runs: the package, by all of its names, and the server's own arguments."""

from __future__ import annotations

import shlex

import pytest

from llmenv_hooks.sharing.packages import Run, run_of

MEMORY = "@modelcontextprotocol/server-memory"


@pytest.mark.parametrize(
    ("line", "names", "script", "own"),
    [
        ("icm serve", ["icm"], "", ["serve"]),
        (f"npx -y {MEMORY}", [MEMORY], "", []),
        (f"npx --yes {MEMORY}@2026.8.31 --x", [MEMORY], "", ["--x"]),
        ("npx -y -p @a/b@1 tool --y", ["@a/b", "tool"], "", ["--y"]),
        ("npm exec --yes -- chrome-devtools-mcp@latest", ["chrome-devtools-mcp"], "", []),
        ("bunx --bun mcp-x", ["mcp-x"], "", []),
        ("pnpm dlx mcp-x z", ["mcp-x"], "", ["z"]),
        ("uvx mcp-server-git==1.2 --repository /r", ["mcp-server-git"], "", ["--repository", "/r"]),
        ("uvx --from serena-agent[x]>=1 serena go", ["serena-agent", "serena"], "", ["go"]),
        ("uvx --from git+https://github.com/oraios/serena.git@v1 a", ["serena", "a"], "", []),
        ("uv tool run --from=serena-agent serena", ["serena-agent", "serena"], "", []),
        ("pipx run --spec serena-agent serena", ["serena-agent", "serena"], "", []),
        (
            "/usr/bin/python3.12 -m mcp_server_time --tz UTC",
            ["mcp_server_time"],
            "",
            ["--tz", "UTC"],
        ),
        ("python -u server.py a", ["server"], "server.py", ["a"]),
        ("node --inspect /s/index.js", ["index"], "/s/index.js", []),
        (
            "node /x/node_modules/@playwright/mcp/cli.js --headless",
            ["@playwright/mcp"],
            "/x/node_modules/@playwright/mcp/cli.js",
            ["--headless"],
        ),
        ("uv run --directory /s server.py", ["server"], "server.py", []),
        ("uv run --directory /s python main.py", ["main"], "main.py", []),
        ("env -u A B=c npx mcp-x", ["mcp-x"], "", []),
        (
            "docker run -i --rm -e T mcp/playwright:1",
            ["mcp/playwright"],
            "",
            ["-i", "--rm", "-e", "T"],
        ),
        ("docker run -i ghcr.io:443/o/n@sha256:1 z", ["ghcr.io:443/o/n"], "", ["-i", "z"]),
        ("npx", [], "", []),
        ("python", ["python"], "", []),
        ("uv run", ["uv"], "", []),
    ],
)
def test_what_is_run(line: str, names: list[str], script: str, own: list[str]) -> None:
    assert run_of(shlex.split(line)) == Run(names, script, own)
