"""The start lock and the lifetime lock: a flock on the file that is still at its path."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from daemons import (
    PYTHON,
    World,
    finish,
    start_time,
    stopped,
    wait_until,
)
from packed import ENSURE, LOAD, ensure, patch

LOCKS = [b"", b"garbage", b"99999999999", b"\xff\0\xfe", b"4194305", b"4194305 123\n", b"0", b"-1"]


@pytest.mark.parametrize("left", LOCKS, ids=repr)
def test_a_lock_file_that_nobody_holds_is_taken_over(world: World, left: bytes) -> None:
    world.state.mkdir(parents=True)
    world.path("pid.lock").write_bytes(left)
    assert world.ensure().returncode == 0
    world.check()


def test_the_seeds_lock_is_held_while_its_pid_lives(world: World, stranger: int) -> None:
    world.state.mkdir(parents=True)
    world.path("pid.lock").write_text(str(stranger))
    late = world.ensure("--timeout", "0.2")
    assert late.returncode == 75
    assert f"pid {stranger}" in late.stderr
    assert world.told("starts") == []
    # A file older than the process cannot mean it.
    os.utime(world.path("pid.lock"), (1e9, 1e9))
    assert world.ensure().returncode == 0
    world.check()


@pytest.mark.parametrize("start", ["1", "its own"])
def test_a_reused_pid_in_a_dead_lock_blocks_nobody(world: World, stranger: int, start: str) -> None:
    """The pid in our lock is a word for people: what holds it is the flock alone."""
    world.state.mkdir(parents=True)
    start = str(start_time(stranger)) if start == "its own" else start
    world.path("pid.lock").write_text(f"{stranger} {start}\n")
    assert world.ensure("--timeout", "5").returncode == 0
    world.check()


@pytest.mark.parametrize("_round", range(5))
def test_two_find_the_same_dead_lock_and_one_starts(world: World, _round: int) -> None:
    world.state.mkdir(parents=True)
    world.path("pid.lock").write_text("4194305 123\n")
    callers = [world.begin(world.argv()) for _ in range(2)]
    assert [finish(caller)[::2] for caller in callers] == [(0, "")] * 2
    world.check()


# Takes the start lock a few times for each line it reads; fails when it is not alone in there.
CONTENDER = f"""{LOAD}
files = ensure.Files(sys.argv[1])
inside = sys.argv[1] + ".inside"
for line in sys.stdin:
    for _ in range(5):
        while (lock := ensure.take_start_lock(files)) is None:
            pass
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        os.unlink(inside)
        ensure.release_start_lock(lock, files)
    print(flush=True)
"""


@pytest.mark.parametrize("left", ["4194305 123\n", "4194305"])
def test_a_dead_lock_is_taken_over_by_one_two_hundred_times(world: World, left: str) -> None:
    """Nobody takes a dead lock away from who has just taken it over."""
    world.state.mkdir(parents=True)
    argv = [PYTHON, "-I", "-S", "-c", CONTENDER, str(ENSURE), str(world.path("pid"))]
    both = [world.begin(argv, stdin=subprocess.PIPE) for _ in range(2)]
    for _ in range(200):
        world.path("pid.lock").write_text(left)
        for one in both:
            assert one.stdin
            one.stdin.write("\n")
            one.stdin.flush()
        for one in both:
            assert one.stdout
            assert one.stdout.readline() == "\n", finish(one)
        assert not world.path("pid.lock").exists()


def test_a_lock_on_a_file_that_was_replaced_is_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder unlinks the file between our open and our flock."""
    world.state.mkdir(parents=True)
    flock = ensure.try_flock

    def late(fd: int, kind: int) -> bool:
        world.path("pid.lock").unlink()
        world.path("pid.lock").touch()
        return flock(fd, kind)

    patch(monkeypatch, "try_flock", late)
    assert ensure.take_start_lock(world.files) is None


def test_a_strangers_file_at_the_locks_path_is_left_alone(world: World) -> None:
    holder = world.begin(world.crash_argv("release_start_lock", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(holder.pid))
    world.path("pid.lock").rename(world.root / "moved")
    world.path("pid.lock").write_text("a stranger's")
    holder.send_signal(signal.SIGCONT)
    assert finish(holder)[0] == 0
    assert world.path("pid.lock").read_text() == "a stranger's"


def test_the_lifetime_lock_of_an_earlier_daemon_is_respected(world: World) -> None:
    world.up()
    with pytest.raises(ensure.NotYet, match="going down"):
        ensure.take_lifetime_lock(world.files)
    world.check()
