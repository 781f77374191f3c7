"""Directories of ours: how they are made, whose they are, and the umask.

Nobody else may be able to write where our state lies, and root leaves nothing in another user's
home.
"""

from __future__ import annotations

import _thread
import os
import stat

from llmenv_hooks.helper.errors import Problem, printable


def only_ours(seen: os.stat_result) -> bool:
    """True for what is this user's, and nobody else can write to."""
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o022


def ours_alone(directory: str) -> bool:
    """True for a directory of this user's, where nobody else can write."""
    try:
        seen = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and only_ours(seen)


def user_name(uid: int) -> str:
    """Return the name of the user *uid*, or its number where it has none."""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


class _PrivateUmask:
    """While any thread is inside, new files are the user's alone: a umask is the process's."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._inside = self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = os.umask(0o077)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                os.umask(self._before)


PRIVATE_UMASK = _PrivateUmask()


def make_directory(path: str) -> None:
    """Make *path* and its parents, 0700; refuse one that is not ours alone to write.

    Raises:
        Problem: it cannot be made, or somebody else could write there.
    """
    refuse_anothers(path)
    try:
        with PRIVATE_UMASK:  # what is made above *path* has its mode from the umask alone
            os.makedirs(path, 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        what = os.strerror(error.errno or 0)
        if os.path.islink(path):
            what = "it is a symbolic link; set XDG_STATE_HOME to where it leads"
        raise Problem(f"cannot use the directory {printable(path)}: {what}") from None
    try:
        seen = os.fstat(fd)
        if seen.st_mode & 0o022:
            raise Problem(f"others can write to {printable(path)}; run: chmod 700 {path!r}")
        if seen.st_mode & 0o077 and os.path.basename(path) == "llmenv":
            os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def refuse_anothers(path: str) -> None:
    """Raise Problem when *path* is another user's, or root would make it in another's directory.

    That is root in a user's home, as by sudo: what root leaves there locks the user out.
    """
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    owner = os.lstat(above).st_uid
    if owner != os.geteuid() and (above == path or os.geteuid() == 0):
        raise Problem(
            f"{printable(above)} belongs to user {user_name(owner)}, not to you;"
            " run this as that user, or set HOME"
        )
