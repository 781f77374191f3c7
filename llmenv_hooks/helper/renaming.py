"""A service that was renamed in the config keeps its daemon, which gets the files of the new name.

It is known by its command and its address, which no two services of a config share, and by the
config for which it was started: where two configs name it differently, it stays whose it is, and so
it does while a service manager keeps it by its former name.
NAME.life moves last, so that who is killed on the way leaves a daemon that the next look finds by
its former name, and goes on with.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import move_file, remove_file
from llmenv_hooks.helper.identity import read_record
from llmenv_hooks.helper.keepers import keeper_of
from llmenv_hooks.helper.locks import release_start_lock, take_start_lock
from llmenv_hooks.helper.logfile import note_in_log
from llmenv_hooks.helper.marks import keep_mark
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.proofs import config_of, move_proof_dir
from llmenv_hooks.helper.realms import lives_here
from llmenv_hooks.helper.records import living
from llmenv_hooks.helper.services import GUARDED, Service
from llmenv_hooks.helper.sockets import ask_bridge, socket_path
from llmenv_hooks.helper.stopping import end_tree


def former_files(service: Service, files: Files) -> Files | None:
    """Return the files by which the daemon of *service* lives that had another name, or None.

    *files* are those that it should have.  It is known by its address, so one that has its socket
    alone is not; and what is kept in the foreground stays with its keeper.
    """
    for other, record in living(files.directory):
        is_same = (record.digest, record.bind) == (service.digest, service.bind)
        config = config_of(other) or config_of(files)  # it may have moved already
        is_ours = config == service.config != "" and not keeper_of(other)
        if is_same and record.bind and is_ours and other.stem != files.stem:
            return other
    return None


def take_over(service: Service, old: Files, files: Files) -> bool:
    """Give the daemon that lives by *old* the *files* of *service*; only under its start lock.

    One that cannot go on by another name is ended.  False: another process is at work on *old*.

    Raises:
        Problem: it does not end.
        OSError: a file cannot be moved; what is done is done, and the rest is for the next look.
    """
    lock = take_start_lock(old)
    if lock is None:
        return False
    try:
        record = read_record(old.life)
        if not (record and lives_here(old)):
            return True
        if _can_go_on(service, old, files):
            _move(old, files, record.pid)
            note_in_log(files, f"{old.service} is called {files.service} now")
        else:
            end_tree(service, old, f"it is called {files.service} now")
            _remove_published(old)
            remove_file(old.sock)
        return True
    finally:
        release_start_lock(lock, old)


def _can_go_on(service: Service, old: Files, files: Files) -> bool:
    """True when all can be moved, and our bridge, where it is one, goes on with the new paths."""
    if old.locks != files.locks or old.locks != old.directory:
        return False
    if service.bridge != GUARDED:
        return True
    if any(socket_path(one) != one.sock for one in (old, files)):
        return False
    # Once the socket has moved, it was told before.
    asked = old if os.path.lexists(old.sock) else files
    told = ask_bridge(asked, "llmenv/rename", {"stem": files.stem})
    return told is not None and told.get("name") == files.service


def _move(old: Files, files: Files, pid: int) -> None:
    """Move all that is there of *old*, whose daemon is *pid*, to *files*."""
    keep_mark(old, pid)
    move_proof_dir(old, files, pid)
    _remove_published(old)
    for was, now in (
        (old.old_log, files.old_log),
        (old.log, files.log),
        (old.sock, files.sock),
        (old.token, files.token),
        (old.child, files.child),
    ):
        move_file(was, now)
    move_file(old.life, files.life)
    remove_file(os.path.join(files.proof, os.path.basename(old.life)))


def _remove_published(old: Files) -> None:
    for path in (old.pid, old.alive, old.output, old.fail, old.keeper):
        remove_file(path)
