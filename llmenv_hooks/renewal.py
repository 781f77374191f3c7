"""Renders the hook for shells that are open: the helper runs `python -m llmenv_hooks.renewal`.

Owns hook.SHELL-STATE%PATH%OF%CONFIG beside the helper's copies.  An open shell reads that file as
its rc file reads the one of `llmenv install`.  Its first line names the edition.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from llmenv_hooks import onefile, render
from llmenv_hooks.helper.directories import make_directory, ours_alone
from llmenv_hooks.helper.editions import HOOK_MARK
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.output import say
from llmenv_hooks.install import FILE_TIME_LAG_NS


def renew(shell: str, path: str, state: str, config: str, default: str) -> None:
    """Write to *path* the hook of *shell* for *config*, not older than that; all paths absolute.

    *default* is the config where LLMENV_CONFIG is not set.

    Raises:
        UsageError: a wrong config.
        Problem: *path* cannot be written, or others could change it.
    """
    directory = os.path.dirname(path)
    os.environ["XDG_DATA_HOME"] = os.path.dirname(directory)  # as it was for the hook that asks
    date = time.time_ns() - FILE_TIME_LAG_NS
    with contextlib.suppress(OSError):
        date = max(date, os.stat(config).st_mtime_ns)
    name, code = render.edition_and_hook(shell, state=state, config=config, default=default)
    make_directory(directory)
    if not ours_alone(directory):
        raise Problem(f"{printable(directory)} is not yours alone; chmod 700 it")
    try:
        onefile.write(path, os.fsencode(f"{HOOK_MARK}{name}\n{code}"))
        os.utime(path, ns=(date, date))
    except OSError as error:
        raise Problem(f"cannot write {printable(path)}: {error.strerror}") from None
    onefile.take_away_old()


if __name__ == "__main__":
    try:
        renew(*sys.argv[1:])
    except Problem as problem:
        say(2, str(problem))
        sys.exit(problem.exit_code)
