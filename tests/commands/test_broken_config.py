"""A config that cannot be read keeps nobody from looking at what runs, or from stopping it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands.support import complained, llmenv, refused
from daemons import free_port

if TYPE_CHECKING:
    from daemons import World


@pytest.fixture
def broken(world: World) -> World:
    """A world in which the stub runs, and `bind` in the config was misspelt since."""
    assert llmenv(world, "start").returncode == 0
    world.config.write_text(world.config.read_text().replace("bind =", "bnd ="))
    return world


def test_status_shows_what_runs(broken: World) -> None:
    done = llmenv(broken, "status", "--json")
    complained(done, 2, f"{broken.config}:3: services.stub.bnd: unknown key")
    (row,) = json.loads(done.stdout)
    pid = broken.check()
    assert (row["service"], row["state"], row["pid"]) == ("stub", "running", pid)
    assert (row["address"], row["detail"]) == (broken.bind, "")


def test_status_says_nothing_of_agents(world: World) -> None:
    """The config may well have what they have."""
    more = f"[services.more]\ncommand = ['x']\nbind = '127.0.0.1:{free_port()}'\n"
    world.config.write_text(world.config.read_text() + more)
    assert llmenv(world, "client", "claude", "--write").returncode == 0
    assert llmenv(world, "start", "stub").returncode == 0
    world.config.write_text(world.config.read_text().replace("bind =", "bnd ="))
    complained(llmenv(world, "status"), 2, "services.stub.bnd: unknown key")


def test_logs_are_shown(broken: World) -> None:
    done = llmenv(broken, "logs", "stub")
    complained(done, 0, "unknown key")
    assert "llmenv: starting stub: asked to" in done.stdout


@pytest.mark.parametrize("names", [(), ("stub",)])
def test_what_runs_can_be_stopped(broken: World, names: tuple[str, ...]) -> None:
    done = llmenv(broken, "stop", *names)
    complained(done, 0, "unknown key")
    assert done.stdout == "stub stopped\n"
    assert not broken.daemons()
    refused(llmenv(broken, "stop"), 2, "unknown key")
