"""Services that were stopped: what is said of them, and when that is forgotten."""

from __future__ import annotations

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.files import remove_file
from llmenv_hooks.helper.places import instances, state_dir
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.realms import our_files


def tell_who_is_stopped() -> None:
    """Say of each service that `llmenv stop` keeps from starting how it is started again."""
    state = state_dir()
    for service in load_config().kept_alive:
        if is_stopped(our_files(instances(service.name, state))):
            name = service.name
            print(f"{name} was stopped by `llmenv stop`; `llmenv start {name}` starts it")


def forget_stop(name: str) -> None:
    """Forget that the service *name* was stopped: it is in no config now, and may come again."""
    for files in instances(name, state_dir()):
        if is_stopped(files):
            remove_file(files.alive)
