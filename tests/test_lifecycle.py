"""The life cycle from birth to death: cases 1-40 of the research, each by the name of its number.

The exit statuses are DESIGN.md's (0, 1, 2, 75), not the research's.  Cases 2, 22 and 38 are in
test_ensure_alone.py; why there is none for 35, docs/reliability.md says.
"""

from __future__ import annotations

import _socket
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from daemons import (
    DEADLINE_S,
    ENSURE,
    PYTHON,
    World,
    alive,
    first,
    free_port,
    holders,
    kill,
    missing,
    need,
    need_root,
    start_time,
    wait_until,
)

from llmenv_hooks import ensure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


@pytest.fixture
def stranger(world: World) -> Iterator[int]:
    """A live process of ours that has nothing to do with the service."""
    child = world.begin(["sleep", "1000"])
    yield child.pid
    assert child.poll() is None, "a stranger was signalled"


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a command; return its status and what it said."""
    out, err = child.communicate(timeout=DEADLINE_S * 2)
    return child.returncode, out, err


def record(pid: int, start: str, service: ensure.Service, boot: str | None = None) -> bytes:
    """Return a record that says that *pid* is *service*'s daemon."""
    realm = ensure.realm()
    where = (boot or realm[0], realm[1], realm[2])
    return ensure.Identity(pid, start, where, os.getuid(), service.bind, service.digest).encode()


# --- concurrency and crash ---


def test_case_01_a_cold_start(world: World) -> None:
    done = world.ensure()
    pid = world.check()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stub spawned pid={pid}\n", "")
    listener = ensure.find_listener(world.service())
    assert listener is not None
    assert listener.pid == pid


def test_case_03_fifty_at_once_on_a_cold_state(world: World) -> None:
    callers = [world.begin(world.argv("--timeout", "60")) for _ in range(50)]
    ended = [finish(caller) for caller in callers]
    pid = world.check()
    assert {status for status, _, _ in ended} == {0}
    assert {err for _, _, err in ended} == {""}
    words = sorted(out for _, out, _ in ended)
    assert words == [f"stub already-running pid={pid}\n"] * 49 + [f"stub spawned pid={pid}\n"]


def test_case_04_all_wait_for_a_slow_daemon(world: World) -> None:
    callers = [world.begin(world.argv("--timeout", "60", modes=["gate"])) for _ in range(8)]
    wait_until(lambda: world.told("starts"))
    late = world.run(world.argv("--timeout", "0.2", modes=["gate"]))
    assert (late.returncode, late.stdout) == (75, "")
    assert "not up yet" in late.stderr
    assert [caller.poll() for caller in callers] == [None] * 8
    world.tell("go")
    assert [finish(caller)[::2] for caller in callers] == [(0, "")] * 8
    world.check()


CRASHES = [
    ("make_directory", "before", 1),
    ("_take_start_lock", "before", 1),
    ("_take_start_lock", "after", 1),
    ("_take_lifetime_lock", "before", 1),
    ("_take_lifetime_lock", "after", 1),
    ("pwrite", "before", 2),  # the blank record
    ("_spawn", "before", 1),
    ("_identity", "child-before", 1),
    ("pwrite", "child-after", 1),  # the record
    ("_spawn", "after", 1),
    ("probe", "after", 1),
    ("_publish", "before", 1),
    ("rename", "before", 1),
    ("rename", "after", 1),
    ("symlink", "after", 1),
    ("rename", "before", 2),
    ("rename", "after", 2),
    ("_release_start_lock", "before", 1),
    ("_release_start_lock", "after", 1),
]


@pytest.mark.parametrize(("function", "when", "nth"), CRASHES, ids=lambda value: str(value))
def test_case_05_killed(world: World, function: str, when: str, nth: int) -> None:
    killed = world.run(world.crash_argv(function, when, nth))
    assert killed.returncode == (1 if when.startswith("child") else -signal.SIGKILL), killed
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


def test_case_05_the_crash_points_are_reached_in_a_healthy_run(world: World) -> None:
    done = world.run(world.crash_argv("probe", "after", 1000))
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


