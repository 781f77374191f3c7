"""Keeps one process running: starts it, starts it again when it dies, ends it and all below it.

It knows nothing of who wants the process: its owner gets whole lines of the process's stdout, and
says when the process is ready.  In the manner of s6-supervise, the states have names, and `NEXT`
says what leads from one to the next:

    starting    the first process runs, and is not ready yet
    running     it is ready
    restarting  it died: the next one waits for its turn, or is not ready yet
    failing     the last `FAILING` processes died before they were of any use
    ending      it is being ended, and no other follows
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Protocol

from llmenv_hooks.bridge.families import CHILD_MARK, Family
from llmenv_hooks.bridge.pipes import Outgoing, Pipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.bridge.logs import Log

FAILING = 3  # as many useless lives in a row
FIRST_PAUSE_S = 0.25  # before the second process in a row that follows a useless one
MOST_PAUSE_S = 30.0
USEFUL_AFTER_S = 10.0  # ready for as long, a life was of use, whatever it did
# After the end of stdin, after SIGTERM, and after SIGKILL; with LAST_CALLS_S of the program that is
# less than the 6 s after which the helper loses patience with us.
GRACE_S = 1.0

NEXT = {
    ("starting", "ready"): "running",
    ("restarting", "ready"): "running",
    ("failing", "ready"): "running",
    ("starting", "died"): "restarting",
    ("running", "died"): "restarting",
    ("restarting", "died"): "restarting",
    ("failing", "died"): "failing",
    ("starting", "died again"): "failing",
    ("running", "died again"): "failing",
    ("restarting", "died again"): "failing",
    ("failing", "died again"): "failing",
    ("starting", "end"): "ending",
    ("running", "end"): "ending",
    ("restarting", "end"): "ending",
    ("failing", "end"): "ending",
}


class ChildOwner(Protocol):
    """Who wants the process."""

    def spawned(self) -> None:
        """A process runs: it can be written to, and is to be called `ready`."""

    def line(self, line: bytes) -> None:
        """The process wrote *line* (without its end) to stdout."""

    def died(self, reason: str) -> None:
        """The process is dead, and all below it; or it could not be started."""


class Child:
    """One process, kept running from `start` to `end`.

    Attributes:
        state: one of the states above.
        restarts: how often a process has followed a dead one.
        reason: why the last one died, "" once one is ready again.
    """

    def __init__(
        self, command: Sequence[str], owner: ChildOwner, log: Log, start_timeout: float
    ) -> None:
        """Keep *command*, whose program is an absolute path; ready within *start_timeout* s."""
        self.state = "starting"
        self.restarts = 0
        self.reason = ""
        self._command = command
        self._owner = owner
        self._log = log
        self._start_timeout = start_timeout
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._family: Family | None = None
        self._verdict = ""  # why we killed it
        self._useless = 0  # lives in a row
        self._useful_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None  # until ready, or until the next start
        self._dead = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process that runs; None between two."""
        return self._process.pid if self._process else None

    @property
    def unsent(self) -> int:
        """How many bytes wait for the process to read."""
        return self._pipes.unsent if self._pipes else 0

    def ready(self) -> None:
        """Take the owner's word that the process does what it is for."""
        self._become("ready")
        self._cancel_timer()
        self.reason = ""
        self._useful_at = self._loop.time() + USEFUL_AFTER_S

    def useful(self) -> None:
        """Take the owner's word that this life was worth it: its death is followed at once."""
        self._useful_at = 0.0

    def write(self, outgoing: Outgoing) -> None:
        """Write a line to the process, which must run."""
        assert self._pipes
        self._pipes.write(outgoing)

    def take_back(self, outgoing: Outgoing) -> bool:
        """Do not write *outgoing* after all; False: it is too late."""
        return self._pipes is not None and self._pipes.take_back(outgoing)

    def kill(self, reason: str) -> None:
        """End a process that is of no use, at once; the next one follows."""
        if self._family and not self._dead.is_set():
            self._verdict = self._verdict or reason
            self._family.kill()

    async def end(self) -> None:
        """End the process and all below it: end of its stdin, then SIGTERM, then SIGKILL."""
        self._become("end")
        self._cancel_timer()
        family, pipes = self._family, self._pipes
        if not family or not pipes:
            return
        family.look()  # a member is found later, too, when its parent has died
        pipes.end_input()
        if not await self._dies_within(GRACE_S):
            family.send(signal.SIGTERM)
            await self._dies_within(GRACE_S)
        family.kill()
        await self._dies_within(GRACE_S)

    def start(self) -> None:
        """Start the process."""
        mark = os.urandom(8).hex()
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                env=os.environ | {CHILD_MARK: mark},
            )
        except OSError as error:
            self._lost(f"cannot run {self._command[0]}: {error.strerror or error}")
            return
        self._dead.clear()
        self._process, self._family = process, Family(process.pid, mark)
        self._pipes = Pipes(process, self._owner.line, self._log.write, self._hung_up)
        self._timer = self._loop.call_later(self._start_timeout, self._too_slow)
        self._owner.spawned()

    def look(self) -> None:
        """See whether the process has died: call it at each SIGCHLD."""
        process, family, pipes = self._process, self._family, self._pipes
        if not process or not family or not pipes:
            return
        if hasattr(os, "waitid"):
            # Not reaped yet, it keeps the number of its process group from being given again.
            if not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            family.send_group(signal.SIGKILL)
        if process.poll() is None:
            return
        family.kill()
        self._process = self._family = None
        self._dead.set()
        pipes.close()
        self._pipes = None
        self._lost(self._verdict or _how_it_died(process.returncode))

    def _hung_up(self, reason: str) -> None:
        """Its pipes say that it is of no use; most often because it is just dying."""
        process = self._process

        def end_if_alive() -> None:
            if process is self._process:
                self.kill(reason)

        self._loop.call_later(GRACE_S, end_if_alive)

    def _too_slow(self) -> None:
        self.kill(f"it did not answer within {self._start_timeout:g} s of its start")

    def _lost(self, reason: str) -> None:
        """The process is dead: say so, and start the next one when it is its turn."""
        self._cancel_timer()
        self._useless = 0 if self._useful_at < self._loop.time() else self._useless + 1
        self._useful_at, self._verdict = float("inf"), ""
        self.reason = reason
        if self.state != "ending":
            self._become("died again" if self._useless >= FAILING else "died")
            self._log.say(f"the server died: {reason}")
            pause = FIRST_PAUSE_S * 2.0 ** min(self._useless - 2, 10) if self._useless > 1 else 0
            self._timer = self._loop.call_later(min(pause, MOST_PAUSE_S), self._follow)
        self._owner.died(reason)

    def _follow(self) -> None:
        self.restarts += 1
        self.start()

    def _become(self, event: str) -> None:
        self.state = NEXT.get((self.state, event), self.state)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def _dies_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._dead.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _how_it_died(status: int) -> str:
    """Return how a process ended, from Popen's returncode."""
    if status >= 0:
        return f"it exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it was killed by {name}"
