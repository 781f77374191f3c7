"""`llmenv add` and `llmenv remove`: a service into the config, and out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks import userfile
from llmenv_hooks.commands.config import toml_value
from llmenv_hooks.commands.configedit import write_config
from llmenv_hooks.commands.parameters import service_argument
from llmenv_hooks.commands.sharerecord import shared_names
from llmenv_hooks.commands.stopped import forget_stop
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.managers import manager_of
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.ports import probe
from llmenv_hooks.helper.services import DEFAULT_BIND, parse_bind, valid_name
from llmenv_hooks.helper.stopping import stop

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config

PORTS_TRIED = 100


def add_service(
    name: Annotated[str, typer.Argument(metavar="NAME", help="letters, digits, - and _")],
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="after --: what runs the server")
    ],
    bind: Annotated[
        str | None,
        typer.Option(metavar="IP:PORT", help="Its address; default: 127.0.0.1, a free port."),
    ] = None,
) -> None:
    """Add a service to the config: llmenv add NAME -- COMMAND.

    COMMAND is a server that speaks MCP on stdin and stdout.
    """
    if not valid_name(name):
        raise UsageError(f"bad name {printable(name, 80)!r}: want letters, digits, - and _")
    path = config_path()
    old = userfile.load(path)
    config = load_config()
    if old is not None and any(service.name == name for service in config.services):
        raise UsageError(f"{name} is in {printable(path)} already; llmenv config edit")
    address = bind or _free_address(config)
    words = [word.replace("${", "$${") for word in command]
    table = f"[services.{name}]\ncommand = {toml_value(words)}\nbind = {toml_value(address)}\n"
    before = (old or b"").decode("utf-8-sig")
    gap = "\n" if before else ""
    new = f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{gap}{table}"
    write_config(path, old, new)
    print(f"added {name} on {address} to {printable(path)}")
    print(f"next: `llmenv start {name}`, and `llmenv client --write` for the agents")


def remove_service(name: Annotated[str, service_argument()]) -> None:
    """Stop a service, and take it out of the config.

    What it has stored stays where it is.
    """
    import tomlkit

    path = config_path()
    old = userfile.load(path)
    if old is None:
        raise Problem(f"{printable(path)}: no config yet, so nothing is in it")
    service = load_config().named(name)
    if name in shared_names():
        raise Problem(
            f"{name} is shared; llmenv share --undo {name} gives the agents their own back"
        )
    document = tomlkit.parse(old.decode("utf-8-sig"))
    services = document.get("services", {})
    if name not in services:
        raise Problem(f"{name} is the default service, and not in {printable(path)}")
    del services[name]
    if not services:
        raise Problem(f"{name} is the last service in {printable(path)}; delete that instead")
    ended = not service.url and stop(service, state_dir(), why="llmenv remove")
    write_config(path, old, tomlkit.dumps(document))
    forget_stop(name)
    print(f"{'stopped and ' if ended else ''}removed {name} from {printable(path)}")
    if manager := manager_of(name):
        print(f"left: {', '.join(filter(os.path.lexists, manager.paths(name)))}; delete them")
    print("next: `llmenv client --write` takes it out of the agents that have it")


def _free_address(config: Config) -> str:
    """Return the first address, from the default on, that no service has and nobody listens on."""
    taken = {service.port for service in config.services}
    host, first = parse_bind(DEFAULT_BIND)
    for port in range(first, first + PORTS_TRIED):
        if port not in taken and not probe(host, port):
            return f"{host}:{port}"
    raise Problem(f"no free port from {first} to {first + PORTS_TRIED - 1}; say one with --bind")
