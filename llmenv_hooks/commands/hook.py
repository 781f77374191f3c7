"""`llmenv hook` and `llmenv export`: code for a shell to evaluate, on standard output."""

import os
import sys

from llmenv_hooks import hookcache, render
from llmenv_hooks.commands.parameters import Shell


def print_hook(shell: Shell) -> None:
    """Print the prompt hook of SHELL, for its rc file to evaluate."""
    sys.stdout.buffer.write(hookcache.cached_hook(shell))


def print_export(shell: Shell) -> None:
    """Print the assignments of the LLMENV_*URL variables for SHELL."""
    sys.stdout.buffer.write(os.fsencode(render.export(shell)))
