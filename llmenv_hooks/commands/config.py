"""`llmenv config check`, `show` and `path`: whether the config is right, what it says, where."""

from __future__ import annotations

import json
import os
import sys

import typer

from llmenv_hooks.commands.parameters import help_without_command
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.places import config_path

config_app = typer.Typer(rich_markup_mode=None)
config_app.callback(invoke_without_command=True, help="Check the config, show it, or say where.")(
    help_without_command
)


@config_app.command("check")
def check_config() -> None:
    """Say whether the config is right, and what is wrong in which line.

    The exit status is 2 when something is wrong.
    """
    config = load_config()
    count = len(config.services)
    found = f"ok, {count} service{'s' * (count != 1)}"
    if not os.path.exists(config.path):
        found = f"no such file, so the default holds: {config.services[0].name}"
    print(f"{printable(config.path)}: {found}")


@config_app.command("show")
def show_config() -> None:
    """Print the config with all defaults filled in, as TOML."""
    config = load_config()
    print(f"# {printable(config.path)}, with all defaults")
    if config.server_host is not None:
        print(f"server_host = {toml_value(config.server_host)}")
    for service in config.services:
        print(f"\n[services.{service.name}]")
        for key in Checker.ELSEWHERE_KEYS if service.url else Checker.SERVICE_KEYS:
            print(f"{key} = {toml_value(getattr(service, key))}")


@config_app.command("path")
def print_path() -> None:
    """Print the path of the config, which need not exist."""
    sys.stdout.buffer.write(os.fsencode(config_path()) + b"\n")


def toml_value(value: object) -> str:
    """Return *value* in one line of TOML that holds nothing a terminal would obey."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    # JSON's strings, lists, numbers and booleans are TOML too.  The one exception is a bare U+007F,
    # and that is not printable, so the next line escapes it.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)