SYSCALLS = ["mkdir:2", "flock:1", "flock:2", "pwrite64:1", "pwrite64:2", "clone:1", "connect:2"]
SYSCALLS += ["rename:1", "rename:2", "symlink:1", "unlink:1", "unlink:4"]


@pytest.mark.parametrize("call", SYSCALLS)
def test_case_05_killed_at_the_system_call(world: World, call: str) -> None:
    need("strace")
    name, _, nth = call.partition(":")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}"]
    killed = world.run([*inject, *world.argv()])
    assert killed.returncode == -signal.SIGKILL, killed
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    world.check()


@pytest.mark.parametrize("call", ["setsid:1", "chdir:1", "dup2:3"])
def test_case_05_child_killed_before_its_exec(world: World, call: str) -> None:
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
def test_case_06_a_storm_of_kills(world: World, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(3):
        callers = []
        for _ in range(6):
            function, when, nth = dice.choice(CRASHES)
            if when.startswith("child"):
                when = "before"
            callers.append(world.begin(world.crash_argv(function, when, nth)))
        for caller in callers:
            assert finish(caller)[0] in (0, -signal.SIGKILL)
    assert world.ensure().returncode == 0
    world.check()


def test_case_06_a_storm_of_kills_at_random_times(world: World) -> None:
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


def test_race_09_the_starter_is_killed_before_its_child_has_written_its_record(
    world: World,
) -> None:
    starter = world.begin(world.crash_argv("_identity", "child-before", number=signal.SIGSTOP))
    (child,) = wait_until(lambda: [pid for pid in holders(world.path("life")) if stopped(pid)])
    kill(starter.pid)
    late = world.ensure("--timeout", "0.3")
    assert (late.returncode, late.stdout, world.told("starts")) == (75, "", [])
    os.kill(child, signal.SIGCONT)
    assert world.ensure().returncode == 0
    assert world.check() == child


def test_case_07_a_lock_left_by_a_kill_beside_a_healthy_daemon_is_swept(world: World) -> None:
    world.run(world.crash_argv("_release_start_lock", "before"))
    assert world.path("pid.lock").exists()
    (pid,) = world.daemons()
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_case_08_the_holder_of_the_lock_is_suspended(world: World) -> None:
    holder = world.begin(world.crash_argv("_spawn", "before", number=signal.SIGSTOP))
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
OUTSIDE += [("make_directory", "after"), ("_take_start_lock", "before")]


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
    argv = world.crash_argv("_lock_holder", "after", number=signal.SIGSTOP, modes=["gate"])
    loser = world.begin(argv)
    wait_until(lambda: stopped(loser.pid))
    world.tell("go")
    assert finish(holder)[::2] == (0, "")
    pid = world.up("gate")
    loser.send_signal(signal.SIGCONT)
    assert finish(loser) == (0, f"stub already-running pid={pid}\n", "")
    assert world.check() == pid


LOCKS = [b"", b"garbage", b"99999999999", b"\xff\0\xfe", b"4194305", b"4194305 123\n", b"0", b"-1"]


@pytest.mark.parametrize("left", LOCKS, ids=repr)
def test_case_09_a_lock_file_that_nobody_holds_is_taken_over(world: World, left: bytes) -> None:
    world.state.mkdir(parents=True)
    world.path("pid.lock").write_bytes(left)
    assert world.ensure().returncode == 0
    world.check()


def test_case_09_the_seeds_lock_is_held_while_its_pid_lives(world: World, stranger: int) -> None:
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
def test_race_04_a_reused_pid_in_a_dead_lock(world: World, stranger: int, start: str) -> None:
    """The pid in our lock is a word for people: what holds it is the flock alone."""
    world.state.mkdir(parents=True)
    start = str(start_time(stranger)) if start == "its own" else start
    world.path("pid.lock").write_text(f"{stranger} {start}\n")
    assert world.ensure("--timeout", "5").returncode == 0
    world.check()


@pytest.mark.parametrize("_round", range(5))
def test_case_10_two_find_the_same_dead_lock(world: World, _round: int) -> None:
    world.state.mkdir(parents=True)
    world.path("pid.lock").write_text("4194305 123\n")
    callers = [world.begin(world.argv()) for _ in range(2)]
    assert [finish(caller)[::2] for caller in callers] == [(0, "")] * 2
    world.check()


# Takes the start lock a few times for each line it reads; fails when it is not alone in there.
CONTENDER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import ensure
files = ensure.Files(sys.argv[2])
inside = sys.argv[2] + ".inside"
for line in sys.stdin:
    for _ in range(5):
        while (lock := ensure._take_start_lock(files)) is None:
            pass
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        os.unlink(inside)
        ensure._release_start_lock(lock, files)
    print(flush=True)
"""


@pytest.mark.parametrize("left", ["4194305 123\n", "4194305"])
def test_case_10_two_hundred_times(world: World, left: str) -> None:
    """R1 to R3 of the research: nobody takes a dead lock away from who has just taken it over."""
    world.state.mkdir(parents=True)
    argv = [PYTHON, "-I", "-S", "-c", CONTENDER, str(ENSURE.parent), str(world.path("pid"))]
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


def test_case_11_the_state_directory_goes_while_the_daemon_runs(world: World) -> None:
    pid = world.up()
    shutil.rmtree(world.state)
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    assert (world.daemons(), world.pidfile()) == ([pid], pid)


def test_case_11_it_goes_while_a_starter_is_suspended_and_another_starts(world: World) -> None:
    starter = world.begin(world.crash_argv("_take_lifetime_lock", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    world.up()
    starter.send_signal(signal.SIGCONT)
    status, _, err = finish(starter)
    assert status in (0, 75), err
    assert world.ensure().returncode == 0
    world.check()


def test_case_11_it_goes_between_the_locks_and_the_spawn(world: World) -> None:
    starter = world.begin(world.crash_argv("_take_lifetime_lock", "after", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    starter.send_signal(signal.SIGCONT)
    assert finish(starter)[::2] == (0, "")
    world.check()


def test_case_11_it_goes_once_the_spawn_is_decided(world: World) -> None:
    starter = world.begin(world.crash_argv("_spawn", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(starter.pid))
    shutil.rmtree(world.state)
    starter.send_signal(signal.SIGCONT)
    finish(starter)
    assert world.ensure().returncode == 0
    assert (len(world.daemons()), world.told("bindfail")) == (1, [])
    assert world.pidfile() == world.daemons()[0]


def test_case_11_a_lock_on_a_file_that_was_replaced_is_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1 of the research: the last holder unlinks the file between our open and our flock."""
    world.state.mkdir(parents=True)
    flock = ensure._flock

    def late(fd: int, kind: int) -> bool:
        world.path("pid.lock").unlink()
        world.path("pid.lock").touch()
        return flock(fd, kind)

    monkeypatch.setattr(ensure, "_flock", late)
    assert ensure._take_start_lock(world.files) is None


def test_case_12_a_strangers_file_at_the_locks_path_is_left_alone(world: World) -> None:
    holder = world.begin(world.crash_argv("_release_start_lock", "before", number=signal.SIGSTOP))
    wait_until(lambda: stopped(holder.pid))
    world.path("pid.lock").rename(world.root / "moved")
    world.path("pid.lock").write_text("a stranger's")
    holder.send_signal(signal.SIGCONT)
    assert finish(holder)[0] == 0
    assert world.path("pid.lock").read_text() == "a stranger's"


def test_case_13_the_old_one_is_still_going_down(world: World) -> None:
    pid = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    caller = world.begin(world.argv(modes=["shut"]))
    wait_until(lambda: world.path("pid.lock").exists())
    assert (caller.poll(), world.daemons()) == (None, [pid])
    (world.oracle / "shut").unlink()
    kill(pid)
    assert finish(caller)[::2] == (0, "")
    world.check(starts=2)


def test_a_clock_of_the_containers_own_keeps_no_hung_daemon(world: World) -> None:
    """lxcfs(1) puts its own file over /proc/uptime, and the times of processes are the host's."""
    pid = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    (world.root / "uptime").write_text("9.00 9.00\n")
    script = f'mount --bind {world.root}/uptime /proc/uptime && exec "$@"'
    world.write_config("shut", start_timeout=0.1)
    done = world.run([*world.unshare("-m"), "sh", "-c", script, "sh", *world.bare()])
    assert f"pid {pid}" not in done.stderr
    assert not alive(pid)


def test_the_background_run_closes_what_is_open_and_no_more() -> None:
    """A limit of a thousand million descriptors, as in some containers, is not gone through."""
    code = (
        f"import sys; sys.path.insert(0, {str(ENSURE.parent)!r}); import ensure, os;"
        " os.closerange = None; os.dup2(1, 70); ensure.detach(); os.fstat(70)"
    )
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    code = code.replace("os.fstat(70)", "os._exit(len([fd for fd in os.listdir('/dev/fd')]))")
    assert subprocess.run([PYTHON, "-c", code]).returncode == 4  # 0, 1, 2 and the listing's own


def test_case_13_the_lifetime_lock_of_an_earlier_daemon_is_respected(world: World) -> None:
    world.up()
    with pytest.raises(ensure.NotYet, match="going down"):
        ensure._take_lifetime_lock(world.files)
    world.check()


def test_case_14_two_services_do_not_block_each_other(world: World, tmp_path: Path) -> None:
    slow = world.begin(world.argv("--timeout", "60", modes=["gate"]))
    wait_until(lambda: world.told("starts"))
    with World(tmp_path / "other") as other:
        other.env = world.env
        done = other.run(
            [word.replace("stub", "other") if word == "stub" else word for word in other.argv()]
        )
        assert (done.returncode, slow.poll()) == (0, None)
    world.tell("go")
    assert finish(slow)[0] == 0


# --- liveness and identity ---

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


def test_case_15_an_unreaped_daemon_is_dead(world: World) -> None:
    done = world.run([PYTHON, "-c", NEGLIGENT, str(world.path("pid")), *world.argv()])
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "then Z"
    assert done.stdout.count("spawned") == 2
    world.check(starts=2)


def unshare(world: World, *options: str) -> list[str]:
    """Return the words that run a command in new namespaces, with loopback up."""
    prefix = world.unshare("-f", *options)
    loopback = (
        "import fcntl, socket, struct;"
        "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 0x41))"
    )
    return [*prefix, *(first(loopback, []) if "-n" in options else [])]


def test_case_16_pid_1_never_reaps(world: World) -> None:
    prefix = unshare(world, "-p", "--mount-proc")
    done = world.run([*prefix, PYTHON, "-c", NEGLIGENT, str(world.path("pid")), *world.argv()])
    assert done.returncode == 0, done
    assert (done.stdout.count("spawned"), world.told("bindfail")) == (2, [])


def test_case_17_a_reused_pid(world: World, stranger: int) -> None:
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
def test_case_17_a_pid_that_is_really_reused(world: World, left: str) -> None:
    prefix = unshare(world, "-p", "--mount-proc")
    done = world.run([*prefix, PYTHON, "-c", REUSE, str(world.state), left, *world.argv()])
    if done.stderr == "not allowed\n":
        missing("ns_last_pid cannot be written here")
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout.count("spawned"), world.told("bindfail")) == (2, [])


