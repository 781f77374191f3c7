"""The rows of `llmenv check`."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One check of one shell's hook; *result* is ok, failed, written or not run."""

    shell: str
    check: str
    result: str
    detail: str = ""


def judged(shell: str, check: str, wrong: str) -> Row:
    """Return the row of a *check* that has found *wrong*, "" for nothing."""
    return Row(shell, check, "failed" if wrong else "ok", wrong)
