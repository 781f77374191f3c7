"""`llmenv doctor`, for all well and for each thing that can be wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from daemons import World, kill

from llmenv_hooks import ensure, install

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {"protocolVersion": "2025-06-18", "serverInfo": {"name": "stub\x1b[2J server"}},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        made.write_config()
        made.env["XDG_DATA_HOME"] = str(made.root / "data")
        made.tell("answer", json.dumps(HELLO))
        yield made


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run([sys.executable, "-m", "llmenv_hooks", *words])


def doctor(world: World, status: int) -> dict[str, dict[str, str]]:
    """Run it; return its findings by their check."""
    done = llmenv(world, "doctor", "--json")
    assert (done.returncode, done.stderr) == (status, ""), done
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


def verdicts(findings: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in findings.items() if one["verdict"] != "ok"}


def test_all_is_well(world: World) -> None:
    assert llmenv(world, "install", "bash").returncode == 0
    assert llmenv(world, "start").returncode == 0
    before = {path: path.lstat() for path in world.root.rglob("*")}
    found = doctor(world, 0)
    assert verdicts(found) == {}
    checks = ["package", "state directory", "hook", "config", "command", "address", "state"]
    assert list(found) == [*checks, "round trip"]
    assert found["state"]["found"] == f"running, pid {world.check()}"
    assert f"http://{world.bind}/mcp: stub" in found["round trip"]["found"]
    after = {path: path.lstat() for path in world.root.rglob("*")}
    assert {path: seen.st_mtime_ns for path, seen in before.items()} == {
        path: seen.st_mtime_ns for path, seen in after.items()
    }, "it changes nothing"


def test_the_table_fits_80_columns_and_is_harmless(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    done = llmenv(world, "doctor")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.replace("\n", "").isprintable()
    assert "-> llmenv install" in done.stdout


def test_a_wrong_config_ends_what_depends_on_it(world: World) -> None:
    world.config.write_text("[services.stub]\nport = 1\n")
    found = doctor(world, 1)
    assert found["config"]["verdict"] == "fail"
    assert f"{world.config}:2: " in found["config"]["found"]
    assert "command" not in found


def test_a_home_without_a_place_is_a_finding(world: World) -> None:
    del world.env["XDG_STATE_HOME"]
    world.env["HOME"] = ""
    assert verdicts(doctor(world, 1))["state directory"] == "fail"


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_state_directory_that_others_can_write(world: World, mode: int) -> None:
    world.state.mkdir(parents=True)
    world.state.chmod(mode)
    found = doctor(world, 1)["state directory"]
    assert (found["verdict"], found["todo"]) == ("fail", f"chmod 700 {world.state}")


def test_a_state_directory_that_is_none_or_of_another_user(world: World) -> None:
    world.state.parent.mkdir(parents=True)
    world.state.write_text("")
    assert "is no directory" in doctor(world, 1)["state directory"]["found"]
    if os.geteuid() == 0:
        world.state.unlink()
        world.state.mkdir()
        os.chown(world.state, 65534, 65534)
        assert "of user 65534" in doctor(world, 1)["state directory"]["found"]


def test_it_finds_the_hook_in_rc_files(world: World) -> None:
    assert doctor(world, 0)["hook"]["todo"] == "llmenv install"
    (world.home / ".zshrc").write_text('# eval "$(llmenv hook zsh)"\n')
    assert doctor(world, 0)["hook"]["verdict"] == "warn", "a comment is no hook"
    (world.home / ".zshrc").write_text('eval "$(llmenv hook zsh)"\n')
    assert doctor(world, 0)["hook"]["found"].startswith(f"zsh: {world.home}/.zshrc, by llmenv hook")
    (world.home / ".zshrc").unlink()
    assert llmenv(world, "install", "fish").returncode == 0
    static = world.root / "data" / "llmenv" / "hook.fish"
    assert doctor(world, 0)["hook"]["verdict"] == "ok"
    static.write_text(static.read_text() + "# older\n")
    assert verdicts(doctor(world, 0))["hook"] == "warn"
    static.unlink()
    found = doctor(world, 1)["hook"]
    assert (found["verdict"], found["todo"]) == ("fail", "llmenv install fish")
    assert install.BEGIN.decode() in (world.root / "config/fish/conf.d/llmenv.fish").read_text()


def test_a_missing_command_and_a_missing_bridge(world: World) -> None:
    world.env["PATH"] = "/nowhere"
    world.config.write_text(
        f'[services.a]\ncommand = ["icm", "serve"]\nbind = "{world.bind}"\nbridge = false\n'
    )
    found = doctor(world, 1)
    assert found["command"]["verdict"] == "fail"
    assert "icm is not" in found["command"]["found"]
    assert "mcp-proxy" not in found, "nothing is bridged"
    world.config.write_text(world.config.read_text().replace("false", "true"))
    assert "mcp-proxy" in doctor(world, 1)


def test_an_open_address(world: World) -> None:
    world.config.write_text(world.config.read_text().replace("127.0.0.1", "0.0.0.0"))
    found = doctor(world, 0)["address"]
    assert (found["verdict"], "nobody is asked" in found["found"]) == ("warn", True)


def test_a_stranger_on_the_port_is_named(world: World) -> None:
    with socket.create_server(("127.0.0.1", world.port)):
        found = doctor(world, 1)
    assert found["state"]["verdict"] == "fail"
    assert f"pid {os.getpid()}" in found["state"]["found"]
    assert found["round trip"]["verdict"] == "warn"
    assert "no answer within" in found["round trip"]["found"]


def test_down_failed_and_stopped(world: World) -> None:
    assert doctor(world, 0)["state"]["todo"] == "llmenv start stub"
    world.write_config("die=3")
    assert llmenv(world, "start").returncode == 1
    found = doctor(world, 1)["state"]
    assert "exited with status 3" in found["found"]
    assert "no ?[31mluck? today" in found["found"]
    assert llmenv(world, "stop").returncode == 0
    assert "stopped" in doctor(world, 0)["state"]["found"]


def test_a_suspended_daemon_and_a_garbage_pidfile(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    pid = world.check()
    world.path("pid").write_text("garbage\n")
    assert doctor(world, 0)["pidfile"]["verdict"] == "warn"
    kill(pid, signal.SIGSTOP)
    assert doctor(world, 0)["round trip"]["verdict"] == "warn"
    kill(pid, signal.SIGCONT)


def test_a_bridge_whose_child_is_gone(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    # The stub plays mcp-proxy, which answers a tool call with an error when its child is gone.
    world.tell("answer", json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000}}))
    world.config.write_text(world.config.read_text().replace("bridge = false", "bridge = true"))
    record = world.path("life").read_text()
    (service,) = ensure.load_config(str(world.config)).services
    digest = record.split()[-2]
    world.path("life").write_text(record.replace(digest, service.digest))
    found = doctor(world, 1)
    assert found["state"]["verdict"] == "fail"
    assert found["state"]["todo"] == "llmenv restart stub"
    assert found["round trip"]["verdict"] == "fail"


def test_another_host_is_only_asked_through_its_url(world: World) -> None:
    world.config.write_text('server_host = "no-such-host.invalid"\n' + world.config.read_text())
    found = doctor(world, 0)
    assert "another host" in found["server_host"]["found"]
    assert found["round trip"]["verdict"] == "warn"
    assert "state" not in found
    assert not world.daemons()
