"""What an entry means in the words of our config, or why it means nothing that can be shared."""

from __future__ import annotations

from typing import Any

import pytest

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.sharing.meaning import Meaning, Unshareable, is_disabled, meaning


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.delenv("UNSET", raising=False)


def entry(*words: str, **more: Any) -> dict[str, Any]:
    return {"command": words[0], "args": list(words[1:]), **more}


def means(agent: str, **values: Any) -> Meaning:
    return meaning(agent, AGENTS[agent], values)


@pytest.mark.parametrize(
    ("agent", "written", "meant"),
    [
        ("claude", "${TOKEN}", "${TOKEN}"),
        ("claude", "a-${TOKEN}-$TOKEN", "a-${TOKEN}-$TOKEN"),
        ("gemini", "$TOKEN", "${TOKEN}"),
        ("gemini", "${TOKEN}", "${TOKEN}"),
        ("cursor", "${env:TOKEN}", "${TOKEN}"),
        ("vscode", "${userHome}/x", "/home/me/x"),
        ("opencode", "{env:TOKEN}", "${TOKEN}"),
        ("opencode", "${TOKEN}", "$${TOKEN}"),
        ("codex", "${TOKEN}", "$${TOKEN}"),
        ("codex", "$TOKEN {env:TOKEN}", "$TOKEN {env:TOKEN}"),
    ],
)
def test_each_spelling_of_a_variable(agent: str, written: str, meant: str) -> None:
    key = "environment" if agent == "opencode" else "env"
    words: dict[str, Any] = {"command": "x", "args": [written]}
    if agent == "opencode":
        words = {"command": ["x", written]}
    found = means(agent, **words, **{key: {"A": written}})
    assert found == Meaning(["x", meant], {"A": meant}, "/")


@pytest.mark.parametrize(
    ("agent", "written", "why"),
    [
        ("vscode", "${workspaceFolder}/a", "another in each project"),
        ("cursor", "${workspaceFolderBasename}", "another in each project"),
        ("claude", "${CLAUDE_PROJECT_DIR}", "another in each project"),
        ("claude", "${PWD}", "another in each project"),
        ("gemini", "$PWD", "another in each project"),
        ("opencode", "{env:PWD}", "another in each project"),
        ("codex", "${workspaceFolder}", "another in each project"),
        ("claude", "${UNSET}", "UNSET"),
        ("claude", "${TOKEN:-x}", "write the value"),
        ("vscode", "${input:key}", "write the value"),
        ("opencode", "{file:~/.key}", "write the value"),
    ],
)
def test_what_has_no_meaning_for_all(agent: str, written: str, why: str) -> None:
    of_opencode = agent == "opencode"
    key = "environment" if of_opencode else "env"
    with pytest.raises(Unshareable, match=why):
        means(agent, command=["x", written] if of_opencode else "x", args=[written])
    with pytest.raises(Unshareable, match=why):
        means(agent, command=["x"] if of_opencode else "x", **{key: {"A": written}})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (entry("./server"), "another file in each directory"),
        (entry("bin/server"), "another file in each directory"),
        (entry("python", "server.py"), "another file in each directory"),
        (entry("uv", "run", "server.py"), "another file in each directory"),
        (entry("npx", "-y", "x", "."), "another file in each directory"),
        (entry("x", "--root=../y"), "another file in each directory"),
        (entry("x", cwd="here"), "its cwd"),
        (entry("x", cwd=7), "its cwd"),
        (entry("x", envFile=".env"), "envFile"),
        (entry("x", env={"A": 1}), "no table of texts"),
        (entry("x", env=["A=1"]), "no table of texts"),
        (entry("x", env_vars=[{"name": "A"}]), "env_vars"),
        ({"command": {"path": "x", "args": []}}, "cannot read its command"),
        ({"command": ""}, "cannot read its command"),
    ],
)
def test_what_cannot_be_shared(values: dict[str, Any], why: str) -> None:
    with pytest.raises(Unshareable, match=why):
        means("codex", **values)


def test_what_is_taken_as_it_is() -> None:
    assert means("claude", command="x") == Meaning(["x"], {}, "/")
    assert means("claude", **entry("~/bin/x", "a/b")) == Meaning(["~/bin/x", "a/b"], {}, "/")
    inside = entry("./run", "server.py", "..", cwd="/srv/x")
    assert means("codex", **inside) == Meaning(["/srv/x/run", "server.py", ".."], {}, "/srv/x")
    uv = entry("uv", "--directory", "/s", "run", "server.py")
    assert means("codex", **uv).command[-1] == "server.py"
    passed = entry("x", env_vars=["TOKEN", "UNSET"], env={"A": "b"})
    assert means("codex", **passed).env == {"A": "b", "TOKEN": "${TOKEN}"}


def test_what_is_switched_off() -> None:
    assert is_disabled({"enabled": False})
    assert is_disabled({"disabled": True})
    assert not is_disabled({"enabled": True, "disabled": False})
    assert not is_disabled({})
