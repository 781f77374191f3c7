"""NAME.log and NAME.log.1: the daemon's output, 1 MiB and one older generation."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from llmenv_hooks.helper.errors import NoLocks, Problem, printable
from llmenv_hooks.helper.files import open_ours, replace_file, still_at, write_all
from llmenv_hooks.helper.locks import life_is_held, try_flock
from llmenv_hooks.helper.places import Files

LOG_BYTES = 1 << 20
FLOOD_S = 10.0


def log_is_long(files: Files) -> bool:
    """True when NAME.log has to be cut."""
    try:
        return os.lstat(files.log).st_size > LOG_BYTES
    except OSError:
        return False


def cut_log(files: Files) -> None:
    """Move a long log's newest 1 MiB to NAME.log.1; what comes in while that is done is lost.

    The file stays the one that the daemon appends to, so that it can be cut while it is written.
    One cuts at a time: it holds a flock on the log.
    """
    if not log_is_long(files):
        return
    log = open_ours(files.log, os.O_RDWR)
    try:
        if try_flock(log, fcntl.LOCK_EX):
            _cut(log, files)
    except NoLocks:
        _cut(log, files)
    finally:
        os.close(log)


def _cut(log: int, files: Files) -> None:
    size = os.fstat(log).st_size
    newest = os.pread(log, LOG_BYTES, max(0, size - LOG_BYTES))
    try:
        replace_file(files.old_log, newest)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A full disk has room again once the log is empty.
        os.ftruncate(log, 0)
        replace_file(files.old_log, newest)
        return
    late = os.pread(log, LOG_BYTES, size)
    if late:
        fd = open_ours(files.old_log, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(fd, late)
        finally:
            os.close(fd)
    os.ftruncate(log, 0)


def stay_while_flooded(files: Files) -> None:
    """Keep the log short for as long as it takes more than 1 MiB in FLOOD_S seconds.

    One process at a time does; none of ours stays behind for a daemon that behaves.
    """
    try:
        log = open_ours(files.log, os.O_RDWR)
    except (OSError, Problem):
        return
    try:
        calm_at = time.monotonic() + FLOOD_S
        while try_flock(log, fcntl.LOCK_EX) and still_at(log, files.log) and life_is_held(files):
            if os.fstat(log).st_size > LOG_BYTES:
                _cut(log, files)
                calm_at = time.monotonic() + FLOOD_S
            if time.monotonic() > calm_at:
                return
            time.sleep(0.02)
    except (OSError, Problem, NoLocks):
        return  # what is wrong there is for the next look to say
    finally:
        os.close(log)


def log_tail(files: Files, offset: int) -> str:
    """Return the last lines this run wrote, joined into one harmless line."""
    try:
        fd = open_ours(files.log, os.O_RDONLY)
    except (OSError, Problem):
        return ""
    try:
        size = os.fstat(fd).st_size
        raw = os.pread(fd, 1 << 14, max(offset if offset <= size else 0, size - (1 << 14)))
    finally:
        os.close(fd)
    lines = [line.strip() for line in raw.decode(errors="replace").splitlines() if line.strip()]
    # How Python draws a group of exceptions: below what a server behind mcp-proxy said itself.
    plain = [line for line in lines if line[0] not in "|+"]
    return printable(" | ".join((plain or lines)[-3:]))
