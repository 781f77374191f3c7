"""A service that gets another name in the config keeps its daemon, and all of its files."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bridges import Wire
from daemons import World, add, alive, kill, starts, wait_until
from guarded import GuardedWorld, all_gone
from outcomes import llmenv
from packed import ensure
from shells import Shell, helpers, prompts_until, shows

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def guarded() -> Iterator[GuardedWorld]:
    """A world with a guarded service, whose server heeds nothing and has children.

    Its path is short, so that there is room for its socket.
    """
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as place,
        GuardedWorld(Path(place, "w"), "deaf", "child") as made,
    ):
        yield made


def rename(world: World, name: str = "new", former: str = "stub") -> None:
    text = world.config.read_text()
    assert f"[services.{former}]\n" in text
    world.config.write_text(text.replace(f"[services.{former}]\n", f"[services.{name}]\n"))


def renewed(world: World) -> int:
    """Run what a prompt runs; return the pid that is published under the name `new`."""
    done = world.run(world.hook_argv())
    assert done.returncode == 0, done
    return int((world.state / "new.pid").read_text())


def files_of(world: World, name: str) -> set[str]:
    return {path.name.partition(".")[2] for path in world.state.glob(f"{name}.*")}


@pytest.mark.usefixtures("configured")
def test_it_keeps_its_daemon_and_gets_all_of_its_files(world: World) -> None:
    world.run(world.hook_argv())
    pid, before = world.check(), files_of(world, "stub")
    rename(world)
    assert renewed(world) == pid
    assert (files_of(world, "new"), files_of(world, "stub")) == (before, set())
    assert (world.state / "new.alive").samefile(world.state / "new.life")
    said = (world.state / "new.log").read_text().splitlines()
    assert said[0].endswith(" llmenv: starting stub: a shell prompt found it down")
    assert said[-1].endswith(" llmenv: stub is called new now")
    row = llmenv(world, "status").stdout.splitlines()[1]
    assert row.split()[:3] == ["new", "running", str(pid)]
    assert llmenv(world, "stop").stdout == "new stopped\n"
    assert not alive(pid)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("call", ["rename", "symlink", "unlink"])
def test_killed_at_any_step_the_next_look_goes_on(world: World, call: str) -> None:
    """It is called one name and the other by turns, and the helper killed ever later."""
    world.run(world.hook_argv())
    pid, names = world.check(), ["stub", "new"]
    for nth in range(1, 40):
        rename(world, names[1], names[0])
        argv = world.crash_argv(call, "before", nth, may_miss=True)
        killed = world.run([*argv[: argv.index("--service")], "--service", names[1]])
        done = world.run(world.bare())
        assert done.stdout == f"{names[1]} already-running pid={pid}\n", done
        assert (world.state / f"{names[1]}.alive").samefile(world.state / f"{names[1]}.life")
        left = files_of(world, names[0]) - {"pid.lock"}  # which `llmenv prune` takes away
        assert (left, world.told("starts")) == (set(), [pid])
        assert files_of(world, names[1]) == {"pid", "life", "proof", "alive", "log"}
        names.reverse()
        if killed.returncode == 0:
            return
        assert killed.returncode == -signal.SIGKILL, killed
    pytest.fail(f"more calls of {call} than are to be expected")


@pytest.mark.usefixtures("configured")
def test_who_has_the_old_names_lock_is_waited_for(world: World) -> None:
    world.run(world.hook_argv())
    pid = world.check()
    rename(world)
    lock = ensure.take_start_lock(world.files)
    assert lock
    asked = world.begin(world.bare("--timeout", "0.3"))
    assert asked.wait(20) == 75
    assert files_of(world, "stub") >= {"life", "log"}
    ensure.release_start_lock(lock, world.files)
    assert renewed(world) == pid


@pytest.mark.usefixtures("configured")
def test_a_service_that_gets_the_old_name_is_another(world: World) -> None:
    """Also what is left over of the renamed one is told from what is its own."""
    world.run(world.hook_argv())
    pid = world.check()
    rename(world)
    assert renewed(world) == pid
    oracle = add(world, "stub")
    assert renewed(world) == pid
    (other,) = starts(oracle)
    assert llmenv(world, "restart", "stub").returncode == 0
    assert (alive(other), alive(pid)) == (False, True)
    assert llmenv(world, "restart", "new").returncode == 0
    assert not alive(pid)
    assert alive(starts(oracle)[-1])


@pytest.mark.usefixtures("configured")
def test_two_configs_that_name_it_differently_leave_it_alone(world: World) -> None:
    world.run(world.hook_argv())
    pid = world.check()
    world.env["LLMENV_CONFIG"] = str(world.root / "other.toml")
    text = world.config.read_text().replace("[services.stub]", "[services.new]")
    Path(world.env["LLMENV_CONFIG"]).write_text(text)
    assert world.run(world.bare()).stdout == f"new already-running pid={pid}\n"
    assert world.proved()
    assert files_of(world, "new").isdisjoint({"life", "log"})
    whose = f"stub: of another config, {world.config}\n"
    assert llmenv(world, "status").stdout.endswith(whose)
    assert "stub:" not in llmenv(world, "doctor").stdout
    assert "stub" not in llmenv(world, "stop").stdout
    assert alive(pid)
    assert "stub stopped" in llmenv(world, "stop", "--all").stdout


@pytest.mark.usefixtures("configured")
def test_an_open_shell_goes_on_by_the_new_name(world: World) -> None:
    with Shell("bash", world) as shell:
        wait_until(world.proved)
        pid = world.check()
        rename(world)
        prompts_until(shell, lambda: shows(shell, "LLMENV_NEW_URL"))
        assert shows(shell, "LLMENV_STUB_URL") == ""
        published = world.state / "new.pid"
        prompts_until(shell, published.exists)
        assert int(published.read_text()) == pid
        wait_until(lambda: not helpers(world))
        for _ in range(3):
            assert shell.run() == (0, "")
        assert not helpers(world)


# --- our bridge -----------------------------------------------------------------------------------


def test_our_bridge_goes_on_with_the_new_paths(guarded: GuardedWorld) -> None:
    world = guarded
    pid = world.bring_up()
    family = world.family()
    with Wire(world) as wire:
        assert wire.tool(echo="before")["echo"] == "before"
        rename(world)
        assert renewed(world) == pid
        assert wire.tool(echo="after")["echo"] == "after"
    (files, _) = ensure.instances("new", str(world.state))
    told = ensure.ask_bridge(files)
    assert told
    assert (told["name"], told["pid"]) == ("new", pid)
    assert files_of(world, "stub") == set()
    kill(pid)
    assert all(map(alive, family)), "they are left over"
    assert world.run(world.bare()).returncode == 0
    assert all_gone(family)
    assert world.llmenv("stop", "new")[0] == 0
    assert files_of(world, "new") == {"alive", "life", "log", "proof"}
    assert world.living() == []


def test_a_bridge_that_cannot_be_renamed_is_started_anew(guarded: GuardedWorld) -> None:
    """As one of an earlier version, which does not know how."""
    world = guarded
    world.break_bridge('"llmenv/rename"', '"llmenv/other"')
    pid = world.bring_up()
    rename(world)
    done = world.run(world.bare("--timeout", "60"))
    assert done.stdout.startswith("new spawned pid="), done
    assert not alive(pid)
    assert files_of(world, "stub") <= {"life", "log", "proof"}
