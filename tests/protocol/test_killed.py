"""Killed at any instruction, the caller or the child: the next caller has one daemon."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest
from daemons import (
    World,
    finish,
    holders,
    kill,
    need,
    stopped,
    wait_until,
)

CRASHES = [
    ("make_directory", "before", 1),
    ("take_start_lock", "before", 1),
    ("take_start_lock", "after", 1),
    ("take_lifetime_lock", "before", 1),
    ("take_lifetime_lock", "after", 1),
    ("pwrite", "before", 2),  # the blank record
    ("spawn", "before", 1),
    ("identity_of", "child-before", 1),
    ("pwrite", "child-after", 1),  # the record
    ("spawn", "after", 1),
    ("probe", "after", 1),
    ("publish", "before", 1),
    ("rename", "before", 1),
    ("rename", "after", 1),
    ("symlink", "after", 1),
    ("rename", "before", 2),
    ("rename", "after", 2),
    ("release_start_lock", "before", 1),
    ("release_start_lock", "after", 1),
]


@pytest.mark.parametrize(("function", "when", "nth"), CRASHES, ids=lambda value: str(value))
def test_killed_at_a_step_of_the_start(world: World, function: str, when: str, nth: int) -> None:
    killed = world.run(world.crash_argv(function, when, nth))
    assert killed.returncode == (1 if when.startswith("child") else -signal.SIGKILL), killed
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


def test_the_crash_points_are_reached_in_a_healthy_run(world: World) -> None:
    done = world.run(world.crash_argv("probe", "after", 1000, may_miss=True))
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


SYSCALLS = ["mkdir:2", "flock:1", "flock:2", "pwrite64:1", "pwrite64:2", "clone:1", "connect:2"]


SYSCALLS += ["rename:1", "rename:2", "symlink:1", "unlink:1", "unlink:4"]


@pytest.mark.parametrize("call", SYSCALLS)
def test_killed_at_a_system_call(world: World, call: str) -> None:
    need("strace")
    name, _, nth = call.partition(":")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}"]
    killed = world.run([*inject, *world.argv()])
    assert killed.returncode == -signal.SIGKILL, killed
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


@pytest.mark.parametrize("call", ["setsid:1", "chdir:1", "dup2:3"])
def test_the_child_killed_before_its_exec(world: World, call: str) -> None:
    need("strace")
    name, _, nth = call.partition(":")
    inject = ["strace", "-f", "-qq", "-o", "/dev/null"]
    done = world.run([*inject, "-e", f"inject={name}:signal=KILL:when={nth}", *world.argv()])
    assert (done.returncode, done.stdout) == (1, "")
    assert "was killed by signal 9 before it listened" in done.stderr
    assert (world.told("starts"), os.path.lexists(world.path("pid.lock"))) == ([], False)
    assert world.ensure().returncode == 0
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_kills_at_chosen_steps(world: World, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(3):
        callers = []
        for _ in range(6):
            function, when, nth = dice.choice(CRASHES)
            if when.startswith("child"):
                when = "before"
            argv = world.crash_argv(function, when, nth, may_miss=True)
            callers.append(world.begin(argv))
        for caller in callers:
            assert finish(caller)[0] in (0, -signal.SIGKILL)
    assert world.ensure().returncode == 0
    world.check()


def test_a_storm_of_kills_at_random_times(world: World) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed} makes the same dice")
    dice = random.Random(seed)
    began = time.monotonic()
    world.up()
    lasts = time.monotonic() - began
    for _ in range(8):
        kill(world.check())
        (world.oracle / "starts").unlink()
        if dice.random() < 0.5:
            shutil.rmtree(world.state)
        callers = [world.begin(world.argv()) for _ in range(6)]
        began = time.monotonic()
        moments = sorted(dice.uniform(0, 4 * lasts) for _ in callers)
        for moment, caller in zip(moments, dice.sample(callers, len(callers)), strict=True):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            caller.kill()
        for caller in callers:
            assert finish(caller)[0] in (0, -signal.SIGKILL)
        assert world.ensure().returncode == 0
        world.check()


def test_the_starter_is_killed_before_its_child_has_written_its_record(
    world: World,
) -> None:
    starter = world.begin(world.crash_argv("identity_of", "child-before", number=signal.SIGSTOP))
    (child,) = wait_until(lambda: [pid for pid in holders(world.path("life")) if stopped(pid)])
    kill(starter.pid)
    late = world.ensure("--timeout", "0.3")
    assert (late.returncode, late.stdout, world.told("starts")) == (75, "", [])
    os.kill(child, signal.SIGCONT)
    assert world.ensure().returncode == 0
    assert world.check() == child


def test_a_lock_left_by_a_kill_beside_a_healthy_daemon_is_swept(world: World) -> None:
    world.run(world.crash_argv("release_start_lock", "before"))
    assert world.path("pid.lock").exists()
    (pid,) = world.daemons()
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()
