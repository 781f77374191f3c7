"""`connect`: what an agent runs as its stdio MCP server, in front of a service that all share.

It outlives the service: when that goes, it is ensured again, the agent's `initialize` is repeated
to it, and what cannot have arrived is sent to it.  What may have arrived is answered with an error,
since nobody knows whether it was done.
"""

from __future__ import annotations

import sys
import time

from llmenv_hooks.connect.agentpipe import STDIN, STDOUT, AgentPipe
from llmenv_hooks.connect.reaching import Start
from llmenv_hooks.connect.wires import Ended, Item, Wire
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.jsonrpc import (
    INVALID_REQUEST,
    LEAVING,
    MOST_MESSAGE_BYTES,
    SERVER_DIED,
    SERVER_DOWN,
    NotAMessage,
    decode,
    encode,
    failure,
)
from llmenv_hooks.helper.output import say

LAST_CALLS_S = 2.0  # for what is under way once the agent will say no more
RESTART_S = 5.0  # how long after a service went it may be stopped only to be started again
SHORT_LIFE_S = 1.0  # a wire that ends sooner is replaced after a pause, unless something waits
MOST_LOSSES = 3  # short lives in a row without an answer, before what waits is given up
MOST_PAUSE_S = 64.0
OWN_ID = "llmenv-connect"  # of the `initialize` that is repeated


def connect(name: str) -> int:
    """Be the stdio MCP server that is the service *name*, until the agent ends; return 0."""
    import signal

    # Whoever started us may ignore it, and then no child of ours could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    Connector(name).run()
    return 0


def main() -> int:
    """Run as a program whose one argument is the name of the service; return the exit status."""
    if len(sys.argv) != 2:
        say(2, "usage: llmenv-connect NAME")
        return 2
    try:
        return connect(sys.argv[1])
    except KeyboardInterrupt:
        return 130


