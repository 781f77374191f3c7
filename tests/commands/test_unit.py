"""`llmenv unit`: what it prints is what systemd and launchd take, and what it installs works."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv, program, refused
from daemons import alive, kill, need, wait_until
from keepers import Busy
from stdio_agent import Agent, add_memory, memory_pid, new_bind
from usermanager import UserManager

if TYPE_CHECKING:
    from daemons import World


def units(printed: str) -> dict[str, str]:
    """Return the units of systemd's that were *printed*, by their names."""
    found: dict[str, str] = {}
    name = ""
    for line in printed.splitlines(keepends=True):
        if line.startswith("# /"):
            name = Path(line.strip()).name
        else:
            found[name] = found.get(name, "") + line
    return found


def test_systemd_takes_what_is_printed(world: World, tmp_path: Path) -> None:
    """Of one that listens itself, of a guarded one with a port and of one without, in any path."""
    need("systemd-analyze")
    world.env["ICM_DB"] = '/a b/%h/$HOME/"quoted"\\'
    with world.config.open("a") as file:
        file.write('[services.memory]\ncommand = ["cat"]\nbind = "127.0.0.1:7999"\n')
        file.write('[services.own]\ncommand = ["cat"]\nbind = false\n')
    found = units(llmenv(world, "unit", "systemd").stdout)
    names = ["llmenv-stub.service", "llmenv-memory.service", "llmenv-memory.socket"]
    names.append("llmenv-own.service")
    assert list(found) == names
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    checked = world.run(
        ["systemd-analyze", "--user", "verify", *(str(tmp_path / name) for name in names)],
        env=world.env | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert 'Environment="ICM_DB=/a b/%%h/$HOME/\\"quoted\\"\\\\"\n' in found[names[0]]
    assert "ListenStream=127.0.0.1:7999\n" in found[names[2]]


def test_launchd_takes_what_is_printed(world: World) -> None:
    world.env["ICM_DB"] = "/a <b> & c"
    job = plistlib.loads(llmenv(world, "unit", "launchd", "stub").stdout.encode())
    assert job["Label"] == "llmenv.stub"
    assert job["ProgramArguments"][1:3] + job["ProgramArguments"][-2:] == [
        "-I",
        "-S",
        "--foreground",
        "stub",
    ]
    assert job["EnvironmentVariables"]["ICM_DB"] == "/a <b> & c"
    assert job["EnvironmentVariables"]["XDG_STATE_HOME"] == world.env["XDG_STATE_HOME"]
    assert (job["RunAtLoad"], job["KeepAlive"]) == (True, {"SuccessfulExit": False})


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("runit",), 2, "there is: systemd, launchd"),
        (("systemd", "none"), 2, "no service 'none'"),
        (("systemd", "--write", "--remove"), 2, "exclude each other"),
        (("systemd", "--write"), 1, "systemctl --user daemon-reload: no bus"),
        (("launchd", "--write"), 1, "there is no launchd here"),
    ],
)
def test_what_cannot_be_is_one_line(
    world: World, words: tuple[str, ...], status: int, said: str
) -> None:
    program(world, "systemctl", "echo no bus >&2; exit 1\n")
    refused(llmenv(world, "unit", *words), status, said)
    assert not Path(world.env["XDG_CONFIG_HOME"], "systemd").exists()


def judged(world: World) -> list[str]:
    """Return what `llmenv doctor` finds of who keeps the service."""
    found = json.loads(llmenv(world, "doctor", "--json").stdout)
    return [f"{one['verdict']}: {one['found']}" for one in found if one["check"] == "kept by"]


def test_a_real_systemd_keeps_a_service(world: World) -> None:
    """It is handed over while agents call, comes back when its keeper is killed, and goes back."""
    add_memory(world)
    assert llmenv(world, "start").returncode == 0
    by_prompt = memory_pid(world)
    with UserManager(world) as manager, Busy(world) as agents:
        done = llmenv(world, "unit", "systemd", "--write")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("memory is kept by llmenv-memory.service of systemd\n")
        assert not alive(by_prompt)
        agents.go_on()
        keeper = int(manager.ctl("show", "-P", "MainPID", "llmenv-memory"))
        kept = f"llmenv-memory.service, pid {keeper}"
        assert f"memory: kept by {kept}\n" in llmenv(world, "status").stdout
        assert judged(world) == [f"ok: {kept}"]
        manager.ctl("restart", "llmenv-memory")
        agents.go_on()
        assert llmenv(world, "unit", "systemd", "--remove").returncode == 0
        agents.go_on()
        assert manager.ctl("list-unit-files", "llmenv-*", "--no-legend") == ""


def test_a_service_that_systemd_keeps_is_stopped_and_started(world: World) -> None:
    add_memory(world)
    with UserManager(world) as manager:
        assert llmenv(world, "unit", "systemd", "--write").returncode == 0
        keeper = int(manager.ctl("show", "-P", "MainPID", "llmenv-memory"))
        kill(keeper)
        # Its socket is still systemd's, so that whoever looks leaves it to that.
        assert world.run(world.bare("--timeout", "20")).stdout.startswith("memory already-running")
        assert int(manager.ctl("show", "-P", "MainPID", "llmenv-memory")) not in (0, keeper)

        assert llmenv(world, "stop").stdout == "memory stopped\n"
        wait_until(lambda: manager.ctl("is-active", "llmenv-memory.socket") == "inactive")
        assert manager.ctl("is-enabled", "llmenv-memory.service", "llmenv-memory.socket") == (
            "disabled\ndisabled"
        )
        assert world.run(world.hook_argv()).returncode == 1
        assert judged(world) == []
        started = llmenv(world, "start")
        assert started.stdout == f"memory kept by llmenv-memory.service, pid {memory_pid(world)}\n"
        assert manager.ctl("is-enabled", "llmenv-memory.service", "llmenv-memory.socket") == (
            "enabled\nenabled"
        )
        world.bind = new_bind()
        add_memory(world)
        manager.ctl("reload", "llmenv-memory")
        agent = Agent(world)
        assert agent.tool(echo="moved")["echo"] == "moved"
        agent.end()  # it would start the service that is ended with the manager
        (found,) = judged(world)
        assert found == "warn: llmenv-memory.service is not what llmenv would write now"
        assert llmenv(world, "unit", "systemd", "--write").returncode == 0
        assert judged(world)[0].startswith("ok: ")
