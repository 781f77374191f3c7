"""What the hook's background run looks at and decides, when LLMENV_DEBUG asks for it.

A line each, on stderr and at the end of helper.log in the state directory.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.files import open_ours, write_all
from llmenv_hooks.helper.logfile import dated_line
from llmenv_hooks.helper.output import say

HELPER_LOG = "helper.log"
DEBUG = "LLMENV_DEBUG"


def trace(state: str, what: str) -> None:
    """Say *what* was seen or decided, in helper.log of the directory *state*; else do nothing."""
    if not os.environ.get(DEBUG):
        return
    say(2, f"llmenv: {what}")
    try:
        make_directory(state)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        log = open_ours(os.path.join(state, HELPER_LOG), flags)
    except (OSError, Problem):
        return
    try:
        write_all(log, dated_line(what))
    except OSError:
        return
    finally:
        os.close(log)
