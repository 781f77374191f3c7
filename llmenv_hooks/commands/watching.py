"""`llmenv status --watch`: the table, drawn again and again, with what the bridges count."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from llmenv_hooks.commands import tables
from llmenv_hooks.helper.errors import UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

COLUMNS = ("service", "state", "uptime", "agents", "calls", "restarts", "refused")
EVERY_S = 2.0


def watch(look: Callable[[], list[dict[str, Any]]]) -> None:
    """Draw what *look* returns, the rows of `llmenv status`, until the user interrupts.

    Raises:
        UsageError: there is no terminal to draw on.
    """
    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():
        raise UsageError("--watch draws on a terminal; once, and for programs: --json")
    console = Console(highlight=False, markup=False)
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_table(look()), refresh=True)
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def _table(rows: list[dict[str, Any]]) -> Table:
    table = tables.new(*COLUMNS)
    for row in rows:
        told = row.get("bridge") or {}
        cells = [row["service"], row["state"], tables.duration(row["uptime"]), *_counts(told)]
        table.add_row(*(printable(str(cell)) for cell in cells))
    return table


def _counts(told: dict[str, Any]) -> list[str]:
    """Return the cells of what a bridge *told* about itself; it tells nothing where it is none."""
    if not told:
        return ["-"] * 4
    under_way = int(told.get("under_way") or 0)
    return [
        _listed(Counter(name or "unnamed" for name in told.get("agents") or [])),
        f"{told.get('calls') or 0}" + (f", {under_way} under way" if under_way else ""),
        str((told.get("server") or {}).get("restarts") or 0),
        _listed(Counter(told.get("refused") or {})),
    ]


def _listed(counts: Counter[str]) -> str:
    """Return how many there are, and of what."""
    parts = [f"{name} {count}" for name, count in sorted(counts.items()) if count]
    return f"{counts.total()}" + (f" ({', '.join(parts)})" if parts else "")