class Connector:
    """One agent, and the service that it is connected to."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._agent = AgentPipe()
        self._queue: list[Item] = []  # not sent yet
        self._asked: set[object] = set()  # ids of what the service asked the agent
        self._wire: Wire | None = None
        self._start: Start | None = None
        self._is_ready = False  # the wire takes what the agent says
        self._hello: Item | None = None  # the agent's `initialize`
        self._greeting: Item | None = None  # its `notifications/initialized`
        self._is_introduced = False  # the agent's `initialize` has been answered
        self._opened = self._lost = float("-inf")
        self._next_start = float("inf")
        self._losses = 0
        self._said = ""

    def run(self) -> None:
        """Pass messages on until the agent is gone."""
        self._begin_start()
        last = float("inf")
        while not (self._agent.is_gone or time.monotonic() >= last):
            if self._agent.has_ended and not self._has_work():
                break
            ready = self._wait(min(last, self._next_start))
            # The service first: what the agent says is not for one that has just died.
            if self._wire and self._wire.fileno() in ready:
                self._hear_service(self._wire)
            elif self._start and self._start.fileno() in ready:
                self._end_start(self._start)
            elif STDIN in ready:
                self._hear_agent()
                if self._agent.has_ended:
                    last = time.monotonic() + LAST_CALLS_S
            elif time.monotonic() >= self._next_start:
                self._begin_start()
        if self._wire:
            self._wire.close()

    def _has_work(self) -> bool:
        return bool(self._queue or (self._wire and self._wire.under_way))

    def _wait(self, until: float) -> set[int]:
        """Wait until something can be read, or for *until*; return the descriptors."""
        import select

        poll = select.poll()
        poll.register(STDOUT, 0)
        if not self._agent.has_ended:
            poll.register(STDIN, select.POLLIN)
        for one in (self._wire, self._start):
            if one:
                poll.register(one.fileno(), select.POLLIN)
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic()) * 1000
        ready = dict(poll.poll(timeout))
        if ready.pop(STDOUT, 0) & (select.POLLERR | select.POLLHUP):
            self._agent.is_gone = True
        return set(ready)

    # --- the agent ---------------------------------------------------------------------------

    def _hear_agent(self) -> None:
        for line in self._agent.read():
            if line is None:
                why = f"a message of more than {MOST_MESSAGE_BYTES} bytes"
                self._answer(failure(None, INVALID_REQUEST, why))
            elif line.strip():
                try:
                    self._take(Item(line, decode(line)))
                except NotAMessage as error:
                    self._answer(failure(None, error.code, str(error)))
        self._flush()

    def _take(self, item: Item) -> None:
        if item.method == "initialize":
            self._hello, self._is_introduced = item, False
        elif item.method == "notifications/initialized":
            self._greeting = item
        elif not item.method:
            self._asked.discard(item.message.get("id"))
        self._queue.append(item)

    def _answer(self, message: dict[str, object]) -> None:
        self._agent.write(encode(message))

    def _fail_queue(self, why: str) -> None:
        """Answer all that waits with an error, and say *why* once."""
        for item in self._queue:
            if item.id is not None:
                self._answer(failure(item.id, SERVER_DOWN, why))
        self._queue.clear()
        if why != self._said:
            self._said = why
            say(2, f"llmenv connect: {why}")

    # --- the service -------------------------------------------------------------------------

    def _hear_service(self, wire: Wire) -> None:
        try:
            for line in wire.receive():
                self._pass_on(wire, line)
        except Ended as end:
            self._lose(wire, end)
        else:
            self._flush()

    def _pass_on(self, wire: Wire, line: bytes) -> None:
        """Give *line*, which came by *wire*, to the agent."""
        try:
            message = decode(line)
        except NotAMessage as error:
            say(2, f"llmenv connect: {self._name} sent what is no message: {printable(str(error))}")
            return
        number = message.get("id")
        if message.get("method") == LEAVING:
            wire.has_left = True
            return
        if "method" in message:
            if number is not None:
                self._asked.add(number)
        else:
            item = wire.under_way.pop(number, None) if isinstance(number, (str, int)) else None
            if number == OWN_ID:
                self._begin_again()
                return
            if item and item.method == "initialize":
                self._is_ready, self._is_introduced = True, "result" in message
            self._losses = 0
        self._agent.write(line)

    def _begin_again(self) -> None:
        """Go on, now that the repeated `initialize` has been answered."""
        self._is_ready = True
        if self._greeting:
            self._queue.insert(0, self._greeting)

    def _flush(self) -> None:
        """Send what waits, or see that it can be sent."""
        wire = self._wire
        if wire and wire.is_doubtful and self._queue and not wire.under_way:
            self._lose(wire, Ended([], "its server may be gone"))
        while self._queue and self._wire and self._is_ready:
            item = self._queue.pop(0)
            # Only its answer says in which session, and in which version, all else is to be said.
            self._is_ready = item.method != "initialize"
            try:
                self._wire.send(item)
            except Ended as end:
                self._lose(self._wire, end)
        if self._queue and not self._wire:
            self._begin_start()

    def _lose(self, wire: Wire, end: Ended) -> None:
        """Take it that *wire* has ended."""
        now = time.monotonic()
        is_short = now - self._opened < SHORT_LIFE_S
        self._wire, self._lost = None, now
        self._losses = self._losses + 1 if is_short or end.unsent else 0
        wire.close()
        again = [item for item in end.unsent if item.id != OWN_ID]
        for item in wire.under_way.values():
            if item.id == OWN_ID or item in again:
                continue
            if wire.has_left or item.method == "initialize":  # that asks for nothing to be done
                again.append(item)
                continue
            why = f"{self._name}: {end.why} during this call; it may have been done"
            self._answer(failure(item.id, SERVER_DIED, why))
        self._queue[:0] = again
        for number in self._asked:
            params = {"requestId": number, "reason": end.why}
            self._answer({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        self._asked.clear()
        if self._queue and self._losses >= MOST_LOSSES:
            self._losses = 0
            self._fail_queue(f"{self._name}: {end.why}, {MOST_LOSSES} times in a row")
        pause = min(MOST_PAUSE_S, 2.0 ** (self._losses - 1)) if is_short else 0.0
        self._next_start = now if self._queue else now + pause

    # --- its start ---------------------------------------------------------------------------

    def _begin_start(self) -> None:
        self._next_start = float("inf")
        if self._start:
            return
        waits = self._lost + RESTART_S - time.monotonic() if self._queue else 0.0
        try:
            self._start = Start(self._name, waits)
        except OSError as error:
            self._fail_queue(f"{self._name}: no process to start it with: {error.strerror}")

    def _end_start(self, start: Start) -> None:
        """Connect to what *start* has brought up, or tell why it has not."""
        self._start, self._opened = None, time.monotonic()
        try:
            self._wire = start.outcome().wire(self._name)
        except Ended as end:
            self._lose(Wire(), end)
            return
        except Problem as problem:
            if start.is_outdated:
                self._begin_start()
            else:
                self._fail_queue(str(problem))
            return
        self._said = ""
        self._is_ready = not self._is_introduced
        if self._hello and self._is_introduced:
            message = self._hello.message | {"id": OWN_ID}
            try:
                self._wire.send(Item(encode(message), message))
            except Ended as end:
                self._lose(self._wire, end)
                return
        self._flush()
