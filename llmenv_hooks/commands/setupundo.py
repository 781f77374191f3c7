"""`llmenv setup --undo`: takes out of the home what `setup` has put there."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import sys
from typing import TYPE_CHECKING

import typer

from llmenv_hooks import render
from llmenv_hooks.agents import entries
from llmenv_hooks.commands.agentfiles import agent_files
from llmenv_hooks.commands.init import store
from llmenv_hooks.commands.install import uninstall
from llmenv_hooks.commands.lifecycle import stop_services
from llmenv_hooks.commands.remains import tell_lines_by_hand
from llmenv_hooks.commands.setuprecord import SetupRecord
from llmenv_hooks.commands.sharerecord import ShareRecord
from llmenv_hooks.commands.shareundo import unshare
from llmenv_hooks.commands.stopped import forget_stop, tell_who_is_stopped
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import config_path, state_dir, xdg_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmenv_hooks.helper.configs import Config


def take_out() -> None:
    """Undo all of `setup`, and go on after what fails; each step says what it has done.

    Raises:
        Exit: something could not be taken out.
    """
    config = load_config()
    record = SetupRecord()
    steps: list[Callable[[], None]] = [
        _unshare,
        lambda: _take_from_agents(config),
        lambda: _stop(config),
        _remove_cached_hooks,
        lambda: uninstall([*render.QUOTE]),  # with none named it would tell of what goes below
        lambda: _remove_config(record, config),
        lambda: _put_store_away(record),
    ]
    done = [_is_done(step) for step in steps]
    if not all(done):
        raise typer.Exit(1)
    record.forget()
    tell_lines_by_hand()
    print(f"left: {printable(state_dir())}, with backups; delete it if you need none of them")


def _is_done(step: Callable[[], None]) -> bool:
    try:
        step()
    except Problem as problem:
        print(f"llmenv: {problem}", file=sys.stderr)
        return False
    except typer.Exit:  # it has said why
        return False
    return True


def _unshare() -> None:
    if ShareRecord().shared:
        unshare([])


def _take_from_agents(config: Config) -> None:
    failed = False
    for file in agent_files(config, False):
        try:
            if file.has_ours():
                file.edit(entries.removed)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(1)


def _stop(config: Config) -> None:
    if config.here:
        stop_services(None)


def _remove_config(record: SetupRecord, config: Config) -> None:
    """Remove the config, if `setup` has written it and nobody has changed it."""
    path = config_path()
    if not os.path.lexists(path):
        return
    if not record.made_config(path):
        print(f"{printable(path)} is not as setup has written it, and stays")
        tell_who_is_stopped()
        return
    try:
        os.unlink(path)
    except OSError as error:
        raise Problem(f"cannot delete {printable(path)}: {error.strerror}") from None
    for service in config.services:
        forget_stop(service.name)
    print(f"removed {printable(path)}")


def _put_store_away(record: SetupRecord) -> None:
    """Move what the example server has stored since `setup` beside the backups; it is the user's.

    Raises:
        Problem: it cannot be moved.
    """
    path = store()
    if not os.path.lexists(path):
        return
    if not record.has_made(path):
        print(f"left: {printable(path)}, what the example server has stored")
        return
    kept = _unused(os.path.join(state_dir(), "backup", path.lstrip("/")))
    try:
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        for part in (path, *glob.glob(f"{glob.escape(path)}-*")):  # SQLite's -wal and -shm
            os.replace(part, kept + part.removeprefix(path))
    except OSError as error:
        raise Problem(f"cannot move {printable(path)}: {error.strerror}") from None
    print(f"moved what the example server has stored to {printable(kept)};")
    print(f"to have it again, move it back to {printable(path)}")


def _unused(path: str) -> str:
    """Return *path*, or with a number behind it what is not there yet."""
    names = itertools.chain([path], (f"{path}.{number}" for number in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def _remove_cached_hooks() -> None:
    """Remove what `llmenv hook` keeps, which the next one would make anew."""
    cache = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
    for file in glob.glob(os.path.join(glob.escape(cache), "hook.*")):
        with contextlib.suppress(OSError):
            os.unlink(file)
