"""From the tables of a config to a `Config`; or which key in which line is wrong, and why."""

from __future__ import annotations

from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import UsageError, printable
from llmenv_hooks.helper.programs import expandable
from llmenv_hooks.helper.services import (
    DEFAULT_BIND,
    FIRST_URL,
    GUARDED,
    MCP_PROXY,
    START_TIMEOUT_S,
    Service,
    valid_name,
    variable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class Checker:
    """Turns a parsed config into a `Config`, or says which line is wrong."""

    SERVICE_KEYS = tuple("command bind bridge origins env cwd start_timeout autostart".split())
    ELSEWHERE_KEYS = ("url", "headers")

    def __init__(self, path: str, text: str, stamp: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.stamp = stamp

    def config(self, table: dict[str, Any]) -> Config:
        """Return what the parsed config *table* says."""
        for key in table:
            if key not in ("server_host", "services"):
                self.wrong("", key, "unknown key; want server_host or [services.NAME]")
        server_host = table.get("server_host")
        if not (server_host is None or (isinstance(server_host, str) and server_host)):
            self.wrong("", "server_host", "want a host name in quotes")
        tables = table.get("services", {})
        if not (isinstance(tables, dict) and all(isinstance(t, dict) for t in tables.values())):
            self.wrong("", "services", "want tables named [services.NAME]")
        services = [self.service(name, values) for name, values in tables.items()]
        self.distinct(services)
        return Config(
            services if tables else [Service(stamp=self.stamp, config=self.path)],
            server_host,
            self.path,
        )

    def service(self, name: str, values: dict[str, Any]) -> Service:
        """Return the service of the table [services.*name*], whose keys are *values*."""
        if not valid_name(name):
            self.wrong(f"services.{name}", "", "a service's name is letters, digits, - and _")
        where = f"services.{name}"
        if "url" in values:
            return self.elsewhere(name, where, values)
        for key in values:
            if key not in self.SERVICE_KEYS:
                self.wrong(where, key, f"unknown key; {self.meant(key)}")
        command = values.get("command", [])
        if not (_strings(command) and command[0]):
            self.wrong(where, "command", 'want a list of strings, e.g. ["icm", "serve"]')
        env = values.get("env", {})
        if not (isinstance(env, dict) and _strings([*env, *env.values(), ""])):
            self.wrong(where, "env", 'want strings, e.g. { NAME = "value" }')
        if any("=" in key or not key for key in env):
            self.wrong(where, "env", "a variable's name is not empty and has no =")
        for key, texts in (("command", command), ("env", [*env.values()])):
            if any(not expandable(text) for text in texts):
                self.wrong(where, key, "a ${ begins a ${NAME}; for the characters write $${")
        cwd = values.get("cwd", "/")
        absolute = isinstance(cwd, str) and (cwd == "~" or cwd.startswith(("/", "~/", "${")))
        if not absolute or "\0" in cwd or not expandable(cwd):
            self.wrong(where, "cwd", "want an absolute path in quotes")
        wait = values.get("start_timeout", START_TIMEOUT_S)
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 < wait <= 3600:
            self.wrong(where, "start_timeout", "want seconds, more than 0 and at most 3600")
        if not isinstance(values.get("autostart", True), bool):
            self.wrong(where, "autostart", "want true or false")
        bridge, origins = self.bridge(where, values)
        bind = self.bind(where, values, bridge)
        try:
            return Service(
                name,
                command,
                bind,
                bridge=bridge,
                origins=origins,
                env=env,
                cwd=cwd,
                start_timeout=float(wait),
                autostart=values.get("autostart", True),
                stamp=self.stamp,
                config=self.path,
            )
        except UsageError as error:
            self.wrong(where, "bind", str(error))

    def meant(self, key: str) -> str:
        """Return which key of a service may be meant by *key*, or all."""
        import difflib

        near = difflib.get_close_matches(key, self.SERVICE_KEYS, 1)
        known = ", ".join(self.SERVICE_KEYS)
        return f"did you mean {near[0]}?" if near else f"want one of {known}"

    def bridge(self, where: str, values: dict[str, Any]) -> tuple[bool | str, list[str]]:
        """Return how a service is bridged, and which web origins its bridge lets in."""
        bridge, origins = values.get("bridge", GUARDED), values.get("origins", [])
        if not (isinstance(bridge, bool) or bridge in (GUARDED, MCP_PROXY)):
            self.wrong(where, "bridge", f'want "{GUARDED}", "{MCP_PROXY}" or false')
        if origins and not (_strings(origins) and all("://" in origin for origin in origins)):
            self.wrong(where, "origins", 'want a list, e.g. ["vscode-webview://name"]')
        if origins and bridge != GUARDED:
            self.wrong(where, "origins", f'only bridge = "{GUARDED}" looks at the origin')
        return bridge, origins

    def bind(self, where: str, values: dict[str, Any], bridge: bool | str) -> str:
        """Return the address of a service; "" for one that has its bridge's socket alone."""
        bind = values.get("bind", DEFAULT_BIND)
        if bind is False:
            if bridge != GUARDED:
                self.wrong(where, "bind", f'only bridge = "{GUARDED}" has a socket instead')
            if values.get("origins"):
                self.wrong(where, "origins", "no web page comes by a socket: bind = false")
            return ""
        if not (isinstance(bind, str) and bind):
            want = "want an address in quotes, e.g. 127.0.0.1:7878, or false: the socket alone"
            self.wrong(where, "bind", want)
        return str(bind)

    def elsewhere(self, name: str, where: str, values: dict[str, Any]) -> Service:
        """Return a service that runs elsewhere: where, and which headers it wants."""
        for key in values:
            if key not in self.ELSEWHERE_KEYS:
                why = "not with url, which says that the service runs elsewhere"
                self.wrong(where, key, why if key in self.SERVICE_KEYS else "unknown key")
        url, headers = values["url"], values.get("headers", {})
        if not (isinstance(url, str) and _is_url(url)):
            self.wrong(where, "url", "want a URL in quotes, e.g. https://mcp.example.com/mcp")
        if not (isinstance(headers, dict) and _strings([*headers, *headers.values(), ""])):
            self.wrong(where, "headers", 'want strings, e.g. { Authorization = "Bearer ${TOKEN}" }')
        if not all(map(_is_token, headers)):
            self.wrong(where, "headers", "a header's name is letters, digits and -")
        for text in headers.values():
            if not (text.isascii() and text.isprintable() and expandable(text)):
                self.wrong(where, "headers", "want visible ASCII; a ${ begins a ${NAME}")
        return Service(
            name, url=url, headers=headers, bridge=False, stamp=self.stamp, config=self.path
        )

    def distinct(self, services: list[Service]) -> None:
        """See that no two *services* share an address or a variable."""
        for index, service in enumerate(services):
            for other in services[:index]:
                where = f"services.{service.name}"
                if service.bind and service.bind == other.bind:
                    self.wrong(where, "bind", f"{service.bind} is the bind of {other.name} too")
                if variable(other.name) == variable(service.name):
                    self.wrong(where, "", f"shares its variable with {other.name}; rename one")
            if index and variable(service.name) == FIRST_URL:
                self.wrong(
                    f"services.{service.name}", "", f"{FIRST_URL} is the first service's; rename it"
                )

    def wrong(self, table: str, key: str, why: str) -> NoReturn:
        """Raise UsageError: *key* of [*table*] is wrong, and *why*; with its line."""
        line = self.line(table, key)
        place = f"{self.path}:{line}" if line else self.path
        what = ".".join(part for part in (table, key) if part)
        raise UsageError(f"{printable(place)}: {printable(what, 100)}: {why}")

    def line(self, table: str, key: str) -> int | None:
        """Return the number of the line that sets *key* in [*table*], as far as a scan can tell."""
        parts = table.split(".") if table else []
        wanted = [*parts, key] if key else parts
        header: list[str] = []
        found = None
        for number, text in enumerate(self.lines, 1):
            bare = text.split("#")[0].strip()
            if bare.startswith("["):
                here = header = _dotted(bare.strip("[]"))
            elif "=" in bare:
                here = [*header, *_dotted(bare.split("=")[0])]
            else:
                continue
            if here[: len(wanted)] == wanted:
                return number
            if parts and here[: len(parts)] == parts:
                found = found or number
        return found


def _dotted(key: str) -> list[str]:
    """Return the parts of a TOML key, as far as a scan can tell."""
    return [part.strip().strip("\"'") for part in key.split(".")]


def _is_url(text: str) -> bool:
    """True for a URL of HTTP that has a host, and no user, space or fragment."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    odd = not (text.isascii() and text.isprintable()) or any(c in text for c in ' #"<>\\')
    return text.startswith(("http://", "https://")) and host and "@" not in parts.netloc and not odd


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def _strings(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) and "\0" not in item for item in value)
    )
