"""Keeps the one file that the hooks call: a copy of llmenv-ensure.py that outlives this package.

It lies in $XDG_DATA_HOME/llmenv, as llmenv-ensure-DIGEST.py, so that no version ever changes under
a process that loads it.  llmenv-ensure.py beside it is a link to the newest, for shells that are
open while an older one is taken away.
"""

from __future__ import annotations

import os
import stat
import sys

from llmenv_hooks import ensure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = "llmenv-ensure.py"


def packed() -> bytes:
    """Return the helper as one text file."""
    with open(ensure.__file__, "rb") as file:
        return file.read()


def sources() -> list[str]:
    """Return the files that `packed` is made of; when they are the same, so is what it returns."""
    return [os.path.abspath(ensure.__file__)]


def directory() -> str:
    """Return the absolute path of the directory of the copies (it need not exist).

    Raises:
        Problem: neither XDG_DATA_HOME nor HOME is set to an absolute path.
    """
    return ensure.xdg_directory("XDG_DATA_HOME", ".local/share", "the helper")


def helpers() -> list[str]:
    """Return what a hook is to call, the first of these that is there; it is kept before.

    Where it cannot be, one line on stderr says why, and it is the package's own file.
    """
    try:
        return _kept(packed())
    except ensure.Problem as problem:
        own = unpacked()
        print(
            f"llmenv: {problem}; the hook calls {ensure.printable(own)} instead,"
            " and no longer works once that is removed",
            file=sys.stderr,
        )
        return [own]


def unpacked() -> str:
    """Return the package's own file that a hook can call."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "unpacked.py")


def is_right(path: str) -> bool:
    """True while *path*, one of `helpers()`, is there, and nobody else can have changed it."""
    try:
        return path == unpacked() or (
            ensure._ours_alone(os.path.dirname(path)) and _is_our_file(os.lstat(path))
        )
    except OSError:
        return False


def _is_our_file(seen: os.stat_result) -> bool:
    return stat.S_ISREG(seen.st_mode) and ensure.only_ours(seen)


def _kept(content: bytes) -> list[str]:
    """See that the copy with *content* is there, and the link to it; return both.

    Raises:
        Problem: there is no place for it.
    """
    import hashlib

    place = directory()
    ensure.make_directory(place)
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = os.path.join(place, f"llmenv-ensure-{digest}.py")
    newest = os.path.join(place, NEWEST)
    try:
        if read(path) != content:
            write(path, content)
        if ensure._target(newest) != os.path.basename(path):
            ensure._link(os.path.basename(path), newest)
    except OSError as error:
        what = error.strerror or error
        raise ensure.Problem(f"cannot write {ensure.printable(path)}: {what}") from None
    return [path, newest]


def read(path: str) -> bytes | None:
    """Return what *path* holds; None unless it is a file that only this user can have written."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read() if _is_our_file(os.fstat(fd)) else None
    except OSError:
        return None


def write(path: str, content: bytes) -> None:
    """Put *content* at *path*, 0600, by a temporary file and rename; many may do so at once.

    Raises:
        OSError: it cannot be written; no temporary file is left.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(content)
        os.rename(temporary, path)
    except OSError:
        ensure._remove(temporary)
        raise


# --- older copies ---------------------------------------------------------------------------------


def take_away_old() -> None:
    """Remove each copy but the newest that no hook file and no command line of a process names.

    To be called when the hook that names the newest has been written.
    """
    try:
        _take_away(os.readlink(os.path.join(directory(), NEWEST)))
    except (OSError, ensure.Problem):
        return  # the next one will


def take_away_all() -> None:
    """Remove the newest copy too, unless it is named; to be called when hook files were removed."""
    try:
        place = directory()
        if not _take_away(""):
            os.unlink(os.path.join(place, NEWEST))
            os.rmdir(os.path.join(place, "__pycache__"))
    except (OSError, ensure.Problem):
        return  # there is none, or something else lies there


def _take_away(kept: str) -> set[str]:
    """Remove the copies, but for *kept* and those that are named, which are returned.

    Raises:
        OSError, Problem: it cannot be seen which are named, or one cannot be removed.
    """
    place = directory()
    unnamed = copies = _copies(place) - {kept}
    if not copies or not ensure._ours_alone(place):
        return copies
    for text in _that_may_name_one(place):
        unnamed = {name for name in unnamed if name.encode() not in text}
    for name in unnamed:
        os.unlink(os.path.join(place, name))
    _take_away_bytecode(os.path.join(place, "__pycache__"), unnamed)
    return copies - unnamed


def _copies(place: str) -> set[str]:
    import re

    pattern = re.compile(r"llmenv-ensure-[0-9a-f]{12}\.py")
    return {name for name in os.listdir(place) if pattern.fullmatch(name)}


def _take_away_bytecode(cache: str, copies: set[str]) -> None:
    for name in os.listdir(cache) if os.path.isdir(cache) else []:
        if name.partition(".")[0] + ".py" in {*copies, NEWEST}:
            os.unlink(os.path.join(cache, name))


def _that_may_name_one(place: str) -> Iterator[bytes]:
    """Yield what hook files hold, `llmenv install`'s and the cache's, and all command lines."""
    cache = ensure.xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
    for directory in (place, cache):
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.startswith("hook."):
                yield read(os.path.join(directory, name)) or b""
    if not ensure.has_proc():
        yield os.fsencode(ensure._ask("ps", "-A", "-ww", "-o", "args="))
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield file.read()
        except OSError:
            continue