def test_case_18_a_record_of_another_boot(world: World, stranger: int) -> None:
    world.state.mkdir(parents=True)
    start = start_time(stranger) or ""
    world.path("life").write_bytes(record(stranger, start, world.service(), boot="before"))
    assert world.ensure().stdout.startswith("stub spawned")
    world.check()


def test_case_19_a_start_time_off_by_one(world: World, stranger: int) -> None:
    start = int(start_time(stranger) or 0)
    for off, expected in ((-1, False), (0, True), (1, False)):
        identity = ensure.Identity.decode(record(stranger, str(start + off), world.service()))
        assert identity is not None
        assert identity.lives() is expected


def test_case_20_a_name_with_parentheses(world: World) -> None:
    rename = "open('/proc/self/comm', 'w').write('a) b (c')"
    child = world.begin([PYTHON, "-c", f"{rename}; print(flush=True); input()"], stdin=-1)
    assert child.stdout is not None
    child.stdout.readline()
    assert ensure._start_time(child.pid) == start_time(child.pid)
    assert ensure.is_alive(child.pid) is True
    assert ensure._processes()[child.pid] == os.getpid()


def torn() -> list[bytes]:
    whole = record(os.getpid(), "1", ensure.Service())
    return [b"", whole[:100], whole[:-1], whole.replace(b" . ", b"   "), whole * 2, b"\0" * 256]


