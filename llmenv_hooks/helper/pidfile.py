"""NAME.pid: the decimal pid for any other tool, and what can be believed of it (the seed's)."""

from __future__ import annotations

import errno
import os

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import read_regular, replace_file
from llmenv_hooks.helper.identity import Identity
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import lives_since


def read_pidfile(pid_path: str) -> int | None:
    """Return the pid in the file *pid_path*; None when it is absent or empty (the seed's).

    Raises:
        Problem: it holds anything but one positive decimal number, or is no regular file.
        OSError: it cannot be read.
    """
    try:
        raw = read_regular(pid_path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise Problem(f"{printable(pid_path)} is not a regular file") from None
    text = raw.strip().decode("ascii", "replace")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) < 1 << 32):
        raise Problem(f"invalid pid {printable(text, 40)!r} in {printable(pid_path)}")
    return int(text)


def write_pidfile_atomic(pid_path: str, pid: int) -> None:
    """Write *pid* to *pid_path* by a temporary file and rename, so that no reader sees a part.

    Raises:
        OSError: it cannot be written; no temporary file is left.
    """
    replace_file(os.fspath(pid_path), b"%d\n" % pid)


def pidfile_pid(files: Files) -> int | None:
    """Return the pid in the pidfile, or None when there is none, or none to be had."""
    try:
        return read_pidfile(files.pid)
    except (Problem, OSError):
        return None


def bare_pid(files: Files, record: Identity | None) -> int | None:
    """Return the live pid of a pidfile that another program or a hand wrote, or None."""
    pid = pidfile_pid(files)
    if pid is None or (record and record.pid == pid):
        return None
    try:
        return pid if lives_since(pid, os.stat(files.pid).st_mtime) else None
    except OSError:
        return None
