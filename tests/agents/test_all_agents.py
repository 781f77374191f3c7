"""`llmenv client` without an agent: the table, and all files brought up to date."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import typer
from agents.support import CONFIG, SHAPES, expected, parsed, read

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.agent_checks import agents
from llmenv_hooks.commands.agentfiles import outdated_files
from llmenv_hooks.commands.client import client
from llmenv_hooks.helper.configfiles import load_config

if TYPE_CHECKING:
    from agents.support import Home


def test_the_table_says_where_our_servers_are(home: Home) -> None:
    def table(*, project: bool = False) -> dict[str, str]:
        client(project=project)
        lines = home.capsys.readouterr().out.splitlines()[1:]
        return {line.split()[0]: line.rstrip() for line in lines}

    assert list(table()) == list(AGENTS)
    assert all(line.split()[-1] == "no" for line in table().values())
    home("claude", "write")
    home("codex", "write")
    home.port(17001)
    home("codex", "write")
    home.put("cursor", b'{"mcpServers": {"memory": {"command": "x\\u001b"}}}')
    home.put("zed", b"{\x1b")
    rows = table()
    assert rows["claude"].endswith("memory: old URL, tunnel: yes (HTTP)")
    assert rows["codex"].split() == ["codex", str(home.path("codex")), "yes", "(HTTP)"]
    assert rows["cursor"].endswith("memory: another server, tunnel: no")
    assert f"{home.path('zed')}:1:2: Expecting property name" in rows["zed"]
    assert list(table(project=True)) == [name for name, one in AGENTS.items() if one.project]


def test_write_without_an_agent_updates_all_that_have_an_old_url(home: Home) -> None:
    nothing = "no agent that has our servers has an old address or none; nothing was changed\n"
    assert home(None, "write") == nothing
    written = ["claude", "codex", "cursor", "continue"]
    for name in written:
        home(name, "write")
    other = home.put("gemini", b'{"mcpServers": {"x": {}}}')
    assert home(None, "write") == nothing
    home.port(17001)
    out = home(None, "write")
    assert re.findall(r"^wrote (\S+)$", out, re.M) == [str(home.path(name)) for name in written]
    for name in written:
        assert parsed(name, read(home.path(name)))[SHAPES[name][0][0]] == expected(name, 17001)
    assert other.read_bytes() == b'{"mcpServers": {"x": {}}}'
    assert not home.path("zed").exists()
    assert home(None, "write") == nothing
    home.config.write_text(CONFIG.replace("7878", "17001").replace(".memory", ".brain"))
    assert home(None, "write").count("wrote ") == len(written)


def test_write_without_an_agent_goes_on_after_a_file_that_it_cannot(home: Home) -> None:
    for name in ("claude", "cursor", "zed"):
        home(name, "write")
    home.port(17001)
    home.path("claude").chmod(0o444)
    broken = home.put("gemini", b"{")
    with pytest.raises(typer.Exit) as left:
        home(None, "write")
    assert left.value.exit_code == 1
    out, err = home.capsys.readouterr()
    assert [line for line in err.splitlines() if not line.startswith("llmenv: ")] == []
    assert f"{home.path('claude')}: it is read-only" in err
    assert f"{broken}:1:2" in err
    for name in ("cursor", "zed"):
        assert f"wrote {home.path(name)}" in out


def test_write_without_an_agent_in_a_project_leaves_the_users_files(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    home("claude", "write")
    home("claude", "write", "project")
    (project / "opencode.json").write_text("{}")
    home.port(17001)
    out = home(None, "write", "project")
    assert re.findall(r"^wrote (\S+)$", out, re.M) == [str(project / ".mcp.json")]
    assert b"7878" in home.path("claude").read_bytes()


def test_doctor_and_status_name_each_file_that_is_outdated(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    config = load_config()
    assert list(outdated_files(config)) == []
    assert [one.found for one in agents(config)] == ["none has our servers"]
    for name in ("claude", "codex"):
        home(name, "write")
    home("cursor", "write", "project")
    assert [one.found for one in agents(config)] == ["claude, codex: as they should be"]
    home.put("zed", b'{"context_servers": {"x": {}}}')
    home.put("gemini", b"{")
    more = '[services.new]\ncommand = ["x"]\nbind = "127.0.0.1:7999"\n'
    home.config.write_text(CONFIG.replace('127.0.0.1:7878"\n', '127.0.0.1:17001"\n') + more)
    config = load_config()
    old = "has memory: old URL, new: no"
    again = "an agent that is running takes it up when it is restarted"
    outdated = [
        (f"{home.path('claude')} {old}", f"llmenv client --write; {again}"),
        (f"{home.path('codex')} {old}", f"llmenv client --write; {again}"),
        (f"{project}/.cursor/mcp.json {old}", f"llmenv client --write --project; {again}"),
    ]
    assert list(outdated_files(config)) == outdated
    found = [(one.verdict, one.found, one.todo) for one in agents(config)]
    assert found[:-1] == [("warn", *one) for one in outdated]
    assert found[-1][1].startswith(f"{home.path('gemini')}:1:2: Expecting property name")
    home(None, "write", "project")
    home.put("gemini", b"{}")
    home(None, "write")
    assert list(outdated_files(config)) == []
    # In the home itself the file of the project is the user's.
    monkeypatch.chdir(home.root)
    home.port(17002)
    home("cursor", "write")
    home.port(17003)
    found_here = [what for what, _ in outdated_files(load_config())]
    assert sum(".cursor" in what for what in found_here) == 1
