"""Random lives of one service, and what must hold after every step (hypothesis, stateful).

Each step is done to real processes and real files: `llmenv-ensure` runs through `RUN`, which lets
its clock and its boot id be others, kills it on demand, and notes whom it sends signals to.
`make chaos` does 2,000 steps, the test suite fewer.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TypeVar

from daemons import (
    PYTHON,
    World,
    alive,
    free_port,
    kill,
    processes_with,
    start_time,
    wait_until,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from packed import ENSURE, ensure
from programs import LISTEN, OTHER_NAMESPACE, OTHER_REALM, RUN

T = TypeVar("T")


def works(*argv: str) -> bool:
    """True when the command line *argv* can be run, and says yes."""
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


NAMESPACES = works(*OTHER_NAMESPACE, "true")
# Of IPv6 the address of the loopback may be missing.
HOSTS = {"127.0.0.1": ("0.0.0.0", "127.0.0.2"), "::1": ("::", "127.0.0.1", "0.0.0.0")}
if not works(PYTHON, "-c", "import socket; socket.socket(10).bind(('::1', 0))"):
    del HOSTS["::1"]

BESIDE = f"stub@{ensure.hostname()}"
KINDS = "pid pid.lock life alive output fail log log.1 pid.tmp alive.tmp".split()
FILES = tuple(f"{stem}.{kind}" for stem in ("stub", BESIDE) for kind in (*KINDS, "fail.tmp"))
FILES += ("config.toml.fail", "config.parsed")
CONTENTS = {
    "empty": b"",
    "garbage": b"garbage\n",
    "zeros": b"\0" * 300,
    "no such pid": b"999999999\n",
    "negative": b"-1\n",
    "a megabyte": b"9" * 1_000_000,
    "torn": b"v1 1 ",
}
# How the daemon comes up; at the gate it waits while that is closed.
MODES = (
    ("gate",),
    ("uvx", "gate"),
    ("fork", "gate"),
    ("close-fds", "gate"),
    ("close-fds", "fork"),  # as `ssh -f`: until it has bound, nothing tells of it
)
CRASHES = tuple(
    f"{where} {when} {name}"
    for when in ("before", "after")
    for where, name in (
        ("parent", "take_start_lock"),
        ("parent", "take_lifetime_lock"),
        ("parent", "spawn"),
        ("parent", "find_listener"),
        ("parent", "write_pidfile_atomic"),
        ("parent", "rename"),
        ("parent", "make_link"),
        ("parent", "release_start_lock"),
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
        self.program = self.root / "run.py"
        self.program.write_text(RUN)
        self.begun = False
        self.boot = "boot-0"
        self.ahead = 0.0
        self.stopped: set[str] = set()  # the stems that may bear the mark of `stop`
        self.tampered: set[str] = set()  # the pidfiles that we wrote since they were published
        self.robbed: list[int] = []  # who had to find the port taken
        self.taker: socket.socket | subprocess.Popen[str] | None = None
        self.strangers: list[subprocess.Popen[str]] = []
        self.neighbour = False  # one of them listens on the same port of another address
        self.others: list[subprocess.Popen[str]] = []
        self.copies: dict[str, bytes] = {}

    @initialize(host=st.sampled_from(sorted(HOSTS)), modes=st.sampled_from(MODES))
    def begin(self, host: str, modes: tuple[str, ...]) -> None:
        self.host, self.modes = host, modes
        port = free_port(host)
        self.world = World(self.root / "w", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self.world.write_config(*modes)
        self.world.tell("go")

    def teardown(self) -> None:
        """Take away what was put in the way: then it comes up, whatever went before."""
        if not hasattr(self, "world"):
            return
        try:
            self.world.tell("go")
            self.leave_the_port()
            self.release_the_other_realm()
            for stranger in self.strangers:
                assert stranger.poll() is None, "a stranger was killed"
                stranger.kill()
                stranger.wait()
            self.settle()
            done = self.run("start")
            assert done.returncode == 0, done.stderr
            self.names_the_daemon(done)
        finally:
            self.world.__exit__(None, None, None)
            shutil.rmtree(self.root, ignore_errors=True)

    # --- what is so ---

    @property
    def closed(self) -> bool:
        """True while a daemon that starts has to wait at the gate."""
        return not (self.world.oracle / "go").exists()

    @property
    def serving(self) -> list[int]:
        """The daemons that live and have bound the port."""
        return [pid for pid in self.world.told("listening") if alive(pid)]

    @property
    def families(self) -> list[int]:
        """The processes of ours that live, each with its worker counted as one."""
        ours = self.world.daemons()
        return [pid for pid in ours if parent(pid) not in ours]

    @property
    def starting(self) -> bool:
        return bool(self.families) and not self.serving

    @property
    def stem(self) -> str:
        """The name of the files that are this realm's now."""
        life = self.world.path("life")
        if self.others and inode(life) == self.their_lock:
            return BESIDE
        if (
            locked(life)
            and (record := ensure.read_record(str(life)))
            and record.realm[0] != self.boot
        ):
            return BESIDE
        life = self.world.state / f"{BESIDE}.life"
        record = ensure.read_record(str(life))
        lives = record and record.realm[0] == self.boot and start_time(record.pid) == record.start
        return BESIDE if locked(life) or lives else "stub"

    @property
    def taken_by(self) -> int | None:
        if isinstance(self.taker, subprocess.Popen):
            return self.taker.pid
        return os.getpid() if self.taker else None

    def written(self, name: str) -> str:
        """Return the start of the state file *name*, or nothing."""
        try:
            return (self.world.state / name).read_text(errors="replace")[:40]
        except FileNotFoundError:
            return ""

    def names_the_daemon(self, done: subprocess.CompletedProcess[str]) -> None:
        """Assert that it runs, and that the pidfile of this realm, which was said, names it."""
        (pid,) = self.serving
        assert self.written(f"{self.stem}.pid") == f"{pid}\n", (pid, self.stem, done)
        self.tampered.discard(f"{self.stem}.pid")

    # --- how it is run ---

    def argv(self, *words: str, crash: str = "") -> list[str]:
        run = [PYTHON, "-I", "-S", str(self.program), str(ENSURE), str(self.world.oracle)]
        return [*run, str(self.ahead), self.boot, self.patience(), crash, *words]

    def patience(self) -> str:
        return "0.3" if self.closed else "5"

    def run(self, *words: str, crash: str = "") -> subprocess.CompletedProcess[str]:
        done = self.world.run(self.argv(*words, crash=crash))
        assert "Traceback" not in done.stderr, done
        self.settle()
        return done

    def settle(self) -> None:
        """Wait for what a killed caller has left on its way: the next step is to know of it."""
        wait_until(self.settled)

    def settled(self) -> bool:
        """True when all of ours that live have bound, or wait: at the gate, or for a worker."""
        ours = processes_with(str(self.world.oracle))
        arrived = {
            *self.world.told("listening"),
            *(self.world.told("waiting") if self.closed else ()),
        }
        return {pid for pid in ours if pid not in arrived} <= {
            parent(pid) for pid in arrived if alive(pid)
        }

    def judge(self, done: subprocess.CompletedProcess[str]) -> None:
        """Say whether the outcome of one `llmenv-ensure` is right for what is known."""
        if done.returncode == 0:
            said = done.stdout.strip().rpartition("=")[2]
            if said in [str(stranger.pid) for stranger in self.strangers]:
                return  # the seed's third row: a live pid in a young pidfile is believed
            if self.others and said == "-":
                return  # another realm holds the lock, and something answers: it is believed
            assert [said] == [str(pid) for pid in self.serving], done
            self.names_the_daemon(done)
            return
        assert done.stderr.count("\n") == 1, done
        assert not self.serving, done
        if done.returncode == 75:
            assert len(self.families) == 1, done
            assert self.closed or self.taker, done
        else:
            assert done.returncode == 1, done
            self.may_fail(done.stderr)

    def may_fail(self, said: str) -> None:
        """Assert that what a run *said* in failing is so."""
        if "was stopped" in said:
            assert self.stopped, said
        elif self.taker:
            assert f"{self.world.bind} is taken by" in said or "Address already in use" in said, (
                said
            )
        else:
            raise AssertionError(said)

    # --- what people and programs do ---

    @rule()
    def ensure(self) -> None:
        self.judge(self.run("--timeout", self.patience()))

    @rule(count=st.integers(2, 6))
    def several_at_once(self, count: int) -> None:
        argv = self.argv("--timeout", self.patience())
        for one in [self.world.begin(argv) for _ in range(count)]:
            out, err = one.communicate(timeout=30)
            assert "Traceback" not in err, err
            if one.returncode == 75:
                assert self.closed or self.taker, err
            elif one.returncode:
                self.may_fail(err)
            else:
                assert "pid=" in out
        self.settle()

    @precondition(lambda self: not self.closed and not (self.taker and self.families))
    @rule()
    def pass_in_the_background(self) -> None:
        failed = any(self.written(f"{stem}.fail") for stem in ("stub", BESIDE))
        done = self.run("--hook", str(self.world.state), str(self.world.config))
        assert (done.stdout, done.stderr) == ("", "")
        assert not (self.world.state / "config.toml.fail").exists()
        if done.returncode:
            assert self.stopped or self.taker or failed, done

    @rule()
    def start(self) -> None:
        stem = self.stem
        done = self.run("start")
        if done.returncode == 0 and self.serving:
            # Beside another realm it has files of its own, and the mark in the others stays.
            self.stopped.discard(stem)
        elif done.returncode and not self.closed:
            self.may_fail(done.stderr)

    @rule()
    def stop(self) -> None:
        stem = self.stem
        done = self.run("stop")
        if done.returncode == 0:
            self.stopped.add(stem)
            assert self.families == []
            assert self.written(f"{stem}.pid") == ""
        else:
            # Its files were taken away: it is adopted, and a person's to stop.
            assert "was not started by llmenv" in done.stderr, done

    @rule(crash=st.sampled_from(CRASHES))
    def kill_a_caller(self, crash: str) -> None:
        self.run("--timeout", self.patience(), crash=crash)

    @precondition(lambda self: self.families)
    @rule(data=st.data(), all_of_it=st.booleans())
    def kill_the_daemon(self, data: st.DataObject, all_of_it: bool) -> None:
        ours = self.world.daemons()
        for pid in ours if all_of_it else [pick(data, ours)]:
            kill(pid)
        self.settle()

    @rule()
    def turn_the_gate(self) -> None:
        """Close it to the daemons that start from now on, or open it also to those who wait."""
        if self.closed:
            self.world.tell("go")
        else:
            (self.world.oracle / "go").unlink()
        self.settle()

    # --- what happens to the files ---

    def may_touch(self, name: str) -> bool:
        """False for what alone proves a daemon that has not bound yet."""
        return not (self.starting and name.endswith(".life"))

    @property
    def present(self) -> list[str]:
        names = os.listdir(self.world.state) if self.world.state.exists() else []
        return sorted(name for name in names if name in FILES and self.may_touch(name))

    @property
    def regular(self) -> list[str]:
        return [name for name in self.present if not (self.world.state / name).is_symlink()]

    @property
    def restorable(self) -> list[str]:
        """The files of which there is a copy."""
        return sorted(name for name in self.copies if self.may_touch(name))

    @precondition(lambda self: self.present)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = pick(data, self.present)
        (self.world.state / name).unlink()
        self.touched(name)

    @precondition(lambda self: self.world.state.exists())
    @rule(data=st.data(), content=st.sampled_from(sorted(CONTENTS)))
    def corrupt(self, data: st.DataObject, content: str) -> None:
        name = pick(data, [name for name in FILES if self.may_touch(name)])
        self.put(name, CONTENTS[content])

    @precondition(lambda self: self.regular)
    @rule(data=st.data())
    def remember(self, data: st.DataObject) -> None:
        name = pick(data, self.regular)
        self.copies[name] = (self.world.state / name).read_bytes()

    @precondition(lambda self: self.restorable)
    @rule(data=st.data())
    def restore_an_old_copy(self, data: st.DataObject) -> None:
        name = pick(data, self.restorable)
        self.put(name, self.copies[name])

    def put(self, name: str, content: bytes) -> None:
        path = self.world.state / name
        if path.is_symlink():
            path.unlink()
        path.write_bytes(content)
        path.chmod(0o600)
        self.touched(name)

    def touched(self, name: str) -> None:
        if name.endswith(".pid"):
            self.tampered.add(name)
        if name.endswith(".alive"):
            self.stopped.discard(name.removesuffix(".alive"))

    @precondition(lambda self: self.world.state.exists())
    @rule()
    def write_a_strangers_pid(self) -> None:
        stranger = self.world.begin([PYTHON, "-I", "-S", "-c", "input()"], stdin=-1)
        self.strangers.append(stranger)
        self.put(f"{self.stem}.pid", b"%d\n" % stranger.pid)

    # --- what happens around it ---

    def listener(self, host: str) -> subprocess.Popen[str]:
        argv = [PYTHON, "-I", "-S", "-c", LISTEN, host, str(self.world.port)]
        taker = self.world.begin(argv, stdin=-1)
        assert taker.stdout
        assert taker.stdout.readline() == "listening\n"
        return taker

    @precondition(lambda self: not self.taker and not self.serving)
    @rule(ours=st.booleans(), everywhere=st.booleans())
    def take_the_port(self, ours: bool, everywhere: bool) -> None:
        """Also while the daemon is on its way to it."""
        host = HOSTS[self.host][0] if everywhere and not self.neighbour else self.host
        if ours:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            # It accepts none of the probes: they all wait in its queue.
            self.taker = socket.create_server((host, self.world.port), family=family, backlog=4096)
        else:
            self.taker = self.listener(host)

    @precondition(lambda self: self.taker)
    @rule()
    def leave_the_port(self) -> None:
        if isinstance(self.taker, socket.socket):
            self.taker.close()
        elif self.taker:
            assert self.taker.poll() is None, "what took the port was killed"
            self.taker.kill()
            self.taker.wait()
        self.taker = None

    @precondition(lambda self: not self.neighbour and not self.taker)
    @rule(data=st.data())
    def listen_beside_it(self, data: st.DataObject) -> None:
        """On the same port of another address: no concern of ours."""
        self.neighbour = True
        self.strangers.append(self.listener(data.draw(st.sampled_from(HOSTS[self.host][1:]))))

    @rule(seconds=st.sampled_from([-86_400.0, -61.0, -1.0, 1.0, 61.0, 86_400.0]))
    def move_the_clock(self, seconds: float) -> None:
        self.ahead += seconds

    @rule()
    def reboot(self) -> None:
        self.end_ours()
        self.boot = f"boot-{int(self.boot[5:]) + 1}"

    def end_ours(self) -> None:
        for pid in self.world.daemons():
            kill(pid)
        self.settle()

    @precondition(lambda self: NAMESPACES and self.world.state.exists() and not self.others)
    @rule()
    def another_realm_takes_the_lock(self) -> None:
        self.end_ours()
        life = str(self.world.path("life"))
        argv = [PYTHON, "-I", "-S", "-c", OTHER_REALM, str(ENSURE), life]
        other = self.world.begin([*OTHER_NAMESPACE, *argv])
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        self.others.append(other)
        self.their_lock = inode(self.world.path("life"))

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
    def steps_are_counted(self) -> None:
        Life.steps += self.begun
        self.begun = True

    @invariant()
    def at_most_one_daemon(self) -> None:
        assert len(self.families) <= 1
        refused = self.world.told("bindfail")
        assert self.taker or refused == self.robbed, "two daemons met"
        self.robbed = refused

    @invariant()
    def a_pidfile_names_it_or_none(self) -> None:
        for name in (f"{stem}.pid" for stem in ("stub", BESIDE)):
            text = self.written(name)
            assert text != f"{self.taken_by}\n", "what took the port was published"
            if name not in self.tampered and text:
                assert re.fullmatch(r"[1-9][0-9]*\n", text), text
                assert int(text) in self.serving or not alive(int(text)), (name, text, self.serving)

    @invariant()
    def signals_only_to_ours(self) -> None:
        assert set(self.world.told("signalled")) <= set(self.world.told("starts"))
        assert all(alive(stranger.pid) for stranger in self.strangers)


def pick(data: st.DataObject, among: list[T]) -> T:
    """Return one, drawn in a way that does not depend on how many a loaded machine has by now."""
    return among[data.draw(st.integers(0, 359)) % len(among)]


def parent(pid: int) -> int | None:
    """Return the pid of the parent of *pid*, or None: it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def inode(path: Path) -> int | None:
    """Return the number of the file *path*, or None: there is none."""
    return path.stat().st_ino if path.exists() else None


def locked(path: Path) -> bool:
    """True while some process holds the flock of the file *path*."""
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def live(examples: int, steps: int, *, same: bool = False) -> int:
    """Run that many random lives of up to that many steps; return how many steps were made.

    They are others each time, or, with *same*, the same: a change must not fail by bad luck.

    Raises:
        AssertionError: an invariant does not hold; the notes say by which steps it came to that.
        RuntimeError: there can be no other realm here, and in CI there must be.
    """
    if not NAMESPACES and os.environ.get("CI") == "true":
        raise RuntimeError(f"{' '.join(OTHER_NAMESPACE)} fails, and CI=true")
    Life.steps = 0
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=same,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Life.steps
