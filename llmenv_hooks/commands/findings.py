"""What a check of `llmenv doctor` says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One row: *verdict* is ok, warn or fail; *todo* is empty when there is nothing to do."""

    check: str
    verdict: str
    found: str
    todo: str = ""
    service: str | None = None
