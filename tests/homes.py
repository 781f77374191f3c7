"""The home of whoever runs the tests is not for the tests: to use it is an error.

The environment of the tests names a home in which nothing can be made, so that a program that was
given no other one fails.  What names the real one all the same, by the user database or by its
path, is caught in this process by an audit hook (PEP 578), which cannot be taken away again.
"""

from __future__ import annotations

import os
import pwd
import site
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("HOME", *(f"XDG_{kind}_HOME" for kind in ("CONFIG", "STATE", "DATA", "CACHE")))
VARIABLES += ("XDG_RUNTIME_DIR", "LLMENV_CONFIG")

REAL = {Path.home().resolve(), Path(pwd.getpwuid(os.getuid()).pw_dir).resolve()} - {Path("/")}
# What may lie in a home and is not of it: the checkout, this Python, temporary files.
APART = tuple(
    Path(path).resolve()
    for path in (
        Path(__file__).parent.parent,
        sys.prefix,
        sys.base_prefix,
        site.getuserbase(),
        tempfile.gettempdir(),
    )
)
# Which events of the audit hook change a file, and how many of their arguments are paths.
CHANGES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
    "os.truncate": 1,
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class RealHome(AssertionError):
    """A test used the home of whoever runs it."""


_guarded = False


def is_real(path: object) -> bool:
    """True when *path* lies in a real home, and is not one of the things that lie apart."""
    if not isinstance(path, str | bytes | os.PathLike):
        return False  # a descriptor
    absolute = Path(os.path.abspath(os.fsdecode(path)))
    return any(absolute.is_relative_to(home) for home in REAL) and not any(
        absolute.is_relative_to(place) for place in APART
    )


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _guarded:
        return
    if event == "open":
        path, _, flags = arguments
        changed = isinstance(flags, int) and flags & WRITING
        paths = [path] if changed or "llmenv" in str(path) else []
    else:
        paths = list(arguments[: CHANGES.get(event, 0)])
    for path in paths:
        if is_real(path):
            raise RealHome(f"{event}: {path!r} is in the home of whoever runs the tests")


sys.addaudithook(_audit)


@contextmanager
def guarded() -> Iterator[None]:
    """Make what is done to the real home a `RealHome`."""
    global _guarded
    _guarded = True
    try:
        yield
    finally:
        _guarded = False
