"""What can go wrong, and what an `ensure` comes to.

A `Problem` is one line for a person; every other exception is a bug.  `Elsewhere` and `NoLocks`
never reach a person: the room `realms` answers them.
"""

from __future__ import annotations


class Problem(Exception):
    """A failure to show to a person as one line; any other exception is a bug."""

    exit_code = 1


class UsageError(Problem):
    """Wrong arguments or a wrong config."""

    exit_code = 2


class NotYet(Problem):
    """The timeout passed while the service is still coming up."""

    exit_code = 75


class Elsewhere(Exception):
    """Another realm's daemon holds these files."""


class NoLocks(Exception):
    """The file system has no flock."""


class EnsureOutcome:
    """What `ensure_running` did (the seed's enum; plain strings, since `enum` costs 5 ms)."""

    ALREADY_RUNNING = "already-running"
    SPAWNED = "spawned"


class Result:
    """What `ensure` found: *outcome* is an `EnsureOutcome`, *pid* the listener's, if known."""

    __slots__ = ("note", "outcome", "pid")

    def __init__(self, outcome: str, pid: int | None, note: str = "") -> None:
        self.outcome = outcome
        self.pid = pid
        self.note = note  # one line the user should see although all is well


def printable(text: str, most: int = 400) -> str:
    """Return *text* on one line with nothing in it that a terminal would obey."""
    clean = "".join(c if c.isprintable() else "?" if c not in "\r\n\t" else " " for c in text)
    return clean if len(clean) <= most else clean[: most - 3] + "..."
