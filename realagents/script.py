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
STORED = "created"  # what the server alone says of a memory: when it was stored
PREFIX = "call_"  # of the ids of its calls
# An agent may ask its model before it has a server's tools.  By these tools it waits until it has.
UNTIL_THERE: dict[str, Json] = {
    "ToolSearch": {"query": "select:mcp__memory__store"},  # Claude Code tells its model to do this
    "list_mcp_resources": {"server": "memory"},  # Codex
}
# By HTTP Claude Code connects anew in the background, and fails each call meanwhile.  It waits when
# it is asked for a tool that it does not know.
UNTIL_BACK: dict[str, Json] = {"ToolSearch": {"query": "select:mcp__memory__anything"}}
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
            if tool is None:
                return self._wait(named, UNTIL_THERE, WAITS)
            failed = came_back and not self._is_answered(made)
            if failed and (wait := self._wait(named, UNTIL_BACK, 1)):
                return wait
            if came_back or not made:
                self.texts.append(f"The answer to question {made + 1} is known.")
            return Call(f"{PREFIX}{len(self.texts)}", tool, {"text": self.texts[-1]})

    def answered(self) -> list[bool]:
        """Say of each call whether the server answered it."""
        return [self._is_answered(made) for made in range(1, len(self.texts) + 1)]

    def _is_answered(self, made: int) -> bool:
        """Say whether the server answered a call; an error may repeat what it was called with."""
        result = self.results.get(made, "")
        return self.texts[made - 1] in result and STORED in result

    def _wait(
        self, tools: Mapping[str, Tool], waiting: Mapping[str, Json], most: int
    ) -> Call | None:
        """Return a call of one of *tools* that is *waiting*; None: none is, or it waited enough."""
        name = next(filter(waiting.get, tools), None)
        if name is None or self._waits >= most:
            return None
        self._waits += 1
        return Call(f"wait_{next(self._numbers)}", tools[name], waiting[name])
