"""Who is the daemon, and who only looks like it."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from daemons import (
    PYTHON,
    World,
    alive,
    missing,
    record,
    wait_until,
)
from outcomes import llmenv

# A parent that never reaps: what the daemon is a child of, once `llmenv-ensure` is gone.
NEGLIGENT = """
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
pidfile, argv = sys.argv[1], sys.argv[2:]
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
subprocess.run(argv, check=True)
first = int(open(pidfile).read())
os.kill(first, signal.SIGKILL)
while open(f"/proc/{first}/stat").read().rpartition(")")[2].split()[0] != "Z":
    pass
subprocess.run(argv, check=True)
second = int(open(pidfile).read())
assert first != second
state = open(f"/proc/{first}/stat").read().rpartition(")")[2].split()[0]
print("then", state)
"""


def test_an_unreaped_daemon_is_dead(world: World) -> None:
    done = world.run([PYTHON, "-c", NEGLIGENT, str(world.path("pid")), *world.argv()])
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "then Z"
    assert done.stdout.count("spawned") == 2
    world.check(starts=2)


def test_a_dead_daemon_that_pid_1_never_reaps_is_dead(world: World) -> None:
    prefix = world.container("-p", "--mount-proc")
    done = world.run([*prefix, PYTHON, "-c", NEGLIGENT, str(world.path("pid")), *world.argv()])
    assert done.returncode == 0, done
    assert (done.stdout.count("spawned"), world.told("bindfail")) == (2, [])


def test_a_record_with_a_reused_pid_is_no_daemon(world: World, stranger: int) -> None:
    world.state.mkdir(parents=True)
    world.path("life").write_bytes(record(stranger, "1", world.service()))
    world.path("pid").write_text(f"{stranger}\n")
    os.utime(world.path("pid"), (1e9, 1e9))
    world.path("alive").symlink_to(f"/proc/{stranger}/fd/0")
    assert world.ensure().stdout.startswith("stub spawned")
    world.check()


# Kills the daemon, gives its pid to a stranger, and asks again; pid 1 of its own namespace.
REUSE = """
import os, signal, subprocess, sys, time
state, left, argv = sys.argv[1], sys.argv[2], sys.argv[3:]

def ensure():
    subprocess.run(argv, check=True)
    return int(open(state + "/stub.pid").read())

first = ensure()
os.kill(first, signal.SIGKILL)
while os.waitpid(-1, 0)[0] != first:
    pass
if left == "pidfile":
    os.unlink(state + "/stub.life")
    os.utime(state + "/stub.pid", (time.time() - 10, time.time() - 10))
try:
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(first - 1))
except OSError:
    sys.exit("not allowed")
stranger = subprocess.Popen(["sleep", "1000"])
assert stranger.pid == first
assert ensure() != first
assert stranger.poll() is None
"""


@pytest.mark.parametrize("left", ["record", "pidfile"])
def test_a_pid_that_is_really_reused_is_no_daemon(world: World, left: str) -> None:
    prefix = world.container("-p", "--mount-proc")
    done = world.run([*prefix, PYTHON, "-c", REUSE, str(world.state), left, *world.argv()])
    if done.stderr == "not allowed\n":
        missing("ns_last_pid cannot be written here")
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout.count("spawned"), world.told("bindfail")) == (2, [])


def test_a_pidfile_that_names_a_stranger_is_corrected(world: World, stranger: int) -> None:
    pid = world.up()
    world.path("pid").write_text(f"{stranger}\n")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()


PIDFILES = [b"", b"0", b"-1", b"1", b"2147483648", b"99999999999", b" 12 ", b"12abc", b"\xd9\xa1"]


PIDFILES += [b"\0" * 9, b"9" * (1 << 20), b"\n" * (1 << 20), b"\x1b[2J", b"1\n2\n"]


@pytest.mark.parametrize("raw", PIDFILES, ids=lambda raw: repr(raw)[:20])
@pytest.mark.parametrize("running", [True, False])
def test_a_wrong_pidfile_never_stops_a_start(world: World, raw: bytes, running: bool) -> None:
    pid = world.up() if running else None
    world.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    world.path("pid").write_bytes(raw)
    os.utime(world.path("pid"), (1e9, 1e9))  # older than any process, so that it can mean none
    done = world.ensure()
    assert (done.returncode, done.stderr.count("\n") <= 1) == (0, True)
    assert done.stderr.rstrip("\n").isprintable()
    assert world.check() == pid or not running
    assert alive(os.getpid())


def test_a_bare_pidfile_is_believed_for_a_while_and_its_process_never_signalled(
    world: World,
) -> None:
    child = world.begin(["sleep", "1000"])
    world.state.mkdir(parents=True)
    world.path("pid").write_text(f"{child.pid}\n")
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={child.pid}\n")
    assert world.told("starts") == []
    # Once the file is older than a start may take, it is not waited for: a minute must not pass
    # here, so the process is made old and the file with it.
    stamp = time.time() - 61
    os.utime(world.path("pid"), (stamp, stamp))
    done = world.ensure()
    assert done.returncode == 0
    world.check()
    assert child.poll() is None


@pytest.mark.usefixtures("configured")
def test_a_live_pid_in_the_pidfile_starts_nothing_that_was_stopped(world: World) -> None:
    world.up()
    world.write_config(start_timeout=0.01)
    assert llmenv(world, "stop").returncode == 0
    other = world.begin([PYTHON, "-c", "input()", f"{world.root}/"], stdin=subprocess.PIPE)
    world.path("pid").write_text(f"{other.pid}\n")
    wait_until(lambda: time.time() - world.path("pid").stat().st_mtime > 0.1)
    for argv in (world.hook_argv(), world.bare()):
        assert world.run(argv).returncode == 1
    assert len(world.told("starts")) == 1
    assert other.poll() is None
