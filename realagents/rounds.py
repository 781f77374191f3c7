"""What the model of a shared round does: it has one tool of each server called, and then waits.

All agents wait for each other, each with its servers still connected, so that they can be counted.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from dialects import Call
from script import PREFIX, WAITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dialects import Json, Tool


class Step(NamedTuple):
    """One call: of the tool that *tool* is found in, and what *proves* that it was answered."""

    tool: str
    arguments: Json
    proves: str


class Round:
    """What one agent's model does, as `Script` does; *all_there* is for all agents together.

    Attributes:
        results: what came back, by the number of the call, which begins with 1.
    """

    def __init__(self, steps: Sequence[Step], waiting: Json, all_there: threading.Barrier) -> None:
        """Make the *steps*; *waiting* are tools by which an agent waits for those it lacks."""
        self.steps = steps
        self.results: dict[int, str] = {}
        self._waiting = waiting
        self._all_there = all_there
        self._waits = 0
        self._arrived = False
        self._turn = threading.Lock()

    def next(self, tools: Iterable[Tool], results: Iterable[tuple[str, str]]) -> Call | None:
        """Return the next call, the last one again if nothing came back of it; None: it is done."""
        named = {tool.name: tool for tool in tools}
        with self._turn:
            for id, text in results:
                if id.startswith(PREFIX):
                    self.results[int(id.removeprefix(PREFIX))] = text
            at = len(self.results)
            if at < len(self.steps):
                return self._call(named, at)
            if self._arrived:
                return None
            self._arrived = True
        self._all_there.wait()
        return None

    def wrong(self) -> list[str]:
        """Return which calls were not answered, and what came back of them."""
        return [
            f"{step.tool}: {self.results.get(number, 'no answer')[:300]}"
            for number, step in enumerate(self.steps, 1)
            if step.proves not in self.results.get(number, "")
        ]

    def _call(self, named: dict[str, Tool], at: int) -> Call | None:
        step = self.steps[at]
        tool = next((named[name] for name in named if re.search(step.tool, name)), None)
        if tool:
            return Call(f"{PREFIX}{at + 1}", tool, step.arguments)
        wait = next((name for name in named if name in self._waiting), None)
        if wait is None or self._waits >= WAITS:
            return None
        self._waits += 1
        return Call(f"wait_{self._waits}", named[wait], self._waiting[wait])
