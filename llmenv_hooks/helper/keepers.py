"""Who keeps a service: a process that stays in front of its daemon, as `--foreground` does.

NAME.keeper is its identity record.  While it lives, everybody else leaves the service to it: they
ask it to look, by SIGHUP, and wait.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.files import remove_file, replace_file
from llmenv_hooks.helper.identity import HERE, Identity, identity_of, read_record
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import send_signal
from llmenv_hooks.helper.services import Service


def keeper_of(files: Files) -> Identity | None:
    """Return who keeps the service of *files*, or None: nobody that lives in this realm."""
    record = read_record(files.keeper)
    return record if record and record.whereabouts() == HERE else None


def claim(service: Service, files: Files) -> None:
    """Make this process the keeper; only under the start lock.

    Raises:
        Problem: another one lives.
        OSError: it cannot be written down.
    """
    keeper = keeper_of(files)
    if keeper:
        raise Problem(f"{service.name}: pid {keeper.pid} keeps it already")
    replace_file(files.keeper, identity_of(os.getpid(), service).encode())


def withdraw(files: Files) -> None:
    """Take it back, if this process is the keeper."""
    keeper = keeper_of(files)
    if keeper and keeper.pid == os.getpid():
        remove_file(files.keeper)


def ask_to_look(keeper: Identity) -> None:
    """Have *keeper* read the config again, and look after its service at once."""
    import signal

    send_signal(keeper.pid, keeper.start, signal.SIGHUP)
