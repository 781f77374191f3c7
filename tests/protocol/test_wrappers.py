"""Daemons that fork, wrap, linger or let go of what they were given."""

from __future__ import annotations

import os

import pytest
from daemons import (
    World,
    alive,
    holders,
    kill,
    wait_until,
)


@pytest.mark.parametrize("mode", ["wrap", "fork"])
def test_a_worker_that_outlives_its_leader_is_kept(world: World, mode: str) -> None:
    worker = world.up(mode)
    leader = next(pid for pid in world.told("starts") if pid != worker)
    kill(leader)
    for _ in range(2):
        done = world.ensure(modes=[mode])
        assert (done.returncode, done.stdout) == (0, f"stub already-running pid={worker}\n")
    assert world.check(starts=2) == worker
    kill(worker)
    assert world.up(mode) not in (leader, worker)
    world.check(starts=4) if mode == "fork" else None
    assert not world.told("bindfail")


def test_what_hangs_past_its_time_is_ended_and_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_config("shut", start_timeout=0.2)
    assert world.run(world.bare()).returncode == 0
    (pid,) = world.daemons()
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    (world.oracle / "shut").unlink()
    done = world.run(world.bare("--timeout", "30"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(pid)
    world.check(starts=2)


def test_a_wrapper_that_outlives_its_worker_is_ended_and_replaced(world: World) -> None:
    world.write_config("wrap", "linger")
    assert world.run(world.bare()).returncode == 0
    leader, worker = world.daemons()
    assert world.pidfile() == worker
    kill(worker)
    late = world.run(world.bare("--timeout", "0.3"))
    assert (late.returncode, late.stdout, world.daemons()) == (75, "", [leader])
    world.write_config("wrap", "linger", start_timeout=2)  # which have passed once it is looked
    done = world.run(world.bare("--timeout", "30"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(leader)
    assert len(world.told("starts")) == 4


def test_an_orphan_that_keeps_the_lifetime_lock_is_ended(world: World) -> None:
    world.write_config("orphan")
    assert world.run(world.bare()).returncode == 0
    (orphan,) = wait_until(lambda: world.told("children"))
    kill(world.check())
    late = world.run(world.bare("--timeout", "0.3"))
    assert (late.returncode, late.stdout, len(world.told("starts"))) == (75, "", 1)
    world.write_config("orphan", start_timeout=2)
    done = world.run(world.bare("--timeout", "30"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(orphan)
    world.check(starts=2)


def test_a_daemon_that_closes_all_descriptors_is_not_started_twice(world: World) -> None:
    pid = world.up("close-fds")
    assert os.readlink(world.path("output")) == f"/proc/{pid}/fd/2"
    assert not os.path.lexists(world.path("alive"))
    assert world.proved()
    for _ in range(2):
        assert world.ensure(modes=["close-fds"]).stdout == f"stub already-running pid={pid}\n"
    world.check()
    kill(pid)
    assert not world.proved()
    world.up("close-fds")
    world.check(starts=2)
    kill(world.check(starts=2))
    world.up()
    assert not os.path.lexists(world.path("output"))
    world.check(starts=3)


def test_only_the_daemon_holds_the_lifetime_lock(world: World) -> None:
    pid = world.up()
    assert holders(world.path("life")) == [pid]
    assert holders(world.path("log")) == [pid]
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(world.path("log"))}


@pytest.mark.usefixtures("configured")
def test_one_that_lets_go_of_all_and_forks_is_waited_for(world: World) -> None:
    """As `ssh -f` does."""
    asked = world.begin(world.argv(modes=["close-fds", "fork", "gate"]))
    wait_until(lambda: len(world.told("starts")) == 2 and len(world.daemons()) == 1)
    world.tell("go")
    out, err = asked.communicate(timeout=10)
    (pid,) = world.daemons()
    assert (asked.returncode, out, err) == (0, f"stub spawned pid={pid}\n", "")
    assert world.ensure(modes=["close-fds", "fork", "gate"]).stdout.endswith(f"running pid={pid}\n")


@pytest.mark.usefixtures("configured")
def test_a_daemon_that_forks_and_takes_its_time_is_not_ended(world: World) -> None:
    modes = ["fork", "gate"]
    assert world.ensure("--timeout", "0.3", modes=modes).returncode == 75
    wait_until(lambda: len(world.told("starts")) == 2)
    assert world.ensure("--timeout", "3", modes=modes).returncode == 75
    world.tell("go")
    assert world.ensure(modes=modes).returncode == 0
    world.check(starts=2)