@pytest.mark.parametrize("raw", [*torn(), b"x" * (1 << 20), os.urandom(256)], ids=range(8))
@pytest.mark.parametrize("running", [True, False])
def test_case_21_a_torn_record(world: World, raw: bytes, running: bool) -> None:
    pid = world.up() if running else None
    world.state.mkdir(parents=True, exist_ok=True)
    with open(world.path("life"), "w+b") as file:
        file.write(raw)
    assert ensure.Identity.decode(raw) is None
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    assert world.check() == pid or not running


def test_case_23_a_deleted_pidfile_is_published_again(world: World) -> None:
    pid = world.up()
    for suffix in ("pid", "alive"):
        world.path(suffix).unlink()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()


def test_case_24_a_pidfile_that_names_a_stranger_is_corrected(world: World, stranger: int) -> None:
    pid = world.up()
    world.path("pid").write_text(f"{stranger}\n")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()


@pytest.mark.parametrize("mode", ["wrap", "fork"])
def test_case_25_the_worker_outlives_its_leader(world: World, mode: str) -> None:
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


def test_case_26_what_hangs_past_its_time_is_ended_and_replaced(
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


def test_case_26_the_worker_dies_and_its_wrapper_lingers(world: World) -> None:
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


def test_race_40_an_orphan_keeps_the_lifetime_lock(world: World) -> None:
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


def test_case_27_a_daemon_that_closes_all_descriptors(world: World) -> None:
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


def test_case_28_a_suspended_daemon_is_not_started_twice(world: World) -> None:
    pid = world.up()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid))
    assert world.ensure().returncode == 0
    os.kill(pid, signal.SIGCONT)
    world.check()


