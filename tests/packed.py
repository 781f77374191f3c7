"""The helper as it ships, one file: the tests import, run and break it through this module alone.

`ensure` is the module and ENSURE its path; BRIDGE and CONNECT are its companions.  The variable
LLMENV_TEST_HELPER names another file, such as one that chaos/mutants.py has broken.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from llmenv_hooks.helper.companions import companion
from llmenv_hooks.helper.packing import packed_programs

if TYPE_CHECKING:
    import pytest
    import whole as ensure


def _packed() -> Path:
    """Write the one file, and its companions, where each worker finds what they are now."""
    programs = packed_programs()
    digest = hashlib.sha256(b"".join(programs.values())).hexdigest()[:16]
    directory = Path(tempfile.gettempdir(), f"llmenv-tests-{os.getuid()}", digest)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    helper = directory / "llmenv-ensure.py"
    for part, content in programs.items():
        new = directory / f"{part}.{os.getpid()}"
        new.write_bytes(content)
        new.rename(companion(str(helper), part))
    return helper


__all__ = [
    "BRIDGE",
    "CONNECT",
    "CRASH",
    "ENSURE",
    "LOAD",
    "MISSED",
    "PATCH",
    "RUN",
    "UNKNOWN",
    "did_its_part",
    "ensure",
    "patch",
]

ENSURE = Path(os.environ.get("LLMENV_TEST_HELPER") or _packed())
BRIDGE, CONNECT = (Path(companion(str(ENSURE), part)) for part in ("bridge", "connect"))

if not TYPE_CHECKING:
    sys.path.insert(0, str(ENSURE.parent))
    try:
        ensure = importlib.import_module(ENSURE.stem)  # the name may have a dash in it
    finally:
        sys.path.pop(0)

# The exit statuses of a program that patches the helper, and did not do what it was to do.
UNKNOWN, MISSED = 99, 98

# A program that works with the helper begins with this; the helper's path is its first argument.
LOAD = """
import os, sys
helper = sys.argv.pop(1)
sys.path.insert(0, os.path.dirname(helper))
ensure = __import__(os.path.splitext(os.path.basename(helper))[0])
"""

# Runs a helper as hooks do, as a module: Python keeps the bytecode of those, not of scripts.
RUN = [sys.executable, "-I", "-S", "-c", f"{LOAD}ensure.entry()"]

# One that patches the helper begins with this: `patch` replaces something of the helper, or else
# of the module os, by what *make* makes of it.
PATCH = f"""{LOAD}
def patch(name, make):
    owner = ensure if hasattr(ensure, name) else os
    if not hasattr(owner, name):
        sys.stderr.write(f"there is no {{name}} to patch in {{helper}}\\n")
        sys.stderr.flush()
        os._exit({UNKNOWN})
    setattr(owner, name, make(getattr(owner, name)))
"""

# Runs the helper's main and sends it a signal before or after its Nth call of one function.  That
# it came so far is noted in memory that parent and child share, since it may kill either.
CRASH = f"""{PATCH}
import mmap
name, when, nth, number, may_miss = *sys.argv[1:3], *map(int, sys.argv[3:6])
parent, calls, reached = os.getpid(), 0, mmap.mmap(-1, 1)

def crashing(real):
    def wrapped(*args, **options):
        global calls
        here = (os.getpid() != parent) == when.startswith("child")
        calls += here
        if hit := here and calls == nth:
            reached[0] = 1
        if hit and when.endswith("before"):
            os.kill(os.getpid(), number)
        done = real(*args, **options)
        if hit and when.endswith("after"):
            os.kill(os.getpid(), number)
        return done
    return wrapped

patch(name, crashing)
try:
    status = ensure.main(sys.argv[6:])
finally:
    if not reached[0] and not may_miss:
        sys.stderr.write(f"call {{nth}} of {{name}} was never reached\\n")
        sys.stderr.flush()
        os._exit({MISSED})
os._exit(status)
"""


def patch(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Replace a global of the helper, for this test.

    Raises:
        AttributeError: the helper has no such global, so that the patch would change nothing.
    """
    if name not in vars(ensure):
        raise AttributeError(f"there is no {name} to patch in {ENSURE}")
    monkeypatch.setattr(ensure, name, value)


def did_its_part(status: int | None, said: str) -> None:
    """Assert that what ended with *status* was not a program that patched nothing."""
    assert status not in (UNKNOWN, MISSED), said
