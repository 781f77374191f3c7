"""Which files are this realm's, where several hosts or containers share a home.

A realm is a boot, a pid namespace and a net namespace.  The first realm to come has NAME.*, another
one NAME@HOST.*.  Where the file system has no locks, they are kept in the runtime directory.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.directories import PRIVATE_UMASK, make_directory
from llmenv_hooks.helper.errors import Elsewhere, NoLocks, Problem, printable
from llmenv_hooks.helper.files import link_target, make_link, remove_file
from llmenv_hooks.helper.identity import DEAD, HERE, read_record
from llmenv_hooks.helper.locks import life_is_held
from llmenv_hooks.helper.places import Files, cannot_use, hostname, instances, runtime_directory
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.sight import Sight, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def in_our_realm(work: Callable[[Files], T], shared: Files, suffixed: Files) -> T:
    """Return what *work* makes of the files that are this realm's, where its locks can be.

    Raises:
        Problem: neither are, or no place has locks.
    """
    try:
        return _first_of_ours(lambda files: _with_locks(work, files), shared, suffixed)
    except Elsewhere:
        raise Problem(
            f"another host or container named {hostname()} shares {shared.directory} and runs"
            f" {shared.stem} there; give this one its own XDG_STATE_HOME"
        ) from None


def find(service: Service, state: str) -> tuple[Files, Sight]:
    """Return which files in *state* are this realm's for *service*, and what a look at it sees.

    Raises:
        Problem: a state file is not what it should be, or cannot be read.
    """
    shared, suffixed = instances(service.name, state)

    def see(files: Files) -> tuple[Files, Sight]:
        sight = look(service, files)
        if sight.state == "elsewhere" and files is shared:
            raise Elsewhere
        return files, sight

    try:
        return _first_of_ours(see, shared, suffixed)
    except OSError as error:
        raise Problem(f"{service.name}: {cannot_use(error, shared)}") from None
    except NoLocks:
        raise _no_locks(shared) from None


def _first_of_ours(work: Callable[[Files], T], shared: Files, suffixed: Files) -> T:
    """Do *work* with the shared files, and with this host's own where those are another realm's."""
    if our_files([shared, suffixed]) is shared:
        try:
            return work(shared)
        except Elsewhere:
            pass
    return work(suffixed)


def our_files(files: list[Files]) -> Files:
    """Return by which of the `instances` *files* this realm's daemon lives, or may."""
    shared, suffixed = files
    return suffixed if os.path.lexists(suffixed.life) and lives_here(suffixed) else shared


def lives_here(files: Files) -> bool:
    """True when a daemon is seen to live by *files*."""
    record = read_record(files.life)
    try:
        where = record.whereabouts() if record else DEAD
        return where == HERE or (where == DEAD and life_is_held(files))
    except (OSError, NoLocks):
        return False  # what is wrong will be said of the files that are looked at then


def _with_locks(work: Callable[[Files], T], files: Files) -> T:
    target = link_target(files.life)
    if target and not os.path.exists(os.path.dirname(target)):
        # It led to a runtime directory, which went with a session or a boot.
        remove_file(files.life)
    try:
        with PRIVATE_UMASK:
            return work(files)
    except NoLocks:
        pass
    runtime = runtime_directory()
    try:
        if os.path.lexists(files.lock) and not os.path.getsize(files.lock):
            remove_file(files.lock)  # just made, and held by nobody: a holder writes its pid
        if runtime is None or files.locks == runtime:
            raise _no_locks(files)
        moved = Files(files.pid, runtime)
        make_directory(runtime)
        make_link(moved.life, files.life)  # where shells look for it, and `Files`
    except OSError as error:
        raise Problem(f"{files.stem}: {cannot_use(error, files)}") from None
    return _with_locks(work, moved)


def _no_locks(files: Files) -> Problem:
    return Problem(
        f"{files.stem}: the file system of {printable(files.locks)} has no file locks;"
        " set XDG_RUNTIME_DIR to a directory that has"
    )
