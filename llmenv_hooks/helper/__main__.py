"""The command `llmenv-ensure`.

What a look at a live daemon does not need is imported where it is used.
"""

from __future__ import annotations

import os
import sys

from llmenv_hooks.helper.arguments import USAGE, Arguments
from llmenv_hooks.helper.errors import NotYet, Problem, Result
from llmenv_hooks.helper.output import open_standard_descriptors, say, say_json
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.protocol import ensure, ensure_at
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.helper.workers import at_once, worst_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def entry() -> NoReturn:
    """Run as a script, or for the prompt hook."""
    open_standard_descriptors()
    status = main()
    # What is left to tear down is only this process: skip the interpreter's farewell.
    os._exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run the command with *argv* (default: the process's) and return its exit status."""
    try:
        return _run_command(Arguments(sys.argv[1:] if argv is None else argv))
    except Problem as problem:
        say(2, f"llmenv-ensure: {problem}")
        return problem.exit_code
    except KeyboardInterrupt:
        return 130


def _run_command(arguments: Arguments) -> int:
    if "--help" in arguments.switches:
        say(1, USAGE)
        return 0
    if "--version" in arguments.switches:
        say(1, f"llmenv-ensure {__version__}")
        return 0
    if arguments.hook:
        from llmenv_hooks.helper.background import hook_pass

        return hook_pass(*arguments.hook)
    if "--connect" in arguments.values:
        from llmenv_hooks.helper.companions import CONNECT, become

        become(CONNECT, arguments.values["--connect"])
    if "--foreground" in arguments.values:
        from llmenv_hooks.helper.foreground import keep

        return keep(arguments.values["--foreground"])
    packed = arguments.path("--pack")
    if packed is not None:
        from llmenv_hooks.helper.packing import pack

        pack(packed)
        return 0
    timeout = arguments.timeout()
    pidfile = arguments.path("--pidfile")
    state = state_dir() if pidfile is None else ""
    deep, revive = "--deep" in arguments.switches, "--start" in arguments.switches

    def run(service: Service) -> Result:
        if "--stop" in arguments.switches:
            from llmenv_hooks.helper.stopping import stop, stop_at

            ended = stop(service, state) if pidfile is None else stop_at(service, pidfile)
            return Result("stopped" if ended else "not-running", None)
        if pidfile is not None:
            return ensure_at(service, pidfile, timeout=timeout, deep=deep, revive=revive)
        return ensure(service, state, timeout=timeout, deep=deep, revive=revive)

    services = arguments.services(state)
    done = at_once(services, lambda service: _report(service, run, arguments.switches))
    return worst_status(status for _, status in done)


def _report(service: Service, run: Callable[[Service], Result], switches: set[str]) -> int:
    """Ensure one service; a line about it on stdout, or why not on stderr; the exit status."""
    try:
        result = run(service)
    except Problem as problem:
        if "--json" in switches and "--quiet" not in switches:
            state = "starting" if isinstance(problem, NotYet) else "failed"
            say_json(service=service.name, state=state, error=str(problem))
        say(2, f"llmenv-ensure: {problem}")
        return problem.exit_code
    if result.note:
        say(2, f"llmenv-ensure: {result.note}")
    if "--quiet" in switches:
        return 0
    if "--json" in switches:
        say_json(service=service.name, state=result.outcome, pid=result.pid, bind=service.bind)
    else:
        pid = "" if "--stop" in switches else f" pid={result.pid or '-'}"
        say(1, f"{service.name} {result.outcome}{pid}")
    return 0


if __name__ == "__main__":
    entry()
