"""`llmenv share` and `--undo`, with servers that run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands.support import llmenv, refused
from daemons import missing, processes_with, wait_until
from outages import left
from stdio_agent import Agent

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.share import share as share_command
from llmenv_hooks.commands.shareplan import refuse_to_lose_the_default
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import Problem, UsageError
from llmenv_hooks.helper.processes import command_of
from llmenv_hooks.helper.services import Service

if TYPE_CHECKING:
    import subprocess

    from commands.agenthomes import Home

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".venv" / "servers" / "node_modules" / ".bin"
SECRET = "s3cret"


def share(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    return llmenv(home, "share", *words)


def entries(path: Path, agent: str) -> dict[str, list[str]]:
    """Return the argv of each server in the file of *agent*, as that agent starts it."""
    found = AGENTS[agent].entries(path.read_text())[1]
    return {name: AGENTS[agent].command_of(entry) for name, entry in found.items()}


def test_twelve_processes_become_three_and_twelve_again(home: Home) -> None:
    """npm's memory server and "everything", and one of the Python SDK's."""
    if not (NODE / "mcp-server-memory").exists():
        missing("npm's servers are not installed: make .venv/servers/ready")
    store = {
        "MEMORY_FILE_PATH": f"{home.root}/memory.jsonl",
        "LLMENV_MEMORY_DB": f"{home.root}/m.db",
    }
    servers = {
        "memory": [str(NODE / "mcp-server-memory")],
        "everything": [str(NODE / "mcp-server-everything"), "stdio"],
        "notes": [sys.executable, str(ROOT / "examples" / "memory_server.py")],
    }
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "memory": ("create_entities", {"entities": []}),
        "everything": ("echo", {"message": "hello"}),
        "notes": ("store", {"text": "one"}),
    }
    for agent in home.FILES:
        home.give(agent, servers, **store)
    before = home.contents()

    def running() -> int:
        """Return how many processes of the servers there are, without the bridges before them."""
        words = [command_of(pid) for pid in left(home)]
        marks = ("mcp-server-memory", "mcp-server-everything", "memory_server.py")
        return sum("--socket" not in line and any(map(line.count, marks)) for line in words)

    own = [Agent(home, argv=argv, **store) for argv in servers.values() for _ in home.FILES]
    for each in own:
        each.initialize()
    assert running() == 12
    rows = home.listed()
    for name in servers:
        assert f"{name} Claude Code, Codex CLI, Gemini CLI, opencode 4 " in rows[name]
        assert " MB yes " in rows[name]
    for each in own:
        each.end()

    done = share(home, "--all")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert home.config.stat().st_mode & 0o777 == 0o600
    shared = [
        Agent(home, argv=entries(home.file(agent), agent)[name])
        for agent in home.FILES
        for name in servers
    ]
    for at, one in enumerate(shared):
        one.initialize()
        tool, arguments = calls[list(servers)[at % 3]]
        answer = one.call("tools/call", {"name": tool, "arguments": arguments})
        assert not answer["result"].get("isError"), answer
    assert running() == 3
    rows_of = {row["service"]: row for row in json.loads(llmenv(home, "status", "--json").stdout)}
    assert {name: row["agents"] for name, row in rows_of.items()} == dict.fromkeys(servers, 4)
    assert all(row["saves"] > 20_000_000 for row in rows_of.values())
    table = llmenv(home, "status").stdout
    assert table.splitlines()[0].split()[-2:] == ["agents", "saves"]
    assert " MB" in table.splitlines()[1]
    for each in shared:
        each.end()

    done = share(home, "--undo")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert home.contents() == before
    assert not home.config.exists()
    wait_until(lambda: running() == 0)
    assert not (home.state / "share.json").exists()


def test_what_would_be_done_is_shown_and_not_done(home: Home) -> None:
    home.give("claude", {"x": [*home.server(), f"--token={SECRET}"]}, API_KEY=SECRET, LOG="info")
    before = home.contents()
    done = share(home, "--all", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "llmenv connect x" in done.stdout
    assert "with API_KEY, LOG in its environment" in done.stdout
    assert SECRET not in done.stdout
    assert "nothing was done" in done.stdout
    assert home.contents() == before
    assert not home.config.exists()
    assert not home.state.exists()


def test_secrets_come_into_no_file_that_others_can_read(home: Home) -> None:
    home.give("codex", {"x": home.server()}, API_KEY=SECRET)
    home.write_config()
    home.config.chmod(0o644)
    before = home.contents(), home.config.read_bytes()
    done = share(home, "x")
    refused(done, 1, "API_KEY of x may be a secret", f"chmod 600 {home.config}", "nothing was done")
    assert (home.contents(), home.config.read_bytes()) == before
    home.config.chmod(0o600)
    done = share(home, "x")
    assert done.returncode == 0, done
    assert SECRET not in done.stdout
    assert SECRET in home.config.read_text()
    assert SECRET not in home.file("codex").read_text()
    assert (home.state / "share.json").stat().st_mode & 0o777 == 0o600
    assert share(home, "--undo", "x").returncode == 0
    assert (home.contents(), home.config.read_bytes()) == before


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("dies=3", "nothing is shared"),
        ("tool=browser_click", "by its tools it keeps something for one agent: browser_click"),
    ],
)
def test_one_that_fails_leaves_all_as_it_was(home: Home, mode: str, why: str) -> None:
    home.give("claude", {"x": home.server(mode)})
    home.give("gemini", {"x": home.server(mode)})
    before = home.contents()
    done = share(home, "x")
    assert done.returncode == 1
    assert why in done.stderr
    assert home.contents() == before
    assert not home.config.exists()
    assert not (home.state / "share.json").exists()
    assert processes_with(f"notes={home.root}") == []
    if mode != "dies=3":
        assert share(home, "x", "--force").returncode == 0
        assert entries(home.file("gemini"), "gemini")["x"][-2:] == ["connect", "x"]


def test_an_agent_comes_to_it_later(home: Home) -> None:
    home.give("claude", {"x": home.server()})
    before = home.contents()
    assert share(home, "x").returncode == 0
    home.give("gemini", {"x": home.server()})
    later = home.file("gemini").read_bytes()
    assert " Gemini CLI 0 - yes " in home.listed()["x"]
    assert share(home, "x").returncode == 0
    assert entries(home.file("gemini"), "gemini")["x"][-2:] == ["connect", "x"]
    assert home.config.read_text().count("[services.x]") == 1
    assert share(home, "--undo").returncode == 0
    assert home.contents() == {**before, str(home.file("gemini")): later}


def test_a_shared_server_is_for_those_that_had_it(home: Home) -> None:
    """Nobody is told that it is missing elsewhere, and nothing takes it away but `--undo`."""
    home.write_config()
    home.give("claude", {"x": home.server(), "y": ["z"]})
    home.give("gemini", {"y": ["z"]})
    assert llmenv(home, "client", "gemini", "--write").returncode == 0
    before = home.contents()
    assert share(home, "x").returncode == 0
    shared = home.contents()
    status = llmenv(home, "status")
    assert status.stderr == ""
    assert llmenv(home, "client", "--write").returncode == 0
    removed = llmenv(home, "client", "claude", "--remove")
    assert "has nothing of ours" in removed.stdout
    refused(llmenv(home, "remove", "x"), 1, "x is shared", "llmenv share --undo x")
    assert home.contents() == shared
    undone = llmenv(home, "setup", "--undo")
    assert "stopped x, and took it out" in undone.stdout
    assert home.file("claude").read_bytes() == before[str(home.file("claude"))]


def test_what_cannot_be_given_back_yet_runs_on(home: Home) -> None:
    home.give("claude", {"x": home.server()})
    home.give("gemini", {"x": home.server()})
    before = home.contents()
    assert share(home, "x").returncode == 0
    turned = home.file("gemini").read_bytes()
    home.file("gemini").write_text("{")
    done = share(home, "--undo")
    assert done.returncode == 1
    assert str(home.file("gemini")) in done.stderr
    assert "x runs on: an agent still has it" in done.stderr
    assert home.file("claude").read_bytes() == before[str(home.file("claude"))]
    home.file("gemini").write_bytes(turned)
    Agent(home, argv=entries(home.file("gemini"), "gemini")["x"]).end()
    assert share(home, "--undo").returncode == 0
    assert home.contents() == before
    assert share(home, "--undo").stdout == "nothing is shared\n"


def test_what_ended_half_way_can_be_undone(home: Home) -> None:
    """The record is written before the file."""
    home.give("claude", {"x": home.server()})
    before = home.contents()
    assert share(home, "x").returncode == 0
    home.file("claude").write_bytes(before[str(home.file("claude"))])
    done = share(home, "--undo")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert home.contents() == before
    assert not home.config.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((["x"], "every"), "--all and NAME exclude each other"),
        (([], "undo dry_run"), "--undo and --dry-run exclude each other"),
        (([], "undo force"), "--undo and --force exclude each other"),
        (([], "dry_run"), "which server?"),
        ((["nosuch"], ""), "no server 'nosuch' of an agent's own; have: x"),
        ((["x"], "undo"), "'x' is not shared; have: none"),
    ],
)
def test_what_is_asked_wrongly(
    home: Home, monkeypatch: pytest.MonkeyPatch, words: tuple[list[str], str], why: str
) -> None:
    home.give("claude", {"x": ["y"]})
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    names, switches = words
    given = dict.fromkeys(switches.split(), True)
    with pytest.raises(UsageError) as refusal:
        share_command(names, **given)
    assert why in str(refusal.value)


def test_there_is_nothing_to_share(home: Home) -> None:
    assert share(home).stdout == "no agent has a server of its own\n"
    done = share(home, "--all")
    assert (done.returncode, done.stdout) == (0, "nothing can be shared; llmenv share says why\n")


def test_the_default_service_does_not_end_by_having_a_config(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", home.env["XDG_STATE_HOME"])
    config = Config([Service(bind=home.bind)], None, str(home.config))
    refuse_to_lose_the_default(config)
    named = ["--service", "mcp-proxy", "--bind", home.bind, "--no-bridge"]
    assert home.run([*home.bare(*named), "--", *home.stub()]).returncode == 0
    with pytest.raises(Problem, match=r"the default service runs.*llmenv init"):
        refuse_to_lose_the_default(config)


def test_services_that_run_elsewhere_share_nothing_here(home: Home) -> None:
    home.config.write_text('server_host = "elsewhere"\n[services.a]\ncommand = ["b"]\n')
    refused(share(home), 1, "services run on elsewhere")
