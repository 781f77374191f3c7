"""Writes the static hook files, which rc files source so that a shell start runs no Python.

They lie under $XDG_DATA_HOME.  Code in such a file sees when it is older than what it was made from
and runs this module in the background; so it is `python -m llmenv_hooks.install`, in the static
files of older versions too.  Nothing here needs the libraries of the command line.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from llmenv_hooks import onefile, places, render, userfile
from llmenv_hooks.helper.background import detach
from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.errors import Problem, printable

# How far the time of a file may be behind the clock: the kernel dates files by its last tick.
FILE_TIME_LAG_NS = 10_000_000


def static_path(shell: str) -> str:
    """Return the absolute path of the file that the rc file of *shell* sources.

    Not in the state directory: nothing from there is ever evaluated.

    Raises:
        Problem: neither XDG_DATA_HOME nor HOME says where.
    """
    return os.path.join(places.data_directory(), f"hook.{shell}")


def write_static(shell: str, path: str, state: str, config: str) -> None:
    """Render the static file *path*, and date it so that it is not older than its sources.

    Raises:
        UsageError: a wrong config.  The file that is there is dated all the same, so that no shell
            asks for it again before the config has changed.
        Problem: it cannot be written.
    """
    # The clock is read before the sources are, so that no later change of theirs goes unseen.
    dates = [time.time_ns() - FILE_TIME_LAG_NS]
    for source in render.sources(shell, state, config):
        with contextlib.suppress(OSError):
            dates.append(os.stat(source).st_mtime_ns)
    make_directory(os.path.dirname(path))
    try:
        code = os.fsencode(render.static(shell, path, state, config))
        if userfile.load(path) != code:
            userfile.write_beside(path, code, 0o600, None)
    except OSError as error:
        raise Problem(f"cannot write {printable(path)}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            os.utime(path, ns=(max(dates), max(dates)))
    onefile.take_away_old()


def renew(shell: str, path: str, state: str, config: str) -> None:
    """Write *path* anew, in the background, for the shell that has started this from it.

    Where *path* is missing, this is the first shell of its kind on this host.  It waits, and
    evaluates what is printed.
    """
    if not os.path.exists(os.path.join(os.path.dirname(path), f"hook.{shell}")):
        return  # llmenv was uninstalled meanwhile
    if os.path.exists(path):
        detach()
    else:
        sys.stdout.buffer.write(os.fsencode(render.static(shell, path, state, config)))
    write_static(shell, path, state, config)


if __name__ == "__main__":
    renew(*sys.argv[1:])
