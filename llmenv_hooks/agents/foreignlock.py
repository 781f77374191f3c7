"""The lock that Claude Code takes before it writes ~/.claude.json: the directory PATH.lock.

It is npm's proper-lockfile: who makes the directory has the lock; one that has not been touched for
10 s is nobody's any more.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from llmenv_hooks.helper.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

STALE_S = 10.0
PATIENCE_S = 12.0  # Claude Code holds it for milliseconds
POLL_S = 0.05


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """Hold the lock of the file *path*, or none where nothing can be made beside it.

    Raises:
        Problem: another program held it for all the time that we wait.
    """
    lock, deadline = f"{path}.lock", time.monotonic() + PATIENCE_S
    while True:
        try:
            os.mkdir(lock, 0o700)
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise Problem(
                    f"{printable(path)} is locked by another program ({printable(lock)});"
                    " close it and try again"
                ) from None
            if not _free(lock):
                time.sleep(POLL_S)
        except OSError:  # no directory yet, or none that we may write to: nor may Claude Code
            yield
            return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(lock)


def _free(lock: str) -> bool:
    """Take away *lock* where it is nobody's any more; return whether it is gone."""
    try:
        if time.time() - os.stat(lock).st_mtime < STALE_S:
            return False
        os.rmdir(lock)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
