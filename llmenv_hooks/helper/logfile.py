"""NAME.log and NAME.log.1: the daemon's output, 1 MiB and one older generation.

The helper adds a dated line to it whenever it starts or ends the daemon, and why.
"""

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
STARTING = "starting "  # the line that a start begins with
EXCERPT_LINES = 3


def log_is_long(files: Files) -> bool:
    """True when NAME.log has to be cut."""
    return log_size(files) > LOG_BYTES


def log_size(files: Files) -> int:
    """Return the length of the log in bytes; 0 when there is none."""
    try:
        return os.lstat(files.log).st_size
    except OSError:
        return 0


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


def note_in_log(files: Files, what: str) -> None:
    """Append one dated line of ours to the log, if there is one: `DATE llmenv: WHAT`."""
    try:
        log = open_ours(files.log, os.O_WRONLY | os.O_APPEND)
    except (OSError, Problem):
        return  # what is wrong with it is for the daemon's own start to say
    try:
        write_all(log, dated_line(what))
    except OSError:
        return  # a full disk
    finally:
        os.close(log)


def dated_line(what: str) -> bytes:
    """Return the line of ours that says *what*, in the form in which our bridge writes its own."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return f"{now} llmenv: {printable(what, 400)}\n".encode(errors="replace")


def drop_farewell(files: Files, offset: int) -> None:
    """Cut off the traceback that mcp-proxy writes when it is interrupted, which is how it is ended.

    Only when all that came from *offset* on ends with it, and nobody writes any more.
    """
    try:
        log = open_ours(files.log, os.O_RDWR)
    except (OSError, Problem):
        return
    try:
        said = os.pread(log, LOG_BYTES, offset)
        begin = said.find(b"Traceback (most recent call last)")
        if begin >= 0 and said.rstrip().endswith((b"KeyboardInterrupt", b"CancelledError")):
            os.ftruncate(log, offset + said.rfind(b"\n", 0, begin) + 1)
    except OSError:
        return  # it only reads less well
    finally:
        os.close(log)


def log_tail(files: Files, offset: int) -> str:
    """Return the lines this run wrote that tell why it ended, joined into one harmless line.

    The first that reads as an error, and what follows: below it stands what that led to, in the
    words of whoever was waiting.  Without one, the last lines.
    """
    try:
        fd = open_ours(files.log, os.O_RDONLY)
    except (OSError, Problem):
        return ""
    try:
        size = os.fstat(fd).st_size
        raw = os.pread(fd, 1 << 14, max(offset if offset <= size else 0, size - (1 << 14)))
    finally:
        os.close(fd)
    lines = [line.rstrip() for line in raw.decode(errors="replace").splitlines() if line.strip()]
    return printable(" | ".join(cause(lines)))


def cause(lines: list[str]) -> list[str]:
    """Return at most `EXCERPT_LINES` of *lines*, a daemon's output, that tell why it ended."""
    import re

    error = re.compile(r"[\w.]*(?:Error|Exception)\b|.*\b(?:error|fatal|cannot|not found)\b", re.I)
    # How Python draws a trace, or a group of exceptions: around what the server said itself.
    traced = any("Traceback (most recent call last)" in line for line in lines)
    drawn = (" ", "\t", "|", "+", "Traceback") if traced else ("|", "+")
    plain = [line for line in lines if not line.startswith(drawn)]
    plain = [line.strip() for line in plain or lines]
    first = next((i for i, line in enumerate(plain) if error.match(line)), len(plain))
    first = min(first, max(0, len(plain) - EXCERPT_LINES))
    return plain[first : first + EXCERPT_LINES]
