"""The commands that write, check and show the config: `init` and `config`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from llmenv_hooks import ensure, render, userfile

app = typer.Typer(rich_markup_mode=None)

SCHEMA = Path(__file__).resolve().with_name("config.schema.json")
PORTS_TRIED = 100


@app.callback(invoke_without_command=True, help="Check the config, show it, or say where.")
def help_without_command(context: typer.Context) -> None:
    """Print the help of a group of commands when none of them is named."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def init(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Write a config for one memory server, where there is none yet."""
    path = ensure.config_path()
    if userfile.load(path) is not None:
        raise ensure.Problem(
            f"{ensure.printable(path)} is there already, and was left as it is;"
            " `llmenv config check` checks it"
        )
    if not yes and not sys.stdin.isatty():
        raise ensure.UsageError("init has no terminal to ask on; llmenv init --yes asks nothing")
    command = _choose_command(yes)
    service = _at_a_free_port(command)
    userfile.replace(path, None, _written(service).encode(), mode=0o600)
    print(f"wrote {ensure.printable(path)}: {service.name} on {service.bind}")
    print("next: `llmenv start` starts it, `llmenv install` has your shell keep it running")
    try:
        ensure.mcp_proxy_command()
    except ensure.Problem as problem:
        print(f"llmenv: before it can start: {problem}", file=sys.stderr)


def _choose_command(yes: bool) -> list[str]:
    """Return the command of the memory server: icm's, the example's, or what the user enters."""
    if ensure.on_path("icm"):
        print("icm is on PATH: the memory server is `icm serve`")
        return list(ensure.DEFAULT_COMMAND)
    question = "icm is not on PATH. Use the example memory server that comes with llmenv?"
    if not (yes or typer.confirm(question, default=True)):
        return _split(typer.prompt("The command of your MCP server (stdio)"))
    if find_spec("mcp") is None:
        raise ensure.Problem(
            "the example memory server needs the Python package mcp, nothing written; install icm,"
            " or llmenv-hooks with its extra, e.g."
            f" {shlex.quote(sys.executable)} -m pip install 'llmenv-hooks[proxy]'"
        )
    return [word.replace("${", "$${") for word in (sys.executable, _example_server())]


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ensure.Problem(f"cannot read that command: {error}; nothing written") from None
    if not (words and words[0]):
        raise ensure.Problem("that is no command; nothing written")
    return words


def _example_server() -> str:
    """Return where the example is: in a wheel's package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    packaged = os.path.join(package, "examples", "memory_server.py")
    if os.path.isfile(packaged):
        return packaged
    return os.path.join(os.path.dirname(package), "examples", "memory_server.py")


def _at_a_free_port(command: list[str]) -> ensure.Service:
    """Return the service that runs *command* on the first port, from the default on, for it."""
    host, first = ensure.parse_bind(ensure.DEFAULT_BIND)
    for port in range(first, first + PORTS_TRIED):
        service = ensure.Service("memory", command, f"{host}:{port}")
        listener = ensure.find_listener(service)
        # One that runs this very command, as without a config, will be adopted.
        if listener.runs(service) if listener else not ensure.probe(host, port):
            return service
        print(f"port {port} is taken by {listener or 'somebody'}; trying the next")
    raise ensure.Problem(f"no free port from {first} to {first + PORTS_TRIED - 1}; nothing written")


def _written(service: ensure.Service) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(render.templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # `finalize` quotes every value
        finalize=_toml,
        keep_trailing_newline=True,
    )
    text = environment.get_template("config.toml").render(
        command=service.command, bind=service.bind
    )
    # https://taplo.tamasfe.dev/configuration/directives.html: a path or an URL, no spaces.
    return f"#:schema {SCHEMA.as_uri()}\n{text}"


def _toml(value: object) -> str:
    """Return *value* in one line of TOML that holds nothing a terminal would obey."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    # Strings, lists, numbers and booleans of JSON are TOML too, but for the bare U+007F.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)


@app.command()
def check() -> None:
    """Say whether the config is right, and what is wrong in which line.

    The exit status is 2 when something is wrong.
    """
    config = ensure.load_config()
    count = len(config.services)
    found = f"ok, {count} service{'s' * (count != 1)}"
    if not os.path.exists(config.path):
        found = f"no such file, so the default holds: {config.services[0].name}"
    print(f"{ensure.printable(config.path)}: {found}")


@app.command()
def show() -> None:
    """Print the config with all defaults filled in, as TOML."""
    config = ensure.load_config()
    print(f"# {ensure.printable(config.path)}, with all defaults")
    if config.server_host is not None:
        print(f"server_host = {_toml(config.server_host)}")
    for service in config.services:
        print(f"\n[services.{service.name}]")
        for key in ensure._Checker.SERVICE_KEYS:
            print(f"{key} = {_toml(getattr(service, key))}")


@app.command()
def path() -> None:
    """Print the path of the config, which need not exist."""
    sys.stdout.buffer.write(os.fsencode(ensure.config_path()) + b"\n")
