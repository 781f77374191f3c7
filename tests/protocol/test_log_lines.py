"""The dated lines that the helper adds to a service's log: when it was started, ended, and why."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv
from daemons import free_port, kill, wait_until

if TYPE_CHECKING:
    from daemons import World

DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} llmenv: (.*)")


def told(world: World) -> list[str]:
    """Return what the dated lines of the log say."""
    lines = world.path("log").read_text().splitlines()
    return [match[1] for match in map(DATED.fullmatch, lines) if match]


@pytest.mark.usefixtures("configured")
def test_a_start_a_stop_and_why(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    first = world.check()
    assert llmenv(world, "restart").returncode == 0
    second = world.check(starts=2)
    kill(second)
    assert world.run(world.hook_argv()).returncode == 0
    third = world.check(starts=3)
    assert llmenv(world, "stop").returncode == 0
    assert told(world) == [
        "starting stub: asked to",
        f"stub is up on {world.bind}, pid {first}",
        "stopping stub: llmenv restart",
        "stub is stopped",
        "starting stub: asked to",
        f"stub is up on {world.bind}, pid {second}",
        "starting stub: a shell prompt found it down",
        f"stub is up on {world.bind}, pid {third}",
        "stopping stub: llmenv stop",
        "stub is stopped",
    ]


@pytest.mark.usefixtures("configured")
def test_a_changed_config_is_a_reason(world: World) -> None:
    world.up()
    world.write_config("linger")
    assert world.run(world.hook_argv()).returncode == 0
    world.check(starts=2)
    changed = "its config was changed"
    assert told(world)[2:5] == [
        f"stopping stub: {changed}",
        "stub is stopped",
        f"starting stub: {changed}",
    ]


def test_a_failure_and_a_start_that_hangs(world: World) -> None:
    assert world.ensure(modes=["die=3"]).returncode == 1
    assert told(world)[1].startswith("failed: it exited with status 3 before it listened")
    world.write_config("mute", start_timeout=0.5)
    hung = llmenv(world, "start").stderr
    assert "within 0 s (start_timeout in the config), and was ended" in hung
    assert str(world.path("log")) in hung
    assert "stopping stub: it did not listen" in "\n".join(told(world))


def test_nothing_is_written_where_nothing_was_started(world: World) -> None:
    world.write_config()
    assert llmenv(world, "stop").returncode == 0
    assert not world.path("log").exists()


def test_a_normal_stop_of_mcp_proxy_leaves_no_traceback(world: World) -> None:
    server = "import sys, time; print('the server says this', file=sys.stderr, flush=True)\n"
    world.config.write_text(
        "[services.stub]\n"
        f"command = [{sys.executable!r}, {str(world.root)!r}]\n"
        f"bind = '127.0.0.1:{free_port()}'\nbridge = 'mcp-proxy'\n"
    )
    (world.root / "__main__.py").write_text(server + MCP)
    assert llmenv(world, "start").returncode == 0
    assert llmenv(world, "stop").returncode == 0
    log = wait_until(lambda: world.path("log").read_text())
    assert "the server says this" in log
    assert "Traceback" not in log
    assert told(world)[-1] == "stub is stopped"


MCP = """
from mcp.server.mcpserver import MCPServer
MCPServer("stub").run()
"""