def published(world: World) -> list[object]:
    """Return all that is written about the service."""
    return [
        world.path("pid").read_text(),
        world.path("life").read_bytes(),
        os.readlink(world.path("alive")),
    ]


def test_case_29_another_pid_namespace_on_the_same_net(world: World) -> None:
    prefix = unshare(world, "-p", "--mount-proc")
    world.up()
    before = published(world)
    done = world.run([*prefix, *world.argv()])
    assert (done.returncode, done.stdout, done.stderr) == (0, "stub already-running pid=-\n", "")
    assert published(world) == before
    world.check()


def test_case_30_another_pid_and_net_namespace(world: World) -> None:
    prefix = unshare(world, "-pn", "--mount-proc", "-n")
    world.up()
    before = published(world)
    # Both in one shell, since the namespace ends with its first process.
    twice = ["sh", "-c", '"$@" && "$@"', "sh", *world.argv()]
    done = world.run([*prefix, shutil.which("sh") or "sh", *twice[1:]])
    assert (done.returncode, done.stderr) == (0, ""), done
    spawned, again = done.stdout.splitlines()
    assert spawned.startswith("stub spawned pid=")
    assert again == spawned.replace("spawned", "already-running")
    assert published(world) == before
    assert (world.state / f"stub@{ensure.hostname()}.pid").exists()
    assert not world.told("bindfail")
    assert world.ensure().returncode == 0
    assert published(world) == before


HOLD = (
    "import fcntl, sys; fcntl.flock(f := open(sys.argv[1], 'w'), 2); print(1, flush=True); input()"
)


