"""Kill our bridge, and its server, at every system call the bridge makes (strace --inject).

Its life has three phases: the start, by the helper; a restart, after its server was killed; and its
end.  Each is recorded once, and each call of it becomes experiments: the same again, and at that
call the bridge is killed, or is told to end, or its server is killed.  Never may two servers be
there at once; what is told to end leaves nothing; and a plain `llmenv-ensure` after it leaves one
bridge with one server, which answers.  The server ignores the end of its input and SIGTERM, and so
does its child in a session of its own, and that one's child.

`make chaos` does them all; the test suite does a stride.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daemons import PYTHON, alive, default_signals, wait_until
from guarded import GuardedWorld
from packed import ensure

from chaos import STOPPING, Call, Experiment, carried_out, counted, stopped_child, summed_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START, RESTART, END = "start", "restart", "end"
BRIDGE_DIES, BRIDGE_ENDS, SERVER_DIES = "SIGKILL", "SIGTERM", "SIGSTOP"
PATIENCE_S = 60.0  # under strace each look at all processes takes long
FAMILY = 4  # the bridge, its server, and the two below that
# These only look: at modules while it starts, at each process of the machine for those below its
# server.  Nothing is different after one of them, so one in so many is enough.
LOOKS = "openat read close lseek ioctl fstat newfstatat getdents64 readlink brk mmap munmap".split()
LOOKS_A_STEP = 250


class Hurt(NamedTuple):
    """What is done in one phase of the bridge's life, at one of its calls."""

    phase: str
    experiment: Experiment

    def __str__(self) -> str:
        return f"{self.phase}: {self.experiment}"


