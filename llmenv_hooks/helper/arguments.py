"""The command line of `llmenv-ensure`, read by hand: argparse would cost more than a look."""

from __future__ import annotations

import os

from llmenv_hooks.helper.attempts import DEFAULT_TIMEOUT_S
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.services import DEFAULT_NAME, NO_BRIDGE, Service, valid_name

USAGE = """Start a service exactly once, however many ask at once; prove that it lives.

    llmenv-ensure [--service NAME] [--bind HOST:PORT] [--pidfile PATH]
                  [--timeout SECONDS] [--no-bridge] [--deep] [--start | --stop]
                  [--json] [--quiet]
                  [-- COMMAND [ARG ...]]

With no arguments: every service of the config that belongs on this host or,
with no config, the default service: `icm serve` behind mcp-proxy on
127.0.0.1:7878.  One line a service on stdout: `NAME already-running pid=N` or
`NAME spawned pid=N` (`pid=-`: root's, or unknown); with --stop, `NAME stopped`
or `NAME not-running`.

    --service NAME   only this service
    --bind, --no-bridge, -- COMMAND   instead of what the config says
    --pidfile PATH   keep the service's files beside PATH, not in the state
                     directory
    --timeout S      how long to wait for the port; default 10
    --deep           also ask a bridged service for its tools; restart it if
                     its child is gone
    --start          also one that was stopped on purpose
    --stop           end it instead, and leave it stopped
    --json           a JSON object a line instead of words
    --quiet          nothing on stdout
    --connect NAME   be the stdio MCP server of the service NAME, for an agent:
                     start it if it is down, bring it back when it dies
    --foreground NAME   stay in front of the daemon of the service NAME, for a
                     service manager: take over what runs, start it again when
                     it dies; SIGTERM ends both
    --pack PATH      write this program to PATH, as one file, and its companions
                     beside it: the bridge, and what --connect runs
    --hook STATE CONFIG [...]   as the prompt hook calls it: detached, silent,
                     with growing pauses

Exit status: 0 all run; 1 one could not be started (why, on stderr); 2 wrong
usage or config; 75 not up within the timeout, but being started; 130
interrupted.

It needs Python 3.11 and its standard library, nothing else.  --pack writes all
of it as one file: copy that where you like and run it as
`python3 -I -S llmenv-ensure.py`."""


class Arguments:
    """What the command line says: *values* of options, *switches*, *command*, *hook*.

    *command* is what stands after `--`, or None; *hook* is the state directory and the config that
    the prompt hook names, and what `OpenShell` takes, or empty.

    Raises:
        UsageError: it says what is wrong.
    """

    VALUES = (
        "--service",
        "--bind",
        "--pidfile",
        "--timeout",
        "--pack",
        "--connect",
        "--foreground",
    )
    SWITCHES = (
        "--start",
        "--stop",
        "--no-bridge",
        "--deep",
        "--json",
        "--quiet",
        "--help",
        "--version",
    )

    def __init__(self, argv: list[str]) -> None:
        self.values: dict[str, str] = {}
        self.switches: set[str] = set()
        self.command: list[str] | None = None
        self.hook: list[str] = []
        rest = list(argv)
        while rest:
            word, equals, value = rest.pop(0).partition("=")
            if word == "--" and not equals:
                self.command, rest = rest, []
                if not self.command or not self.command[0]:
                    raise UsageError("no command after --")
            elif word in self.VALUES:
                if not equals and not rest:
                    raise UsageError(f"{word} needs a value")
                self.values[word] = value if equals else rest.pop(0)
            elif word in self.SWITCHES and not equals:
                self.switches.add(word)
            elif word == "-h" and not equals:
                self.switches.add("--help")
            elif word == "--hook" and not equals and len(rest) in (2, 7):
                self.hook, rest = rest, []
            else:
                raise UsageError(
                    f"unknown argument {printable(word + equals + value, 80)!r}; see --help"
                )
        if {"--start", "--stop"} <= self.switches:
            raise UsageError("--start and --stop: which of the two?")

    def timeout(self) -> float:
        """Return for how many seconds to wait.

        Raises:
            UsageError: it is no number of seconds.
        """
        text = self.values.get("--timeout", str(DEFAULT_TIMEOUT_S))
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= 86400:
            raise UsageError(f"--timeout wants seconds, not {printable(text, 40)!r}")
        return seconds

    def path(self, option: str) -> str | None:
        """Return the value of *option* as an absolute path, or None when it is not given.

        Raises:
            UsageError: it is empty, or relative to a directory that is gone.
        """
        path = self.values.get(option)
        return None if path is None else _absolute(option, path)

    def services(self, state: str) -> list[Service]:
        """Return the services that are meant: the config's, with what the options change.

        Raises:
            UsageError: a wrong option, a wrong config, or no such service.
            Problem: the service does not run on this host.
        """
        named = self.values.get("--service")
        adhoc = (
            self.command is not None or "--bind" in self.values or "--no-bridge" in self.switches
        )
        if named is not None and not valid_name(named):
            raise UsageError(f"bad name {printable(named, 80)!r}: want letters, digits, - and _")
        config = load_config(state=state)
        if not adhoc and "--pidfile" not in self.values:
            if named is None:
                return config.kept_alive
            service = config.named(named)
            if not config.here:
                raise Problem(config.not_here)
            return [service]
        base = config.find(named or DEFAULT_NAME)
        if base is None or base.url:
            base = Service(named or DEFAULT_NAME)
        bridge = NO_BRIDGE if "--no-bridge" in self.switches else base.bridge
        bind = self.values.get("--bind", base.bind)
        return [base.but(command=self.command or base.command, bind=bind, bridge=bridge)]


def _absolute(option: str, path: str) -> str:
    if not path:
        raise UsageError(f"{option} wants a path")
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        raise UsageError(f"this directory is gone: {option} wants an absolute path") from None
