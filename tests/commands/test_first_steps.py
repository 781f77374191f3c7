"""The first steps: no config yet, a service that was stopped, and what stays behind."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from commands.support import COMMAND, ended, llmenv, on_a_terminal, program, refused
from daemons import add, alive, missing

from llmenv_hooks.helper.ports import probe
from llmenv_hooks.helper.services import DEFAULT_BIND, parse_bind

if TYPE_CHECKING:
    from daemons import World


@pytest.fixture
def default_port() -> None:
    """See that nobody listens where the default service does, as one of yours may."""
    if probe(*parse_bind(DEFAULT_BIND)):
        missing(f"a free {DEFAULT_BIND}: something listens there")


@pytest.mark.usefixtures("default_port")
@pytest.mark.parametrize("config", [None, ""], ids=["none", "empty"])
def test_no_config_and_no_icm(world: World, config: str | None) -> None:
    world.config.unlink()
    if config is not None:
        world.config.write_text(config)
    world.env["PATH"] = "/usr/bin:/bin"
    said = refused(llmenv(world, "start"), 1, "run `llmenv init`", "icm, the memory server")
    assert said.startswith("llmenv: the default service: no config names a service")


@pytest.mark.usefixtures("default_port")
def test_what_there_is_without_a_config_says_how_to_write_one(world: World) -> None:
    world.config.unlink()
    world.env["PATH"] = "/usr/bin:/bin"
    last = llmenv(world, "status").stdout.splitlines()[-1]
    assert last == (
        "mcp-proxy: the default, since no config names a service; llmenv init writes one"
    )
    world.config.write_text("")
    said = llmenv(world, "config", "check").stdout
    assert said.endswith(
        ": ok, but it names no service, so the default holds; llmenv add NAME -- COMMAND\n"
    )


@pytest.mark.parametrize("line", ["a; b", "a && b", "a | b", "a > b", "a &"])
def test_init_takes_no_line_of_a_shell(world: World, line: str) -> None:
    world.config.unlink()
    world.env["PATH"] = "/usr/bin:/bin"
    child = on_a_terminal(world, [*COMMAND, "init"])
    child.expect("Use the example memory server")
    child.sendline("n")
    child.expect("The command of your MCP server")
    child.sendline(line)
    status, said = ended(child)
    assert (status, "not one command; nothing written" in said) == (1, True)
    assert not world.config.exists()


@pytest.mark.parametrize("command", [("install", "bash"), ("init", "--yes")], ids=" ".join)
def test_a_service_that_was_stopped_is_named(world: World, command: tuple[str, ...]) -> None:
    said = "{0} was stopped by `llmenv stop`; `llmenv start {0}` starts it"
    assert "was stopped" not in llmenv(world, "install", "bash").stdout
    assert llmenv(world, "stop").returncode == 0
    name = "stub"
    if command[0] == "init":
        for file in world.state.glob("stub.*"):  # as if it had been called so then
            file.rename(world.state / file.name.replace("stub", "memory"))
        (world.state / "memory.alive").unlink()
        (world.state / "memory.alive").symlink_to("memory.life")
        world.config.unlink()
        program(world, "icm", "exec sleep 1000")
        name = "memory"
    done = llmenv(world, *command)
    assert done.returncode == 0, done
    assert said.format(name) in done.stdout.splitlines()


def test_several_shells_at_once(world: World) -> None:
    done = llmenv(world, "install", "bash", "zsh", "fish")
    assert (done.returncode, done.stdout.count("added a block to")) == (0, 3)
    assert llmenv(world, "install", "--all").stdout.count("installed already") == 3
    done = llmenv(world, "uninstall", "--dry-run")
    assert (done.returncode, done.stdout.count("-# >>> llmenv >>>")) == (0, 3), done
    assert llmenv(world, "install", "--all").stdout.count("installed already") == 3
    done = llmenv(world, "uninstall", "zsh", "bash")
    assert done.returncode == 0
    assert llmenv(world, "install", "--all").stdout.count("installed already") == 1
    refused(llmenv(world, "install", "bash", "tcsh"), 2, "no hook for 'tcsh'")


def test_uninstall_says_what_stays(world: World) -> None:
    assert llmenv(world, "install", "bash").returncode == 0
    assert llmenv(world, "start").returncode == 0
    (world.home / ".zshrc").write_text('eval "$(llmenv hook zsh)"\n')
    said = llmenv(world, "uninstall").stdout
    for words in (
        "still running: stub; `llmenv stop` ends it",
        f"{world.home}/.zshrc:1 runs `llmenv hook`; take it out",
        f"left: {world.state}; `llmenv prune --all` deletes it",
        f"left: {world.config}, agents' entries (`llmenv client` shows them),",
    ):
        assert words in said.splitlines()
    world.check()


def test_prune_takes_what_is_of_no_service(world: World) -> None:
    other = add(world, "other.x".replace(".", "_"))
    assert llmenv(world, "start").returncode == 0
    assert llmenv(world, "stop", "other_x").returncode == 0
    text = world.config.read_text()
    world.config.write_text(text[: text.index("[services.other_x]")])
    stub = {path.name for path in world.state.glob("stub.*")}
    gone = {path.name for path in world.state.glob("other_x.*")}
    assert gone
    said = llmenv(world, "prune", "--dry-run").stdout
    assert said.count("would delete ") == len(gone)
    assert llmenv(world, "prune").stdout.count("deleted ") == len(gone)
    assert not list(world.state.glob("other_x.*"))
    assert {path.name for path in world.state.glob("stub.*")} == stub
    assert llmenv(world, "prune").stdout == "nothing to delete\n"
    world.check()
    assert (other / "starts").exists()


def test_prune_takes_editions_that_no_shell_asks_for(world: World) -> None:
    assert world.run(world.hook_argv()).returncode == 0
    old, used = (world.state / f"edition-12345678-{made}" for made in ("0000000a", "0000000b"))
    for edition in (old, used):
        edition.mkdir()
        (edition / "state").symlink_to("..")
    os.utime(old, (time.time() - 4000,) * 2)
    (world.state / "gone.pid.lock").touch()
    deleted = llmenv(world, "prune").stdout.splitlines()
    assert deleted == [f"deleted {world.state / 'gone.pid.lock'}", f"deleted {old}"]
    assert (used.exists(), old.exists()) == (True, False)
    world.check()


def test_prune_leaves_what_another_config_has(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    assert llmenv(world, "stop").returncode == 0
    there = sorted(world.state.iterdir())
    other = world.root / "other.toml"
    other.write_text("")
    world.env["LLMENV_CONFIG"] = str(other)
    assert llmenv(world, "prune").stdout == "nothing to delete\n"
    world.config.unlink()
    assert "deleted" in llmenv(world, "prune").stdout
    assert sorted(world.state.iterdir()) != there


def test_prune_leaves_what_runs(world: World) -> None:
    """Also what the config lost, and all of it while anything runs."""
    assert llmenv(world, "start").returncode == 0
    pid = world.check()
    world.config.write_text(world.config.read_text().replace("services.stub", "services.new"))
    assert llmenv(world, "prune").stdout == "nothing to delete\n"
    refused(llmenv(world, "prune", "--all"), 1, "stub runs; first: llmenv stop")
    assert alive(pid)
    assert llmenv(world, "stop").returncode == 0
    done = llmenv(world, "prune", "--all")
    assert (done.returncode, list(world.state.iterdir())) == (0, [])
    assert done.stdout.splitlines()[-1].startswith(f"left: {world.config}, if it is there")
    assert world.config.exists()
