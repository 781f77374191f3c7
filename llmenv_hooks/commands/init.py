"""`llmenv init`: a first config, from templates/config.toml, with answers that a person gives."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from llmenv_hooks import render, userfile
from llmenv_hooks.commands.config import toml_value
from llmenv_hooks.commands.stopped import tell_who_is_stopped
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import config_path
from llmenv_hooks.helper.ports import find_listener, probe
from llmenv_hooks.helper.programs import expanded, on_path, program_path
from llmenv_hooks.helper.services import DEFAULT_BIND, DEFAULT_COMMAND, Service, parse_bind
from llmenv_hooks.places import PACKAGE, data_directory

SCHEMA = Path(PACKAGE).resolve() / "config.schema.json"
PORTS_TRIED = 100


def init(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Write a config for one memory server, where there is none yet."""
    path = config_path()
    if userfile.load(path) is not None:
        raise Problem(
            f"{printable(path)} is there already, and was left as it is;"
            " `llmenv config check` checks it"
        )
    if not yes and not sys.stdin.isatty():
        raise UsageError("init has no terminal to ask on; llmenv init --yes asks nothing")
    command = choose_command(yes)
    service = at_a_free_port(command)
    userfile.replace(path, None, config_text(service).encode(), mode=0o600)
    print(f"wrote {printable(path)}: {service.name} on {service.bind}")
    print("next: `llmenv start` starts it, `llmenv install` has your shell keep it running")
    tell_who_is_stopped()
    try:
        program_path(expanded(service))
    except Problem as problem:
        print(f"llmenv: before it can start: {problem}", file=sys.stderr)


def choose_command(yes: bool) -> list[str]:
    """Return the command of the memory server: icm's, the example's, or what the user enters.

    With *yes* nothing is asked.

    Raises:
        Problem: the example cannot run here, or what was entered is no command.
    """
    if on_path("icm"):
        print("icm is on PATH: the memory server is `icm serve`")
        return list(DEFAULT_COMMAND)
    question = "Use the example memory server that comes with llmenv? (n: a server of your own)"
    if not (yes or typer.confirm(question, default=True, err=True)):
        return _split(typer.prompt("The command of your MCP server, which speaks stdio", err=True))
    if not _has_sdk():
        python = shlex.quote(sys.executable)
        pip = f"{python} -m pip install" if find_spec("pip") else f"uv pip install -p {python}"
        raise Problem(
            "the example memory server needs the Python package mcp, from 2.3 on, nothing written;"
            f" install icm, or: {pip} 'mcp>=2.3'"
        )
    return [word.replace("${", "$${") for word in (sys.executable, _example_server())]


def _has_sdk() -> bool:
    """True when the example server can run: the 1.x line, which mcp-proxy brings, is another."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return not version("mcp").startswith("1.")
    except PackageNotFoundError:
        return False


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Problem(f"cannot read that command: {error}; nothing written") from None
    if {"&&", "||", "|", "&", ">", "<"} & {*words} or any(word.endswith(";") for word in words):
        raise Problem("that is a line for a shell, not one command; nothing written")
    if not (words and words[0]):
        raise Problem("that is no command; nothing written")
    return words


def _example_server() -> str:
    """Return where the example is: in a wheel's package, or beside it in a checkout."""
    packaged = os.path.join(PACKAGE, "examples", "memory_server.py")
    if os.path.isfile(packaged):
        return packaged
    return os.path.join(os.path.dirname(PACKAGE), "examples", "memory_server.py")


def store() -> str:
    """Return the file in which the example server keeps its memories.

    Raises:
        Problem: neither XDG_DATA_HOME nor HOME says where.
    """
    return os.path.join(data_directory(), "memory.db")


def at_a_free_port(command: list[str]) -> Service:
    """Return the service that runs *command* on the first port, from the default on, for it.

    Raises:
        Problem: all are taken.
    """
    host, first = parse_bind(DEFAULT_BIND)
    for port in range(first, first + PORTS_TRIED):
        service = Service("memory", command, f"{host}:{port}")
        listener = find_listener(service)
        # A listener that runs this very command, started without a config, will be adopted.
        free = listener.runs(service) if listener else not probe(host, port)
        if free:
            return service
        print(f"port {port} is taken by {listener or 'somebody'}; trying the next")
    raise Problem(f"no free port from {first} to {first + PORTS_TRIED - 1}; nothing written")


def config_text(service: Service) -> str:
    """Return the text of a config with *service* in it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(render.templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # `finalize` quotes every value
        finalize=toml_value,
        keep_trailing_newline=True,
    )
    text = environment.get_template("config.toml").render(
        command=service.command, bind=service.bind
    )
    # An editor reads this line: https://taplo.tamasfe.dev/configuration/directives.html.  It wants
    # a path or an URL without spaces.
    return f"#:schema {SCHEMA.as_uri()}\n{text}"
