"""Edits a file of the user's: whole or not at all, with a backup, through symbolic links.

A file that no other can take the place of, as one that is mounted into a container, is written in
place; what it held is saved first, and put back if that fails.

Owns the directory `backup` in the state directory.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import stat

from llmenv_hooks.helper.directories import make_directory, refuse_anothers
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import state_dir

# A rename onto it fails (a mount, rename(2)), or nothing may be made beside it.
NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


def load(path: str) -> bytes | None:
    """Return what *path* holds, or None when nothing is there (also behind a dangling link).

    Raises:
        Problem: it cannot be read, or is no regular file.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Problem(f"{printable(path)} is no regular file; left alone")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem(f"cannot read {printable(path)}: {error.strerror}") from None


def diff(path: str, old: bytes | None, new: bytes | None) -> str:
    """Return the unified diff of an edit of *path*, harmless to a terminal; "" when it is none.

    None stands for no file.
    """
    before, after = ([] if text is None else _lines(text) for text in (old, new))
    old_name, new_name = ("/dev/null" if text is None else path for text in (old, new))
    shown = difflib.unified_diff(before, after, old_name, new_name, lineterm="")
    return "".join(printable(line, 10_000) + "\n" for line in shown)


def _lines(text: bytes) -> list[str]:
    lines = text.decode(errors="replace").split("\n")
    last = lines.pop()
    return [*lines, last + " (no newline at the end)"] if last else lines


def replace(
    path: str,
    old: bytes | None,
    new: bytes | None,
    *,
    original: bytes | None = None,
    mode: int = 0o644,
) -> str | None:
    """Put *new* in the place of *old*, which `load` has returned for *path*; return the backup.

    None stands for no file.  A symbolic link stays one: the file it names is replaced, by a rename
    if that can be.  Owner and mode are kept; *mode* is for a file that was not there.  Directories
    that are missing are made.

    *original* is *old* without what is ours.  The backup is the file as it was before there was
    anything of ours in it.  It is kept until the file is that again, and there is none for a file
    in which nothing is the user's.  It lies under the state directory, which is the user's alone
    and which nobody commits.

    Raises:
        Problem: it is read-only, cannot be written, is not *old* any more, or root would make it in
            another user's directory; nothing is changed.
    """
    target = os.path.realpath(path)
    if load(target) != old:
        raise Problem(f"{printable(path)} was changed by another program just now; try again")
    try:
        return _put(target, old, new, original, mode)
    except OSError as error:
        raise Problem(f"cannot write {printable(path)}: {error.strerror}") from None


def _put(
    target: str, old: bytes | None, new: bytes | None, original: bytes | None, mode: int
) -> str | None:
    if old is None:
        if new is not None:
            refuse_anothers(target)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_beside(target, new, mode, None)
        return None
    seen = os.stat(target)
    if not (seen.st_mode & 0o222 and os.access(target, os.W_OK)):
        raise OSError(None, "it is read-only")
    kept = None if original is None else _keep(target, old, first=original == old)
    try:
        if new is None:
            os.unlink(target)
        else:
            _put_over(target, old, new, seen)
    finally:
        if kept is not None and load(kept) == load(target):
            _delete(kept)
            kept = None
    return kept


def _put_over(target: str, old: bytes, new: bytes, seen: os.stat_result) -> None:
    """Put *new* in the place of *old*, by a rename if that can be, else in place.

    Raises:
        OSError: it cannot be written, and is what it was.
        Problem: it is not; with the path of what it held.
    """
    try:
        write_beside(target, new, stat.S_IMODE(seen.st_mode), seen)
    except OSError as error:
        if error.errno not in NOT_REPLACEABLE:
            raise
    else:
        return
    saved = _save(f"{_backup_of(target)}.whole", old)
    try:
        _overwrite(target, new)
    except OSError as error:
        try:
            _overwrite(target, old)
        except OSError:
            raise Problem(
                f"cannot write {printable(target)}: {error.strerror}; what it held is in"
                f" {printable(saved)}"
            ) from None
        _delete(saved)
        raise
    _delete(saved)


def _overwrite(target: str, content: bytes) -> None:
    with open(os.open(target, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _backups() -> str:
    return os.path.join(state_dir(), "backup")


def _backup_of(target: str) -> str:
    return os.path.join(_backups(), target.lstrip("/"))


def _keep(target: str, old: bytes, *, first: bool) -> str:
    """Return the path of the backup of *target*; make it when it is the *first*, or missing."""
    backup = _backup_of(target)
    if first or not os.path.lexists(backup):
        _save(backup, old)
    return backup


def _save(backup: str, content: bytes) -> str:
    """Put *content* at *backup*, on the disk when this returns it."""
    make_directory(state_dir())
    os.makedirs(os.path.dirname(backup), exist_ok=True)
    write_beside(backup, content, 0o600, None)
    directory = os.open(os.path.dirname(backup), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return backup


def _delete(backup: str) -> None:
    """Delete *backup*, and the directories that it leaves empty."""
    os.unlink(backup)
    directory = os.path.dirname(backup)
    with contextlib.suppress(OSError):
        while directory.startswith(_backups()):
            os.rmdir(directory)
            directory = os.path.dirname(directory)


def write_beside(target: str, content: bytes, mode: int, like: os.stat_result | None) -> None:
    """Put *content* at *target*, a regular file or nothing yet, by a rename; with *like*'s owner.

    Raises:
        OSError: it cannot be written; nothing is left beside it.
    """
    temporary = f"{target}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            if like and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.rename(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
