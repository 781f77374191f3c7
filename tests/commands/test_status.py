"""`llmenv status`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from commands.support import COMMAND, ended, llmenv, on_a_terminal, refused
from daemons import add, free_port, nobody, take_port, wait_until
from stdio_agent import Agent, add_memory

if TYPE_CHECKING:
    from daemons import World


def test_a_bad_state_file_of_one_service_leaves_the_others(world: World) -> None:
    bind = f"127.0.0.1:{free_port()}"
    with world.config.open("a") as file:
        file.write(f'[services.b]\ncommand = ["b"]\nbind = "{bind}"\nbridge = false\n')
        file.write("autostart = false\n")
    assert llmenv(world, "start").returncode == 0
    (world.state / "b.life").mkdir()
    done = llmenv(world, "status")
    assert (done.returncode, done.stderr) == (1, "")
    _, stub, other, detail = done.stdout.splitlines()
    assert stub.split()[:3] == ["stub", "running", str(world.check())]
    assert other.split()[:4] == ["b", "unknown", "-", bind]
    assert detail.startswith(f"b: {world.state}/b.life is not a regular file")


def test_status_sees_a_service_that_is_starting(world: World) -> None:
    world.write_config("gate")
    starting = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    (row,) = json.loads(llmenv(world, "status", "--json").stdout)
    assert row["state"] == "starting"
    world.tell("go")
    assert starting.wait(20) == 0


def test_the_table_fits_80_columns(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    table = llmenv(world, "status").stdout.splitlines()
    assert max(map(len, table)) <= 80
    assert table[1].split()[:4] == ["stub", "running", str(world.check()), world.bind]


def test_a_service_that_is_started_by_hand_is_no_failure(world: World) -> None:
    with world.config.open("a") as file:
        file.write("autostart = false\n")
    done = llmenv(world, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["state"]) == (0, "manual")
    assert llmenv(world, "stop").returncode == 0
    done = llmenv(world, "status")
    assert done.stdout.splitlines()[-1] == "stub: by llmenv stop; llmenv start stub starts it"


def test_some_services_only(world: World) -> None:
    add(world, "more")
    (row,) = json.loads(llmenv(world, "status", "more", "--json").stdout)
    assert row["service"] == "more"
    refused(llmenv(world, "status", "nope"), 2, "no service 'nope' in ", "; there is: stub, more")


def test_roots_listener_is_named(world: World) -> None:
    """Any user would take it for the service: root could have taken its port anyway."""
    take_port(world)
    world.give_to_nobody()
    done = world.run(nobody([*COMMAND, "status"]))
    assert done.stdout.splitlines()[-1] == (
        f"stub: root's process has {world.bind}; llmenv did not start it, and leaves it alone"
    )


def test_status_names_an_agents_file_that_is_outdated(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    assert llmenv(world, "client", "claude", "--write").returncode == 0
    assert llmenv(world, "status").stderr == ""
    path = world.home / ".claude.json"
    path.write_text(re.sub(r'"command": ".*?"', '"command": "/gone/llmenv"', path.read_text()))
    done = llmenv(world, "status")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"llmenv: {path} has stub: old path; llmenv client --write; ")
    assert llmenv(world, "status", "--json").stderr == ""


def test_status_asks_no_agent_for_what_is_in_no_config(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    world.config.write_text(f'[services.more]\ncommand = ["x"]\nbind = "127.0.0.1:{free_port()}"\n')
    assert llmenv(world, "client", "claude", "--write").returncode == 0
    done = llmenv(world, "status")
    assert "stub" in done.stdout
    assert done.stderr == ""


def test_watch_shows_what_agents_do(world: World) -> None:
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    child = on_a_terminal(world, [*COMMAND, "status", "--watch"])
    child.expect(r"memory +running +\w+ +1 \(tester 1\) +\d+ +0 +0 ")
    assert agent.tool(echo="counted")["echo"] == "counted"
    agent.ask_tool(seconds=60)
    child.expect(r"memory +running +\w+ +1 \(tester 1\) +\d+, 1 under way +0 +0 ")
    child.sendintr()
    assert ended(child)[0] == 0
    refused(llmenv(world, "status", "--watch"), 2, "--watch draws on a terminal")
    refused(llmenv(world, "status", "--watch", "--json"), 2, "exclude each other")
