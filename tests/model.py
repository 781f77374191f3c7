"""Random lives of one service, and what must hold after every step (hypothesis, stateful).

Each step is done to real processes and real files: `llmenv-ensure` runs through `RUN`, which lets
its clock and its boot id be others, kills it on demand, and notes whom it sends signals to.
`make chaos` does 2,000 steps, the test suite fewer.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import ENSURE, World, alive, kill, processes_with, wait_until
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

if TYPE_CHECKING:
    import random

RUN = """
import os, sys, time, types
sys.path.insert(0, sys.argv[1])
import ensure
oracle, ahead, boot, crash, *argv = sys.argv[2:]

ensure.time = types.SimpleNamespace(
    time=lambda: time.time() + float(ahead), monotonic=time.monotonic, sleep=time.sleep)
real_realm, real_send = ensure.realm, ensure._send
ensure.realm = lambda: (boot, *real_realm()[1:])

def send(pid, start, number):
    with open(f"{oracle}/signalled", "a") as file:
        file.write(f"{pid}\\n")
    real_send(pid, start, number)

ensure._send = send
if crash:
    where, when, name = crash.split()
    owner, parent = ensure if hasattr(ensure, name) else os, os.getpid()
    real = getattr(owner, name)
    def wrapped(*args, **options):
        here = (os.getpid() == parent) == (where == "parent")
        if here and when == "before":
            os.kill(os.getpid(), 9)
        done = real(*args, **options)
        if here and when == "after":
            os.kill(os.getpid(), 9)
        return done
    setattr(owner, name, wrapped)
if argv[0] == "stop":
    service = ensure.load_config().services[0]
    try:
        print("stopped" if ensure.stop(service, ensure.state_dir()) else "was not running")
    except ensure.Problem as problem:
        sys.exit(str(problem))
elif argv[0] == "start":
    service = ensure.load_config().services[0]
    try:
        print(ensure.ensure(service, ensure.state_dir(), timeout=5, revive=True).outcome)
    except ensure.Problem as problem:
        sys.exit(str(problem))
else:
    sys.exit(ensure.main(argv))
"""

# Holds the lifetime lock from another pid namespace, as a container would.
OTHER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
OTHER_REALM = """
import fcntl, os, sys, time
sys.path.insert(0, sys.argv[1])
import ensure
fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
service = ensure.Service()
os.pwrite(fd, ensure.Identity(1, "1", ensure.realm(), os.getuid(), service.bind, "-").encode(), 0)
print("held", flush=True)
while True:
    time.sleep(60)
