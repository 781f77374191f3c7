"""Kill and fail one cold `llmenv-ensure` at every system call it makes (strace --inject).

A cold run is recorded; from the first call that names the state directory on, each call becomes
one experiment: the same run again with a signal delivered at that call, or with that call made to
fail.  After each, a plain `llmenv-ensure` must leave exactly one daemon, which the pidfile names,
and nothing that blocks or litters.  `make chaos` does them all, and 2,000 steps of the random
lives in model.py; the test suite does a stride of each.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import model

if TYPE_CHECKING:
    from collections.abc import Callable

ENSURE = Path(__file__).parent.parent / "llmenv_hooks" / "ensure.py"
DAEMON = """\
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
while True:
    listener.accept()[0].close()
"""
# Runs llmenv-ensure, and stops where the daemon is forked: strace can then come in, and count the
# child's calls alone.
STOPPING = """\
import _posixsubprocess, os, signal, sys
real, own = _posixsubprocess.fork_exec, os.getpid()
def fork_exec(*arguments):
    if os.getpid() == own:
        os.kill(own, signal.SIGSTOP)
    return real(*arguments)
_posixsubprocess.fork_exec = fork_exec
sys.path.insert(0, sys.argv.pop(1))
import ensure
sys.exit(ensure.main())
"""
CRITICAL_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
ERRORS = {
    "openat": ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EMFILE", "ENOMEM", "EINTR"),
    "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "rename": ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"),
    "symlink": ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"),
    "unlink": ("EIO", "EROFS", "EACCES"),
    "mkdir": ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"),
    "flock": ("EIO", "EINTR", "ENOLCK", "ENOSYS"),
    "ftruncate": ("EIO", "EINTR"),
    "connect": ("EACCES", "ENOMEM", "EINTR"),
    "socket": ("EMFILE", "ENOMEM", "EACCES"),
    "clone": ("EAGAIN", "ENOMEM"),
    "pipe2": ("EMFILE",),
    "fcntl": ("EMFILE",),
    "execve": ("EACCES", "ENOMEM", "EIO"),
    "newfstatat": ("EIO", "EACCES"),
    "setsid": ("EPERM",),
}


class Call(NamedTuple):
    """The *nth* call of *name* in a process: what strace calls `when`."""

    name: str
    nth: int


class Experiment(NamedTuple):
    """What is done to one run: *inject* as strace takes it; *fatal*: the run may die of it.

    *child*: strace comes in where the daemon is forked, and counts from there.
    """

    inject: str
    fatal: bool
    child: bool = False


class Bench:
    """A place of its own for one daemon, with its state, config and port."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="llmenv-chaos-"))
        self.state = self.home / "state" / "llmenv"
        self.daemon = self.home / "daemon.py"
        self.daemon.write_text(DAEMON)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.environment = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "PATH": os.environ["PATH"],
        }
        self.command = [sys.executable, "-I", "-S", str(ENSURE), "--service", "chaos"]
        self.command += ["--no-bridge", "--bind", f"127.0.0.1:{self.port}", "--timeout", "10"]
        self.command += ["--", sys.executable, "-I", "-S", str(self.daemon), str(self.port)]

    def run(self, *prefix: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, *self.command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=40,
        )

    def run_from_the_fork(self, *strace: str) -> subprocess.CompletedProcess[str]:
        """Run it up to where the daemon is forked, and on from there under strace."""
        stopping = [sys.executable, "-I", "-S", "-c", STOPPING, str(ENSURE.parent)]
        with subprocess.Popen(
            [*stopping, *self.command[4:]],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            status = Path(f"/proc/{run.pid}/status")
            wait_for(lambda: "State:\tT" in status.read_text())
            tracer = subprocess.Popen(
                ["strace", "-f", "-q", "-b", "execve", *strace, "-p", str(run.pid)],
                stderr=subprocess.DEVNULL,
            )
            wait_for(lambda: "TracerPid:\t0" not in status.read_text())
            run.send_signal(signal.SIGCONT)
            try:
                out, err = run.communicate(timeout=40)
                tracer.wait(timeout=40)
            except subprocess.TimeoutExpired:
                run.kill()
                tracer.kill()
                raise
            return subprocess.CompletedProcess(run.args, run.returncode, out, err)

    def daemons(self) -> list[int]:
        """Return the live processes that run our daemon, whatever the files say."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
                state = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if len(words) > 3 and os.fsencode(self.daemon) == words[3] and state not in "ZX":
                found.append(int(entry))
        return found

    def reset(self) -> None:
        for pid in self.daemons():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.daemons())
        shutil.rmtree(self.home / "state", ignore_errors=True)

    def close(self) -> None:
        self.reset()
        shutil.rmtree(self.home, ignore_errors=True)

    def record(self) -> tuple[list[Call], list[Call]]:
        """Return the calls of a cold run: the parent's from its first touch of the state on, and
        the child's before its exec.
        """
        self.reset()
        trace = self.home / "trace"
        done = self.run("strace", "-o", str(trace), "-b", "execve")
        if done.returncode:
            raise RuntimeError(f"the run to record failed: {done.stderr}")
        lines = trace.read_text(errors="replace").splitlines()
        touched = next(at for at, line in enumerate(lines) if str(self.state.parent) in line)
        parent = [call for call in counted(lines)[touched:] if call.name]
        self.reset()
        done = self.run_from_the_fork("-o", str(trace))
        if done.returncode:
            raise RuntimeError(f"the run to record failed: {done.stderr}")
        lines = trace.read_text(errors="replace").splitlines()
        own = lines[0].split()[0]
        children = [line.partition(" ")[2].strip() for line in lines if line.split()[0] != own]
        return parent, [call for call in counted(children) if call.name]

    def violations(self, experiment: Experiment) -> list[str]:
        """Do one experiment; return what is wrong afterwards."""
        self.reset()
        options = ("-o", os.devnull, "-e", experiment.inject)
        try:
            if experiment.child:
                hurt = self.run_from_the_fork(*options)
            else:
                hurt = self.run("strace", "-f", "-b", "execve", *options)
        except subprocess.TimeoutExpired:
            return ["it hangs"]
        wrong = []
        if "Traceback" in hurt.stderr and "KeyboardInterrupt" not in hurt.stderr:
            wrong.append(f"a traceback: {hurt.stderr[-300:]}")
        if not experiment.fatal:
            lines = hurt.stderr.strip().splitlines()
            if hurt.returncode not in (0, 1, 75) or len(lines) > 1:
                wrong.append(f"status {hurt.returncode}, stderr {hurt.stderr!r}")
            if hurt.returncode and not lines:
                wrong.append(f"status {hurt.returncode} and not a word")
        pidfile = self.state / "chaos.pid"
        if pidfile.exists() and not re.fullmatch(r"[1-9][0-9]*\n", pidfile.read_text()):
            wrong.append(f"a broken pidfile: {pidfile.read_text()!r}")
        after = self.run()
        if after.returncode:
            wrong.append(f"the next run says: {after.returncode} {after.stderr.strip()}")
        alive = self.daemons()
        if len(alive) != 1:
            wrong.append(f"{len(alive)} daemons")
        named = pidfile.read_text().strip() if pidfile.exists() else "nothing"
        if [named] != [str(pid) for pid in alive]:
            wrong.append(f"the pidfile names {named}, alive are {alive}")
        left = {path.name for path in self.state.iterdir()} if self.state.exists() else set()
        litter = left - {f"chaos.{kind}" for kind in ("pid", "life", "alive", "log")}
        if litter:
            wrong.append(f"left over: {sorted(litter)}")
        return wrong


def counted(lines: list[str]) -> list[Call]:
    """Return the calls in the lines of one process's trace; a line that is none has no name."""
    counts: collections.Counter[str] = collections.Counter()
    calls = []
    for line in lines:
        match = re.match(r"(\w+)\(", line)
        name = match[1] if match and match[1] not in ("exit_group", "exit") else ""
        counts[name] += 1
        calls.append(Call(name, counts[name]))
    return calls


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def kills(parent: list[Call], child: list[Call]) -> list[Experiment]:
    """Return an experiment for each call: SIGKILL at each, the gentler ones where it matters."""
    locked = next((at for at, call in enumerate(parent) if call.name == "flock"), 0)
    found = []
    for at, call in enumerate(parent):
        names = ("SIGKILL", *CRITICAL_SIGNALS) if at >= locked else ("SIGKILL",)
        found += [Experiment(f"inject={call.name}:signal={n}:when={call.nth}", True) for n in names]
    return found + [
        Experiment(f"inject={call.name}:signal=SIGKILL:when={call.nth}", True, child=True)
        for call in child
    ]


def failures(parent: list[Call], child: list[Call]) -> list[Experiment]:
    """Return an experiment for each call and each errno that it can be made to fail with."""
    return [
        Experiment(f"inject={call.name}:error={error}:when={call.nth}", False, child=calls is child)
        for calls in (parent, child)
        for call in calls
        for error in ERRORS.get(call.name, ())
    ]


def main(stride: int = 1) -> int:
    """Run every *stride*-th experiment and step; print a summary; 1 if any left a violation."""
    bench = Bench()
    began = time.monotonic()
    bad = 0
    try:
        parent, child = bench.record()
        print(f"calls: {len(parent)} in llmenv-ensure, {len(child)} in the child before its exec")
        for title, experiments in (
            ("kills", kills(parent, child)),
            ("failures", failures(parent, child)),
        ):
            wrong = 0
            experiments = experiments[::stride]
            for experiment in experiments:
                for violation in bench.violations(experiment):
                    print(f"VIOLATION {experiment.inject}: {violation[:300]}", flush=True)
                    wrong += 1
            print(f"{title}: {len(experiments)} runs, {wrong} violations", flush=True)
            bad += wrong
    finally:
        bench.close()
    print(f"random lives: {model.live(1 + 69 // stride, 40)} steps, 0 violations", flush=True)
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
