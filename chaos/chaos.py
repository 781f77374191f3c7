"""Kill and fail one cold `llmenv-ensure` at every system call it makes (strace --inject).

A cold run is recorded; from the first call that names the state directory on, each call becomes
one experiment: the same run again with a signal delivered at that call, or with that call made to
fail.  What the run says must be so, and a plain `llmenv-ensure` after it must leave exactly one
daemon, proved and named by the files, and nothing that blocks or litters.  The daemon takes its
time to bind: until then only the lifetime lock and the record tell that it is there.

`make chaos` does them all, and 2,000 steps of the random lives in model.py; the test suite does a
stride of each.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import model
from daemons import PYTHON, World, default_signals, kill, processes_with, wait_until
from packed import LOAD, ensure
from stub import SLOW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Given = TypeVar("Given", contravariant=True)  # an experiment

# Runs llmenv-ensure; the child that is to become the daemon stops at its first instruction, so
# that strace can come in and count its calls alone.
STOPPING = f"""{LOAD}
import signal
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGSTOP))
sys.exit(ensure.main())
"""
# A call that looks at another process in /proc; one in so many is tried.
LOOK, LOOKS_A_STEP = re.compile(r"/proc/\d+[/>\"]"), 53
HANG_S = 25.0  # a run's own timeout is 10
# Most of a run is the daemon's delay: twice the processors keep them busy.
WORKERS = 2 * (os.cpu_count() or 1)
# The first pause between two looks at the port outlasts the daemon's delay: as many calls in each
# run, whatever the load.
SLEEP, LONG_SLEEP = "clock_nanosleep", f"delay_enter={SLOW_S * 1.5:g}s:when=1"
GENTLE_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
# As x86-64 or as arm64 has them.  fsync is not called: what is published is void after a reboot.
CALLS = """
    open openat write pwrite64 rename renameat renameat2 symlink symlinkat unlink unlinkat
    mkdir mkdirat flock connect fork vfork clone clone3 execve fsync fdatasync
