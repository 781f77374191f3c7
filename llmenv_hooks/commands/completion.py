"""`llmenv completion`, and the environment in which a shell asks for words."""

from __future__ import annotations

import os

from llmenv_hooks import render
from llmenv_hooks.commands.parameters import Shell  # noqa: TC001 (typer reads it at run time)

PROGRAM = "llmenv"
COMPLETE = "_LLMENV_COMPLETE"  # the completion script sets it when it asks for words


def prepare_completion() -> None:
    """Teach typer how each shell asks for words, when that is what this run is for."""
    if COMPLETE in os.environ:
        # typer itself calls this only with add_completion.  It is private to typer, so it is
        # imported here: a release of typer that moves it breaks completion and nothing else.
        from typer._completion_classes import completion_init

        completion_init()


def print_completion(shell: Shell) -> None:
    """Print the completion script of SHELL."""
    from typer._completion_shared import get_completion_script  # private to typer, as above

    names = {"prog_name": PROGRAM, "complete_var": COMPLETE}
    print(get_completion_script(**names, shell=render.checked(shell)))
    if shell == "zsh":
        # zsh loads typer's script from $fpath at the first TAB, and then only defines the function.
        # This line also calls it, so that the first TAB is answered too.
        print("[[ $funcstack[1] != _llmenv ]] || _llmenv_completion")
