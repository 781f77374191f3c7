"""`llmenv config`: whether the config is right, what it says, where it is; and to edit it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.commands.parameters import Command, help_without_command
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import config_path

if TYPE_CHECKING:
    from llmenv_hooks.helper.services import Service

config_app = typer.Typer(rich_markup_mode=None)
config_app.callback(invoke_without_command=True, help="Check, print or edit the config.")(
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
        found = f"no such file, so the default holds: {config.services[0].name}; llmenv init"
    elif any(service.is_default for service in config.services):
        found = "ok, but it names no service, so the default holds; llmenv add NAME -- COMMAND"
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
        for key in keys_of(service):
            print(f"{key} = {toml_value(_value_of(service, key))}")


def keys_of(service: Service) -> tuple[str, ...]:
    """Return which keys the table of *service* may have."""
    return Checker.ELSEWHERE_KEYS if service.url else Checker.SERVICE_KEYS


@config_app.command("path")
def print_path() -> None:
    """Print the path of the config, which need not exist."""
    sys.stdout.buffer.write(os.fsencode(config_path()) + b"\n")


@config_app.command("edit")
def edit_config() -> None:
    """Open the config in $VISUAL, else $EDITOR, and check what was saved."""
    path = config_path()
    if not os.path.exists(path):
        raise Problem(f"{printable(path)}: no config yet; llmenv init writes one")
    try:
        editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        status = subprocess.run([*editor, path], check=False).returncode
    except (ValueError, OSError) as error:
        why = f"cannot run an editor: {printable(str(error))}"
        raise Problem(f"{why}; set EDITOR, or edit {printable(path)}") from None
    if status:
        raise Problem(f"the editor ended with status {status}")
    check_config()


@config_app.command("get", cls=Command)
def get_value(
    key: Annotated[str, typer.Argument(metavar="KEY", help="e.g. memory.bind, or server_host")],
) -> None:
    """Print one value of the config, also a default."""
    config = load_config()
    if key == "server_host":
        print("" if config.server_host is None else printable(config.server_host))
        return
    name, _, field = key.removeprefix("services.").rpartition(".")
    service = config.named(name)
    if field not in keys_of(service):
        known = ", ".join(keys_of(service))
        raise UsageError(f"no key {printable(field, 80)!r}; there is: {known}")
    value = _value_of(service, field)
    print(printable(value, 10_000) if isinstance(value, str) else toml_value(value))


def _value_of(service: Service, key: str) -> object:
    """Return the value of *key* as the config has it: there, nothing is false."""
    value: object = getattr(service, key)
    return value or False if key in ("bridge", "bind") else value


def toml_value(value: object) -> str:
    """Return *value* in one line of TOML that holds nothing a terminal would obey."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    # JSON's strings, lists, numbers and booleans are TOML too.  The one exception is a bare U+007F,
    # and that is not printable, so the next line escapes it.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)
