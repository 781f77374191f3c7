"""`llmenv start`, `stop` and `restart`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.commands.known import config_or_what_runs
from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.commands.progress import for_each_service
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import EnsureOutcome, Problem, UsageError
from llmenv_hooks.helper.handover import hand_to
from llmenv_hooks.helper.managers import manager_of
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.protocol import ensure, patience
from llmenv_hooks.helper.records import is_anothers, left_over
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.helper.stopping import stop

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service

# The states in which `restart`, without a name, restarts a service that does not start by itself.
RUNS = ("running", "broken", "starting")


def start_services(
    names: Annotated[
        list[str] | None, services_argument("all but those with autostart = false")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those with autostart = false.")
    ] = False,
) -> None:
    """Start services, also after a stop."""
    config = _on_this_host(load_config())
    services = meant_services(config, names) if names or every else config.kept_alive
    if not services:
        raise UsageError(f"which service? all have autostart = false: {config.names}")
    for_each_service(services, "starting", _start)


def stop_services(
    names: Annotated[list[str] | None, services_argument("all")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those of other configs.")] = False,
) -> None:
    """Stop services.

    The hook leaves them alone until they are started again.
    """
    config, was_read = config_or_what_runs()
    forgotten = left_over(_on_this_host(config), state_dir()) if was_read else []
    if names and not every:
        # One that is left over may have the name of one that runs elsewhere now.
        config.services = forgotten + config.services
        for_each_service(meant_services(config, names), "stopping", _stop)
        return
    ours = [service for service in forgotten if every or not is_anothers(service.config, config)]
    # A service that is left over may hold the port of one in the config, so it is stopped first.
    for services in (ours, config.run_here):
        for_each_service(services, "stopping", _stop)


def restart_services(
    names: Annotated[
        list[str] | None, services_argument("what start takes, and what else runs")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, as without SERVICE.")] = False,
) -> None:
    """Stop services, and start them again."""
    config = _on_this_host(load_config())
    if names and not every:
        for_each_service(meant_services(config, names), "restarting", _restart)
    else:
        for_each_service(config.run_here, "restarting", _restart_if_wanted)


def _start(service: Service) -> tuple[str, str]:
    kept, note = _start_unit(service)
    result = ensure(service, state_dir(), timeout=patience(service), revive=True)
    did = "started" if result.outcome == EnsureOutcome.SPAWNED else "runs already"
    return f"{kept or did}, pid {result.pid or 'unknown'}", note or result.note


def _start_unit(service: Service) -> tuple[str, str]:
    """Have the unit of *service* keep it, if it has one; return that it does, or why not."""
    manager = manager_of(service.name)
    if manager is None:
        return "", ""
    try:
        hand_to(manager, service, state_dir())
    except Problem as problem:
        return "", f"{problem}; prompts keep it until `llmenv start {service.name}`"
    return f"kept by {manager.unit(service.name)}", ""


def _stop(service: Service) -> tuple[str, str]:
    ended = stop(service, state_dir(), why="llmenv stop")
    return "stopped" if ended else "was not running", ""


def _restart(service: Service) -> tuple[str, str]:
    stop(service, state_dir(), why="llmenv restart")
    return _start(service)


def _restart_if_wanted(service: Service) -> tuple[str, str]:
    if service.autostart or inspect(service, state_dir()).state in RUNS:
        return _restart(service)
    return "was not running; autostart = false", ""


def _on_this_host(config: Config) -> Config:
    """Return *config*.

    Raises:
        Problem: services run on another host.
    """
    if not config.here:
        raise Problem(config.not_here)
    return config
