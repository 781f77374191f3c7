"""Full disks, few descriptors, no processes, no locks: a clear line, or success."""

from __future__ import annotations

import shutil

import pytest
from daemons import (
    World,
    first,
    kill,
    missing,
    need,
    nobody,
)
from outcomes import recovers, refused
from packed import ensure


def tmpfs(world: World, options: str) -> list[str]:
    """Return the words that run a command twice on a state directory with these mount options."""
    world.state.mkdir(parents=True)
    mount = f'mount -t tmpfs -o mode=700,{options} none "$0" && '
    prefix = [*world.unshare("-m"), "sh", "-c"]
    if world.run([*prefix, mount + "true", str(world.state)]).returncode:
        missing("no tmpfs can be mounted here")
    show = 'cat "$0/stub.pid" 2>/dev/null; echo; ls -A "$0"'
    run = f'{{ "$@"; echo "rc=$?"; "$@"; echo "rc=$?"; {show}; }}'
    return [*prefix, mount + run, str(world.state)]


@pytest.mark.parametrize("options", ["size=4k", "size=8k", "size=12k"])
@pytest.mark.parametrize("inodes", [2, 4, 5, 7])
def test_a_full_disk_is_one_line(world: World, options: str, inodes: int) -> None:
    done = world.run([*tmpfs(world, f"{options},nr_inodes={inodes}"), *world.argv()])
    assert "Traceback" not in done.stderr
    statuses = [line for line in done.stdout.splitlines() if line.startswith("rc=")]
    assert len(done.stderr.splitlines()) <= 2
    assert set(statuses) <= {"rc=0", "rc=1"}
    running = world.daemons()
    assert len(running) == (1 if "rc=0" in statuses else 0)
    assert len(world.told("starts")) <= 1
    left = done.stdout.splitlines()[-6:]
    assert not {"stub.pid.lock", "stub.pid.tmp", "stub.alive.tmp", "stub.fail.tmp"} & set(left)
    pidfile = done.stdout.split("rc=")[-1].splitlines()[1]
    assert pidfile in ("", *map(str, running)), "never a part of a pid"


def limited(limit: str, value: int, argv: list[str]) -> list[str]:
    return first(f"import resource as r; r.setrlimit(r.{limit}, ({value}, {value}))", argv)


@pytest.mark.parametrize("most", [4, 5, 6, 7, 8, 9, 10, 12, 16])
def test_few_descriptors_are_enough_or_one_line(world: World, most: int) -> None:
    done = world.run(limited("RLIMIT_NOFILE", most, world.argv()))
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        world.check()
        return
    assert most < 16
    refused(done, 1, "Too many open files")
    assert world.daemons() == []
    recovers(world)


def test_no_file_may_grow_is_one_line(world: World) -> None:
    done = world.run(limited("RLIMIT_FSIZE", 0, world.argv()))
    refused(done, 1, "File too large")
    recovers(world)


def test_no_process_may_be_made_is_one_line(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    world.give_to_nobody()  # of root there may be as many as it likes
    refused(
        world.run(nobody(limited("RLIMIT_NPROC", 0, world.argv()))),
        *(1, "cannot run", "Resource temporarily unavailable"),
    )
    assert world.daemons() == []
    assert not world.path("pid.lock").exists()
    assert world.run(nobody(world.argv())).returncode == 0
    world.check()


@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_on_a_file_system_without_locks_they_lie_elsewhere(world: World, error: str) -> None:
    need("strace")
    no_locks = ["-e", f"inject=flock:error={error}"]
    inject = ["strace", "-qq", "-o", "/dev/null", *no_locks, "-P", str(world.path("pid.lock"))]
    first_run = world.run([*inject, "-P", str(world.path("life")), *world.argv()])
    assert first_run.returncode == 0, first_run
    pid = world.check()
    for _ in range(2):
        again = world.run([*inject, *world.argv()])
        assert (again.returncode, again.stdout) == (0, f"stub already-running pid={pid}\n"), again
        world.check()
    assert ensure.instances("stub", str(world.state))[0].stem == "stub"
    kill(pid)
    shutil.rmtree(world.root / "run")  # as a reboot does
    assert world.run([*inject, *world.argv()]).returncode == 0
    world.check(starts=2)


def test_no_locks_and_no_other_place_is_one_line(world: World) -> None:
    need("strace")
    world.env.pop("XDG_RUNTIME_DIR")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK"]
    refused(world.run([*inject, *world.argv()]), 1, "has no file locks", "XDG_RUNTIME_DIR")
    recovers(world)


@pytest.mark.parametrize(("error", "status"), [("EINTR", 0), ("EACCES", 1), ("EIO", 1)])
def test_a_lock_that_fails_once_blocks_nobody(world: World, error: str, status: int) -> None:
    need("strace")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=flock:error={error}:when=1"]
    done = world.run([*inject, *world.argv()])
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert world.ensure().returncode == 0
    world.check()
