"""What the bridge refused, and why: counted, and said in the log once a minute at most."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not passed on.

    Attributes:
        status: the HTTP status to answer with.
        reason: a word or two of a small fixed set, to count by.
        why: one line for whoever asked; what it quotes of the request is harmless.
    """

    status: int
    reason: str
    why: str


class Tally:
    """Counts refusals by reason.  A flood of them makes one line of the log a minute."""

    def __init__(
        self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total: Counter[str] = Counter()
        self._log = log
        self._clock = clock
        self._unsaid: dict[str, tuple[int, str]] = {}  # reason: how often, and the last why
        self._said = -LOG_EVERY_S + clock()

    def count(self, reason: str, why: str) -> None:
        """Count one refusal for *reason*; *why* is the line that told of it."""
        self.total[reason] += 1
        self._unsaid[reason] = (self._unsaid.get(reason, (0, ""))[0] + 1, why)
        self.say()

    def say(self) -> None:
        """Log what has not been said yet, when that is due; call it each minute, too."""
        if not self._unsaid or self._clock() - self._said < LOG_EVERY_S:
            return
        parts = [f"{number} by {reason} ({why})" for reason, (number, why) in self._unsaid.items()]
        self._log(f"refused {'; '.join(parts)}")
        self._unsaid.clear()
        self._said = self._clock()
