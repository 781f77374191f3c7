"""Which Pythons a hook may run the helper with, in the order in which it tries them.

A virtual environment comes and goes; the Python below it, or the system's, is there longer.  The
helper needs nothing that is installed, so any of them will do that is new enough.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from llmenv_hooks.helper.programs import is_executable

_OLDEST = (3, 11)
_ASK = f"import sys; print(sys.executable if sys.version_info >= {_OLDEST} else '')"
_NAMES = ("python3", *(f"python3.{minor}" for minor in range(20, _OLDEST[1] - 1, -1)))
# Apple's is 3.9, and where it is not installed yet a window opens that asks to do so.
_SYSTEM = [] if sys.platform == "darwin" else ["/usr/bin/python3"]


def interpreters() -> list[str]:
    """Return absolute paths: this Python, the one it was made from, the system's, PATH's first.

    All were seen to be new enough.  Two paths of one file are both there, since each may go for
    itself: /usr/bin/python3 outlives the python3.11 that it leads to.
    """
    base = getattr(sys, "_base_executable", None)
    base = base or os.path.join(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    found = [sys.executable, *map(_right, [base, *_SYSTEM]), _first_on_path()]
    return list(dict.fromkeys(filter(None, found)))


def _first_on_path() -> str:
    """Return the first that is right, but for those beside this Python, which go with it.

    So it is the same one whether a virtual environment is active or not.
    """
    ours = os.path.dirname(sys.executable)
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(directory) and os.path.normpath(directory) != ours:
            for path in (os.path.join(directory, name) for name in _NAMES):
                if path not in _SYSTEM and (right := _right(path)):
                    return right
    return ""


def _right(path: str) -> str:
    """Return *path*, or what it leads to by way of a shim, like pyenv's; "" when it will not do."""
    real = os.path.realpath(path)
    said = _asked(real) if is_executable(path) else ""
    return path if said and os.path.realpath(said) == real else said


@functools.cache
def _asked(program: str) -> str:
    """Run *program*, once, and return the interpreter that it is; "" when it is too old."""
    try:
        done = subprocess.run(
            [program, "-I", "-S", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    said = os.fsdecode(done.stdout.rstrip(b"\n"))
    return said if os.path.isabs(said) else ""