"""

NAMESPACES = subprocess.run([*OTHER_NAMESPACE, "true"], capture_output=True).returncode == 0
FILES = ("pid", "pid.lock", "life", "alive", "fail", "log", "log.1", "pid.tmp")
CONTENTS = {
    "empty": b"",
    "garbage": b"garbage\n",
    "zeros": b"\0" * 300,
    "no such pid": b"999999999\n",
    "negative": b"-1\n",
    "a megabyte": b"9" * 1_000_000,
    "torn": b"v1 1 ",
}
CRASHES = tuple(
    f"{where} {when} {name}"
    for when in ("before", "after")
    for where, name in (
        ("parent", "_take_start_lock"),
        ("parent", "_take_lifetime_lock"),
        ("parent", "_spawn"),
        ("parent", "find_listener"),
        ("parent", "write_pidfile_atomic"),
        ("parent", "rename"),
        ("parent", "_link"),
        ("parent", "_release_start_lock"),
        ("parent", "unlink"),
        ("child", "pwrite"),
    )
)


class Life(RuleBasedStateMachine):
    """The steps, what is known to be so, and the invariants."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="llmenv-model-"))
        self.world = World(self.root / "w")
        self.world.write_config()
        self.boot = "boot-0"
        self.ahead = 0.0
        self.stopped = False
        self.stopped_beside = False  # in this realm's own files, beside another's: until it starts
        self.squatter: socket.socket | None = None
        self.strangers: list[subprocess.Popen[str]] = []
        self.others: list[subprocess.Popen[str]] = []
        self.copies: dict[str, bytes] = {}

    def teardown(self) -> None:
        """Take away what was put in the way: then it comes up, whatever went before."""
        try:
            self.leave_the_port()
            self.release_the_other_realm()
            for stranger in self.strangers:
                assert stranger.poll() is None, "a stranger was killed"
                stranger.kill()
                stranger.wait()
            done = self.run("start")
            assert done.returncode == 0, done.stderr
            self.names_the_daemon(done)
        finally:
            self.world.__exit__(None, None, None)
            shutil.rmtree(self.root, ignore_errors=True)

    # --- helpers ---

    def argv(self, *words: str, crash: str = "") -> list[str]:
        run = [sys.executable, "-I", "-S", "-c", RUN, str(ENSURE.parent), str(self.world.oracle)]
        return [*run, str(self.ahead), self.boot, crash, *words]

    def run(self, *words: str, crash: str = "") -> subprocess.CompletedProcess[str]:
        done = self.world.run(self.argv(*words, crash=crash))
        assert "Traceback" not in done.stderr, done
        self.settle()
        return done

    def settle(self) -> None:
        """Wait for what a killed caller has left on its way: the next step is to know of it."""
        marker = str(self.world.oracle)
        wait_until(lambda: set(processes_with(marker)) <= set(self.world.told("listening")))

    def names_the_daemon(self, done: subprocess.CompletedProcess[str]) -> None:
        pids = self.world.daemons()
        assert len(pids) == 1, (done.stdout, done.stderr, os.listdir(self.world.state))
        files = sorted(self.world.state.glob("stub*.pid"))
        written = {file.name: file.read_text()[:20] for file in files}
        assert f"{pids[0]}\n" in written.values(), (pids, written, done.stdout, done.stderr)

    @property
    def may_fail(self) -> bool:
        """True when it was stopped on purpose, or cannot have its port."""
        beside = self.stopped_beside and bool(self.others)
        return self.stopped or beside or self.squatter is not None

    def judge(self, done: subprocess.CompletedProcess[str]) -> None:
        """Say whether the outcome of one `llmenv-ensure` is right for what is known."""
        running = self.world.daemons()
        if done.returncode == 0:
            pid = done.stdout.strip().rpartition("=")[2]
            if pid in [str(stranger.pid) for stranger in self.strangers]:
                return  # the seed's third row: a live pid in a young pidfile is believed
            if self.others and self.squatter:
                return  # another realm holds the lock, and something answers: it is believed
            self.names_the_daemon(done)
            return
        assert done.returncode in (1, 75), done
        assert done.stderr.count("\n") == 1, done
        assert self.may_fail, done.stderr
        assert not running or self.stopped, done

    # --- what people and programs do ---

    @rule()
    def ensure(self) -> None:
        self.judge(self.run("--timeout", "5"))

    @rule(count=st.integers(2, 6))
    def several_at_once(self, count: int) -> None:
        begun = [self.world.begin(self.argv("--timeout", "5")) for _ in range(count)]
        for one in begun:
            out, err = one.communicate(timeout=30)
            assert "Traceback" not in err, err
            assert one.returncode == 0 or self.may_fail, (out, err)
        self.settle()

    @rule()
    def start(self) -> None:
        done = self.run("start")
        assert done.returncode == 0 or self.squatter, done
        if done.returncode == 0 and not self.others:
            # Beside another realm it has files of its own, and the mark in the others stays.
            self.stopped = False

    @rule()
    def stop(self) -> None:
        done = self.run("stop")
        if done.returncode == 0:
            self.stopped = True
            self.stopped_beside = self.stopped_beside or bool(self.others)
            assert self.world.daemons() == []
        else:
            # Its files were taken away: it is adopted, and a person's to stop.
            assert "was not started by llmenv" in done.stderr, done

    @rule(crash=st.sampled_from(CRASHES))
    def kill_a_caller(self, crash: str) -> None:
        self.run("--timeout", "5", crash=crash)

    @rule()
    def kill_the_daemon(self) -> None:
        for pid in self.world.daemons():
            kill(pid)
        wait_until(lambda: not self.world.daemons())

    # --- what happens to the files ---

    @rule(suffix=st.sampled_from(FILES))
    def delete(self, suffix: str) -> None:
        self.world.path(suffix).unlink(missing_ok=True)
        if suffix == "alive":
            self.stopped = False

    @rule(suffix=st.sampled_from(FILES), content=st.sampled_from(sorted(CONTENTS)))
    def corrupt(self, suffix: str, content: str) -> None:
        self.put(suffix, CONTENTS[content])

    @rule(suffix=st.sampled_from(FILES))
    def remember(self, suffix: str) -> None:
        path = self.world.path(suffix)
        if path.is_file() and not path.is_symlink():
            self.copies[suffix] = path.read_bytes()

    @precondition(lambda self: self.copies)
    @rule(choose=st.randoms(use_true_random=False))
    def restore_an_old_copy(self, choose: random.Random) -> None:
        suffix = choose.choice(sorted(self.copies))
        self.put(suffix, self.copies[suffix])

    def put(self, suffix: str, content: bytes) -> None:
        path = self.world.path(suffix)
        if suffix == "alive":
            path.unlink(missing_ok=True)
            self.stopped = False
        if path.parent.exists() and not path.is_symlink():
            path.write_bytes(content)
            path.chmod(0o600)

    @precondition(lambda self: self.world.state.exists())
    @rule()
    def write_a_strangers_pid(self) -> None:
        stranger = self.world.begin([sys.executable, "-I", "-S", "-c", "input()"], stdin=-1)
        self.strangers.append(stranger)
        self.put("pid", b"%d\n" % stranger.pid)

    # --- what happens around it ---

    @precondition(lambda self: not self.squatter and not self.world.daemons())
    @rule()
    def take_the_port(self) -> None:
        # It accepts none of the probes: they all wait in its queue.
        self.squatter = socket.create_server(("127.0.0.1", self.world.port), backlog=4096)

    @precondition(lambda self: self.squatter)
    @rule()
    def leave_the_port(self) -> None:
        if self.squatter:
            self.squatter.close()
        self.squatter = None

    @rule(seconds=st.sampled_from([-86_400.0, -61.0, -1.0, 1.0, 61.0, 86_400.0]))
    def move_the_clock(self, seconds: float) -> None:
        self.ahead += seconds

    @rule()
    def reboot(self) -> None:
        self.kill_the_daemon()
        self.boot = f"boot-{int(self.boot[5:]) + 1}"

    @precondition(lambda self: NAMESPACES and self.world.state.exists() and not self.others)
    @rule()
    def another_realm_takes_the_lock(self) -> None:
        self.kill_the_daemon()
        life = str(self.world.path("life"))
        argv = [sys.executable, "-I", "-S", "-c", OTHER_REALM, str(ENSURE.parent), life]
        other = self.world.begin([*OTHER_NAMESPACE, *argv])
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        self.others.append(other)

    @precondition(lambda self: self.others)
    @rule()
    def release_the_other_realm(self) -> None:
        for other in self.others:
            assert other.poll() is None, "another realm's daemon was killed"
            other.kill()
            other.wait()
        wait_until(lambda: not processes_with(str(self.world.path("life"))))
        self.others = []

    # --- what always holds ---

    @invariant()
    def at_most_one_daemon(self) -> None:
        Life.steps += 1
        assert len(self.world.daemons()) <= 1
        assert not self.world.told("bindfail")

    @invariant()
    def what_took_the_port_is_never_published(self) -> None:
        published = (file.read_bytes() for file in self.world.state.glob("stub*.pid"))
        assert b"%d\n" % os.getpid() not in published

    @invariant()
    def signals_only_to_ours(self) -> None:
        assert set(self.world.told("signalled")) <= set(self.world.told("starts"))
        assert all(alive(stranger.pid) for stranger in self.strangers)


def live(examples: int, steps: int) -> int:
    """Run that many random lives of up to that many steps; return how many steps were made.

    Raises:
        AssertionError: an invariant does not hold; the notes say by which steps it came to that.
    """
    Life.steps = 0
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Life.steps
