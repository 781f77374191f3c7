"""Several services in one config: each on its own, at once, and told apart."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from daemons import (
    World,
    add,
    alive,
    kill,
    listening,
    need,
    starts,
    wait_until,
)
from outcomes import llmenv

pytestmark = pytest.mark.usefixtures("configured")


def test_one_that_is_slow_holds_up_no_other(world: World) -> None:
    slow = add(world, "slow", modes="gate")
    fails = add(world, "fails", modes="die=3")
    third = add(world, "third")
    asked = world.begin(world.hook_argv())
    wait_until(lambda: listening(third) and world.told("listening"))
    wait_until(lambda: (world.state / "fails.fail").exists())
    assert not listening(slow)
    assert (fails / "starts").exists()
    assert asked.poll() is None
    (slow / "go").touch()
    wait_until(lambda: listening(slow))


def test_all_are_looked_at_in_one_pass(world: World) -> None:
    others = [add(world, f"more-{number}") for number in range(4)]
    done = world.run(world.bare())
    assert done.returncode == 0
    assert all(listening(oracle) for oracle in others)
    assert len(done.stdout.splitlines()) == 5
    rows = llmenv(world, "status").stdout.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [
        ["stub", "running"],
        *([f"more-{number}", "running"] for number in range(4)),
    ]


@pytest.mark.parametrize("command", ["start", "restart"])
def test_by_hand_too_one_that_is_slow_holds_up_no_other(world: World, command: str) -> None:
    world.write_config("gate")
    add(world, "fails", modes="die=3")
    third = add(world, "third")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", command])
    assert asked.stdout is not None
    said = asked.stdout.readline()
    assert said == f"third started, pid {(third / 'listening').read_text()}"
    wait_until(lambda: (world.state / "fails.fail").exists() and world.told("starts"))
    assert not world.told("listening")
    assert asked.poll() is None
    world.tell("go")
    out, err = asked.communicate(timeout=20)
    assert out == f"stub started, pid {world.check()}\n"
    assert (asked.returncode, err.count("\n")) == (1, 1)
    assert err.startswith("llmenv: fails: it exited with status 3 ")


def test_the_worst_exit_status_is_that_of_all(world: World) -> None:
    world.write_config("gate")
    held = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    world.write_config("gate", start_timeout=0.3)
    add(world, "fails", modes="die=3")
    done = llmenv(world, "start", "stub")
    assert (done.returncode, "is starting it" in done.stderr) == (75, True), done
    done = llmenv(world, "start")
    assert (done.returncode, done.stderr.count("\n")) == (1, 2), done
    world.tell("go")
    assert held.wait(20) == 0


def test_a_process_that_is_killed_is_not_taken_for_a_success(world: World) -> None:
    world.write_config("gate")
    add(world, "other")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", "start"])
    wait_until(lambda: world.told("starts"))
    workers = Path(f"/proc/{asked.pid}/task/{asked.pid}/children").read_text().split()
    os.kill(int(workers[0]), signal.SIGKILL)
    out, err = asked.communicate(timeout=20)
    said = "llmenv: stub: its process was ended; llmenv status tells more\n"
    assert (asked.returncode, out.split()[0], err) == (1, "other", said)


def test_stop_and_the_interrupt_end_all(world: World) -> None:
    other = add(world, "other", modes="gate")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", "start"], start_new_session=True)
    assert asked.stdout is not None
    asked.stdout.readline()
    wait_until(lambda: (other / "starts").exists())
    os.killpg(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=20)
    assert (asked.returncode, out, err) == (130, "", "")
    done = llmenv(world, "stop")
    assert sorted(done.stdout.splitlines()) == ["other stopped", "stub stopped"]
    assert not world.daemons()
    assert not alive(int((other / "starts").read_text()))


def test_start_where_no_service_starts_by_itself(world: World) -> None:
    with world.config.open("a") as file:
        file.write("autostart = false\n")
    done = llmenv(world, "start")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "llmenv: which service? all have autostart = false: stub\n"
    assert llmenv(world, "restart").stdout == "stub was not running; autostart = false\n"
    assert llmenv(world, "restart", "stub").returncode == 0
    world.check()


def test_a_variable_that_is_not_set_concerns_one_service_only(world: World) -> None:
    add(world, "more", "env = { A = '${NO_SUCH}' }")
    done = world.run(world.bare())
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "more: ${NO_SUCH} in the config is not set in this shell" in done.stderr
    world.check()


def renamed(world: World, *more: str) -> int:
    """Start the stub, call it `new` in the config, with *more* to its command; return its pid."""
    pid = world.up()
    text = world.config.read_text().replace("[services.stub]", "[services.new]")
    for word in more:
        text = text.replace('"]', f'", "{word}"]', 1)
    world.config.write_text(text)
    return pid


def test_what_the_config_lost_goes_on_and_is_shown(world: World) -> None:
    """Before it, open shells asked for the lost one every two seconds until they ended."""
    other = add(world, "other")
    assert world.run(world.hook_argv()).returncode == 0
    pid = world.pidfile()
    text = world.config.read_text()
    world.config.write_text(text[text.index("[services.other]") :])
    assert world.run(world.hook_argv()).returncode == 0
    assert world.path("life").stat().st_mtime_ns > world.config.stat().st_mtime_ns
    gone = f"not in {world.config} any more: llmenv stop stub"
    done = llmenv(world, "status")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"stub: {gone}")
    assert "llmenv stop stub" in llmenv(world, "doctor").stdout
    assert llmenv(world, "stop", "stub").stdout == "stub stopped\n"
    assert not alive(pid or 0)
    assert "stub" not in llmenv(world, "status").stdout
    assert alive(starts(other)[0])


def test_stop_ends_also_what_the_config_lost(world: World) -> None:
    pid = renamed(world)
    done = llmenv(world, "stop")
    assert (done.returncode, done.stdout) == (0, "stub stopped\nnew was not running\n")
    assert not alive(pid)


def test_the_port_of_a_renamed_service_is_told_with_its_old_name(world: World) -> None:
    renamed(world, "fork")
    done = world.run(world.bare())
    assert done.returncode == 1
    assert done.stderr.endswith(", started as stub; llmenv stop stub\n")


def test_one_that_is_killed_as_it_works_is_a_failure(world: World) -> None:
    world.write_config("gate")
    add(world, "other")
    asked = world.begin(world.bare("--timeout", "30"))
    wait_until(world.daemons)
    holder = int(wait_until(lambda: world.path("pid.lock").read_text().split())[0])
    kill(holder)
    assert asked.wait(20) == 1


def test_an_interrupt_of_several_is_no_traceback(world: World) -> None:
    world.write_config("gate")
    add(world, "other", modes="gate")
    asked = world.begin(world.bare("--timeout", "30"), start_new_session=True)
    wait_until(lambda: world.daemons() and (world.root / "other" / "starts").exists())
    os.killpg(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=20)
    assert (asked.returncode, out, err) == (130, "", "")


def test_without_a_process_to_be_had_they_come_one_after_the_other(world: World) -> None:
    need("strace")
    other = add(world, "other")
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=clone:error=EAGAIN:when=1"]
    done = world.run([*strace, *world.bare()])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert listening(other)
    world.check()
