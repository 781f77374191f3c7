"""Puts the commands of `llmenv` together, and runs the one that the command line names.

`hook` and what else must be fast is answered before this is imported (see `__main__`).
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llmenv_hooks.commands.adding import add_service, remove_service
from llmenv_hooks.commands.address import print_url
from llmenv_hooks.commands.check import check_hooks
from llmenv_hooks.commands.client import client
from llmenv_hooks.commands.completion import (
    COMPLETE,
    PROGRAM,
    prepare_completion,
    print_completion,
)
from llmenv_hooks.commands.config import config_app
from llmenv_hooks.commands.connect import connect_agent
from llmenv_hooks.commands.debug import print_debug
from llmenv_hooks.commands.doctor import doctor
from llmenv_hooks.commands.guesses import ALIASES, hint
from llmenv_hooks.commands.hook import print_export, print_hook
from llmenv_hooks.commands.init import init
from llmenv_hooks.commands.install import install, uninstall
from llmenv_hooks.commands.lifecycle import restart_services, start_services, stop_services
from llmenv_hooks.commands.logs import print_logs
from llmenv_hooks.commands.parameters import Command, help_without_command, shell_names
from llmenv_hooks.commands.pruning import prune
from llmenv_hooks.commands.setup import setup
from llmenv_hooks.commands.share import share
from llmenv_hooks.commands.status import show_status
from llmenv_hooks.commands.unit import unit
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.version import __version__


class _Commands(TyperGroup):
    """The commands, also by the names that they have in other tools."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command called *cmd_name*, or None."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


app = typer.Typer(
    cls=_Commands,
    # typer's own --install-completion edits rc files, and has no command that undoes it.
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep one shared MCP server alive from the shell prompt.",
)


def run() -> int:
    """Run the command line of this process and return its exit status.

    Raises:
        UsageError: the command line is wrong.
        Problem: what the command raises.
    """
    prepare_completion()
    try:
        status: int | None = app(prog_name=PROGRAM, complete_var=COMPLETE, standalone_mode=False)
    except typer.TyperException as error:
        raise UsageError(_answer(error, sys.argv[1:])) from None
    except typer.Abort:
        raise Problem("aborted") from None
    return status or 0  # typer.Exit carries a status; a command that just returns gives None


def _answer(error: typer.TyperException, typed: list[str]) -> str:
    """Return what to say about the words *typed*, which typer refused with *error*."""
    what = printable(error.format_message()).rstrip(".")
    if better := hint(typed):
        return f"{what.partition('. Did you mean')[0]}; {better}"
    context = getattr(error, "ctx", None)
    see = f"see {context.command_path if context else PROGRAM} --help"
    return f"{what} {see.capitalize()}" if what.endswith("?") else f"{what}; {see}"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"llmenv {__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell:
        print_completion(shell)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL",
            callback=_show_completion,
            is_eager=True,
            help="Print the completion script of bash, zsh or fish.",
            autocompletion=shell_names,
        ),
    ] = None,
) -> None:
    help_without_command(context)


_WORDS = typer.Argument(metavar="COMMAND")


def _print_version() -> None:
    """Print the version."""
    _version(True)


def _help(context: typer.Context, words: Annotated[list[str] | None, _WORDS] = None) -> None:
    """Print the help of a command."""
    sys.argv[1:] = [*(words or []), "--help"]
    run()


# In the order in which one needs them, in which `llmenv --help` lists them.
app.command("setup")(setup)
app.command("init")(init)
app.command("install", cls=Command)(install)
app.command("client", cls=Command)(client)
app.command("share", cls=Command)(share)
app.command("status", cls=Command)(show_status)
app.command("doctor")(doctor)
app.command("logs", cls=Command)(print_logs)
app.command("start", cls=Command)(start_services)
app.command("stop", cls=Command)(stop_services)
app.command("restart", cls=Command)(restart_services)
app.command("add", cls=Command)(add_service)
app.command("remove", cls=Command)(remove_service)
app.command("unit", cls=Command)(unit)
app.command("url", cls=Command)(print_url)
app.add_typer(config_app, name="config")
app.command("connect", cls=Command)(connect_agent)
app.command("debug")(print_debug)
app.command("prune")(prune)
app.command("uninstall", cls=Command)(uninstall)
app.command("check", cls=Command)(check_hooks)
app.command("export", cls=Command)(print_export)
app.command("hook", cls=Command)(print_hook)
app.command("completion", cls=Command)(print_completion)
app.command("version", hidden=True)(_print_version)
app.command("help", cls=Command, hidden=True)(_help)
