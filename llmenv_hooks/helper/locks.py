"""The two locks, both flocks: the kernel proves them, and frees them at any death.

start lock      NAME.pid.lock, held by the one process that may start the service
lifetime lock   NAME.life, held by the daemon itself as an inherited open file, until it dies
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.errors import NoLocks, NotYet, printable
from llmenv_hooks.helper.files import close_quietly, open_ours, read_regular, remove_file, still_at
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import lives_since, start_time


def try_flock(fd: int, kind: int) -> bool:
    """Take a flock without waiting; False when another open file has it."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise NoLocks from None
        raise
    return True


def take_start_lock(files: Files) -> int | None:
    """Return a descriptor that holds the start lock, or None while another process has it."""
    fd = open_ours(files.lock, os.O_RDWR | os.O_CREAT)
    taken = False
    try:
        # flock, then the inode: the file that was opened may have been unlinked by its last holder.
        taken = try_flock(fd, fcntl.LOCK_EX) and still_at(fd, files.lock) and not _held_by_seed(fd)
    finally:
        if not taken:
            os.close(fd)
    if not taken:
        return None
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {start_time(os.getpid())}\n".encode(), 0)
    except OSError:
        pass  # what it says is a diagnostic: a full disk must not keep a service down
    return fd


class StartLock:
    """The start lock, waited for and held: `with StartLock(files, 10.0): ...`."""

    def __init__(self, files: Files, seconds: float) -> None:
        self._files = files
        self._deadline = time.monotonic() + seconds
        self._fd = -1

    def __enter__(self) -> None:
        """Take it.

        Raises:
            NotYet: another process had it all the time.
            Problem, OSError: the directory cannot be used.
        """
        files = self._files
        for directory in {files.directory, files.locks}:
            make_directory(directory)
        while (fd := take_start_lock(files)) is None:
            if time.monotonic() >= self._deadline:
                holder = start_lock_holder(files)
                raise NotYet(f"{files.service}: {holder} holds {printable(files.lock)}")
            time.sleep(0.02)
        self._fd = fd

    def __exit__(self, *_: object) -> None:
        release_start_lock(self._fd, self._files)


def _held_by_seed(fd: int) -> bool:
    """True when the file is the lock of a program that does not flock: a live pid and no more.

    Ours holds two words, so a pid that was reused after a kill never passes for such a holder.
    """
    words = os.pread(fd, 64, 0).split()
    if len(words) != 1 or not words[0].isdigit() or len(words[0]) > 10:
        return False
    return lives_since(int(words[0]), os.fstat(fd).st_mtime)


def release_start_lock(fd: int, files: Files) -> None:
    """Unlink the start lock that *fd* holds, and let it go."""
    # Unlinked while still held: after a close the file could be the next holder's.
    try:
        if still_at(fd, files.lock):
            os.unlink(files.lock)
    except OSError:
        pass
    close_quietly(fd)


def start_lock_is_held(files: Files) -> bool:
    """True while some process holds the start lock (asked with a shared try)."""
    try:
        fd = open_ours(files.lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_flock(fd, fcntl.LOCK_SH) or _held_by_seed(fd)
    finally:
        os.close(fd)


def start_lock_holder(files: Files) -> str:
    """Return who holds the start lock, by the pid in it, as words for a message."""
    try:
        words = read_regular(files.lock, 64).split()
    except OSError:
        words = []
    return f"pid {printable(words[0].decode('ascii', 'replace'))}" if words else "another process"


def life_is_held(files: Files) -> bool:
    """True while some process holds the lifetime lock (asked with a shared try)."""
    try:
        fd = open_ours(files.life, os.O_RDONLY)  # so that a look works on a read-only disk
    except FileNotFoundError:
        return False
    try:
        return not try_flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def take_lifetime_lock(files: Files) -> int:
    """Return a descriptor of at least 10 that holds the lifetime lock; only under the start lock.

    Raises:
        NotYet: an earlier daemon still holds it.
    """
    for _ in range(2):
        fd = above_ten(open_ours(files.life, os.O_RDWR | os.O_CREAT))
        for _ in range(20):
            # Others hold it shared for microseconds, to look.
            if try_flock(fd, fcntl.LOCK_EX) and still_at(fd, files.life):
                return fd
            time.sleep(0.005)
        if try_flock(fd, fcntl.LOCK_SH):
            # Only lookers do, and one of them was suspended as it looked. No daemon has this file,
            # and nobody else may start one, so that it can make way for a new one.
            remove_file(files.life)
        os.close(fd)
    raise NotYet("an earlier daemon is still going down; try again")


def above_ten(first: int) -> int:
    """Move a descriptor away from the low numbers, which a wrapper script may use for its own."""
    try:
        fd: int = fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 10)
    except OSError:
        fd = os.dup(first)
    finally:
        os.close(first)
    return fd
