"""`llmenv hook` and `llmenv export`: code for a shell to evaluate, on standard output."""

import os
import sys

from llmenv_hooks import hookcache, render
from llmenv_hooks.commands.install import current_shell
from llmenv_hooks.commands.parameters import OptionalShell
from llmenv_hooks.helper.errors import UsageError


def print_hook(shell: OptionalShell = None) -> None:
    """Print the prompt hook of SHELL, for its rc file to evaluate."""
    sys.stdout.buffer.write(hookcache.cached_hook(_meant(shell, "hook")))


def print_export(shell: OptionalShell = None) -> None:
    """Print the assignments of the LLMENV_*URL variables for SHELL."""
    sys.stdout.buffer.write(os.fsencode(render.export(_meant(shell, "export"))))


def _meant(shell: str | None, command: str) -> str:
    """Return *shell*, or the one that this runs in when only a person will read what is printed.

    An rc file is to say which: a guess would put it at the mercy of whatever started the shell.

    Raises:
        UsageError: it was not said.
    """
    if shell is None and not sys.stdout.isatty():
        raise UsageError(f"Missing argument 'SHELL'; see llmenv {command} --help")
    return shell or current_shell()
