"""A service goes from who keeps it now to a service manager."""

from __future__ import annotations

from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.keepers import ask_to_look, keeper_of
from llmenv_hooks.helper.locks import StartLock
from llmenv_hooks.helper.managers import Manager
from llmenv_hooks.helper.places import Files, cannot_use, instances
from llmenv_hooks.helper.realms import in_our_realm
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.stopping import HANDOVER_S, end_tree


def hand_to(manager: Manager, service: Service, state: str) -> None:
    """Have *manager* keep *service*, whose files are in *state*; what runs makes way first.

    Between the two the start lock is held, so that nobody else starts it; what agents ask by
    `connect` in the meantime waits.

    Raises:
        Problem: it cannot be ended, or *manager* cannot start it.
    """
    in_our_realm(lambda files: _free_port(manager, service, files), *instances(service.name, state))
    manager.start(service.name)


def _free_port(manager: Manager, service: Service, files: Files) -> None:
    """Let *manager* hold the port of *service*, unless its keeper lives."""
    try:
        with StartLock(files, 2 * HANDOVER_S):
            if keeper := keeper_of(files):
                ask_to_look(keeper)
            else:
                why = f"{manager.unit(service.name)} keeps it from now on"
                end_tree(service, files, why, gently=True)
                manager.listen(service.name)
    except OSError as error:
        raise Problem(f"{service.name}: {cannot_use(error, files)}") from None
