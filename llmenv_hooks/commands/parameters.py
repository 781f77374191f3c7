"""The words that several commands take, what completes them, and which service they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from llmenv_hooks import render
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service


class Command(TyperCommand):
    """A command whose help calls an argument SHELL, where typer has `{SHELL}` and `SHELL <str>`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [re.sub("[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            of_kind = [one for one in self.get_params(ctx) if one.param_type_name == kind]
            records = filter(None, (one.get_help_record(ctx) for one in of_kind))
            rows = [(name.partition(" <")[0], text) for name, text in records]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def help_without_command(context: typer.Context) -> None:
    """Print the help of a group of commands when none of them is named."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def shell_names() -> list[str]:
    """Return what completes SHELL."""
    return [*render.QUOTE]


_SHELL = typer.Argument(metavar="SHELL", help="bash, zsh or fish", autocompletion=shell_names)
Shell = Annotated[str, _SHELL]
OptionalShell = Annotated[str | None, _SHELL]
Shells = Annotated[list[str] | None, _SHELL]


def services_argument(default: str) -> Any:
    """Return the arguments SERVICE of a command that takes *default* without it."""
    return typer.Argument(
        metavar="SERVICE", help=f"default: {default}", autocompletion=_service_names
    )


def service_argument() -> Any:
    """Return the argument SERVICE of a command that takes one."""
    return typer.Argument(
        metavar="SERVICE", help="its name in the config", autocompletion=_service_names
    )


def _service_names() -> list[str]:
    try:
        return [service.name for service in load_config().services]
    except Problem:  # nothing may be printed into the line that is being edited
        return []


def meant_services(config: Config, names: list[str] | None) -> list[Service]:
    """Return the services *names* of *config*, each once; without names, all.

    Raises:
        UsageError: there is none of such a name.
    """
    if not names:
        return config.services
    return [config.named(name) for name in dict.fromkeys(names)]
