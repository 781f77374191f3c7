"""What is written down about a running service, and whether it is still true."""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import make_link, remove_file
from llmenv_hooks.helper.identity import HERE, identity_of, read_record, write_record
from llmenv_hooks.helper.listeners import who_listens
from llmenv_hooks.helper.locks import life_is_held
from llmenv_hooks.helper.logfile import log_is_long
from llmenv_hooks.helper.owners import is_of
from llmenv_hooks.helper.pidfile import pidfile_pid, write_pidfile_atomic
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import has_proc
from llmenv_hooks.helper.proofs import linked_pid, proof_link
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.sight import ANOTHER_REALMS, Sight


def publish(service: Service, files: Files, pid: int | None) -> int | None:
    """Write down who serves, under the start lock, and return its pid.

    *pid* is who was seen to serve; a wrapper's worker that listens in its place is named instead,
    and so is a worker that outlived its wrapper.
    """
    who = who_listens(service, files, pid)
    if who and who.uid == os.getuid() and (is_of(who.pid, pid, files) or who.runs(service)):
        pid = who.pid
    if pid is None:
        remove_file(files.pid)
    else:
        record = read_record(files.life)
        if record and record.whereabouts() != HERE and life_is_held(files):
            write_record(files, identity_of(pid, service))
        write_pidfile_atomic(files.pid, pid)
    link, target = proof_link(pid, files) or ("", "")
    if link:
        make_link(target, link)
    for other in {files.alive, files.output} - {link}:
        remove_file(other)
    remove_file(files.fail)
    return pid


def is_published(files: Files, sight: Sight) -> bool:
    """True when all that is published about a running service is true."""
    if sight.detail:  # nothing of ours to publish
        return sight.detail == ANOTHER_REALMS or not os.path.lexists(files.pid)
    if os.path.lexists(files.lock) or os.path.lexists(files.fail) or log_is_long(files):
        return False
    proved = linked_pid(files) if has_proc() else None
    if has_proc() and proved is None and proof_link(sight.pid, files):
        return False  # shells could prove it, had they the link
    written = pidfile_pid(files)
    return written is not None and written == (proved or sight.pid)
