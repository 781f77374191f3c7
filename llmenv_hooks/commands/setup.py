"""`llmenv setup`: from nothing to a working agent in one command, and `--undo`, the way back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmenv_hooks import userfile
from llmenv_hooks.agents import entries
from llmenv_hooks.agents.launcher import user_command
from llmenv_hooks.commands.hello import tools_of
from llmenv_hooks.commands.install import DryRun, install
from llmenv_hooks.commands.lifecycle import start_services
from llmenv_hooks.commands.setupplan import SetupPlan, plan
from llmenv_hooks.commands.setuprecord import SetupRecord
from llmenv_hooks.commands.setupundo import take_out
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable

SHOWN_TOOLS = 300  # characters


def setup(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: DryRun = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take everything out again.")] = False,
) -> None:
    """Set up everything: config, service, shells and agents.

    Asks which server, shells and agents, and shows what it will write before it does. What is
    there already is kept.
    """
    if undo:
        if dry_run:
            raise UsageError("--undo and --dry-run exclude each other")
        take_out()
        return
    asks = not yes and sys.stdin.isatty()
    if not (asks or yes or dry_run):
        raise UsageError("setup has no terminal to ask on; llmenv setup --yes asks nothing")
    planned = plan(asks=asks)
    print(planned.shown(), end="")
    if dry_run:
        print("nothing was written")
        return
    if asks and not typer.confirm("Write that, and start it?", default=True, err=True):
        raise Problem("nothing was written")
    _carry_out(planned)


def _carry_out(planned: SetupPlan) -> None:
    """Do what is *planned*; the service first, since without it nothing else is of use.

    Raises:
        Problem, Exit: something failed; what was done before it stays.
    """
    _write_config(planned)
    config = load_config()
    if config.kept_alive:
        try:
            start_services(None)
        except typer.Exit:
            print(
                "llmenv: shells and agents were left as they are; when that is mended, run"
                " llmenv setup again",
                file=sys.stderr,
            )
            raise
    failed = False
    for file in planned.agents:
        try:
            file.edit(entries.merged, shows=False)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if planned.shells:
        install(planned.shells)
    for service in config.services:
        if service in config.kept_alive or not config.here or service.url:
            failed |= not _says_hello(service.name, service.start_timeout)
    if planned.agents:
        names = ", ".join(file.agent.title for file in planned.agents)
        print(f"next: start {names}; one that is running takes it up when it is restarted")
    if failed:
        raise typer.Exit(1)


def _write_config(planned: SetupPlan) -> None:
    record = SetupRecord()
    record.note_missing(planned.files())
    if planned.config_text is None:
        record.keep()
        return
    record.note_config(planned.config.path, planned.config_text)
    record.keep()
    userfile.replace(planned.config.path, None, planned.config_text, mode=0o600)
    print(f"wrote {printable(planned.config.path)}")


def _says_hello(name: str, timeout: float) -> bool:
    """Ask the service *name* as an agent does, and print what an agent sees; return whether."""
    try:
        tools = tools_of(user_command(name), timeout)
    except Problem as problem:
        print(f"llmenv: {name}: {problem}", file=sys.stderr)
        return False
    names = printable(", ".join(tool["name"] for tool in tools), SHOWN_TOOLS)
    print(f"an agent sees {name} with {len(tools)} tools: {names}")
    return True
