"""Does one piece of work for many services at once, and shows which are still under way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.workers import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmenv_hooks.helper.services import Service

    # Takes a service; returns what to say on stdout, and a note for stderr or "".
    Work = Callable[[Service], tuple[str, str]]


def for_each_service(services: list[Service], doing: str, work: Work) -> None:
    """Do *work* for all *services* at once; *doing* is the word for it in the progress line.

    Raises:
        Exit: one failed; with the worst exit status.
    """
    from rich.console import Console
    from rich.text import Text

    state, statuses = state_dir(), set()
    left = [service.name for service in services]
    reports = at_once(services, lambda service: _report(service, work))
    while left:
        log = f"{state}/{left[0] if len(left) == 1 else '*'}.log"
        line = Text(printable(f"{doing} {', '.join(left)}, see {log}", 1000))
        # rich prints to its own stream while the spinner shows; so stop it before anything else.
        with Console(stderr=True).status(line):
            service, report = next(reports)
        left.remove(service.name)
        statuses.add(_tell(service.name, report))
    if failed := statuses - {0}:
        raise typer.Exit(min(failed))


def _report(service: Service, work: Work) -> tuple[str, str, int]:
    """Do *work*; return what to say, a note, and the exit status."""
    try:
        return (*work(service), 0)
    except Problem as problem:
        return "", str(problem), problem.exit_code


def _tell(name: str, report: tuple[str, str, int] | None) -> int:
    """Print the *report* of the service *name*, and return its exit status."""
    if report is None:
        print(f"llmenv: {name}: its process was ended; llmenv status tells more", file=sys.stderr)
        return 1
    said, note, status = report
    if said:
        print(name, said, flush=True)
    if note:
        print(f"llmenv: {note}", file=sys.stderr)
    return status
