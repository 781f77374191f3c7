"""Files of the state that are deleted, alone or all together, at any moment."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from daemons import (
    World,
    finish,
    first,
    kill,
    need,
    stopped,
    wait_until,
)


def test_the_state_directory_goes_while_the_daemon_runs(world: World) -> None:
    pid = world.up()
    shutil.rmtree(world.state)
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    assert (world.daemons(), world.pidfile()) == ([pid], pid)


def test_the_state_directory_goes_while_a_starter_is_suspended_and_another_starts(
    world: World,
) -> None:
    starter = world.begin(world.crash_argv("take_lifetime_lock", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    world.up()
    starter.send_signal(signal.SIGCONT)
    status, _, err = finish(starter)
    assert status in (0, 75), err
    assert world.ensure().returncode == 0
    world.check()


def test_the_state_directory_goes_between_the_locks_and_the_spawn(world: World) -> None:
    starter = world.begin(world.crash_argv("take_lifetime_lock", "after", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    starter.send_signal(signal.SIGCONT)
    assert finish(starter)[::2] == (0, "")
    world.check()


def test_the_state_directory_goes_once_the_spawn_is_decided(world: World) -> None:
    starter = world.begin(world.crash_argv("spawn", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    starter.send_signal(signal.SIGCONT)
    finish(starter)
    assert world.ensure().returncode == 0
    assert (len(world.daemons()), world.told("bindfail")) == (1, [])
    assert world.pidfile() == world.daemons()[0]


def test_a_deleted_pidfile_is_published_again(world: World) -> None:
    pid = world.up()
    for suffix in ("pid", "alive"):
        world.path(suffix).unlink()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()


def test_a_directory_of_proof_that_was_removed_is_done_without(world: World) -> None:
    """Its output proves the daemon, until it is started again and holds a new directory."""
    pid = world.up()
    shutil.rmtree(world.path("proof"))
    assert not world.proved()
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert os.readlink(world.path("output")) == f"/proc/{pid}/fd/2"
    world.check()
    kill(pid)
    world.up()
    assert os.readlink(world.path("alive")).endswith("/stub.life")
    world.check(starts=2)


def test_a_link_in_the_directory_of_proof_that_was_removed_is_done_without(world: World) -> None:
    pid = world.up()
    (world.path("proof") / "stub.life").unlink()
    for _ in range(2):
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        assert os.readlink(world.path("output")) == f"/proc/{pid}/fd/2"
        world.check()


@pytest.mark.usefixtures("configured")
def test_a_relative_pidfile_in_a_directory_that_is_gone(world: World) -> None:
    gone = world.root / "gone"
    gone.mkdir()
    argv = world.argv("--pidfile", "x.pid")
    done = world.run(first(f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})", argv))
    assert done.returncode == 2
    assert "this directory is gone" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("configured")
def test_moved_locks_are_found_by_a_shell_with_another_runtime_directory(world: World) -> None:
    """As tmux, ssh and cron have another or none."""
    need("strace")
    no_locks = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK"]
    watched = ["-P", str(world.path("pid.lock")), "-P", str(world.path("life"))]
    assert world.run([*no_locks, *watched, *world.argv()]).returncode == 0
    pid = world.check()
    world.env.pop("XDG_RUNTIME_DIR")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()
