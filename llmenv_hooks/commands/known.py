"""The services of the config, or where that cannot be read, those that run."""

from __future__ import annotations

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.helper.output import say
from llmenv_hooks.helper.places import config_path, state_dir
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
