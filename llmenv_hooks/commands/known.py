"""The services that a command may speak of: those that run where the config cannot be read."""

from __future__ import annotations

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.helper.output import say
from llmenv_hooks.helper.places import config_path, instances, state_dir
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.realms import our_files
from llmenv_hooks.helper.records import left_over


def config_or_what_runs() -> tuple[Config, bool]:
    """Return the config, and whether it could be read; where not, one of what runs by its record.

    A wrong config must keep nobody from looking at a service, or from stopping it: what is wrong
    is said on stderr.

    Raises:
        UsageError: the config is wrong, and nothing runs.
    """
    try:
        return load_config(), True
    except UsageError as problem:
        config = Config([], None, config_path())
        config.services = left_over(config, state_dir())
        if not config.services:
            raise
        say(2, f"llmenv: {problem}")
        return config, False


def tell_who_is_stopped() -> None:
    """Say of each service that `llmenv stop` keeps from starting how it is started again."""
    state = state_dir()
    for service in load_config().kept_alive:
        if is_stopped(our_files(instances(service.name, state))):
            name = service.name
            print(f"{name} was stopped by `llmenv stop`; `llmenv start {name}` starts it")
