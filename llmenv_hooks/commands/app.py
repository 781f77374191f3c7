"""Puts the commands of `llmenv` together, and runs the one that the command line names.

`hook` and what else must be fast is answered before this is imported (see `__main__`).
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from llmenv_hooks import render
from llmenv_hooks.commands.check import check_hooks
from llmenv_hooks.commands.client import client
from llmenv_hooks.commands.config import config_app
from llmenv_hooks.commands.connect import connect_agent
from llmenv_hooks.commands.doctor import doctor
from llmenv_hooks.commands.hook import print_export, print_hook
from llmenv_hooks.commands.init import init
from llmenv_hooks.commands.install import install, uninstall
from llmenv_hooks.commands.lifecycle import restart_services, start_services, stop_services
from llmenv_hooks.commands.logs import print_logs
from llmenv_hooks.commands.parameters import Command, help_without_command, shell_names
from llmenv_hooks.commands.setup import setup
from llmenv_hooks.commands.status import show_status
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.version import __version__

COMPLETE = "_LLMENV_COMPLETE"  # the completion script sets it when it asks for words

app = typer.Typer(
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
    if COMPLETE in os.environ:
        # typer itself calls this only with add_completion.  It is private to typer, so it is
        # imported here: a release of typer that moves it breaks completion and nothing else.
        from typer._completion_classes import completion_init

        completion_init()
    try:
        status: int | None = app(prog_name="llmenv", complete_var=COMPLETE, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        what = printable(error.format_message()).rstrip(".")
        see = context.command_path if context else "llmenv"
        raise UsageError(f"{what}; see {see} --help") from None
    except typer.Abort:
        raise Problem("aborted") from None
    return status or 0  # typer.Exit carries a status; a command that just returns gives None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"llmenv {__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if not shell:
        return
    from typer._completion_shared import get_completion_script  # private to typer, as in `run`

    names = {"prog_name": "llmenv", "complete_var": COMPLETE}
    print(get_completion_script(**names, shell=render.checked(shell)))
    if shell == "zsh":
        # zsh loads typer's script from $fpath at the first TAB, and then only defines the function.
        # This line also calls it, so that the first TAB is answered too.
        print("[[ $funcstack[1] != _llmenv ]] || _llmenv_completion")
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
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


# In the order in which `llmenv --help` lists them.
app.command("setup")(setup)
app.command("hook", cls=Command)(print_hook)
app.command("export", cls=Command)(print_export)
app.command("status")(show_status)
app.command("start", cls=Command)(start_services)
app.command("stop", cls=Command)(stop_services)
app.command("restart", cls=Command)(restart_services)
app.command("logs", cls=Command)(print_logs)
app.command("init")(init)
app.add_typer(config_app, name="config")
app.command("client", cls=Command)(client)
app.command("connect", cls=Command)(connect_agent)
app.command("install", cls=Command)(install)
app.command("uninstall", cls=Command)(uninstall)
app.command("doctor")(doctor)
app.command("check", cls=Command)(check_hooks)
