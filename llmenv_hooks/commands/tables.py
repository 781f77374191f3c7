"""The tables of `status`, `doctor` and `client`.

rich is imported where a table is made: it takes a quarter of the time of a command without one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

# A terminal, or a COLUMNS, with less than this is not one that a table is read in.
NARROWEST, USUAL = 30, 80


def coloured() -> bool:
    """False where the user wants no escapes: rich takes only the colours away, not the bold."""
    return not os.environ.get("NO_COLOR")


def new(*titles: str) -> Table:
    """Return a table without rows."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold" if coloured() else None)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def duration(seconds: float | None) -> str:
    """Return *seconds* the way a person says it: 45s, 12m, 3h05m, 2d4h; "-" for None."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def show(table: Table, *, whole: bool = False) -> None:
    """Print *table*, folded to the terminal's width or with its cells *whole*.

    A path or URL that is cut is of no use.  A width that cannot be right, as 0 is, counts as none.
    """
    from rich.console import Console

    console = Console(width=1000 if whole else None, highlight=False, markup=False)
    if console.width < NARROWEST:
        console.width = USUAL
    console.print(table)
