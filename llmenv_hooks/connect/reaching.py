"""How `connect` comes to a service: it is started if need be, in a process that ends with that.

What a start takes, tomllib and subprocess above all, would stay with `connect` for as long as its
agent lives, and be there once for each agent.
"""

from __future__ import annotations

import os
import time

from llmenv_hooks.connect.webwire import WebWire
from llmenv_hooks.connect.wires import Ended, SocketWire

# For rooms that load these when they need them: by then an upgrade may have taken the package away
# under us.
from llmenv_hooks.helper import launch, managers, renaming, stopping  # noqa: F401
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import modified
from llmenv_hooks.helper.places import config_path, instances, state_dir
from llmenv_hooks.helper.programs import expanded_headers
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.protocol import ensure
from llmenv_hooks.helper.realms import our_files
from llmenv_hooks.helper.services import GUARDED, MCP_PROXY, Service, valid_name
from llmenv_hooks.helper.sockets import bridge_listens, socket_path
from llmenv_hooks.helper.workers import begin_work, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmenv_hooks.connect.wires import Wire
    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.places import Files

STOPPED_EVERY_S = 0.25  # how often to look whether a service that was stopped is started again
LISTENS_EVERY_S = 0.02  # how often to look whether its bridge listens


class Reach:
    """By what a service can be reached.

    Attributes:
        socket: the path of its bridge's socket, or "".
        url: where it speaks HTTP, or "".
        headers: what it wants to be told there.
        is_proxied: mcp-proxy is in front of it, which outlives its server.
    """

    def __init__(
        self, socket: str, url: str, headers: dict[str, str], is_proxied: bool = False
    ) -> None:
        self.socket = socket
        self.url = url
        self.headers = headers
        self.is_proxied = is_proxied

    def wire(self, name: str) -> Wire:
        """Return a wire to the service *name*, which is reached so.

        Raises:
            Ended: its bridge is gone by now.
            Problem: there is none to be had.
        """
        try:
            if self.socket:
                return SocketWire(self.socket)
        except ConnectionRefusedError as error:
            raise Ended([], printable(error.strerror or str(error))) from None
        except OSError as error:
            if not self.url:
                what = printable(error.strerror or str(error))
                raise Problem(f"{name}: {printable(self.socket)}: {what}") from None
        return WebWire(self.url, self.headers, name, is_proxied=self.is_proxied)


class Start:
    """One try to have a service up, by the config as it is, in a process of its own."""

    def __init__(self, name: str, grace: float) -> None:
        """Begin it; for *grace* seconds, a service that is stopped may be started by others.

        Raises:
            OSError: there is no process to be had.
        """
        self._name = name
        self._config = _config_time()
        self._reader, self._pid = begin_work(lambda: _reach_alone(name, grace))

    def fileno(self) -> int:
        """Return the descriptor that can be read once it is done."""
        return self._reader

    @property
    def is_outdated(self) -> bool:
        """True when the config has been edited since it began."""
        return _config_time() != self._config

    def outcome(self) -> Reach:
        """Return by what the service can be reached, once it is done.

        Raises:
            Problem: it cannot be.
        """
        try:
            report = outcome_of(self._reader, self._pid)
        except RuntimeError as error:
            raise Problem(f"{self._name}: a bug: {printable(str(error)[-300:])}") from None
        except OSError as error:
            raise Problem(f"{self._name}: {printable(error.strerror or str(error))}") from None
        if report is None:
            raise Problem(f"{self._name}: the process that was to start it was ended")
        why, *reach = report
        if why:
            raise Problem(why)
        return Reach(*reach)


def _config_time() -> int | None:
    try:
        return modified(config_path())
    except Problem:
        return None  # which is what the start fails for


def _reach_alone(name: str, grace: float) -> tuple[str, str, str, dict[str, str], bool]:
    """In a process of its own: see that the service *name* is up; return why not, and its `Reach`.

    The agent must not wait for this process: it holds nothing of the agent's open.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    try:
        try:
            config = load_config(state=state_dir())
        except Problem:
            if running := _as_it_runs(name):
                return running
            raise
        return ("", *_reach(config, config.named(name), time.monotonic() + grace))
    except Problem as problem:
        return str(problem), "", "", {}, False


def _as_it_runs(name: str) -> tuple[str, str, str, dict[str, str], bool] | None:
    """Return the way to the bridge of *name*, if it runs: a config that is wrong changes nothing.

    So it is at the prompt.
    """
    if not valid_name(name):
        return None
    files = our_files(instances(name, state_dir()))
    return ("", socket_path(files), "", {}, False) if bridge_listens(files) else None


def _reach(config: Config, service: Service, until: float) -> tuple[str, str, dict[str, str], bool]:
    url = config.url(service)
    if service.url:
        return "", url, expanded_headers(service), False
    state = state_dir()
    files = instances(service.name, state)
    if not config.here:
        # A tunnel may bring the bridge's socket here: ssh -L SOCKET:SOCKET HOST.
        tunnel = socket_path(files[0])
        found = tunnel if os.path.exists(tunnel) else ""
        if not (found or url):
            raise Problem(
                f"{service.name} runs on {printable(config.server_host or '')}, on its socket"
                f" alone; bring that here: ssh -L {printable(tunnel)}:SOCKET HOST"
            )
        return found, url, {}, False
    end = time.monotonic() + service.start_timeout
    while True:
        _ensure(service, state, files, until)
        if service.bridge != GUARDED:
            return "", url, {}, service.bridge == MCP_PROXY
        ours = our_files(files)
        # It may have died since; and its port may be answered, by a socket that systemd holds,
        # before the bridge is there.
        if bridge_listens(ours) or time.monotonic() >= end:
            return socket_path(ours), url, {}, False
        time.sleep(LISTENS_EVERY_S)


def _ensure(service: Service, state: str, files: list[Files], until: float) -> None:
    """See that *service* is up; one that is stopped may be started by others *until* then."""
    while True:
        try:
            ensure(service, state, timeout=service.start_timeout, deep=True)
        except Problem:
            if time.monotonic() >= until or not any(map(is_stopped, files)):
                raise
            time.sleep(STOPPED_EVERY_S)
        else:
            return
