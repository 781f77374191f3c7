"""`llmenv start`, `stop` and `restart`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from commands.support import complained, llmenv, program, refused
from daemons import PYTHON, STUB, add, alive, starts

from llmenv_hooks.helper.configfiles import load_config

if TYPE_CHECKING:
    from daemons import World

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_service_is_started_shown_and_stopped(world: World) -> None:
    done = llmenv(world, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["state"]) == (1, "down")
    done = llmenv(world, "start")
    assert done.returncode == 0
    assert done.stdout == f"stub started, pid {world.check()}\n"
    done = llmenv(world, "status", "--json")
    (row,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert row.pop("uptime") >= 0
    assert row == {
        "service": "stub",
        "state": "running",
        "pid": world.check(),
        "address": world.bind,
        "agents": None,
        "saves": None,
        "url": f"http://{world.bind}/mcp",
        "log": str(world.path("log")),
        "detail": "",
        "keeper": None,
        "bridge": None,
        "left_behind": [],
    }
    table = llmenv(world, "status").stdout
    for word in ("service", "uptime", "stub", "running", world.bind):
        assert word in table
    assert llmenv(world, "stop", "stub").stdout == "stub stopped\n"
    assert llmenv(world, "stop").stdout == "stub was not running\n"
    assert not world.daemons()


def test_a_stopped_service_stays_stopped_until_it_is_started(world: World) -> None:
    llmenv(world, "start")
    llmenv(world, "stop")
    assert world.run(world.hook_argv()).returncode == 1
    done = world.run(world.bare())
    assert done.returncode == 1
    assert "stub was stopped; llmenv start stub" in done.stderr
    assert not world.daemons()
    done = llmenv(world, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["state"]) == (0, "stopped")
    assert llmenv(world, "start").returncode == 0
    world.check(starts=2)


def test_restart_is_another_process(world: World) -> None:
    llmenv(world, "start")
    first = world.check()
    assert llmenv(world, "restart").returncode == 0
    assert world.check(starts=2) != first
    assert not alive(first)


def test_one_that_fails_does_not_keep_the_other(world: World) -> None:
    good = world.config.read_text()
    world.config.write_text(
        '[services.bad]\ncommand = ["/nowhere/at-all"]\nbind = "127.0.0.1:9"\nbridge = false\n'
        + good
    )
    done = llmenv(world, "start")
    complained(done, 1, "bad: /nowhere/at-all is not an executable file")
    assert "stub started" in done.stdout
    rows = {row["service"]: row for row in json.loads(llmenv(world, "status", "--json").stdout)}
    assert rows["bad"]["state"] == "failed"
    assert "/nowhere/at-all" in rows["bad"]["detail"]


def test_on_another_host_nothing_is_started(world: World) -> None:
    world.config.write_text('server_host = "far-away"\n' + world.config.read_text())
    refused(llmenv(world, "start"), 1, "services run on far-away")
    done = llmenv(world, "status")
    assert done.returncode == 0
    assert f"http://far-away:{world.port}/mcp" in done.stdout


def test_the_example_of_a_tunnel_starts_and_stops(world: World) -> None:
    """With an ssh that listens where -L says and closes what it does not know, as the real one."""
    ssh = [PYTHON, "-I", "-S", str(STUB), str(world.oracle)]
    program(
        world,
        "ssh",
        f"printf '%s\\n' \"$@\" >'{world.oracle}/ssh'\n"
        'while [ "$1" != -L ]; do shift; done\n'
        f'exec {shlex.join(ssh)} "${{2%:*:*}}" close-fds\n',
    )
    text = (EXAMPLES / "client-tunnel.toml").read_text()
    world.config.write_text(text.replace("127.0.0.1:7879", world.bind))
    done = llmenv(world, "start")
    (pid,) = world.daemons()
    assert (done.stdout, done.stderr) == (f"tunnel started, pid {pid}\n", "")
    (row,) = json.loads(llmenv(world, "status", "--json").stdout)
    assert (row["state"], row["pid"]) == ("running", pid)
    server = load_config(str(EXAMPLES / "server-host.toml"))
    options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=30"]
    assert (world.oracle / "ssh").read_text().split() == [
        "-N",
        *(word for option in options for word in ("-o", option)),
        *("-L", f"{world.bind}:{server.services[0].bind}", server.server_host),
    ]
    assert llmenv(world, "start").stdout == f"tunnel runs already, pid {pid}\n"
    url = f"http://{world.bind}/mcp"
    assert f"export LLMENV_MCP_URL={url}" in llmenv(world, "export", "bash").stdout
    assert llmenv(world, "stop").stdout == "tunnel stopped\n"
    assert not world.daemons()


def test_several_services_at_once_each_only_once(world: World) -> None:
    add(world, "more", "autostart = false")
    done = llmenv(world, "start", "stub", "more", "stub")
    assert (done.returncode, done.stdout.count(" started, ")) == (0, 2)
    done = llmenv(world, "restart", "more", "stub")
    assert (done.returncode, done.stdout.count(" started, ")) == (0, 2)
    done = llmenv(world, "stop", "more", "stub")
    assert sorted(done.stdout.splitlines()) == ["more stopped", "stub stopped"]
    refused(llmenv(world, "start", "stub", "nope"), 2, "no service 'nope'")
    assert not world.daemons()


def test_all_is_all_also_what_starts_by_hand(world: World) -> None:
    more = add(world, "more", "autostart = false")
    assert llmenv(world, "start").stdout.count(" started, ") == 1
    assert "more started" in llmenv(world, "start", "--all").stdout
    assert llmenv(world, "restart", "--all").stdout.count(" started, ") == 2
    assert llmenv(world, "stop", "--all").stdout.count(" stopped\n") == 2
    assert not alive(starts(more)[-1])
    done = llmenv(world, "restart")
    assert "more was not running; autostart = false" in done.stdout
