"""What `llmenv doctor` looks at of the shell that it is run from: its environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.commands.install import current_shell
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.hookvalues import exports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.configs import Config

CHECK = "this shell"
_URL = re.compile(r"LLMENV_(?:\w+_)?URL")


def this_shell(config: Config) -> Iterator[Finding]:
    """Judge what the hook goes by in this shell, and what it has set there.

    The hook itself cannot be seen from here: it is no part of the environment.
    """
    well = True
    for finding in (*_switched_off(), *_variables(config)):
        well = False
        yield finding
    if well:
        there = [name for name, _ in exports(config) if name in os.environ]
        found = f"{', '.join(there)}, as in the config" if there else "the hook has set nothing yet"
        yield Finding(CHECK, "ok", found)


def _switched_off() -> Iterator[Finding]:
    if os.environ.get("LLMENV_DISABLE"):
        found = "LLMENV_DISABLE is set: the hook does nothing here"
        yield Finding(CHECK, "warn", found, "unset LLMENV_DISABLE, and take it out of the rc file")


def _variables(config: Config) -> Iterator[Finding]:
    """Compare the variables with what the hook would set."""
    wanted = dict(exports(config))
    here = {name: url for name, url in os.environ.items() if _URL.fullmatch(name)}
    if not here:
        return
    for name, url in wanted.items():
        if name not in here:
            yield Finding(CHECK, "warn", f"{name} is not set", _export())
        elif here[name] != url:
            yield Finding(CHECK, "warn", f"{name} is {here[name]}, the old one", _export())
    for name in sorted(here.keys() - wanted.keys()):
        gone = f"{name} is of a service that is not in the config"
        yield Finding(CHECK, "warn", gone, f"open a new shell, or: {_unset(name)}")


def _export() -> str:
    shell = _shell()
    if shell == "fish":
        return "llmenv export fish | source"
    return f'eval "$(llmenv export {shell})"'


def _unset(name: str) -> str:
    return f"set -e {name}" if _shell() == "fish" else f"unset {name}"


def _shell() -> str:
    try:
        return current_shell()
    except UsageError:
        return "bash"
