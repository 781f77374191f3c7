"""`llmenv status`: a row for each service of the config, and for what still runs of older ones."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmenv_hooks.commands import tables
from llmenv_hooks.commands.agentfiles import outdated_files
from llmenv_hooks.commands.bridge_checks import left_behind, sharing, summary
from llmenv_hooks.commands.keeper_checks import who_keeps
from llmenv_hooks.commands.known import config_or_what_runs
from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.commands.watching import watch
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.mcp import say_hello
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.programs import expanded_headers
from llmenv_hooks.helper.records import is_anothers, left_over
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
    as_it_changes: Annotated[
        bool, typer.Option("--watch", help="Show what agents do there, until interrupted.")
    ] = False,
) -> None:
    """Show how services are doing.

    The exit status is 1 when one that should run does not.
    """
    if as_it_changes:
        if as_json:
            raise UsageError("--watch and --json exclude each other")
        watch(lambda: _rows(names))
        return
    config, was_read = config_or_what_runs()
    forgotten = left_over(config, state_dir()) if was_read else []
    wanted = {service.name for service in config.kept_alive}
    outdated = list(outdated_files(config)) if was_read and not as_json else []
    config.services += forgotten
    services = meant_services(config, names)
    rows = [_row(service, config) for service in services]
    for service, row in zip(services, rows, strict=True):
        if not was_read:
            row["detail"] = ""  # how it was configured is not known
        elif service in forgotten:
            row["detail"] = _whose(service, config)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
        for what, todo in outdated:
            print(f"llmenv: {printable(what)}; {todo}", file=sys.stderr)
        if not config.here:
            print(f"llmenv: {config.not_here}", file=sys.stderr)
    if not was_read:
        raise typer.Exit(2)
    if any(_is_wrong(row, wanted) for row in rows):
        raise typer.Exit(1)


def _whose(service: Service, config: Config) -> str:
    """Return why there is a row of a *service* that *config* does not have."""
    if is_anothers(service.config, config):
        return f"of another config, {service.config}"
    gone = " any more" if service.config else "; unless another config has it"
    return f"not in {config.path}{gone}: llmenv stop {service.name}"


def _is_wrong(row: dict[str, object], wanted: set[str]) -> bool:
    if row["state"] in ("unknown", "unreachable"):
        return True
    return row["service"] in wanted and row["state"] not in ("running", "stopped")


def _rows(names: list[str] | None) -> list[dict[str, Any]]:
    """Return the rows of the services *names*, or of all, as the config has them now."""
    config, _ = config_or_what_runs()
    return [_row(service, config) for service in meant_services(config, names)]


def _row(service: Service, config: Config) -> dict[str, Any]:
    row: dict[str, Any] = {
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
    row |= {"keeper": who_keeps(service, seen.files)}
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


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = tables.new(*COLUMNS)
    for row in rows:
        saves = row["saves"]
        shown = row | {
            "uptime": tables.duration(row["uptime"]),
            "saves": shown_bytes(saves) if saves else None,
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
    lines += [f"kept by {row['keeper']}"] if row.get("keeper") else []
    lines += [f"{left} is left over from an earlier start" for left in row.get("left_behind") or []]
    return lines + ([summary(row["bridge"])] if row.get("bridge") else [])
