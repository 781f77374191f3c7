"""A service: a named daemon that should be running, and the words for its address.

Owns the defaults (`icm serve` on 127.0.0.1:7878, the seed's) and the rule for names.
"""

from __future__ import annotations

import _socket

from llmenv_hooks.helper.checksums import checksum
from llmenv_hooks.helper.errors import Problem, UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


DEFAULT_NAME = "mcp-proxy"
DEFAULT_COMMAND = ["icm", "serve"]
DEFAULT_BIND = "127.0.0.1:7878"
GUARDED, MCP_PROXY, NO_BRIDGE = "guarded", "mcp-proxy", ""  # how a service is bridged
FIRST_URL = "LLMENV_MCP_URL"  # where shells find the first service
START_TIMEOUT_S = 60.0


def parse_bind(bind: str) -> tuple[str, int]:
    """Split *bind*, `IP:PORT` or `[IPv6]:PORT`, into the literal address and the port.

    Raises:
        UsageError: it is anything else (a host name, no port, a port outside 1-65535).
    """
    host, colon, digits = bind.rpartition(":")
    family = _socket.AF_INET
    if host.startswith("[") and host.endswith("]"):
        host, family = host[1:-1], _socket.AF_INET6
    try:
        _socket.inet_pton(family, host)
    except (OSError, ValueError):
        colon = ""
    valid = digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 65536
    if not (colon and valid):
        raise UsageError(
            f"bad address {printable(bind, 80)!r}: want IP:PORT with a port from 1 to 65535,"
            " e.g. 127.0.0.1:7878 or [::1]:7878"
        )
    return host, int(digits)


class Service:
    """A named daemon that should be running.

    *command* is an argv; *bind* as for `parse_bind`, or "" for a guarded service that has its
    bridge's socket alone; *bridge* is GUARDED (our own),
    MCP_PROXY (also True) or NO_BRIDGE (also False: the command listens by itself); *origins*
    are the web origins that our bridge lets in; *url* is where a service is that runs elsewhere,
    which has no bind, and *headers* what it wants to be told; *env* is added to the daemon's
    environment; *cwd* is absolute; *start_timeout* in seconds; *stamp* changes with the config,
    whose path is *config*; without *autostart* it is only started by name.  *command*, *cwd* and
    the values of *env* and *headers* are as in the config: `expanded` puts in what `~` and
    `${NAME}` stand for.
    """

    def __init__(
        self,
        name: str = DEFAULT_NAME,
        command: list[str] | None = None,
        bind: str = DEFAULT_BIND,
        *,
        bridge: bool | str = MCP_PROXY,
        origins: list[str] | None = None,
        env: dict[str, str] | None = None,
        cwd: str = "/",
        start_timeout: float = START_TIMEOUT_S,
        autostart: bool = True,
        stamp: str = "",
        config: str = "",
        url: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command or DEFAULT_COMMAND)
        no_port = url or (bridge == GUARDED and not bind)
        self.host, self.port = ("", 0) if no_port else parse_bind(bind)
        self.url = url
        self.headers = dict(headers or {})
        self.bridge = (NO_BRIDGE, MCP_PROXY)[bridge] if isinstance(bridge, bool) else bridge
        self.origins = list(origins or [])
        self.env = dict(env or {})
        self.cwd = cwd
        self.start_timeout = start_timeout
        self.autostart = autostart
        self.stamp = stamp
        self.config = config
        parts = [self.bind, self.bridge, *self.origins, cwd, *self.command]
        parts += [f"{key}={self.env[key]}" for key in sorted(self.env)]
        self.digest = checksum(parts)  # changes when the daemon would have to be another

    def but(self, **changed: Any) -> Service:
        """Return this service with the fields that are named *changed*."""
        names = "name command bind bridge origins env cwd start_timeout autostart stamp config url"
        kept = {name: getattr(self, name) for name in [*names.split(), "headers"]}
        return Service(**kept | changed)

    @property
    def is_default(self) -> bool:
        """True for the service that holds where no config names one."""
        return (self.name, self.command, self.url) == (DEFAULT_NAME, DEFAULT_COMMAND, "")

    @property
    def title(self) -> str:
        """What messages call it."""
        return "the default service" if self.is_default else self.name

    @property
    def bind(self) -> str:
        """The address as one word, IPv6 in brackets; "" for a service without a port here."""
        if not self.port:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def has_url(self) -> bool:
        """False for a service that has its bridge's socket alone."""
        return bool(self.url or self.port)

    @property
    def place(self) -> str:
        """What messages call the place where it answers."""
        return self.bind or "its socket"


def bind_option(service: Service) -> list[str]:
    """Return the words that tell our bridge which port *service* has, if it has one."""
    return ["--bind", service.bind] if service.bind else []


def reachable(host: str) -> str:
    """Return the address to connect to for a daemon that binds *host*."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def url_of(service: Service, host: str = "") -> str:
    """Return the URL of *service*; on *host*, if that is not "", and not where it binds.

    "" for a service that has its bridge's socket alone.
    """
    if service.url or not service.port:
        return service.url
    host = host or reachable(service.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{service.port}/mcp"


def refuse_elsewhere(service: Service) -> None:
    """Raise Problem for a service that runs elsewhere."""
    if service.url:
        raise Problem(
            f"{service.name} runs elsewhere, at {printable(service.url)}:"
            " nothing of it is started or stopped here"
        )


def is_local(host: str) -> bool:
    """True for an address that only this machine can reach."""
    return host.startswith("127.") or host == "::1"


def open_to_others(service: Service) -> str | None:
    """Return the warning about a *service* that more than this machine can reach, or None."""
    if is_local(service.host) or not service.port:
        return None
    asked = "nobody is asked for a password"
    if service.bridge == GUARDED:
        asked = f"who asks needs the token in {service.name}.token"
    return f"{service.bind} can be reached by other machines, and {asked}"


def valid_name(name: str) -> bool:
    """True for a name that can stand in a file name and in LLMENV_<NAME>_URL."""
    return (
        0 < len(name) <= 64
        and name.isascii()
        and name[0].isalnum()
        and all(c.isalnum() or c in "-_" for c in name)
    )


def variable(name: str) -> str:
    """Return the environment variable that holds service *name*'s URL."""
    return f"LLMENV_{name.upper().replace('-', '_')}_URL"
