"""`llmenv prune`: takes away what llmenv keeps in the state directory and the cache."""

from __future__ import annotations

import os
import shutil
import time
from typing import Annotated

import typer

from llmenv_hooks.commands.known import config_or_what_runs
from llmenv_hooks.helper.editions import EDITION
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import modified
from llmenv_hooks.helper.places import config_path, state_dir, xdg_directory
from llmenv_hooks.helper.proofs import config_of
from llmenv_hooks.helper.records import is_anothers, living, recorded

LOCK = ".pid.lock"
STALE_S = 3600.0
KEPT = ("backup", "setup.json", "share.json")  # files of the user's, and what `--undo` goes by


def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="All state and caches, once nothing runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
) -> None:
    """Delete the state of services that are gone, and of shells.

    The state of a service stays if the service is in a config or runs. The config, and what
    servers have stored, are never touched.
    """
    state = state_dir()
    paths = _all_of(state) if everything else [*_forgotten(state), *_stale_editions(state)]
    for path in paths:
        if not dry_run:
            _delete(path)
        print(f"{'would delete' if dry_run else 'deleted'} {printable(path)}")
    if not paths:
        print("nothing to delete")
    if everything:
        print(f"left: {printable(config_path())}, if it is there, and what servers have stored")


def _all_of(state: str) -> list[str]:
    """Return what holds nothing but what llmenv can make anew.

    Raises:
        Problem: a service runs.
    """
    running = [files.service for files, _ in living(state)]
    if running:
        raise Problem(f"{', '.join(running)} runs; first: llmenv stop")
    cache = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
    paths = [os.path.join(state, name) for name in _names(state) if name not in KEPT]
    return [*paths, *([cache] if os.path.isdir(cache) and not os.path.islink(cache) else [])]


def _forgotten(state: str) -> list[str]:
    """Return the files in *state* of services that neither run nor are in the config."""
    config, was_read = config_or_what_runs()
    if not was_read:
        raise Problem("which services are gone cannot be told from that config; mend it")
    kept = {service.name for service in config.services}
    kept |= {files.service for files, _ in living(state)}
    names = _names(state)
    # A start lock may be all that is left: of one that was renamed, by a helper that was killed.
    stems = {files.stem for files in recorded(state)}
    stems |= {name.removesuffix(LOCK) for name in names if name.endswith(LOCK)}
    gone = {stem for stem in stems if stem.partition("@")[0] not in kept}
    gone -= {one.stem for one in recorded(state) if is_anothers(config_of(one), config)}
    return [os.path.join(state, name) for name in names if _stem(name) in gone]


def _stale_editions(state: str) -> list[str]:
    """Return the editions of the hook in *state* that no shell has asked for in an hour.

    A shell asks each minute in which it has a prompt.  One that was idle gets its edition back.
    """
    paths = [os.path.join(state, name) for name in _names(state) if name.startswith(EDITION)]
    return [path for path in paths if time.time() - (modified(path) or 0) / 1e9 > STALE_S]


def _names(state: str) -> list[str]:
    return sorted(os.listdir(state)) if os.path.isdir(state) else []


def _stem(name: str) -> str:
    """Return the service, maybe with @HOST, that the state file *name* is of: no name has a dot."""
    service, at, rest = name.partition("@")
    if not at:
        return name.partition(".")[0]
    for ending in (".pid.lock", ".log.1"):
        if rest.endswith(ending):
            return f"{service}@{rest.removesuffix(ending)}"
    return f"{service}@{rest.rpartition('.')[0]}"


def _delete(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Problem(f"cannot delete {printable(path)}: {error.strerror}") from None
