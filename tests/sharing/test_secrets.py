"""What may be a secret is told by its name or by how it looks, and is not shown."""

from __future__ import annotations

import shlex

import pytest

from llmenv_hooks.sharing.secrets import secrets_in, shown


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("npx -y @modelcontextprotocol/server-memory@2026.8.31", None),
        ("x --api-key abc --port 80", "x --api-key … --port 80"),
        ("x --token=abc --log=info", "x --token=… --log=info"),
        ("x --token --log info", "x --token --log info"),
        ("x ghp_0123456789abcdefABCDEF", "x …"),
        ("x postgresql://me:pw@host/db", "x …"),
        ("x --header 'Authorization: Bearer abcdefgh'", "x --header …"),
        (
            "docker run -e GITHUB_TOKEN -e API_KEY=abc i",
            "docker run -e GITHUB_TOKEN -e API_KEY=… i",
        ),
        ("x --token ${TOKEN}", None),
        ("/usr/lib/node_modules/mcp-server-something-long-v2/dist/index.js", None),
    ],
)
def test_a_command(line: str, expected: str | None) -> None:
    command = shlex.split(line)
    assert shown(command) == (expected or line)
    assert bool(secrets_in(command, {})) == bool(expected and "…" in expected)


def test_an_environment() -> None:
    env = {"GITHUB_TOKEN": "x", "LOG": "info", "API_KEY": "${API_KEY}", "DB": "mysql://a:b@c"}
    assert secrets_in(["x"], env) == ["GITHUB_TOKEN", "DB"]
    assert shown(["x", "\x1b[31m"]) == "x ?[31m"
