"""`llmenv start`, `stop` and `restart`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from llmenv_hooks.commands.parameters import known_services, named_service, service_argument
from llmenv_hooks.commands.progress import for_each_service
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.protocol import ensure, patience
from llmenv_hooks.helper.records import left_over
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.helper.stopping import stop

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service

# The states in which `restart`, without a name, restarts a service that does not start by itself.
RUNS = ("running", "broken", "starting")


def start_services(
    name: Annotated[str | None, service_argument("all but those with autostart = false")] = None,
) -> None:
    """Start one service or all, also after a stop."""
    config = _config_of_this_host()
    services = [named_service(config, name)] if name else config.kept_alive
    if not services:
        known = known_services(config)
        raise UsageError(f"which service? all have autostart = false: {known}")
    for_each_service(services, "starting", _start)


def stop_services(name: Annotated[str | None, service_argument("all")] = None) -> None:
    """Stop one service or all.

    The hook leaves it alone until it is started again.
    """
    config = _config_of_this_host()
    forgotten = left_over(config, state_dir())
    if name:
        # One that is left over may have the name of one that runs elsewhere now.
        config.services = forgotten + config.services
        for_each_service([named_service(config, name)], "stopping", _stop)
        return
    # A service that is left over may hold the port of one in the config, so it is stopped first.
    for services in (forgotten, config.run_here):
        for_each_service(services, "stopping", _stop)


def restart_services(
    name: Annotated[str | None, service_argument("what start takes, and what else runs")] = None,
) -> None:
    """Stop one service or all, and start it again."""
    config = _config_of_this_host()
    if name:
        for_each_service([named_service(config, name)], "restarting", _restart)
    else:
        for_each_service(config.run_here, "restarting", _restart_if_wanted)


def _start(service: Service) -> tuple[str, str]:
    result = ensure(service, state_dir(), timeout=patience(service), revive=True)
    return f"{result.outcome} pid={result.pid or '-'}", result.note


def _stop(service: Service) -> tuple[str, str]:
    return "stopped" if stop(service, state_dir()) else "was not running", ""


def _restart(service: Service) -> tuple[str, str]:
    _stop(service)
    return _start(service)


def _restart_if_wanted(service: Service) -> tuple[str, str]:
    if service.autostart or inspect(service, state_dir()).state in RUNS:
        return _restart(service)
    return "was not running", ""


def _config_of_this_host() -> Config:
    """Return the config.

    Raises:
        Problem: services run on another host.
    """
    config = load_config()
    if not config.here:
        raise Problem(config.not_here)
    return config
