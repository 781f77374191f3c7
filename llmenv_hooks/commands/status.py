"""`llmenv status`: a row for each service of the config, and for what still runs of older ones."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmenv_hooks.commands import tables
from llmenv_hooks.commands.bridge_checks import left_behind, summary
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.mcp import say_hello
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.programs import expanded_headers
from llmenv_hooks.helper.records import left_over
from llmenv_hooks.helper.status import inspect

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service

COLUMNS = ("service", "state", "pid", "address", "uptime", "url", "log")


def show_status(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of a table.")
    ] = False,
) -> None:
    """Show every service.

    The exit status is 1 when one that should run does not.
    """
    config = load_config()
    rows = [_row(service, config) for service in config.services]
    for service in left_over(config, state_dir()):
        gone = f"not in {config.path} any more; llmenv stop {service.name}"
        rows.append(_row(service, config) | {"detail": gone})
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
        if not config.here:
            print(f"llmenv: {config.not_here}", file=sys.stderr)
    wanted = {service.name for service in config.kept_alive}
    if any(_is_wrong(row, wanted) for row in rows):
        raise typer.Exit(1)


def _is_wrong(row: dict[str, object], wanted: set[str]) -> bool:
    if row["state"] in ("unknown", "unreachable"):
        return True
    return row["service"] in wanted and row["state"] not in ("running", "stopped")


def _row(service: Service, config: Config) -> dict[str, object]:
    row: dict[str, object] = {
        "service": service.name,
        "state": "elsewhere",
        "pid": None,
        "address": service.bind or None,
        "uptime": None,
        "url": config.url(service),
        "log": None,
    }
    if service.url:
        return row | _asked(service)
    if not config.here:
        return row | {"detail": f"runs on {config.server_host}"}
    try:
        seen = inspect(service, state_dir())
    except Problem as problem:
        return row | {"state": "unknown", "detail": str(problem)}
    row |= {"state": seen.state, "pid": seen.pid, "uptime": seen.uptime}
    row |= {"bridge": seen.bridge, "left_behind": left_behind(seen.files)}
    return row | {"log": seen.files.log, "detail": seen.detail}


def _asked(service: Service) -> dict[str, object]:
    """Return how a *service* that runs elsewhere answers."""
    try:
        say_hello(service.url, expanded_headers(service))
    except Problem as problem:
        return {"state": "unreachable", "detail": str(problem)}
    return {"state": "running", "detail": ""}


def _print_table(rows: list[dict[str, object]]) -> None:
    table = tables.new(*COLUMNS)
    for row in rows:
        uptime = row["uptime"]
        shown = row | {"uptime": _duration(uptime) if isinstance(uptime, float) else None}
        cells = (shown[column] for column in COLUMNS)
        table.add_row(*("-" if cell is None else printable(str(cell)) for cell in cells))
    tables.show(table, whole=True)
    for row in rows:
        for line in _lines_below(row):
            print(printable(f"{row['service']}: {line}", 700))


def _lines_below(row: dict[str, Any]) -> list[str]:
    """Return what the table has no column for."""
    lines = [row["detail"]] if row.get("detail") else []
    lines += [f"{left} is left over from an earlier start" for left in row.get("left_behind") or []]
    return lines + ([summary(row["bridge"])] if row.get("bridge") else [])


def _duration(seconds: float) -> str:
    """Return *seconds* the way a person says it: 45s, 12m, 3h05m, 2d4h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
