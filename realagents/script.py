"""What the model of the trial does: it has one tool called again and again, with other words each.

Two calls alike would be stopped by Gemini CLI, which takes them for a loop.
"""

from __future__ import annotations

import itertools
import re
import threading
from typing import TYPE_CHECKING

from dialects import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dialects import Json, Tool

TOOL = re.compile(r"(^|_)store$")  # of the example's memory server, however an agent calls it
PREFIX = "call_"  # of the ids of its calls
# An agent may ask its model before it has a server's tools, or while it connects to it anew.  These
# tools wait until it has; Claude Code tells its model so.
WAITING: dict[str, Json] = {
    "ToolSearch": {"query": "select:mcp__memory__store"},  # Claude Code
    "list_mcp_resources": {"server": "memory"},  # Codex
}
WAITS = 10  # how often it waits for a tool that does not come


class Script:
    """What the model does, and what it learns.

    Attributes:
        texts: what each call was to store, in the order in which they were made.
        results: what came back, by the number of the call, which begins with 1.
    """

    def __init__(self, calls: int, between: Callable[[int], None] = lambda made: None) -> None:
        """Make *calls* calls; once after each one but the last, run `between(those made)`."""
        self.calls = calls
        self.between = between
        self.texts: list[str] = []
        self.results: dict[int, str] = {}
        self._gap = 0  # the call after which `between` ran
        self._waits = 0  # since then
        self._numbers = itertools.count(1)
        self._turn = threading.Lock()

    def next(self, tools: Iterable[Tool], results: Iterable[tuple[str, str]]) -> Call | None:
        """Return the next call, the last one again if nothing came back of it; None: it is done.

        *tools* are what the agent has now, *results* the ids and texts of all that came back.
        """
        named = {tool.name: tool for tool in tools}
        tool = next((named[name] for name in named if TOOL.search(name)), None)
        with self._turn:
            for id, text in results:
                if id.startswith(PREFIX):
                    self.results[int(id.removeprefix(PREFIX))] = text
            made = len(self.texts)
            came_back = made in self.results
            if came_back and made == self.calls:
                return None
            if came_back and self._gap < made:
                self._gap, self._waits = made, 0
                self.between(made)
            if wait := self._wait(named, WAITS if tool is None else self._failed(made)):
                return wait
            if tool is None:
                return None  # it wants a title, or has no memory
            if came_back or not made:
                self.texts.append(f"The answer to question {made + 1} is known.")
            return Call(f"{PREFIX}{len(self.texts)}", tool, {"text": self.texts[-1]})

    def answered(self) -> list[bool]:
        """Say of each call whether its own text came back."""
        return [text in self.results.get(made, "") for made, text in enumerate(self.texts, 1)]

    def _failed(self, made: int) -> bool:
        return made in self.results and self.texts[-1] not in self.results[made]

    def _wait(self, tools: Mapping[str, Tool], most: int) -> Call | None:
        """Return a call of one of *tools* that waits; None: there is none, or it waited enough."""
        name = next(filter(WAITING.get, tools), None)
        if name is None or self._waits >= most:
            return None
        self._waits += 1
        return Call(f"wait_{next(self._numbers)}", tools[name], WAITING[name])