@pytest.fixture
def another_host(world: World, stranger: int) -> list[object]:
    """All that another host, whose daemon lives, has written here; its pid is a stranger's."""
    world.state.mkdir(parents=True, mode=0o700)
    prefix = unshare(world, "-p", "--mount-proc")
    argv = [*prefix, PYTHON, "-I", "-S", "-c", HOLD, str(world.path("life"))]
    holder = world.begin(argv, stdin=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == "1\n"
    start = start_time(stranger) or ""
    world.path("life").write_bytes(record(stranger, start, world.service(), boot="theirs"))
    world.path("pid").write_text(f"{stranger}\n")
    world.path("alive").symlink_to(f"/proc/{stranger}/fd/3")
    return published(world)


def test_two_hosts_share_a_home(world: World, another_host: list[object]) -> None:
    done = world.ensure()
    (pid,) = world.daemons()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stub spawned pid={pid}\n", "")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert (world.state / f"stub@{ensure.hostname()}.pid").read_text() == f"{pid}\n"
    assert ensure.inspect(world.service(), str(world.state)).pid == pid
    assert ensure.stop(world.service(), str(world.state)) is True
    assert world.daemons() == []
    assert published(world) == another_host
    assert ensure.inspect(world.service(), str(world.state)).state == "stopped"
    (world.state / "stub.log").write_text("theirs\n")
    world.write_config()
    logs = world.run([PYTHON, "-m", "llmenv_hooks", "logs", "stub"])
    assert logs.stdout == (world.state / f"stub@{ensure.hostname()}.log").read_text()


def test_an_old_record_put_back_beside_two_hosts(
    world: World, stranger: int, another_host: list[object]
) -> None:
    """Of ours in their file, and of another boot in ours: it is the locks that tell."""
    pid = world.up()
    ours = world.state / f"stub@{ensure.hostname()}.life"
    ours.write_bytes(record(stranger, "1", world.service(), boot="before"))
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert ensure.stop(world.service(), str(world.state)) is True
    assert published(world) == another_host
    world.path("life").write_bytes(record(stranger, "1", world.service()))
    before = published(world)
    ours.unlink()
    assert ensure.stop(world.service(), str(world.state)) is False
    assert ensure.ensure(world.service(), str(world.state), revive=True).outcome == "spawned"
    assert published(world) == before
    assert len(world.daemons()) == 1


def test_two_hosts_and_a_stranger_on_the_port(world: World, another_host: list[object]) -> None:
    """What answers here is not what another host's record tells of."""
    with socket.create_server(("127.0.0.1", world.port)):
        done = world.ensure()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"pid {os.getpid()}" in done.stderr
    assert published(world) == another_host
    assert world.ensure().returncode == 0
    assert published(world) == another_host


def test_two_hosts_whose_file_locks_do_not_agree(world: World, stranger: int) -> None:
    """R19 of the research: another host has taken our daemon's lock, and put its record there."""
    pid = world.up()
    theirs = record(stranger, start_time(stranger) or "", world.service(), boot="theirs")
    world.path("life").write_bytes(theirs)
    for _ in range(2):
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert (world.daemons(), world.path("life").read_bytes()) == ([pid], theirs)


@pytest.mark.parametrize("realm", ["ours", "another"])
def test_a_stranger_on_the_port_beside_a_destroyed_record_is_never_published(
    world: World, realm: str
) -> None:
    """Somebody holds the lifetime lock, nothing says who, and somebody else answers."""
    world.state.mkdir(parents=True, mode=0o700)
    prefix = [] if realm == "ours" else unshare(world, "-p", "--mount-proc")
    argv = [*prefix, PYTHON, "-I", "-S", "-c", HOLD, str(world.path("life"))]
    holder = world.begin(argv, stdin=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == "1\n"
    with socket.create_server(("127.0.0.1", world.port)):
        done = world.ensure()
    assert done.returncode == 1
    assert str(os.getpid()) in done.stderr
    assert world.pidfile() is None
    assert holder.poll() is None


def test_case_31_a_daemon_that_was_started_by_hand_is_adopted(world: World) -> None:
    child = world.begin(world.stub())
    wait_until(lambda: world.told("listening"))
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={child.pid}\n")
    assert (world.pidfile(), world.told("starts")) == (child.pid, [child.pid])


def test_case_32_only_the_daemon_holds_the_lifetime_lock(world: World) -> None:
    pid = world.up()
    assert holders(world.path("life")) == [pid]
    assert holders(world.path("log")) == [pid]
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(world.path("log"))}


# --- readiness and port ---


def test_case_33_a_stranger_on_the_port_is_named(world: World) -> None:
    host = world.bind.rpartition(":")[0]
    server = [PYTHON, "-m", "http.server", str(world.port), "--bind", host]
    child = world.begin(
        server, cwd=world.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: ensure.probe(host, world.port))
    for _ in range(2):
        done = world.ensure()
        assert (done.returncode, done.stdout) == (1, "")
        assert f"pid {child.pid}" in done.stderr
        assert "http.server" in done.stderr
    assert (world.told("starts"), world.pidfile()) == ([], None)
    assert child.poll() is None
    child.kill()
    child.wait()
    assert world.ensure().returncode == 0
    world.check()


def test_case_33_a_listener_of_another_user_is_never_accepted(world: World) -> None:
    need_root()
    listen = f"s = socket.create_server(('127.0.0.1', {world.port}))"
    serve = f"import os, socket, time; os.setuid(65534); {listen}; time.sleep(1000)"
    child = world.begin([PYTHON, "-c", serve])
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    done = world.ensure()
    assert (done.returncode, done.stdout, world.told("starts")) == (1, "", [])
    assert f"pid {child.pid} of user nobody" in done.stderr


def test_case_34_a_self_connect_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    connected: list[bool] = []

    class Bound(_socket.socket):
        """A socket that the kernel happens to give the very port it connects to."""

        def connect(self, address: object) -> None:
            self.bind(("127.0.0.1", port))
            super().connect(("127.0.0.1", port))
            connected.append(self.getpeername() == self.getsockname())

    parts = {**vars(_socket), "socket": Bound}
    monkeypatch.setattr(ensure, "_socket", SimpleNamespace(**parts))
    assert ensure.probe("127.0.0.1", port) is False
    assert connected == [True]
    with socket.socket() as daemon:  # and nothing of it stays in the daemon's way
        daemon.bind(("127.0.0.1", port))


def test_case_36_a_daemon_that_never_listens(world: World) -> None:
    world.write_config("mute", start_timeout=0.5)
    for _ in range(2):
        done = world.run(world.bare("--timeout", "0.1"))
        assert (done.returncode, done.stdout) == (75, "")
    assert len(world.daemons()) == 1
    done = world.run(world.hook_argv())
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert (done.returncode, failure.count) == (1, 1)
    assert f"did not listen on {world.bind}" in failure.message
    assert (world.daemons(), len(world.told("starts"))) == ([], 1)


def test_case_36_its_starter_ends_it_too(world: World) -> None:
    world.write_config("mute", start_timeout=0.3)
    done = world.run(world.bare())
    assert done.returncode == 1
    assert f"did not listen on {world.bind} within" in done.stderr
    assert (world.daemons(), len(world.told("starts"))) == ([], 1)


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("0.0.0.0:80", "http://127.0.0.1:80/mcp"),
        ("[::]:80", "http://[::1]:80/mcp"),
        ("[::1]:80", "http://[::1]:80/mcp"),
        ("10.1.2.3:80", "http://10.1.2.3:80/mcp"),
    ],
)
def test_case_37_where_an_address_is_reached(bind: str, url: str) -> None:
    service = ensure.Service(bind=bind)
    assert service.bind == bind
    assert ensure.Config([service], None, "").url(service) == url


