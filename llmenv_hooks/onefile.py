"""Keeps the files that the hooks call: copies of llmenv-ensure.py and of its companions.

They lie in $XDG_DATA_HOME/llmenv, as llmenv-ensure-DIGEST.py, llmenv-bridge-DIGEST.py and
llmenv-connect-DIGEST.py.  So they outlive this package, and no version ever changes under a process
that loads it.  The same names without a digest are links to the newest, for shells that are open
while older ones are taken away.
"""

from __future__ import annotations

import os
import stat
import sys

from llmenv_hooks.helper.companions import companion
from llmenv_hooks.helper.directories import make_directory, only_ours, ours_alone
from llmenv_hooks.helper.editions import NEWEST as NEWEST
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import link_target, make_link, remove_file
from llmenv_hooks.helper.packing import PROGRAMS, packed_programs
from llmenv_hooks.helper.places import xdg_directory
from llmenv_hooks.helper.processes import has_proc, run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def sources() -> list[str]:
    """Return the files that the copies are made of; when they are the same, so are the copies."""
    package = os.path.dirname(os.path.abspath(__file__))
    rooms = [os.path.join(package, name) for name in ("helper", "bridge", "connect")]
    return [entry.path for room in rooms for entry in os.scandir(room) if entry.is_file()]


def directory() -> str:
    """Return the absolute path of the directory of the copies (it need not exist).

    Raises:
        Problem: neither XDG_DATA_HOME nor HOME is set to an absolute path.
    """
    return xdg_directory("XDG_DATA_HOME", ".local/share", "the helper")


def helpers() -> list[str]:
    """Return what a hook is to call, the first of these that is there; it is kept before.

    Where it cannot be, one line on stderr says why, and it is the package's own file.
    """
    try:
        return _kept(packed_programs())
    except Problem as problem:
        own = unpacked()
        print(
            f"llmenv: {problem}; the hook calls {printable(own)} instead,"
            " and no longer works once that is removed",
            file=sys.stderr,
        )
        return [own]


def unpacked() -> str:
    """Return the package's own file that a hook can call."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "unpacked.py")


def is_right(path: str) -> bool:
    """True while *path*, one of `helpers()`, is there, and nobody else can have changed it.

    So it is for its companions.
    """
    try:
        return path == unpacked() or (
            ours_alone(os.path.dirname(path))
            and all(_is_our_file(os.lstat(companion(path, part))) for part in PROGRAMS)
        )
    except OSError:
        return False


def _is_our_file(seen: os.stat_result) -> bool:
    return stat.S_ISREG(seen.st_mode) and only_ours(seen)


def _kept(programs: dict[str, bytes]) -> list[str]:
    """See that copies of all are there, and the links to them; return the helper's, and its link.

    Raises:
        Problem: there is no place for them.
    """
    import hashlib

    place = directory()
    make_directory(place)
    digest = hashlib.sha256(b"".join(programs.values())).hexdigest()[:12]
    path = os.path.join(place, f"llmenv-ensure-{digest}.py")
    newest = os.path.join(place, NEWEST)
    for part, content in programs.items():
        copy, link = companion(path, part), companion(newest, part)
        try:
            if read(copy) != content:
                write(copy, content)
            if link_target(link) != os.path.basename(copy):
                make_link(os.path.basename(copy), link)
        except OSError as error:
            raise Problem(f"cannot write {printable(copy)}: {error.strerror or error}") from None
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
        remove_file(temporary)
        raise


# --- older copies ---------------------------------------------------------------------------------


def take_away_old() -> None:
    """Remove each copy but the newest that no hook file and no command line of a process names.

    To be called when the hook that names the newest has been written.
    """
    try:
        newest = os.readlink(os.path.join(directory(), NEWEST))
        _take_away(newest.removeprefix("llmenv-ensure-").removesuffix(".py"))
    except (OSError, Problem):
        return  # the next one will


def take_away_all() -> bool:
    """Remove the newest copy too, unless it is named; return whether it is gone.

    To be called when hook files were removed.
    """
    try:
        place = directory()
    except Problem:
        return False  # nor is there a place for one
    newest = os.path.join(place, NEWEST)
    try:
        if _take_away(""):
            return False
        for part in PROGRAMS:
            remove_file(companion(newest, part))
        os.rmdir(os.path.join(place, "__pycache__"))
    except (OSError, Problem):
        pass  # there is none, or something else lies there
    return not os.path.lexists(newest)


def _take_away(kept: str) -> set[str]:
    """Remove the copies of all digests but *kept* and those that are named, which are returned.

    Raises:
        OSError, Problem: it cannot be seen which are named, or one cannot be removed.
    """
    place = directory()
    unnamed = copies = _digests(place) - {kept}
    if not copies or not ours_alone(place):
        return copies
    for text in _hooks(place):
        unnamed = {digest for digest in unnamed if f"-{digest}.py".encode() not in text}
    for text in _command_lines():
        unnamed = {digest for digest in unnamed if not _is_run(place, digest, text)}
    cache = os.path.join(place, "__pycache__")
    for file in [*os.scandir(place), *(os.scandir(cache) if os.path.isdir(cache) else [])]:
        if file.name.partition(".")[0].rpartition("-")[2] in unnamed or _is_of_a_link(file.path):
            os.unlink(file.path)
    return copies - unnamed


def _is_of_a_link(path: str) -> bool:
    """True for the bytecode of a link, which is soon that of another copy."""
    directory, name = os.path.split(path)
    links = [companion(NEWEST, part) for part in PROGRAMS]
    return os.path.basename(directory) == "__pycache__" and f"{name.partition('.')[0]}.py" in links


def _digests(place: str) -> set[str]:
    import re

    pattern = re.compile(rf"llmenv-(?:{'|'.join(PROGRAMS)})-([0-9a-f]{{12}})\.py")
    return {found[1] for name in os.listdir(place) if (found := pattern.fullmatch(name))}


def _is_run(place: str, digest: str, command_line: bytes) -> bool:
    """True when *command_line* names a copy in *place*; others have copies of the same digest."""
    return any(
        os.fsencode(os.path.join(place, f"llmenv-{part}-{digest}.py")) in command_line
        for part in PROGRAMS
    )


def _hooks(place: str) -> Iterator[bytes]:
    """Yield what each hook file holds, `llmenv install`'s and the cache's."""
    cache = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
    for directory in (place, cache):
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.startswith("hook."):
                yield read(os.path.join(directory, name)) or b""


def _command_lines() -> Iterator[bytes]:
    """Yield the command line of every process that can be seen."""
    if not has_proc():
        yield os.fsencode(run_tool("ps", "-A", "-ww", "-o", "args="))
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield file.read()
        except OSError:
            continue
