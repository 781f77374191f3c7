"""`llmenv unit`: a unit by which systemd or launchd keeps a service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks import onefile
from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.commands.unittexts import units
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.files import remove_file, replace_file
from llmenv_hooks.helper.handover import hand_to
from llmenv_hooks.helper.managers import MANAGERS
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.services import refuse_elsewhere

if TYPE_CHECKING:
    from llmenv_hooks.helper.managers import Manager
    from llmenv_hooks.helper.services import Service


def unit(
    manager: Annotated[
        str,
        typer.Argument(
            metavar="MANAGER", help=" or ".join(MANAGERS), autocompletion=lambda: [*MANAGERS]
        ),
    ],
    names: Annotated[
        list[str] | None, services_argument("all but those with autostart = false")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Install it, and hand the service over to it.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take it out again; prompts keep the service then.")
    ] = False,
) -> None:
    """Print a unit that has systemd or launchd keep a service.

    For where no prompt comes by: the service then runs from login on. docs/units.md tells more.
    """
    if manager not in MANAGERS:
        known = ", ".join(MANAGERS)
        raise UsageError(f"no service manager {printable(manager, 80)!r}; there is: {known}")
    if write and remove:
        raise UsageError("--write and --remove exclude each other")
    config = load_config()
    if not config.here:
        raise Problem(config.not_here)
    services = meant_services(config, names) if names else config.kept_alive
    for service in services:
        refuse_elsewhere(service)
        if write:
            _write(MANAGERS[manager], service)
        elif remove:
            _remove(MANAGERS[manager], service)
        else:
            _print(manager, service)


def _print(manager: str, service: Service) -> None:
    for path, text in units(manager, service).items():
        if manager == "systemd":
            print(f"# {printable(path)}")
        print(text)


def _write(manager: Manager, service: Service) -> None:
    """Put the units of *service* where they belong, and have *manager* keep it.

    Raises:
        Problem: *manager* does not answer, and nothing was changed; or the service did not start.
    """
    manager.reload()
    onefile.helpers()
    texts = units(manager.name, service)
    for path in manager.paths(service.name):
        if path in texts:
            _put(path, texts[path])
        else:
            remove_file(path)
    manager.reload()
    hand_to(manager, service, state_dir())
    print(f"{service.name} is kept by {manager.unit(service.name)} of {manager.name}")


def _put(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise Problem(f"cannot write {printable(path)}: {error.strerror}") from None
    print(f"wrote {printable(path)}")


def _remove(manager: Manager, service: Service) -> None:
    """Take the units of *service* out, once *manager* has ended it."""
    if not manager.has(service.name):
        print(f"{manager.name} has no unit of {service.name}")
        return
    manager.stop(service.name, wait=True)
    for path in manager.paths(service.name):
        if os.path.lexists(path):
            remove_file(path)
            print(f"removed {printable(path)}")
    manager.reload()
    print(f"{service.name} is kept by prompts and agents again: the next one starts it")
