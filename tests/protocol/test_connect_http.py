"""`connect` to what speaks HTTP: a service behind mcp-proxy, one by itself, one elsewhere."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bridges import MODERN, envelope
from daemons import World, kill, missing, processes_with, wait_until
from mcp_site import Message, Site
from stdio_agent import Agent, add_memory, came, memory_pid

from llmenv_hooks.helper.ports import probe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose one service is to be added."""
    with World(tmp_path / "w") as made:
        yield made


@pytest.fixture
def site() -> Iterator[Site]:
    """A server somewhere else."""
    with Site() as made:
        yield made


def add_team(world: World, site: Site, **headers: str) -> None:
    """Make the *site* the service `team`, with *headers*."""
    pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in headers.items())
    text = f'[services.team]\nurl = "{site.url}"\nheaders = {{ {pairs} }}\n'
    world.config.write_text(text)


# --- behind mcp-proxy ---------------------------------------------------------------------------


@pytest.fixture
def proxied(world: World) -> World:
    """The example server behind the real mcp-proxy, both of this Python's environment."""
    if not Path(sys.executable).with_name("mcp-proxy").exists():
        missing("mcp-proxy is not installed beside this Python: `make setup` does it")
    database = world.root / "memory.db"
    command = [sys.executable, str(ROOT / "examples" / "memory_server.py"), f"{world.root}/"]
    world.config.write_text(
        f'[services.memory]\ncommand = {json.dumps(command)}\nbind = "{world.bind}"\n'
        f'bridge = "mcp-proxy"\nenv = {{ LLMENV_MEMORY_DB = "{database}" }}\n'
    )
    world.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{world.env['PATH']}"
    return world


def store(agent: Agent, text: str) -> Message:
    """Store a memory; return the answer."""
    arguments = {"topic": "tests", "text": text}
    return agent.call("tools/call", {"name": "store", "arguments": arguments})


def stdio_server(world: World) -> int:
    """Return the pid of what mcp-proxy has started."""
    words = {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        for pid in processes_with(f"{world.root}/")
    }
    (pid,) = [pid for pid, argv in words.items() if argv[1].endswith(b"memory_server.py")]
    return pid


def test_service_behind_mcp_proxy(proxied: World) -> None:
    """Down, up, killed while nothing is asked; and its server alone is killed."""
    agent = Agent(proxied)
    assert agent.initialize()["result"]["serverInfo"]["name"]
    assert "result" in store(agent, "one")
    pid = memory_pid(proxied)
    kill(pid)
    wait_until(lambda: not probe("127.0.0.1", proxied.port))  # its other threads end a little later
    assert "result" in store(agent, "two")
    assert memory_pid(proxied) != pid
    kill(stdio_server(proxied))
    lost = store(agent, "lost")
    assert "error" in lost or lost["result"]["isError"]
    assert store(agent, "three")["result"]["isError"] is False
    assert agent.end() == 0


# --- elsewhere ----------------------------------------------------------------------------------


