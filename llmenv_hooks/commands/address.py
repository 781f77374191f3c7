"""`llmenv url`: the address of a service, for a script or to paste."""

from __future__ import annotations

from typing import Annotated

from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem


def print_url(names: Annotated[list[str] | None, services_argument("the first")] = None) -> None:
    """Print the URL at which an agent reaches a service."""
    config = load_config()
    for service in meant_services(config, names) if names else config.services[:1]:
        if not service.has_url:
            raise Problem(
                f"{service.name} has no URL (bind = false); an agent starts:"
                f" llmenv connect {service.name}"
            )
        print(config.url(service))
