"""Whoever is suspended blocks nobody who need not wait for it, and nothing is started twice."""

from __future__ import annotations

import fcntl
import os
import signal

import pytest
from daemons import (
    World,
    finish,
    kill,
    stopped,
    wait_until,
)
from packed import ensure


def test_a_suspended_holder_of_the_lock_is_waited_for(world: World) -> None:
    holder = world.begin(world.crash_argv("spawn", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(holder.pid))
    late = world.ensure("--timeout", "0.2")
    assert (late.returncode, late.stdout) == (75, "")
    assert f"pid {holder.pid}" in late.stderr
    waiting = world.begin(world.argv())
    holder.send_signal(signal.SIGCONT)
    assert finish(holder)[::2] == (0, "")
    assert finish(waiting)[::2] == (0, "")
    world.check()


OUTSIDE = [("look", "before"), ("look", "after"), ("make_directory", "before")]


OUTSIDE += [("make_directory", "after"), ("take_start_lock", "before")]


@pytest.mark.parametrize(("function", "when"), OUTSIDE)
def test_a_suspended_caller_blocks_nobody(world: World, function: str, when: str) -> None:
    """One that has seen nothing running, and does not hold the start lock."""
    caller = world.begin(world.crash_argv(function, when, number=signal.SIGSTOP))
    wait_until(lambda: stopped(caller.pid))
    pid = world.up()
    assert world.up() == pid
    caller.send_signal(signal.SIGCONT)
    assert finish(caller) == (0, f"stub already-running pid={pid}\n", "")
    assert world.check() == pid


def test_a_suspended_loser_blocks_nobody(world: World) -> None:
    holder = world.begin(world.argv("--timeout", "60", modes=["gate"]))
    wait_until(lambda: world.told("starts"))
    argv = world.crash_argv("start_lock_holder", "after", number=signal.SIGSTOP, modes=["gate"])
    loser = world.begin(argv)
    wait_until(lambda: stopped(loser.pid))
    world.tell("go")
    assert finish(holder)[::2] == (0, "")
    pid = world.up("gate")
    loser.send_signal(signal.SIGCONT)
    assert finish(loser) == (0, f"stub already-running pid={pid}\n", "")
    assert world.check() == pid


def test_a_suspended_daemon_is_not_started_twice(world: World) -> None:
    pid = world.up()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid))
    assert world.ensure().returncode == 0
    os.kill(pid, signal.SIGCONT)
    world.check()


@pytest.mark.usefixtures("configured")
def test_one_that_was_suspended_as_it_looked_blocks_no_start(world: World) -> None:
    kill(world.up())
    with world.path("life").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert world.ensure().returncode == 0
    world.check(starts=2)
    assert ensure.life_is_held(world.files)
