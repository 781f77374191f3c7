"""`llmenv status`: a row for each service of the config, and for what still runs of older ones."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmenv_hooks.commands import tables
from llmenv_hooks.commands.agentfiles import outdated_files
from llmenv_hooks.commands.bridge_checks import left_behind, sharing, summary
from llmenv_hooks.commands.known import config_or_what_runs
from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.mcp import say_hello
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.programs import expanded_headers
from llmenv_hooks.helper.records import left_over
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.sharing.copies import shown_bytes

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service

# 80 characters wide; --json has all.
COLUMNS = ("service", "state", "pid", "address", "uptime", "agents", "saves")


def show_status(
    names: Annotated[list[str] | None, services_argument("all")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of a table.")
    ] = False,
) -> None:
    """Show how services are doing.

    The exit status is 1 when one that should run does not.
    """
    config, was_read = config_or_what_runs()
    forgotten = left_over(config, state_dir()) if was_read else []
    wanted = {service.name for service in config.kept_alive}
    config.services += forgotten
    services = meant_services(config, names)
    rows = [_row(service, config) for service in services]
    for service, row in zip(services, rows, strict=True):
        if not was_read:
            row["detail"] = ""  # how it was configured is not known
        elif service in forgotten:
            stop = f"llmenv stop {service.name}"
            row["detail"] = f"not in {config.path}; unless another config has it: {stop}"
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
        for what, todo in outdated_files(config):
            print(f"llmenv: {printable(what)}; {todo}", file=sys.stderr)
        if not config.here:
            print(f"llmenv: {config.not_here}", file=sys.stderr)
    if not was_read:
        raise typer.Exit(2)
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
        "address": service.bind or (None if service.url else "socket"),
        "uptime": None,
        "agents": None,
        "saves": None,
        "url": config.url(service) or None,
        "log": None,
    }
    if service.url:
        return row | _asked(service)
    if not config.here:
        return row | {"detail": f"runs on {config.server_host}: {row['url']}"}
    try:
        seen = inspect(service, state_dir())
    except Problem as problem:
        return row | {"state": "unknown", "detail": str(problem)}
    row |= {"state": seen.state, "pid": seen.pid, "uptime": seen.uptime}
    row |= {"bridge": seen.bridge, "left_behind": left_behind(seen.files)}
    if seen.bridge:
        agents, saved = sharing(seen.bridge)
        row |= {"agents": agents, "saves": saved}
    detail = seen.detail
    if service.is_default and seen.state == "down":
        detail = "the default, since no config names a service; llmenv init writes one"
    return row | {"log": seen.files.log, "detail": detail}


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
        uptime, saves = row["uptime"], row["saves"]
        shown = row | {
            "uptime": _duration(uptime) if isinstance(uptime, float) else None,
            "saves": shown_bytes(saves) if isinstance(saves, int) and saves else None,
        }
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