@pytest.mark.parametrize("host", ["[::1]", "0.0.0.0", "[::]"])
def test_case_37_other_addresses(tmp_path: Path, host: str) -> None:
    probed = {"0.0.0.0": "127.0.0.1"}.get(host, "::1")
    try:
        port = free_port(probed)
    except OSError:
        missing(f"no {probed} here")
    with World(tmp_path, f"{host}:{port}") as world:
        assert world.ensure().returncode == 0
        (pid,) = world.daemons()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()
        shutil.rmtree(world.state)
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"


def test_case_39_another_bind_ends_the_old_daemon(world: World) -> None:
    old = world.up()
    world.bind = f"127.0.0.1:{free_port()}"
    new = world.up()
    assert (alive(old), alive(new)) == (False, True)
    world.check(starts=2)


def test_case_40_a_full_backlog(world: World) -> None:
    pid = world.up()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid))
    callers = [socket.socket() for _ in range(200)]
    try:
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", world.port))
        wait_until(lambda: not ensure.probe("127.0.0.1", world.port))
        late = world.ensure("--timeout", "0.3")
        assert late.returncode == 75
        assert f"pid {pid} is still starting" in late.stderr
    finally:
        for caller in callers:
            caller.close()
        os.kill(pid, signal.SIGCONT)
    assert world.ensure().returncode == 0
    world.check()