class BridgeBench:
    """A world of its own for one guarded service, which is hurt again and again."""

    def __init__(self) -> None:
        root = Path(tempfile.mkdtemp(prefix="llmenv-chaos-")) / "w"
        self.world = GuardedWorld(root, "deaf", "child", f"alone={root}/alone")
        self.trace = root / "trace"

    def close(self) -> None:
        """Leave nothing behind."""
        self.world.end_all()
        shutil.rmtree(self.world.root.parent)

    def reset(self) -> None:
        """End what is left of the last experiment, and make the next start a cold one."""
        self.world.end_all()
        for path in (self.world.root / "state", self.world.root / "run"):
            shutil.rmtree(path, ignore_errors=True)
        self.world.notes_path.unlink(missing_ok=True)
        self.trace.write_text("")

    # --- the three phases ---

    def record(self, phase: str) -> list[Call]:
        """Return the calls that the bridge makes in one *phase*."""
        self.reset()
        with self.traced(phase, ()) as (pid, _):
            wait_until(lambda: self.is_over(phase, pid), PATIENCE_S)
        return [call for call in counted(self.lines()) if call.name]

    def lines(self) -> list[str]:
        """Return what strace has told so far."""
        return self.trace.read_text(errors="replace").splitlines()

    @contextmanager
    def traced(
        self, phase: str, strace: tuple[str, ...]
    ) -> Iterator[tuple[int, subprocess.Popen[str]]]:
        """Let the *phase* begin, with strace at the bridge; the bridge's pid, and strace."""
        world = self.world
        if phase == START:
            stopping = [PYTHON, "-I", "-S", "-c", STOPPING, str(world.helper), "--timeout", "20"]
            run = world.begin(stopping)
            pid = wait_until(lambda: stopped_child(run.pid)) or 0
            cause: Callable[[], None] = lambda: os.kill(pid, signal.SIGCONT)  # noqa: E731
        else:
            run, pid = None, world.bring_up()
            world.family()
            server = world.server_pid()
            cause = {
                RESTART: lambda: os.kill(server, signal.SIGKILL),
                END: lambda: os.kill(pid, signal.SIGINT),
            }[phase]
        attach = ["strace", "-o", str(self.trace), *strace, "-p", str(pid)]
        with subprocess.Popen(attach, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            assert "attached" in tracer.stderr.readline()
            try:
                cause()
                yield pid, tracer
            finally:
                tracer.terminate()  # it lets go of the bridge, if that lives
        if run:
            run.communicate(timeout=PATIENCE_S)

    def is_over(self, phase: str, pid: int) -> bool:
        """True when all is as it is to be after the *phase*, or the bridge *pid* is dead."""
        if phase == END or not alive(pid):
            return not alive(pid)
        starts = 1 if phase == START else 2
        if len(self.world.told()) < starts or not self.world.has_family():
            return False
        told = ensure.ask_bridge(self.world.files)
        return told is not None and told["server"]["state"] == "running"

    # --- an experiment ---

    def violations(self, hurt: Hurt) -> list[str] | None:
        """Do one; return what is wrong afterwards, or None: it did not happen."""
        self.reset()
        phase, experiment = hurt
        try:
            with self.traced(phase, ("-e", experiment.inject)) as (pid, tracer):
                wait_until(
                    lambda: self.happened(experiment) or self.is_over(phase, pid), PATIENCE_S
                )
                happened = self.happened(experiment)
                tracer.terminate()  # from here on it goes at its own speed
                tracer.wait(PATIENCE_S)
                if experiment.signal == SERVER_DIES and happened:
                    self.kill_server(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                wait_until(lambda: self.is_over(phase, pid), PATIENCE_S)
            return list(self.wrong(hurt, pid)) if happened else None
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return [f"it hangs: {error}"]

    def happened(self, experiment: Experiment) -> bool:
        """True when strace tells that it did it."""
        return experiment.happened(self.trace.read_text(errors="replace"))

    def kill_server(self, bridge: int) -> None:
        """Kill the server that the stopped *bridge* has, if there is one."""
        children = Path(f"/proc/{bridge}/task/{bridge}/children")
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                os.kill(child, signal.SIGKILL)

    def wrong(self, hurt: Hurt, pid: int) -> Iterator[str]:
        """Yield what is not as it has to be."""
        world = self.world
        killed = hurt.experiment.signal == BRIDGE_DIES
        if not alive(pid) and not killed and (left := world.living()):
            yield f"it ended, and left {left}"
        if alive(pid) and hurt.phase == END:
            yield "it did not end"
        done = world.run(world.bare("--timeout", "30"))
        if done.returncode or done.stderr:
            yield f"the next run says: {done.returncode} {done.stderr.strip()}"
            return
        try:
            world.calls()
        except (AssertionError, OSError) as error:
            yield f"a call fails: {error!r}"
        with suppress(AssertionError):
            wait_until(lambda: len(world.living()) == FAMILY, 5.0)
        if len(living := world.living()) != FAMILY:
            yield f"{len(living)} processes: {living}"
        if world.told("met"):
            yield "two servers met"
        if [world.pidfile()] != [each for each in living if each == world.pidfile()]:
            yield f"the pidfile names {world.pidfile()}, there are {living}"
        if "Traceback" in (said := world.path("log").read_text()):
            yield f"a traceback: {said[-300:]}"


def hurts(phase: str, calls: list[Call]) -> list[Hurt]:
    """Return the experiments for the *calls* of one *phase*."""
    looks = [call for call in calls if call.name in LOOKS][::LOOKS_A_STEP]
    return [
        Hurt(phase, Experiment(call, signal=number))
        for call in calls
        if call.name not in LOOKS or call in looks
        for number in (BRIDGE_DIES, BRIDGE_ENDS, SERVER_DIES)
    ]


def main(stride: int = 1) -> int:
    """Do every *stride*-th experiment; print a summary; 1 if any left a violation."""
    default_signals()
    began, bad = time.monotonic(), 0
    for phase in (START, RESTART, END):
        bench = BridgeBench()
        try:
            calls = bench.record(phase)
        finally:
            bench.close()
        some = hurts(phase, calls)[stride // 2 :: stride]
        print(f"{phase}: {len(calls)} calls of the bridge, {len(some)} experiments", flush=True)
        bad += summed_up(f"bridge, {phase}", carried_out(some, BridgeBench))
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
