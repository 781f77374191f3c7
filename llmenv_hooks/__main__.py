"""The `llmenv` command: answers `hook` at once, leaves the rest to the full command line."""

from __future__ import annotations

import sys

from llmenv_hooks import ensure


def main() -> None:
    """Run `llmenv` with the process's arguments, and exit with its status.

    `llmenv hook SHELL` runs at every shell start, so it is answered without typer.
    """
    try:
        if len(sys.argv) == 3 and sys.argv[1] == "hook" and not sys.argv[2].startswith("-"):
            from llmenv_hooks import render

            code = render.cached_hook(sys.argv[2])
            sys.stdout.buffer.write(code)
            sys.stdout.buffer.flush()
        else:
            from llmenv_hooks import cli

            cli.app(prog_name="llmenv")
    except ensure.Problem as problem:
        print(f"llmenv: {problem}", file=sys.stderr)
        if sys.argv[1:2] in (["hook"], ["export"]):
            print("false")  # what a shell evaluates then fails too
        sys.exit(problem.exit_code)
    except BrokenPipeError:
        # Nobody reads on; without this the interpreter would complain when it closes stdout.
        sys.stderr.close()
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
