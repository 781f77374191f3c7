"""The `llmenv` command: answers `hook` and `connect` at once, leaves the rest to `commands`."""

from __future__ import annotations

import os
import sys

from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.output import open_standard_descriptors, say


def main() -> None:
    """Run `llmenv` with the process's arguments, and exit with its status."""
    open_standard_descriptors()
    if sys.__stderr__ is None:  # closed; what is printed to None goes to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.__stdout__ is None:
        say(2, "llmenv: cannot write to standard output: it is closed")
        sys.exit(1)
    try:
        status = _run()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise  # no write to stdout
        # The interpreter would write once more when it ends (module signal, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 141
        if not isinstance(error, BrokenPipeError):
            say(2, f"llmenv: cannot write to standard output: {error.strerror}")
            status = 1
    sys.exit(status)


def _run() -> int:
    """Run the command and return its exit status.

    `llmenv hook SHELL` runs at every shell start, and `llmenv connect NAME` for as long as an agent
    lives, so they are answered without typer.
    """
    try:
        if len(sys.argv) == 3 and not sys.argv[2].startswith("-"):
            if sys.argv[1] == "hook":
                from llmenv_hooks import hookcache

                sys.stdout.buffer.write(hookcache.cached_hook(sys.argv[2]))
                return 0
            if sys.argv[1] == "connect":
                from llmenv_hooks.connect.connector import connect

                return connect(sys.argv[2])
        from llmenv_hooks.commands import app

        return app.run()
    except Problem as problem:
        say(2, f"llmenv: {problem}")
        if sys.argv[1:2] in (["hook"], ["export"]):
            say(1, "false")  # what a shell evaluates then fails too
        return problem.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    main()
