"""Does one piece of work for many services at once, and shows which are still under way."""

from __future__ import annotations

import json
import os
import selectors
import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from llmenv_hooks import ensure

# Takes a service; returns what to say on stdout, and a note for stderr or "".
Work = Callable[[ensure.Service], tuple[str, str]]


def for_each_service(services: list[ensure.Service], doing: str, work: Work) -> None:
    """Do *work* for all *services* at once; *doing* is the word for it in the progress line.

    Each has a process of its own, so that a slow or failing service holds up no other.

    Raises:
        Exit: one failed; with the worst exit status.
    """
    state, statuses = ensure.state_dir(), set()
    with selectors.DefaultSelector() as waiting:
        for service in services:
            waiting.register(_begin(service, work), selectors.EVENT_READ, service.name)
        while waiting.get_map():
            for key in _next_ready(waiting, doing, state):
                waiting.unregister(key.fileobj)
                statuses.add(_tell(key.data, key.fd))
    if failed := statuses - {0}:
        raise typer.Exit(min(failed))


def _begin(service: ensure.Service, work: Work) -> int:
    """Do *work* in a new process; return the descriptor on which it will report."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        _report(service, work, writer)
    os.close(writer)
    return reader


def _report(service: ensure.Service, work: Work, writer: int) -> NoReturn:
    """Do *work* and write to *writer*, as JSON, what to say, a note and the status; then end."""
    try:
        try:
            report = (*work(service), 0)
        except ensure.Problem as problem:
            report = ("", str(problem), problem.exit_code)
        ensure._say(writer, json.dumps(report))
    except KeyboardInterrupt:
        pass  # the terminal has sent it to the waiting process too, which says so
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _next_ready(
    waiting: selectors.BaseSelector, doing: str, state: str
) -> list[selectors.SelectorKey]:
    """Wait for the next reports, with a progress line on a terminal."""
    left = [key.data for key in waiting.get_map().values()]
    log = f"{state}/{left[0] if len(left) == 1 else '*'}.log"
    line = Text(ensure.printable(f"{doing} {', '.join(left)}, see {log}", 1000))
    # rich prints to its own stream while the spinner shows; so stop it before anything is printed.
    with Console(stderr=True).status(line):
        return [key for key, _ in waiting.select()]


def _tell(name: str, reader: int) -> int:
    """Print the report of the service *name*, and return its exit status."""
    with open(reader) as report:
        written = report.read()  # until its process has closed it, so has done all its work
    if not written:
        print(f"llmenv: {name}: its process was ended; llmenv status tells more", file=sys.stderr)
        return 1
    said, note, status = json.loads(written)
    if said:
        print(name, said, flush=True)
    if note:
        print(f"llmenv: {note}", file=sys.stderr)
    return int(status)
