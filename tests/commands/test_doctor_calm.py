"""`llmenv doctor`: this shell, hooks that renew themselves, root's listener, the sum, and --fix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands.support import COMMAND, ended, llmenv, on_a_terminal, refused
from daemons import free_port, nobody, take_port

from llmenv_hooks.pty_shell import SHELLS

if TYPE_CHECKING:
    from daemons import World


def findings(world: World, check: str) -> list[tuple[str, str, str]]:
    """Run it; return verdict, found and todo of each finding of *check*."""
    done = llmenv(world, "doctor", "--json")
    rows = [row for row in json.loads(done.stdout) if row["check"] == check]
    return [(row["verdict"], row["found"], row["todo"]) for row in rows]


@pytest.mark.parametrize(
    ("environment", "verdict", "found"),
    [
        ({}, "ok", "the hook has set nothing yet"),
        ({"LLMENV_MCP_URL": "{url}", "LLMENV_STUB_URL": "{url}"}, "ok", "as in the config"),
        ({"LLMENV_MCP_URL": "http://old/mcp", "LLMENV_STUB_URL": "{url}"}, "warn", "the old one"),
        ({"LLMENV_MCP_URL": "{url}"}, "warn", "LLMENV_STUB_URL is not set"),
        ({"LLMENV_DISABLE": "1"}, "warn", "LLMENV_DISABLE is set: the hook does nothing here"),
    ],
    ids=["no hook", "as it should be", "old", "missing", "switched off"],
)
def test_this_shell(world: World, environment: dict[str, str], verdict: str, found: str) -> None:
    url = f"http://{world.bind}/mcp"
    world.env |= {name: value.format(url=url) for name, value in environment.items()}
    ((seen, said, todo),) = findings(world, "this shell")
    assert (seen, found in said, bool(todo)) == (verdict, True, verdict == "warn")


def test_a_variable_of_a_service_that_is_gone(world: World) -> None:
    url = f"http://{world.bind}/mcp"
    world.env |= {"LLMENV_MCP_URL": url, "LLMENV_STUB_URL": url, "LLMENV_GONE_URL": url}
    world.env["SHELL"] = "/bin/bash"
    ((verdict, found, todo),) = findings(world, "this shell")
    assert (verdict, "LLMENV_GONE_URL" in found) == ("warn", True)
    assert todo.endswith("LLMENV_GONE_URL")


@pytest.mark.parametrize("shell", SHELLS)
def test_an_edit_that_the_next_shell_takes_up_is_no_warning(world: World, shell: str) -> None:
    assert llmenv(world, "install", shell).returncode == 0
    world.config.write_text(world.config.read_text().replace(world.bind, "127.0.0.1:2"))
    later = (world.root / "data" / "llmenv" / f"hook.{shell}").stat().st_mtime_ns + 10**9
    world.config.write_text(world.config.read_text() + "[services.more]\ncommand = ['x']\n")
    world.config.write_text(world.config.read_text() + "bind = '127.0.0.1:1'\n")
    os.utime(world.config, ns=(later, later))
    ((verdict, found, todo),) = findings(world, "hook")
    assert (verdict, todo) == ("ok", "")
    assert found.endswith("made before the config or llmenv was changed; the next shell renews it")


def test_what_runs_as_it_was_configured_before_an_edit(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    before, world.bind = world.bind, f"127.0.0.1:{free_port()}"
    world.write_config()
    ((verdict, found, todo),) = findings(world, "state")
    assert (verdict, todo) == ("warn", "llmenv start stub")
    assert found.endswith(f": as configured before, on {before}; {todo} restarts it")
    assert llmenv(world, *todo.split()[1:]).returncode == 0
    assert findings(world, "state")[0][0] == "ok"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_hook_that_follows_another_config(world: World, shell: str) -> None:
    assert llmenv(world, "install", shell).returncode == 0
    other = world.root / "it's another" / "mine.toml"
    other.parent.mkdir()
    other.write_text(world.config.read_text())
    world.env["LLMENV_CONFIG"] = str(other)
    ((verdict, found, todo),) = findings(world, "hook")
    assert (verdict, todo) == ("warn", f"llmenv install {shell}")
    assert found.endswith(f"follows another config than {other}")
    done = llmenv(world, "install", shell)
    assert done.stdout.splitlines()[-1] == f"the hook was made anew; it follows {other}"
    assert findings(world, "hook")[0][0] == "ok"


def test_roots_listener_is_a_warning(world: World) -> None:
    take_port(world)
    world.give_to_nobody()
    done = world.run(nobody([*COMMAND, "doctor", "--json"]))
    (state,) = [row for row in json.loads(done.stdout) if row["check"] == "state"]
    assert state["verdict"] == "warn"
    assert f"root's process has {world.bind}" in state["found"]
    assert state["todo"] == "stop that process, or give the service another bind"


def test_the_sum_stands_at_the_end(world: World) -> None:
    world.tell("answer", json.dumps({"result": {"serverInfo": {"name": "stub"}}}))
    last = llmenv(world, "doctor").stdout.splitlines()[-1]
    assert last == "1 failure, 1 warning", "it is down, and no rc file has the hook"
    assert llmenv(world, "install", "bash").returncode == 0
    assert llmenv(world, "start").returncode == 0
    assert llmenv(world, "doctor").stdout.splitlines()[-1] == "all is well"


def test_fix_does_what_it_advises_after_a_question(world: World) -> None:
    world.tell("answer", json.dumps({"result": {"serverInfo": {"name": "stub"}}}))
    agents = world.home / ".claude.json"
    entry = {"type": "http", "url": "http://127.0.0.1:1/mcp"}
    agents.write_text(json.dumps({"mcpServers": {"stub": entry}}))
    refused(llmenv(world, "doctor", "--fix"), 2, "doctor --fix asks before it does anything")
    child = on_a_terminal(world, [*COMMAND, "doctor", "--fix"], SHELL="/bin/bash")
    child.expect("run `llmenv install`")
    child.sendline("n")
    child.expect("run `llmenv start stub`")
    child.sendline("y")
    child.expect("stub started")
    child.expect("run `llmenv client --write`")
    child.sendline("y")
    status, said = ended(child)
    assert (status, "1 warning" in said) == (0, True)
    world.check()
    assert world.bind in agents.read_text()
    assert not Path(world.home / ".bashrc").exists()