""".split()
ERRNOS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EMFILE", "ENOMEM", "EINTR")
ERRORS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CALLS, ERRNOS),
    "flock": (*ERRNOS, "ENOLCK", "ENOSYS"),
    "clone": (*ERRNOS, "EAGAIN"),
    "ftruncate": ("EIO", "EINTR"),
    "socket": ("EMFILE", "ENOMEM", "EACCES"),
    "pipe2": ("EMFILE",),
    "fcntl": ("EMFILE",),
    "newfstatat": ("EIO", "EACCES"),
    "readlink": ("EIO",),
    "getdents64": ("EIO",),
    "wait4": ("EINTR",),
    "setsid": ("EPERM",),
}


class Call(NamedTuple):
    """The *nth* call of *name* in a process: what strace calls `when`."""

    name: str
    nth: int


class Experiment(NamedTuple):
    """What is done to one run, at one call: *signal* is sent, or else *error* returned.

    *child*: it is a call of the child that is to become the daemon, before its exec.
    """

    call: Call
    signal: str = ""
    error: str = ""
    child: bool = False

    @property
    def inject(self) -> str:
        """It as strace takes it."""
        what = f"signal={self.signal}" if self.signal else f"error={self.error}"
        return f"inject={self.call.name}:{what}:when={self.call.nth}"

    def happened(self, trace: str) -> bool:
        """True when strace tells in *trace* that it did it."""
        if self.error:
            return f" {self.error} " in "".join(re.findall(r".*\(INJECTED\)", trace))
        return f"--- {self.signal} " in trace or f"+++ killed by {self.signal}" in trace

    def __str__(self) -> str:
        return f"{self.inject}{' in the child' if self.child else ''}"


class Bench:
    """A world of its own for one daemon, in which one run after another is hurt."""

    def __init__(self) -> None:
        self.world = World(Path(tempfile.mkdtemp(prefix="llmenv-chaos-")) / "w")
        self.marker = f"{self.world.root}/"
        self.arguments = self.world.arguments("--timeout", "10", modes=["slow"])
        self.trace = self.world.root / "trace"

    def close(self) -> None:
        self.reset()
        shutil.rmtree(self.world.root.parent)

    def reset(self) -> None:
        """End what is left of the last run, and make the next one a cold one."""
        while left := processes_with(self.marker):
            for pid in left:
                kill(pid)
        for path in ("state", "run", "oracle"):
            shutil.rmtree(self.world.root / path, ignore_errors=True)
        self.world.oracle.mkdir()
        self.trace.write_text("")

    # --- runs ---

    def run(self, *prefix: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end.

        Raises:
            TimeoutExpired: it hangs, and was ended.
        """
        return self.ended(
            self.begin([*prefix, PYTHON, "-I", "-S", str(self.world.helper), *self.arguments])
        )

    def run_child(self, *strace: str) -> subprocess.CompletedProcess[str]:
        """Run it, with strace in the child that is to become the daemon, from the fork on.

        Raises:
            TimeoutExpired: it hangs, and was ended.
        """
        stopping = [PYTHON, "-I", "-S", "-c", STOPPING, str(self.world.helper), *self.arguments]
        run = self.begin(stopping)
        child = wait_until(lambda: stopped_child(run.pid)) or 0
        traced = ["strace", "-o", str(self.trace), "-b", "execve", *strace, "-p", str(child)]
        with subprocess.Popen(traced, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            assert "attached" in tracer.stderr.readline()
            os.kill(child, signal.SIGCONT)
            try:
                return self.ended(run)
            except subprocess.TimeoutExpired:
                kill(child)
                raise

    def begin(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            env=self.world.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ended(self, run: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        with run:
            try:
                out, err = run.communicate(timeout=HANG_S)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(run.args, run.returncode, out, err)

    def record(self) -> tuple[list[Call], list[Call]]:
        """Return the calls of a cold run: the parent's from its first touch of the state on, and
        the child's before its exec.
        """
        found = []
        for run in (self.run_parent, self.run_child):
            self.reset()
            done = run("-y")
            if done.returncode:
                raise RuntimeError(f"the run to record failed: {done.stderr}")
            found.append(self.trace.read_text(errors="replace").splitlines())
        parent, child = found
        state = str(self.world.state.parent)
        touched = next(at for at, line in enumerate(parent) if state in line)
        return (
            [call for call in without_looks(parent)[touched:] if call.name],
            [call for call in without_looks(child) if call.name],
        )

    def run_parent(self, *strace: str) -> subprocess.CompletedProcess[str]:
        """Run it under strace, which leaves its child alone.

        Raises:
            TimeoutExpired: it hangs, and was ended.
        """
        options = [*strace]
        if not any(f"={SLEEP}:" in option for option in options):
            options += ["-e", f"inject={SLEEP}:{LONG_SLEEP}"]
        return self.run("strace", "-o", str(self.trace), *options)

    # --- what is wrong afterwards ---

    def violations(self, experiment: Experiment) -> list[str] | None:
        """Do one experiment; return what is wrong afterwards, or None: it did not happen."""
        self.reset()
        run = self.run_child if experiment.child else self.run_parent
        try:
            hurt = run("-e", experiment.inject)
            if not experiment.happened(self.trace.read_text(errors="replace")):
                return None
            return [
                *self.wrong_at_once(experiment, hurt),
                *self.wrong_after_the_next(experiment, hurt),
            ]
        except subprocess.TimeoutExpired:
            return ["it hangs"]

    def wrong_at_once(
        self, experiment: Experiment, hurt: subprocess.CompletedProcess[str]
    ) -> Iterator[str]:
        """Yield what is not as the run said: all that may ever come up is there by now."""
        running = processes_with(self.marker)
        status, said = hurt.returncode, hurt.stderr.splitlines()
        told = f"status {status}, {hurt.stderr[-300:]!r}"
        if "Traceback" in hurt.stderr or len(said) > 1:
            yield f"more than a line: {told}"
        if experiment.signal and not experiment.child:
            number = signal.Signals[experiment.signal]
            if status != -number and (status, number) != (130, signal.SIGINT):
                yield f"it did not die of it: {told}"
        elif status not in (0, 1, 75) or (status and not said):
            yield f"no clear line, or a wrong status: {told}"
        if status == 0 and running != self.world.told("listening"):
            yield f"it said that one runs, and there are {running}: {told}"
        if status == 1 and running:
            yield f"it said that none runs, and there are {running}: {told}"
        if status == 75 and len(running) != 1:
            yield f"it said that one is on its way, and there are {running}: {told}"
        pidfile = self.world.path("pid")
        if pidfile.exists() and not re.fullmatch(r"[1-9][0-9]*\n", pidfile.read_text()):
            yield f"a broken pidfile: {pidfile.read_text()!r}"

    def wrong_after_the_next(
        self, experiment: Experiment, hurt: subprocess.CompletedProcess[str]
    ) -> Iterator[str]:
        """Run a plain one, and yield what is not as it has to be then."""
        world = self.world
        after = self.run()
        if after.returncode or after.stderr:
            yield f"the next run says: {after.returncode} {after.stderr.strip()}"
        with suppress(AssertionError):
            wait_until(lambda: len(processes_with(self.marker)) == 1, 2.0)
        running = processes_with(self.marker)
        if len(running) != 1 or running != world.daemons():
            yield f"processes {running}, of which {world.daemons()} are daemons"
        if world.told("bindfail"):
            yield "two daemons met at the port"
        starts = len(world.told("starts"))
        if starts != 1 and (starts, hurt.returncode) != (2, 1):
            yield f"{starts} were started, after status {hurt.returncode}"
        record = ensure.read_record(os.path.realpath(world.path("life")))
        if [record.pid if record else None] != running:
            yield f"the record means {record.pid if record else 'none'}, there are {running}"
        if [world.pidfile()] != running:
            yield f"the pidfile names {world.pidfile()}, there are {running}"
        if not model.locked(world.path("life")):
            yield "the lifetime lock is free"
        # Who could not look at the daemon's descriptors goes by its output, which it has as well.
        links = [("alive", "life"), *([("output", "log")] if experiment.error else [])]
        kinds = {"pid", "life", "proof", "log", *(link for link, _ in links)}
        if not any(proves(world.path(link), world.path(file), running) for link, file in links):
            yield "no link proves it"
        places = [place for place in (world.state, world.root / "run" / "llmenv") if place.exists()]
        left = {path.name for place in places for path in place.iterdir()}
        if litter := left - {f"stub.{kind}" for kind in kinds} - {"README"}:
            yield f"left over: {sorted(litter)}"


def stopped_child(parent: int) -> int | None:
    """Return the child of *parent* that is stopped, or None."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if "State:\tT" in Path(f"/proc/{pid}/status").read_text():
            return int(pid)
    return None


def proves(link: Path, file: Path, running: list[int]) -> bool:
    """True when *link* leads to *file* by a descriptor that the daemon has."""
    try:
        own = os.readlink(link).startswith(tuple(f"/proc/{pid}/fd/" for pid in running))
        return own and os.path.samefile(link, file)
    except OSError:
        return False


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


def without_looks(lines: list[str]) -> list[Call]:
    """Return `counted`, with nothing but a sample of the calls that look at other processes.

    Who has inherited our mark is asked of each process that the machine has, five calls each.
    """
    calls, looks = counted(lines), 0
    for at, line in enumerate(lines):
        if LOOK.search(line):
            looks += 1
            if looks % LOOKS_A_STEP:
                calls[at] = Call("", 0)
    return calls


def kills(parent: list[Call], child: list[Call]) -> list[Experiment]:
    """Return an experiment for each call: SIGKILL at each, the gentler ones where it matters."""
    locked = next(at for at, call in enumerate(parent) if call.name == "flock")
    return [
        Experiment(call, signal=name, child=calls is child)
        for calls in (parent, child)
        for at, call in enumerate(calls)
        for name in ("SIGKILL", *(GENTLE_SIGNALS if calls is child or at >= locked else ()))
    ]


def failures(parent: list[Call], child: list[Call]) -> list[Experiment]:
    """Return an experiment for each call and each errno that it can be made to fail with."""
    return [
        Experiment(call, error=error, child=calls is child)
        for calls in (parent, child)
        for call in calls
        for error in ERRORS.get(call.name, ())
    ]


class Laboratory(Protocol[Given]):
    """Where one experiment after another is done."""

    def violations(self, experiment: Given) -> list[str] | None:
        """Do one; return what is wrong afterwards, or None: it did not happen."""

    def close(self) -> None:
        """Leave nothing behind."""


def carried_out(
    experiments: Iterable[Given], make: Callable[[], Laboratory[Given]]
) -> Iterator[tuple[Given, list[str] | None]]:
    """Do the experiments, some side by side, each in one of what *make* makes; yield each with
    what its `violations` says.
    """
    laboratories: SimpleQueue[Laboratory[Given]] = SimpleQueue()

    def one(experiment: Given) -> tuple[Given, list[str] | None]:
        laboratory = laboratories.get()
        try:
            return experiment, laboratory.violations(experiment)
        finally:
            laboratories.put(laboratory)

    with ExitStack() as stack:
        for _ in range(WORKERS):
            laboratory = make()
            stack.callback(laboratory.close)
            laboratories.put(laboratory)
        with ThreadPoolExecutor(WORKERS) as pool:
            yield from pool.map(one, experiments)


def summed_up(title: str, found: Iterable[tuple[Given, list[str] | None]]) -> int:
    """Print what was *found* by `carried_out`, and a summary; return how much is wrong."""
    made = wrong = missed = 0
    for number, (experiment, violations) in enumerate(found):
        if violations is None:
            print(f"NOT DONE {title} {number} {experiment}: it was over before", flush=True)
            missed += 1
            continue
        made += 1
        wrong += len(violations)
        for violation in violations:
            print(f"VIOLATION {title} {number} {experiment}: {violation[:400]}", flush=True)
    rest = f", {missed} not done" if missed else ""
    print(f"{title}: {made} runs, {wrong} violations{rest}", flush=True)
    return wrong


def main(stride: int = 1) -> int:
    """Run every *stride*-th experiment and step; print a summary; 1 if any left a violation."""
    default_signals()
    began = time.monotonic()
    bench = Bench()
    try:
        parent, child = bench.record()
    finally:
        bench.close()
    print(f"calls: {len(parent)} in llmenv-ensure, {len(child)} in the child before its exec")
    bad = 0
    for title, make in (("kills", kills), ("failures", failures)):
        bad += summed_up(title, carried_out(make(parent, child)[::stride], Bench))
    wrong = 0
    try:
        model.live(1 + 69 // stride, 40)
    except Exception:
        traceback.print_exc()  # with the steps that led to it; the lives end with it
        wrong = 1
    print(f"random lives: {model.Life.steps} steps, {wrong} violations", flush=True)
    bad += wrong
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