def test_service_elsewhere(world: World, site: Site) -> None:
    """It gets the headers, its session and the version, and the agent all that it says."""
    site.token, site.session = "open sesame", "s-1"
    add_team(world, site, Authorization="Bearer ${TEAM_TOKEN}")
    agent = Agent(world, "team", TEAM_TOKEN="open sesame")
    assert agent.initialize()["result"]["serverInfo"]["name"] == "site"
    wait_until(lambda: site.came("notifications/initialized"))
    answer = agent.call("tools/call", {"name": "x", "arguments": {"text": "ä\n"}})
    assert answer["result"]["echo"]["params"]["arguments"] == {"text": "ä\n"}
    (headers,) = site.came("tools/call")
    assert headers["authorization"] == "Bearer open sesame"
    assert headers["mcp-session-id"] == "s-1"
    assert headers["mcp-protocol-version"] == "2025-11-25"
    assert headers["path"] == "/team/mcp?x=1"
    assert "mcp-method" not in headers
    site.told.put({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    assert agent.next()["method"] == "notifications/tools/list_changed"
    assert agent.end() == 0
    assert site.came("DELETE")[0]["mcp-session-id"] == "s-1"
    assert not world.state.exists()


def test_answer_as_events(world: World, site: Site) -> None:
    site.answer = "events"
    add_team(world, site)
    agent = Agent(world, "team")
    agent.initialize()
    assert agent.call("tools/list")["result"]["echo"]["method"] == "tools/list"
    assert [one["method"] for one in agent.heard] == ["notifications/message"] * 2


def test_session_that_is_over(world: World, site: Site) -> None:
    """What was refused for it is asked again in a new one, which the agent does not notice."""
    site.session = "s-1"
    add_team(world, site)
    agent = Agent(world, "team")
    agent.initialize()
    wait_until(lambda: site.came("notifications/initialized"))
    site.session = "s-2"
    assert "result" in agent.call("tools/list")
    assert len(site.came("initialize")) == 2
    assert site.came("tools/list")[-1]["mcp-session-id"] == "s-2"
    assert agent.heard == []


def test_call_whose_answer_is_cut_off(world: World, site: Site) -> None:
    """It may have been done, and is not sent again."""
    add_team(world, site)
    agent = Agent(world, "team")
    agent.initialize()
    site.answer = "cut"
    error = agent.call("tools/call", {"name": "x"})["error"]
    assert error["message"].startswith("team: http://127.0.0.1:")
    assert error["message"].endswith("it may have been done")
    assert len(site.came("tools/call")) == 1
    assert "result" in agent.call("tools/list")


def test_wrong_token(world: World, site: Site) -> None:
    site.token = "another"
    add_team(world, site, Authorization="Bearer ${TEAM_TOKEN}")
    error = Agent(world, "team", TEAM_TOKEN="mine").initialize()["error"]
    assert error["message"] == f"team: {site.url}: HTTP 401 Unauthorized: who are you?"


def test_token_that_is_not_set(world: World, site: Site) -> None:
    add_team(world, site, Authorization="Bearer ${TEAM_TOKEN}")
    error = Agent(world, "team").initialize()["error"]
    assert error["message"] == "team: ${TEAM_TOKEN} in the config is not set in this shell"
    assert site.requests == []


def test_nobody_there(world: World) -> None:
    """Each request says so; and once somebody is there, they are answered."""
    with Site() as gone:
        add_team(world, gone)
    agent = Agent(world, "team")
    error = agent.initialize()["error"]
    assert error["message"].startswith(f"team: {gone.url}: Connection refused")
    with Site() as site:
        add_team(world, site)
        assert "result" in agent.initialize()


def test_calls_at_once(world: World, site: Site) -> None:
    add_team(world, site)
    agent = Agent(world, "team")
    agent.initialize()
    numbers = {agent.ask("tools/call", {"name": str(n)}) for n in range(20)}
    assert {agent.next()["id"] for _ in range(20)} == numbers


def test_request_of_2026_07_28_has_its_headers(world: World, site: Site) -> None:
    add_team(world, site)
    agent = Agent(world, "team")
    assert "result" in agent.call("tools/call", envelope(name="übung"))
    (headers,) = site.came("tools/call")
    assert headers["mcp-protocol-version"] == MODERN
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "=?base64?w7xidW5n?="


def test_service_of_another_host(world: World, site: Site) -> None:
    """With server_host, nothing is started here; the service is asked there."""
    world.bind = f"127.0.0.1:{site.server.server_port}"
    add_memory(world)
    text = world.config.read_text()
    world.config.write_text(f'server_host = "localhost"\n{text}')
    agent = Agent(world)
    assert agent.initialize()["result"]["serverInfo"]["name"] == "site"
    assert site.came("initialize")[0]["path"] == "/mcp"


def test_socket_of_another_host_that_a_tunnel_brings_here(world: World, tmp_path: Path) -> None:
    """As by ssh -L; here the two are in one file system, and a link is enough."""
    with World(tmp_path / "nas") as nas:
        notes = add_memory(nas)
        assert nas.run(nas.bare()).returncode == 0
        config = nas.config.read_text()
        world.config.write_text(f'server_host = "nas.example.com"\n{config}')
        world.state.mkdir(mode=0o700, parents=True)
        (world.state / "memory.sock").symlink_to(nas.state / "memory.sock")
        assert Agent(world).tool(echo="far")["echo"] == "far"
        assert came(notes, "tools/call")
        assert not (world.state / "memory.pid").exists()


def test_nothing_of_it_is_started_or_stopped(world: World, site: Site) -> None:
    add_team(world, site)
    for options in (["--service", "team"], ["--service", "team", "--stop"]):
        done = world.run(world.bare(*options))
        assert done.returncode == 1
        assert f"team runs elsewhere, at {site.url}" in done.stderr
    assert world.run(world.bare()).stdout == ""
