"""Single files and links: opened safely, replaced whole, removed.

Each state file is read, written and linked through here, so that no link, pipe or file of another
user's that was planted under one of our names is ever followed.
"""

from __future__ import annotations

import errno
import os
import stat

from llmenv_hooks.helper.directories import refuse_anothers
from llmenv_hooks.helper.errors import Problem, printable


def read_regular(path: str, most: int = 65536) -> bytes:
    """Return the first *most* bytes of the regular file *path*; never blocks, follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return os.read(fd, most)
    finally:
        os.close(fd)


def replace_file(path: str, content: bytes) -> None:
    """Put *content* at *path* by a temporary file of a fixed name and rename; 0600."""
    temporary = path + ".tmp"
    remove_file(temporary)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, content)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data* to *fd*; write(2) may take a part only."""
    while data:
        data = data[os.write(fd, data) :]


def move_file(path: str, to: str) -> None:
    """Rename the file or link *path* to *to*, if it is there; what was there makes way."""
    try:
        os.rename(path, to)
    except FileNotFoundError:
        return


def remove_file(path: str) -> None:
    """Remove the file or link *path*, if that can be done."""
    try:
        os.unlink(path)
    except OSError:
        return


def make_link(target: str, path: str) -> None:
    """Make *path* a symbolic link to *target*, atomically."""
    temporary = path + ".tmp"
    remove_file(temporary)
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise


def link_target(path: str) -> str | None:
    """Return where the symbolic link *path* points, or None when it is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def open_ours(path: str, flags: int) -> int:
    """Open a state file of ours; refuses links, and whatever is not a regular file of this user."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise Problem(f"{printable(path)} is not a regular file; remove it") from None
        raise
    seen = os.fstat(fd)
    if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
        os.close(fd)
        refuse_anothers(os.path.dirname(path))
        raise Problem(f"{printable(path)} is not a regular file of yours; remove it")
    if fd > 2:
        return fd
    os.close(fd)
    raise Problem("descriptors 0, 1 and 2 must be open")


def still_at(fd: int, path: str) -> bool:
    """True when *path* still names the open file *fd*."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def same_file(path: str, other: str) -> bool:
    """True when both paths lead to the same file that is there."""
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except OSError:
        return False


def modified(path: str) -> int | None:
    """Return the time of *path* in ns, of a link its own; None: it is not there."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return None


def set_mtime(path: str, time_ns: int) -> None:
    """Set the time of *path* in ns, if that can be done."""
    try:
        os.utime(path, ns=(time_ns, time_ns))
    except OSError:
        return


def close_quietly(fd: int) -> None:
    """Close *fd*, whatever close(2) says."""
    try:
        os.close(fd)
    except OSError:
        return  # close(2): whatever it says, the descriptor is gone, and its lock with it
