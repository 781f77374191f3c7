#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Start a service exactly once, however many ask at once; prove that it lives.

    llmenv-ensure [--service NAME] [--bind HOST:PORT] [--pidfile PATH]
                  [--timeout SECONDS] [--no-bridge] [--deep] [--json] [--quiet]
                  [-- COMMAND [ARG ...]]

With no arguments: every service of the config that belongs on this host or,
with no config, the default service: `icm serve` behind mcp-proxy on
127.0.0.1:7878.  One line a service on stdout: `NAME already-running pid=N` or
`NAME spawned pid=N` (`pid=-`: root's, or unknown).

    --service NAME   only this service
    --bind, --no-bridge, -- COMMAND   instead of what the config says
    --pidfile PATH   keep the service's files beside PATH, not in the state
                     directory
    --timeout S      how long to wait for the port; default 10
    --deep           also ask a bridged service for its tools; restart it if
                     its child is gone
    --json           a JSON object a line instead of words
    --quiet          nothing on stdout
    --hook STATE CONFIG   as the prompt hook calls it: detached, silent, with
                     growing pauses

Exit status: 0 all run; 1 one could not be started (why, on stderr); 2 wrong
usage or config; 75 not up within the timeout, but being started; 130
interrupted.

This file needs Python 3.11 and its standard library, nothing else: copy it
where you like and run it as `python3 -I -S ensure.py`.


WORDS

service         a named daemon that should be running: a command, an address to bind, and whether
                mcp-proxy bridges it from stdio.
start lock      NAME.pid.lock, held by the one process that may start the service.
lifetime lock   NAME.life, held by the daemon itself as an inherited open file, until it dies.
                Both are flocks: the kernel proves them, and frees them at any death.
identity        which process a pid means: pid, start time, boot id, namespaces, uid.
realm           the boot, pid namespace and net namespace that a record belongs to.
probe           one TCP connect to the service's address.
deep check      one MCP `tools/list`: mcp-proxy outlives its child, and only a tool call shows it.


PROTOCOL

1. Look, without a lock and without a write.  Life held and port answering: done.
2. Take the start lock: flock, then see that the locked file is still the one at that path.
   Losers look again, and accept what the winner brings up.
3. Look again under the lock, and act on what is seen (`Sight`).
4. Start: take the lifetime lock, spawn.  The child writes its identity into NAME.life *before*
   it execs, so no daemon ever runs that no record names.
5. Wait for the port.  Publish the pidfile and the `alive` link only then, only under the lock.
6. Release: unlink the start lock while still holding it.  The lifetime lock is never unlocked,
   only closed: the child shares it.

A kill at any instruction leaves either nothing, or a daemon that the next run finds by its lock.


FILES, under $XDG_STATE_HOME/llmenv, else ~/.local/state/llmenv

NAME.pid        the decimal pid, for any other tool
NAME.pid.lock   the start lock; exists while held, or until the next run sweeps it
NAME.life       the lifetime lock and the identity record; never unlinked
NAME.proof      a directory that the daemon holds open, in it NAME.life, a link to that file; its
                time is when the next deep check is due
NAME.alive      link to /proc/PID/fd/N/NAME.life: it leads through the daemon's own NAME.proof to
                NAME.life, and nowhere once the daemon is dead.  A link to NAME.life itself:
                stopped on purpose, nothing to do.
NAME.output     instead of it, for a daemon that closed what it does not know: link to
                /proc/PID/fd/2, `-ef NAME.log` while it lives
NAME.fail       the last failure: a line for people, a line of count, time, boot and digest
NAME.log        the daemon's output, cut at 1 MiB by each run; the older part in NAME.log.1
config.parsed   the last config, and what tomllib made of it
"""

from __future__ import annotations

import _socket  # `socket` adds enum and selectors: 10 ms more at every run
import _thread
import errno
import fcntl
import marshal  # `json` imports re
import os
import stat
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any, NoReturn

__version__ = "0.1.0"

PROC = "/proc"
CONFIG_FAIL = "config.toml.fail"
CONFIG_PARSED = "config.parsed"
DEFAULT_NAME = "mcp-proxy"
DEFAULT_COMMAND = ["icm", "serve"]
DEFAULT_BIND = "127.0.0.1:7878"
FIRST_URL = "LLMENV_MCP_URL"  # where shells find the first service
DEFAULT_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0
HUNG_S = 2.0  # a daemon past its start must be silent this long before it is ended
DEEP_TIMEOUT_S = 3.0
DEEP_EVERY_S = 52.0  # the time of a terminal, with which fish compares, lags behind by up to 8 s
LONGEST_PAUSE_S = 300.0
LOG_BYTES = 1 << 20
FLOOD_S = 10.0
FORKED_S = 5.0  # for a daemon that forked, and let go of all we know it by, to bind
RECORD_BYTES = 256

# What the daemon gets of the environment of whichever shell happened to be first.
KEPT_ENVIRONMENT = frozenset(
    "HOME PATH USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR"
    " HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy"
    " HF_HOME UV_CACHE_DIR UV_DEFAULT_INDEX UV_INDEX_URL UV_TOOL_DIR UV_TOOL_BIN_DIR".split()
)
KEPT_PREFIXES = ("LC_", "XDG_", "ICM_")


class Problem(Exception):
    """A failure to show to a person as one line; any other exception is a bug."""

    exit_code = 1


class UsageError(Problem):
    """Wrong arguments or a wrong config."""

    exit_code = 2


class NotYet(Problem):
    """The timeout passed while the service is still coming up."""

    exit_code = 75


class _Elsewhere(Exception):
    """Another realm's daemon holds these files."""


class _NoLocks(Exception):
    """The file system has no flock."""


class EnsureOutcome:
    """What `ensure_running` did (the seed's enum; plain strings, since `enum` costs 5 ms)."""

    ALREADY_RUNNING = "already-running"
    SPAWNED = "spawned"


class Result:
    """What `ensure` found: *outcome* is an `EnsureOutcome`, *pid* the listener's, if known."""

    __slots__ = ("note", "outcome", "pid")

    def __init__(self, outcome: str, pid: int | None, note: str = "") -> None:
        self.outcome = outcome
        self.pid = pid
        self.note = note  # one line the user should see although all is well


def printable(text: str, most: int = 400) -> str:
    """Return *text* on one line with nothing in it that a terminal would obey."""
    clean = "".join(c if c.isprintable() else "?" if c not in "\r\n\t" else " " for c in text)
    return clean if len(clean) <= most else clean[: most - 3] + "..."


# --- places -----------------------------------------------------------------------------------


def xdg_directory(variable: str, fallback: str, what: str) -> str:
    """Return the llmenv directory under $*variable*, else under $HOME/*fallback*.

    XDG Base Directory Specification: a relative value is to be ignored, an empty one is unset.
    """
    for name, rest in ((variable, ""), ("HOME", fallback)):
        base = os.environ.get(name, "")
        if os.path.isabs(base):
            return os.path.join(base, rest, "llmenv")
    raise Problem(
        f"cannot tell where to keep {what}: neither {variable} nor HOME is an absolute path;"
        " set HOME"
    )


def state_dir() -> str:
    """Return the absolute path of the state directory (it need not exist).

    Raises:
        Problem: neither XDG_STATE_HOME nor HOME is set to an absolute path.
    """
    return xdg_directory("XDG_STATE_HOME", ".local/state", "state")


def config_path() -> str:
    """Return the absolute path of the config (it need not exist): $LLMENV_CONFIG, else XDG's.

    Raises:
        UsageError: LLMENV_CONFIG is relative.
        Problem: neither XDG_CONFIG_HOME nor HOME is set to an absolute path.
    """
    named = os.environ.get("LLMENV_CONFIG", "")
    if not named:
        return os.path.join(
            xdg_directory("XDG_CONFIG_HOME", ".config", "the config"), "config.toml"
        )
    if not os.path.isabs(named):
        raise UsageError(f"LLMENV_CONFIG must be an absolute path, not {printable(named)!r}")
    return named


def default_pid_path() -> str:
    """Return the default service's pidfile: mcp-proxy.pid in the state directory (the seed's)."""
    return os.path.join(state_dir(), DEFAULT_NAME + ".pid")


def lockfile_path(pid_path: str) -> str:
    """Return the start lock's path: a sibling of the pidfile, `<pid_path>.lock` (the seed's)."""
    return os.fspath(pid_path) + ".lock"


class Files:
    """The paths of one service's files; *pid_path* is absolute, the rest are its siblings."""

    def __init__(self, pid_path: str, locks: str | None = None) -> None:
        self.pid = os.path.abspath(pid_path)
        self.directory, name = os.path.split(self.pid)
        self.stem = name.removesuffix(".pid")  # the service's name, maybe with @HOST
        self.service = self.stem.partition("@")[0]
        base = os.path.join(self.directory, self.stem)
        self.proof = base + ".proof"
        self.alive = base + ".alive"
        self.output = base + ".output"
        self.fail = base + ".fail"
        self.log = base + ".log"
        self.old_log = base + ".log.1"
        # Where there are no locks, `_with_locks` has put them elsewhere and left a link.
        self.locks = locks or _moved_to(base + ".life") or self.directory
        self.lock = os.path.join(self.locks, os.path.basename(lockfile_path(self.pid)))
        self.life = os.path.join(self.locks, self.stem + ".life")


def _runtime_directory() -> str | None:
    """Return where locks go when the state directory's file system has none, or None."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(runtime, "llmenv") if os.path.isabs(runtime) else None


def _moved_to(life: str) -> str | None:
    """Return the runtime directory, ours if not this shell's, that the link *life* leads to."""
    directory, name = os.path.split(_target(life) or "")
    if os.path.basename(directory) != "llmenv" or name != os.path.basename(life):
        return None
    try:
        seen = os.stat(directory)
    except OSError:
        return None
    return directory if only_ours(seen) else None


def only_ours(seen: os.stat_result) -> bool:
    """True for what is this user's, and nobody else can write to."""
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o022


def _target(path: str) -> str | None:
    """Return where the symbolic link *path* points, or None when it is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def hostname() -> str:
    """Return this host's name, made safe for a file name."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in os.uname().nodename)


def instances(name: str, state: str) -> list[Files]:
    """Return where service *name* may be recorded: NAME.*, then this realm's NAME@HOST.*."""
    return _beside(os.path.join(state, f"{name}.pid"))


# --- services and config ------------------------------------------------------------------------


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

    *command* is an argv; *bind* as for `parse_bind`; *env* is added to the daemon's environment;
    *cwd* is absolute; *start_timeout* in seconds; *stamp* changes when the config does; without
    *autostart* it is only started by name.  *command*, *cwd* and the values of *env* are as in the
    config: `expanded` puts in what `~` and `${NAME}` stand for.
    """

    def __init__(
        self,
        name: str = DEFAULT_NAME,
        command: list[str] | None = None,
        bind: str = DEFAULT_BIND,
        *,
        bridge: bool = True,
        env: dict[str, str] | None = None,
        cwd: str = "/",
        start_timeout: float = START_TIMEOUT_S,
        autostart: bool = True,
        stamp: str = "",
    ) -> None:
        self.name = name
        self.command = list(command or DEFAULT_COMMAND)
        self.host, self.port = parse_bind(bind)
        self.bridge = bridge
        self.env = dict(env or {})
        self.cwd = cwd
        self.start_timeout = start_timeout
        self.autostart = autostart
        self.stamp = stamp
        parts = [self.bind, str(bridge), cwd, *self.command]
        parts += [f"{key}={self.env[key]}" for key in sorted(self.env)]
        self.digest = _crc(parts)  # changes when the daemon would have to be another

    def but(self, **changed: Any) -> Service:
        """Return this service with the fields that are named *changed*."""
        names = "name command bind bridge env cwd start_timeout autostart stamp".split()
        return Service(**{name: getattr(self, name) for name in names} | changed)

    @property
    def bind(self) -> str:
        """The address as one word, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _crc(parts: list[str]) -> str:
    return f"{zlib.crc32(chr(0).join(parts).encode('utf-8', 'surrogateescape')):08x}"


class Config:
    """What the config says: *services* in its order, *server_host* or None, the file's *path*."""

    def __init__(self, services: list[Service], server_host: str | None, path: str) -> None:
        self.services = services
        self.server_host = server_host
        self.path = path

    @property
    def here(self) -> bool:
        """True when services run on this host."""
        if self.server_host is None:
            return True
        ours, named = os.uname().nodename.lower(), self.server_host.lower()
        if "." in ours and "." in named:
            return ours == named
        return ours.split(".")[0] == named.split(".")[0]

    @property
    def not_here(self) -> str:
        """Why nothing is started, where `here` is false."""
        return (
            f"services run on {printable(self.server_host or '')} (server_host in"
            f" {printable(self.path)}), not on this host"
        )

    @property
    def kept_alive(self) -> list[Service]:
        """The services that run on this host without being asked for by name."""
        return [service for service in self.services if service.autostart] if self.here else []

    def url(self, service: Service) -> str:
        """Return the URL at which an agent on this host reaches *service*."""
        host = _reachable(service.host)
        if not self.here and self.server_host and _is_local(host):
            host = self.server_host
        return f"http://{f'[{host}]' if ':' in host else host}:{service.port}/mcp"


def open_to_others(service: Service) -> str | None:
    """Return the warning about a *service* that more than this machine can reach, or None."""
    if _is_local(service.host):
        return None
    return f"{service.bind} can be reached by other machines, and nobody is asked for a password"


def _reachable(host: str) -> str:
    """Return the address to connect to for a daemon that binds *host*."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _is_local(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def load_config(path: str | None = None, state: str = "") -> Config:
    """Read and check the config at *path*, default `config_path()`; no file: the default service.

    The directory *state*, where there is one, is to keep what tomllib made of it.

    Raises:
        UsageError: a file that was named is missing, unreadable, or wrong; the message names the
            file, and the key and line where they are known.
    """
    path = path or config_path()
    try:
        with open(path, "rb") as file:
            raw = file.read()
            changed = os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        if path == os.environ.get("LLMENV_CONFIG"):
            raise UsageError(f"{printable(path)}: no such config") from None
        return Config([Service()], None, path)
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
        table = _parsed(raw, text, state)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{printable(path)}: {printable(str(error))}") from None
    return _Checker(path, text, str(changed)).config(table)


def _parsed(raw: bytes, text: str, state: str) -> dict[str, Any]:
    """Return the table that *text*, which is *raw* decoded, holds in TOML.

    The last one is kept in *state*, unless that is "": to import tomllib takes longer than all the
    rest of a look.

    Raises:
        ValueError, RecursionError: it is no TOML.
    """
    cache = os.path.join(state, CONFIG_PARSED) if _ours_alone(state) else ""
    kept = _kept(cache)
    if kept and kept[0] == raw:
        return kept[1]
    import tomllib

    table = tomllib.loads(text)
    if cache:
        _keep(cache, (raw, table))
    return table


def _ours_alone(directory: str) -> bool:
    """True for a directory of this user's, where nobody else can write."""
    try:
        seen = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and only_ours(seen)


def _kept(path: str) -> tuple[bytes, dict[str, Any]] | None:
    """Return what `_keep` put into *path*, whole and by this user, or None."""
    kept: tuple[bytes, dict[str, Any]] | None = None
    try:
        fd = _open_ours(path, os.O_RDONLY)
        try:
            crc, data = os.read(fd, 4), os.read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        if crc == zlib.crc32(data).to_bytes(4, "big"):
            kept = marshal.loads(data)
    except (Problem, OSError, ValueError, EOFError, TypeError):
        return None  # there is none, or another Python wrote it
    return kept


def _keep(path: str, what: tuple[bytes, dict[str, Any]]) -> None:
    try:
        data = marshal.dumps(what)
        _replace(path, zlib.crc32(data).to_bytes(4, "big") + data)
    except (OSError, ValueError):
        return  # only the next look is slower for it


class _Checker:
    """Turns a parsed config into a `Config`, or says which line is wrong."""

    SERVICE_KEYS = ("command", "bind", "bridge", "env", "cwd", "start_timeout", "autostart")

    def __init__(self, path: str, text: str, stamp: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.stamp = stamp

    def config(self, table: dict[str, Any]) -> Config:
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
        return Config(services if tables else [Service(stamp=self.stamp)], server_host, self.path)

    def service(self, name: str, values: dict[str, Any]) -> Service:
        if not valid_name(name):
            self.wrong(f"services.{name}", "", "a service's name is letters, digits, - and _")
        where = f"services.{name}"
        for key in values:
            if key not in self.SERVICE_KEYS:
                self.wrong(where, key, f"unknown key; want one of {', '.join(self.SERVICE_KEYS)}")
        command = values.get("command", [])
        if not (_strings(command) and command[0]):
            self.wrong(where, "command", 'want a list of strings, e.g. ["icm", "serve"]')
        env = values.get("env", {})
        if not (isinstance(env, dict) and _strings([*env, *env.values(), ""])):
            self.wrong(where, "env", 'want strings, e.g. { NAME = "value" }')
        if any("=" in key or not key for key in env):
            self.wrong(where, "env", "a variable's name is not empty and has no =")
        for key, texts in (("command", command), ("env", [*env.values()])):
            if any(not _expandable(text) for text in texts):
                self.wrong(where, key, "a ${ begins a ${NAME}; for the characters write $${")
        cwd = values.get("cwd", "/")
        absolute = isinstance(cwd, str) and (cwd == "~" or cwd.startswith(("/", "~/", "${")))
        if not absolute or "\0" in cwd or not _expandable(cwd):
            self.wrong(where, "cwd", "want an absolute path in quotes")
        wait = values.get("start_timeout", START_TIMEOUT_S)
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 < wait <= 3600:
            self.wrong(where, "start_timeout", "want seconds, more than 0 and at most 3600")
        for key in ("bridge", "autostart"):
            if not isinstance(values.get(key, True), bool):
                self.wrong(where, key, "want true or false")
        if not isinstance(values.get("bind", DEFAULT_BIND), str):
            self.wrong(where, "bind", "want an address in quotes, e.g. 127.0.0.1:7878")
        try:
            return Service(
                name,
                command,
                values.get("bind", DEFAULT_BIND),
                bridge=values.get("bridge", True),
                env=env,
                cwd=cwd,
                start_timeout=float(wait),
                autostart=values.get("autostart", True),
                stamp=self.stamp,
            )
        except UsageError as error:
            self.wrong(where, "bind", str(error))

    def distinct(self, services: list[Service]) -> None:
        for index, service in enumerate(services):
            for other in services[:index]:
                where = f"services.{service.name}"
                if (other.host, other.port) == (service.host, service.port):
                    self.wrong(where, "bind", f"{service.bind} is the bind of {other.name} too")
                if variable(other.name) == variable(service.name):
                    self.wrong(where, "", f"shares its variable with {other.name}; rename one")
            if index and variable(service.name) == FIRST_URL:
                self.wrong(
                    f"services.{service.name}", "", f"{FIRST_URL} is the first service's; rename it"
                )

    def wrong(self, table: str, key: str, why: str) -> NoReturn:
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


def _strings(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) and "\0" not in item for item in value)
    )


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


# --- what is run --------------------------------------------------------------------------------


def is_executable(path: str) -> bool:
    """True when *path* is a regular file that we may execute (the seed's: any x bit)."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _which(program: str) -> str | None:
    """Return the absolute path that *program* means, or None.

    Only absolute entries of PATH count, so that no project directory can slip in a program.
    """
    if os.path.isabs(program):
        return program if is_executable(program) else None
    if "/" in program:
        return None
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(directory):
            candidate = os.path.join(directory, program)
            if is_executable(candidate):
                return candidate
    return None


def on_path(program: str) -> bool:
    """True when *program* names an executable file in an absolute directory on PATH."""
    return _which(program) is not None


def mcp_proxy_command() -> tuple[str, list[str]]:
    """Return mcp-proxy's absolute path and leading arguments; `uvx mcp-proxy` is the fallback.

    An mcp-proxy beside this interpreter (the extra `proxy`) counts as installed.

    Raises:
        Problem: neither is there.
    """
    proxy = _which("mcp-proxy")
    beside = os.path.join(os.path.dirname(sys.executable or "/"), "mcp-proxy")
    if proxy is None and is_executable(beside):
        proxy = beside
    if proxy is not None:
        return proxy, []
    uvx = _which("uvx")
    if uvx is not None:
        return uvx, ["mcp-proxy"]
    raise Problem("neither mcp-proxy nor uvx is on PATH; install one, e.g. pipx install mcp-proxy")


def expanded(service: Service) -> Service:
    """Return *service* with what `~` and `${NAME}` stand for in its command, cwd and env.

    Done when it is started, and not when the config is read: a variable that one shell lacks then
    concerns this one service, and only where it has to be started.

    Raises:
        Problem: a variable is not set, or the cwd is then not absolute.
    """
    cwd = _expand(service.cwd)
    if not os.path.isabs(cwd):
        raise Problem(f"its cwd {printable(service.cwd, 100)} is no absolute path")
    command = [_expand(word) for word in service.command]
    env = {name: _expand(value) for name, value in service.env.items()}
    meant = service.but(command=command, env=env, cwd=cwd)
    meant.digest = service.digest  # whatever the variables are in each shell, it is this service
    return meant


def _references(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split *text* at each ${NAME}: what comes first, then each NAME with what follows it.

    `$${` stands for `${`.  A NAME that is not closed is none, and comes back empty.
    """
    first, *parts = text.replace("$${", "$\0").split("${")
    pairs = []
    for part in parts:
        name, brace, rest = part.partition("}")
        pairs.append((name if brace else "", rest.replace("$\0", "${")))
    return first.replace("$\0", "${"), pairs


def _expandable(text: str) -> bool:
    """True when each `${` in *text* begins a ${NAME} that can be a variable's."""
    return all(name.isascii() and name.isidentifier() for name, _ in _references(text)[1])


def _expand(text: str) -> str:
    """Replace a leading ~/, and each ${NAME}; `$${` stands for `${`, all else for itself."""
    if text == "~" or text.startswith("~/"):
        text = "${HOME}" + text[1:]
    done, pairs = _references(text)
    for name, rest in pairs:
        if name not in os.environ:
            raise Problem(f"${{{printable(name, 60)}}} in the config is not set in this shell")
        done += os.environ[name] + rest
    return done


def command_line(service: Service) -> list[str]:
    """Return the argv that runs *service*, which is `expanded`, programs as absolute paths.

    Raises:
        Problem: a program is not there.
    """
    program = _which(service.command[0])
    if program is None:
        raise Problem(
            f"{printable(service.command[0], 100)} is not an executable file, nor one on PATH;"
            " install it, or name another command for this service in the config"
        )
    command = [program, *service.command[1:]]
    if not service.bridge:
        return command
    proxy, leading = mcp_proxy_command()
    # Stateless, so that agents survive a restart of the proxy.
    options = ["--host", service.host, "--port", str(service.port), "--stateless"]
    options += ["--log-level", "WARNING", "--cwd", service.cwd, "--pass-environment"]
    return [proxy, *leading, *options, "--", *command]


def _environment(service: Service) -> dict[str, str]:
    """Return what the daemon of *service*, which is `expanded`, gets of our environment."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in KEPT_ENVIRONMENT or key.startswith(KEPT_PREFIXES)
    }
    entries = kept.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(entry for entry in entries if os.path.isabs(entry))
    return {**kept, **service.env}


# --- processes ----------------------------------------------------------------------------------


def _read(path: str, most: int = 65536) -> bytes:
    """Return the first *most* bytes of the regular file *path*; never blocks, follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return os.read(fd, most)
    finally:
        os.close(fd)


def _proc(*parts: object) -> bytes:
    """Return the content of a file under /proc; nothing when it or its process is not there.

    Raises:
        OSError: the question could not be asked, which must never pass for a "no".
    """
    try:
        with open("/".join([PROC, *map(str, parts)]), "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _ask(*argv: str) -> str:
    """Return what a system tool prints: the way of hosts that have no /proc."""
    import subprocess

    # A start time must read the same whatever the zone and the language of who asks.
    plain = {**os.environ, "TZ": "UTC0", "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, env=plain, capture_output=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


# Asked once: between fork and exec the answer must not change, since without /proc one forks.
_HAS_PROC = os.path.exists(f"{PROC}/self/stat")


def has_proc() -> bool:
    """True where processes are seen through /proc."""
    return _HAS_PROC


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none when it cannot be read."""
    fields = _proc(pid, "stat").rpartition(b")")[2].split()
    return fields if len(fields) > 19 else []


def _start_time(pid: int) -> str | None:
    """Return when *pid* started, as an opaque word that no later process shares; None: dead.

    proc_pid_stat(5): field 3 is the state, field 22 the start in clock ticks since boot.
    """
    if has_proc():
        fields = _stat(pid)
        return fields[19].decode() if fields and fields[0] not in b"ZXx" else None
    words = _ask("ps", "-o", "state=,lstart=", "-p", str(pid)).split()
    return "_".join(words[1:]) if words and words[0][0] != "Z" else None


def _age(pid: int) -> float | None:
    """Return the seconds since *pid* started, or None where that is not known."""
    start = _start_time(pid)
    if start is None or not start.isdigit():
        return None
    # The clock of field 22; /proc/uptime is another's where lxcfs(1) stands in for it.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(start) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool | None:
    """True when *pid* is a live process; None where the question cannot be asked.

    kill(2) with signal 0, as the seed, without a fork: EPERM means alive.  A zombie is dead.
    """
    if not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's; with hidepid, proc(5), not even its state can be read.
        return not (has_proc() and _stat(pid) and _start_time(pid) is None)
    except OSError:
        return None
    return not (has_proc() and _start_time(pid) is None)


def _namespace(kind: str, pid: int | str = "self") -> str:
    try:
        return os.readlink(f"{PROC}/{pid}/ns/{kind}").partition("[")[2].rstrip("]")
    except OSError:
        return "-"


def realm() -> tuple[str, str, str]:
    """Return the boot id, the pid namespace and the net namespace we are in."""
    if has_proc():
        boot = _proc("sys/kernel/random/boot_id").decode().strip()
    else:
        boot = _ask("sysctl", "-n", "kern.bootsessionuuid")
    return boot or "-", _namespace("pid"), _namespace("net")


class Identity:
    """The record in NAME.life: which process is meant, and what it was started as."""

    def __init__(
        self, pid: int, start: str, where: tuple[str, str, str], uid: int, bind: str, digest: str
    ) -> None:
        self.pid = pid
        self.start = start
        self.realm = where
        self.uid = uid
        self.bind = bind
        self.digest = digest

    def encode(self) -> bytes:
        """Return the record: one line of fixed length, its end mark last."""
        words = ["v1", self.pid, self.start, *self.realm, self.uid, self.bind, self.digest, "."]
        return " ".join(map(str, words)).encode().ljust(RECORD_BYTES - 1) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Identity | None:
        """Return what *raw* records, or None for a torn, foreign or empty record."""
        words = raw.decode("ascii", "replace").split()
        if len(raw) != RECORD_BYTES or len(words) != 10 or (words[0], words[9]) != ("v1", "."):
            return None
        pid, start, boot, pidns, netns, uid, bind, digest = words[1:9]
        if not (pid.isdigit() and uid.isdigit()) or not 0 < int(pid) < 1 << 31:
            return None
        return cls(int(pid), start, (boot, pidns, netns), int(uid), bind, digest)

    def lives(self) -> bool | None:
        """True or False within our realm, None for a record of another one."""
        return _start_time(self.pid) == self.start if self.realm == realm() else None

    @property
    def shares_our_net(self) -> bool:
        """True when what it listens on can be reached from here."""
        boot, _, net = realm()
        return (self.realm[0], self.realm[2]) == (boot, net)


def read_record(life: str) -> Identity | None:
    """Return the identity recorded in the file *life*, or None."""
    try:
        return Identity.decode(_read(life, RECORD_BYTES))
    except OSError:
        return None


def _processes() -> dict[int, int]:
    """Return every visible process's parent: pid -> ppid."""
    if not has_proc():
        lines = _ask("ps", "-A", "-o", "pid=,ppid=").splitlines()
        return {int(pid): int(parent) for pid, parent in map(str.split, lines)}
    found = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields:
            found[pid] = int(fields[1])
    return found


def _descendants(roots: set[int]) -> set[int]:
    """Return *roots* and all processes below them."""
    parents = _processes()
    family = set(roots)
    grown = True
    while grown:
        grown = False
        for pid, parent in parents.items():
            if parent in family and pid not in family:
                family.add(pid)
                grown = True
    return family


def _pids(first: int | None = None) -> Iterator[int]:
    """Yield *first*, then every process that /proc shows."""
    if first is not None:
        yield first
    yield from map(int, filter(str.isdigit, os.listdir(PROC)))


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """Yield (path below /proc, target) of each open file of *pid*, as far as we may look."""
    try:
        names = os.listdir(f"{PROC}/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"{PROC}/{pid}/fd/{name}"
        try:
            yield path, os.readlink(path)
        except OSError:
            continue


def _holders(life: str) -> set[int]:
    """Return the processes that hold the lifetime lock by an inherited descriptor (Linux).

    Those of a container, which we may see from its host, are not among them: they are not ours.
    proc_pid_fdinfo(5): a descriptor's `lock:` line shows the flock of its open file.
    """
    found: set[int] = set()
    if not (has_proc() and os.path.exists(life)):
        return found
    for pid in _pids():
        for path, _ in _descriptors(pid):
            if _same_file(path, life) and pid != os.getpid():
                info = _proc(pid, "fdinfo", os.path.basename(path))
                ours = _namespace("pid", pid) == _namespace("pid")
                if ours and b"FLOCK" in info and b"WRITE" in info:
                    found.add(pid)
    return found


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except OSError:
        return False


class Listener:
    """Who listens on an address: *uid*, and *pid* and *command* where we may look."""

    def __init__(self, uid: int, pid: int | None, command: list[str]) -> None:
        self.uid = uid
        self.pid = pid
        self.command = command

    def runs(self, service: Service) -> bool:
        """True when its command line says that it is *service*, as we or the seed start it."""
        try:
            service = expanded(service)
        except Problem:
            return False
        names = {os.path.basename(word) for word in self.command}
        wanted = {os.path.basename(service.command[0])}
        if service.bridge:
            wanted.add("mcp-proxy")
        words = [*service.command[1:], *([str(service.port)] if service.bridge else [])]
        return wanted <= names and all(word in self.command for word in words)

    def __str__(self) -> str:
        who = f"pid {self.pid}" if self.pid else "a process"
        if self.uid != os.getuid():
            who += f" of user {_user(self.uid)}"
        return f"{who} ({printable(' '.join(self.command), 120)})" if self.command else who


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def find_listener(service: Service, likely: int | None = None) -> Listener | None:
    """Return who listens on *service*'s address, or None where that cannot be seen.

    The process *likely* is looked at first: to look through all of them takes milliseconds.

    proc_pid_net(5): /proc/net/tcp gives the uid and the socket's inode; the process that has
    that socket open is found among its descriptors.
    """
    if not has_proc():
        pids = _ask("lsof", "-nP", "-t", f"-iTCP:{service.port}", "-sTCP:LISTEN").split()
        if not pids:
            return None
        uid, _, command = _ask("ps", "-o", "uid=,command=", "-p", pids[0]).partition(" ")
        return Listener(int(uid), int(pids[0]), command.split()) if uid.isdigit() else None
    seen: list[tuple[int, int, str]] = []
    for table in ("tcp6",) if ":" in service.host else ("tcp", "tcp6"):
        if not seen or min(seen)[0]:
            seen += _listening(table, service)
    if not seen:
        return None
    _, owner, inode = min(seen)
    return _with_pid(owner, inode, likely)


def _listening(table: str, service: Service) -> list[tuple[int, int, str]]:
    """Return closeness, uid and inode of who gets *service*'s connects, by /proc/net/*table*.

    Listening sockets come first. What comes next takes the kernel milliseconds to look for, in a
    table as large as the memory allows, so that no more is read at once than a line.
    """
    seen: list[tuple[int, int, str]] = []
    try:
        fd = os.open(f"{PROC}/net/{table}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return seen
    try:
        rest = b""
        while chunk := os.read(fd, 128):
            *lines, rest = (rest + chunk).split(b"\n")
            for words in (line.decode().split() for line in lines):
                if words[3] not in ("st", "0A"):  # the heading, and a socket that listens
                    return seen
                address, _, port = words[1].partition(":")
                if words[3] != "0A" or int(port, 16) != service.port:
                    continue
                closeness = _covers(address, service)
                if closeness is not None:
                    seen.append((closeness, int(words[7]), words[9]))
                if closeness == 0:
                    return seen
    finally:
        os.close(fd)
    return seen


def _covers(address: str, service: Service) -> int | None:
    """Return how closely a listener on *address*, as /proc/net/tcp writes it, fits *service*.

    0: it has the very address; 1 or 2: it gets connects to it by a wildcard; None: it gets none.
    """
    wanted = _socket.inet_pton(
        _socket.AF_INET6 if ":" in service.host else _socket.AF_INET, _reachable(service.host)
    )
    swap = sys.byteorder == "little"
    groups = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    listened = b"".join(group[::-1] if swap else group for group in groups)
    mapped = b"\0" * 10 + b"\xff\xff"
    if listened in (wanted, mapped + wanted):
        return 0
    if any(listened.removeprefix(mapped)) or len(listened) < len(wanted):
        return None
    return 1 if len(listened) == len(wanted) else 2


def _with_pid(uid: int, inode: str, likely: int | None) -> Listener:
    for pid in _pids(likely):
        for _, target in _descriptors(pid):
            if target == f"socket:[{inode}]":
                words = _proc(pid, "cmdline").decode(errors="replace").split("\0")
                return Listener(uid, pid, words[:-1])
    return Listener(uid, None, [])


def probe(host: str, port: int, timeout: float = 0.25) -> bool:
    """True when something accepts a TCP connection at *host*:*port* within *timeout* seconds.

    A connect to a free local port can meet itself (RFC 9293 3.5, simultaneous open); that is no
    answer, and it is reset at once, since it would keep the daemon from binding.
    """
    host = _reachable(host)
    sock = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET)
    try:
        sock.settimeout(timeout)
        sock.connect((host, port))
        if sock.getsockname() == sock.getpeername():
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
    except OSError:
        return False
    else:
        return True
    finally:
        sock.close()


# --- pidfile ------------------------------------------------------------------------------------


def read_pidfile(pid_path: str) -> int | None:
    """Return the pid in the file *pid_path*; None when it is absent or empty (the seed's).

    Raises:
        Problem: it holds anything but one positive decimal number, or is no regular file.
        OSError: it cannot be read.
    """
    try:
        raw = _read(pid_path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise Problem(f"{printable(pid_path)} is not a regular file") from None
    text = raw.strip().decode("ascii", "replace")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) < 1 << 32):
        raise Problem(f"invalid pid {printable(text, 40)!r} in {printable(pid_path)}")
    return int(text)


def write_pidfile_atomic(pid_path: str, pid: int) -> None:
    """Write *pid* to *pid_path* by a temporary file and rename, so that no reader sees a part.

    Raises:
        OSError: it cannot be written; no temporary file is left.
    """
    _replace(os.fspath(pid_path), b"%d\n" % pid)


def _replace(path: str, content: bytes) -> None:
    """Put *content* at *path* by a temporary file of a fixed name and rename; 0600."""
    temporary = path + ".tmp"
    _remove(temporary)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, content)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _link(target: str, path: str) -> None:
    """Make *path* a symbolic link to *target*, atomically."""
    temporary = path + ".tmp"
    _remove(temporary)
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


# --- locks --------------------------------------------------------------------------------------


def _open_ours(path: str, flags: int) -> int:
    """Open a state file of ours; refuses links, and whatever is not a regular file of this user."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise Problem(f"{printable(path)} is not a regular file; remove it") from None
        raise
    seen = os.fstat(fd)
    if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
        os.close(fd)
        refuse_anothers(os.path.dirname(path))
        raise Problem(f"{printable(path)} is not a regular file of yours; remove it")
    if fd > 2:
        return fd
    os.close(fd)
    raise Problem("descriptors 0, 1 and 2 must be open")


def _flock(fd: int, kind: int) -> bool:
    """Take a flock without waiting; False when another open file has it."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise _NoLocks from None
        raise
    return True


def _still_at(fd: int, path: str) -> bool:
    """True when *path* still names the open file *fd*."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _take_start_lock(files: Files) -> int | None:
    """Return a descriptor that holds the start lock, or None while another process has it."""
    fd = _open_ours(files.lock, os.O_RDWR | os.O_CREAT)
    taken = False
    try:
        # flock, then the inode: the file that was opened may have been unlinked by its last holder.
        taken = _flock(fd, fcntl.LOCK_EX) and _still_at(fd, files.lock) and not _held_by_seed(fd)
    finally:
        if not taken:
            os.close(fd)
    if not taken:
        return None
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {_start_time(os.getpid())}\n".encode(), 0)
    except OSError:
        pass  # what it says is a diagnostic: a full disk must not keep a service down
    return fd


def _held_by_seed(fd: int) -> bool:
    """True when the file is the lock of a program that does not flock: a live pid and no more.

    Ours holds two words, so a pid that was reused after a kill never passes for such a holder.
    """
    words = os.pread(fd, 64, 0).split()
    if len(words) != 1 or not words[0].isdigit() or len(words[0]) > 10:
        return False
    return _older_than(int(words[0]), os.fstat(fd).st_mtime)


def _older_than(pid: int, mtime: float) -> bool:
    """True when *pid* lives and started before *mtime*, so that a file of that age can mean it."""
    if not is_alive(pid):
        return False
    age = _age(pid)
    return age is None or time.time() - age <= mtime + 2.0


def _release_start_lock(fd: int, files: Files) -> None:
    # Unlinked while still held: after a close the file could be the next holder's.
    try:
        if _still_at(fd, files.lock):
            os.unlink(files.lock)
    except OSError:
        pass
    _close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return  # close(2): whatever it says, the descriptor is gone, and its lock with it


def _lock_holder(files: Files) -> str:
    try:
        words = _read(files.lock, 64).split()
    except OSError:
        words = []
    return f"pid {printable(words[0].decode('ascii', 'replace'))}" if words else "another process"


def _life_held(files: Files) -> bool:
    """True while some process holds the lifetime lock (asked with a shared try)."""
    try:
        fd = _open_ours(files.life, os.O_RDONLY)  # so that a look works on a read-only disk
    except FileNotFoundError:
        return False
    try:
        return not _flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _take_lifetime_lock(files: Files) -> int:
    """Return a descriptor of at least 10 that holds the lifetime lock; only under the start lock.

    Raises:
        NotYet: an earlier daemon still holds it.
    """
    for _ in range(2):
        fd = _high(_open_ours(files.life, os.O_RDWR | os.O_CREAT))
        for _ in range(20):
            # Others hold it shared for microseconds, to look.
            if _flock(fd, fcntl.LOCK_EX) and _still_at(fd, files.life):
                return fd
            time.sleep(0.005)
        if _flock(fd, fcntl.LOCK_SH):
            # Only lookers do, and one of them was suspended as it looked. No daemon has this file,
            # and nobody else may start one, so that it can make way for a new one.
            _remove(files.life)
        os.close(fd)
    raise NotYet("an earlier daemon is still going down; try again")


def _open_proof(files: Files) -> int:
    """Return a descriptor of at least 10 of NAME.proof, for the daemon to hold beside the lock.

    proc(5): /proc/PID/fd/N leads into a directory that the process has open.  A shell proves it
    alive by one look at a file there, since no other process has this directory open.
    """
    name = f"{files.stem}.life"
    inside = os.path.join(files.proof, name)
    if not os.path.lexists(files.proof):
        os.mkdir(files.proof, 0o700)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = _high(os.open(files.proof, flags))
    except NotADirectoryError:
        raise Problem(f"{printable(files.proof)} is not a directory; remove it") from None
    try:
        if _target(inside) != f"../{name}":
            _link(f"../{name}", inside)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _high(first: int) -> int:
    """Move a descriptor away from the low numbers, which a wrapper script may use for its own."""
    try:
        fd: int = fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 10)
    except OSError:
        fd = os.dup(first)
    finally:
        os.close(first)
    return fd


# --- looking ------------------------------------------------------------------------------------


ANOTHER_REALMS = "another realm's"


class Sight:
    """What one look at a service found.

    *state* is one of
        up         it lives and answers; *detail* says whose it is, if not ours to write about
        adopted    it answers, nobody recorded it, and it is this service
        starting   it lives and does not answer: starting, stopping or hung
        bare       a live pid in a pidfile that we did not write, and no answer
        changed    it lives, but was started as something else
        elsewhere  another realm's daemon holds the lock, and does not answer here
        taken      something else answers; *detail* says who
        down       nothing
    """

    def __init__(self, state: str, pid: int | None = None, age: float = 0.0, detail: str = ""):
        self.state = state
        self.pid = pid
        self.age = age
        self.detail = detail


def look(service: Service, files: Files) -> Sight:
    """Return the state of *service*; takes no lock and writes nothing.

    Raises:
        Problem: a state file is not what it should be.
        OSError: the state directory cannot be read.
    """
    held = _life_held(files)
    record = read_record(files.life)
    lives = record.lives() if record else False
    put_back = record and lives is None and record.realm[:2] != realm()[:2]
    if held and put_back and _holders(files.life):
        record, lives = None, False  # who holds the lock is a process of this very realm
    if held or lives:
        if record and lives and record.digest != service.digest:
            return Sight("changed", record.pid, detail=record.bind)
        pid = record.pid if record and lives else None
        if record and lives is None:
            shared = record.shares_our_net and probe(service.host, service.port)
            return Sight("up", detail=ANOTHER_REALMS) if shared else Sight("elsewhere")
        if probe(service.host, service.port):
            return _beside_a_living_one(service, files, pid) or Sight("up", pid)
        if pid is None and _held_elsewhere(files):
            return Sight("elsewhere")
        return Sight("starting", pid, _silence(pid, files))
    bare = _bare_pid(files, record)
    if probe(service.host, service.port):
        return _who_answers(service, bare)
    if bare:
        # One of the future tells of a clock that was set back: it too is not believed for long.
        return Sight("bare", bare, abs(time.time() - os.stat(files.pid).st_mtime))
    return Sight("down")


def _held_elsewhere(files: Files) -> bool:
    """True when the lifetime lock, of which no record tells, is held by nobody that we can see."""
    # Asked again last, since who held it may just have died.
    return has_proc() and not _holders(files.life) and _life_held(files)


def _beside_a_living_one(service: Service, files: Files, pid: int | None) -> Sight | None:
    """Return what to make of a listener that is seen to be none of the living daemon's, or None.

    *pid* is the daemon's, or None when no record names it.
    """
    if pid and not has_proc() and _published(files) == pid:
        return None  # seen when it was published; to ask again would take a program each time
    who = find_listener(service, _proved_pid(files) or pid)
    if who is None or _may_serve_for(who, pid, files):
        return None
    if pid is None and _held_elsewhere(files):
        return Sight("elsewhere")
    return _who_answers(service, None)


def _may_serve_for(who: Listener, leader: int | None, files: Files) -> bool:
    """True when *who* is of the living daemon *leader*, or nothing is seen that speaks against it.

    A listener of root's whose pid cannot be seen may be one that root keeps for it, as Docker does.
    """
    if who.pid is None:
        return who.uid in (0, os.getuid())
    return who.uid == os.getuid() and _is_of(who.pid, leader, files)


def _is_of(pid: int | None, leader: int | None, files: Files) -> bool:
    """True when *pid* is the daemon *leader*, or one of its family, or holds the lifetime lock."""
    if pid is None or pid == leader:
        return pid is not None
    if any(_same_file(path, files.life) for path, _ in _descriptors(pid)):
        return True
    return pid in _descendants(_holders(files.life) | ({leader} if leader else set()))


def _silence(pid: int | None, files: Files) -> float:
    """Return for how many seconds a silent daemon may already have been up.

    Its leader *pid* may be dead, or its record destroyed: then it is who keeps the lock, be it a
    daemon that forked and is on its way to the port, or what is left of an old one.
    """
    ages = [_age(one) for one in ([pid] if pid else _holders(files.life))]
    return min((age for age in ages if age is not None), default=START_TIMEOUT_S)


def _published(files: Files) -> int | None:
    """Return the pid in the pidfile, or None when there is none, or none to be had."""
    try:
        return read_pidfile(files.pid)
    except (Problem, OSError):
        return None


def _bare_pid(files: Files, record: Identity | None) -> int | None:
    """Return the live pid of a pidfile that another program or a hand wrote, or None."""
    pid = _published(files)
    if pid is None or (record and record.pid == pid):
        return None
    try:
        return pid if _older_than(pid, os.stat(files.pid).st_mtime) else None
    except OSError:
        return None


def _who_answers(service: Service, bare: int | None) -> Sight:
    who = find_listener(service, bare)
    if who and who.uid == 0 != os.getuid():
        return Sight("up", detail="root's")  # root could take anything of ours anyway
    ours = who is None or who.uid == os.getuid()
    if bare and ours and (who is None or who.pid is None or who.pid in _descendants({bare})):
        return Sight("up", bare)
    if who and ours and who.runs(service):
        return Sight("adopted", who.pid)
    return Sight("taken", detail=str(who) if who else "a process that we cannot see")


def _proved_pid(files: Files) -> int | None:
    """Return the pid that one of the links proves, as a shell's test would, or None."""
    for link, file in ((files.alive, files.life), (files.output, files.log)):
        words = (_target(link) or "").split("/")
        if len(words) > 4 and words[2].isdigit() and _same_file(link, file):
            return int(words[2])
    return None


def is_stopped(files: Files) -> bool:
    """True after `stop`, until the service is started on purpose."""
    return _target(files.alive) == os.path.basename(files.life)


# --- publishing -----------------------------------------------------------------------------------


def _publish(service: Service, files: Files, pid: int | None) -> int | None:
    """Write down who serves, under the start lock, and return its pid.

    *pid* is who was seen to serve; a wrapper's worker that listens in its place is named instead,
    and so is a worker that outlived its wrapper.
    """
    who = find_listener(service, pid)
    if who and who.uid == os.getuid() and (_is_of(who.pid, pid, files) or who.runs(service)):
        pid = who.pid
    if pid is None:
        _remove(files.pid)
    else:
        record = read_record(files.life)
        if record and not record.lives() and _life_held(files):
            _record(files, _identity(pid, service))
        write_pidfile_atomic(files.pid, pid)
    link, target = _proof(pid, files) or ("", "")
    if link:
        _link(target, link)
    for other in {files.alive, files.output} - {link}:
        _remove(other)
    _remove(files.fail)
    return pid


def _proof(pid: int | None, files: Files) -> tuple[str, str] | None:
    """Return by which link a shell can see that *pid* still serves, and where that has to lead."""
    if pid is None:
        return None
    for path, _ in _descriptors(pid):
        if _same_file(f"{path}/{files.stem}.life", files.life):
            return files.alive, f"{path}/{files.stem}.life"
    output = f"{PROC}/{pid}/fd/2"
    return (files.output, output) if _same_file(output, files.log) else None


def _identity(pid: int, service: Service) -> Identity:
    start = _start_time(pid) or "-"
    return Identity(pid, start, realm(), os.getuid(), service.bind, service.digest)


def _record(files: Files, identity: Identity) -> None:
    fd = _open_ours(files.life, os.O_RDWR)
    try:
        os.pwrite(fd, identity.encode(), 0)
    finally:
        os.close(fd)


def _published_rightly(files: Files, sight: Sight) -> bool:
    """True when all that is published about a running service is true."""
    if sight.detail:  # nothing of ours to publish
        return sight.detail == ANOTHER_REALMS or not os.path.lexists(files.pid)
    if os.path.lexists(files.lock) or os.path.lexists(files.fail) or _log_is_long(files):
        return False
    proved = _proved_pid(files) if has_proc() else None
    if has_proc() and proved is None and _proof(sight.pid, files):
        return False  # shells could prove it, had they the link
    written = _published(files)
    return written is not None and written == (proved or sight.pid)


def _log_is_long(files: Files) -> bool:
    try:
        return os.lstat(files.log).st_size > LOG_BYTES
    except OSError:
        return False


def _cut_log(files: Files) -> None:
    """Move a long log's newest 1 MiB to NAME.log.1; what comes in while that is done is lost.

    The file stays the one that the daemon appends to, so that it can be cut while it is written.
    One cuts at a time: it holds a flock on the log.
    """
    if not _log_is_long(files):
        return
    log = _open_ours(files.log, os.O_RDWR)
    try:
        if _flock(log, fcntl.LOCK_EX):
            _cut(log, files)
    except _NoLocks:
        _cut(log, files)
    finally:
        os.close(log)


def _cut(log: int, files: Files) -> None:
    size = os.fstat(log).st_size
    newest = os.pread(log, LOG_BYTES, max(0, size - LOG_BYTES))
    try:
        _replace(files.old_log, newest)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A full disk has room again once the log is empty.
        os.ftruncate(log, 0)
        _replace(files.old_log, newest)
        return
    late = os.pread(log, LOG_BYTES, size)
    if late:
        fd = _open_ours(files.old_log, os.O_WRONLY | os.O_APPEND)
        try:
            _write_all(fd, late)
        finally:
            os.close(fd)
    os.ftruncate(log, 0)


def _stay_while_flooded(files: Files) -> None:
    """Keep the log short for as long as it takes more than 1 MiB in FLOOD_S seconds.

    One process at a time does; none of ours stays behind for a daemon that behaves.
    """
    try:
        log = _open_ours(files.log, os.O_RDWR)
    except (OSError, Problem):
        return
    try:
        calm_at = time.monotonic() + FLOOD_S
        while _flock(log, fcntl.LOCK_EX) and _still_at(log, files.log) and _life_held(files):
            if os.fstat(log).st_size > LOG_BYTES:
                _cut(log, files)
                calm_at = time.monotonic() + FLOOD_S
            if time.monotonic() > calm_at:
                return
            time.sleep(0.02)
    except (OSError, Problem, _NoLocks):
        return  # what is wrong there is for the next look to say
    finally:
        os.close(log)


def _log_tail(files: Files, offset: int) -> str:
    """Return the last lines this run wrote, joined into one harmless line."""
    try:
        fd = _open_ours(files.log, os.O_RDONLY)
    except (OSError, Problem):
        return ""
    try:
        size = os.fstat(fd).st_size
        raw = os.pread(fd, 1 << 14, max(offset if offset <= size else 0, size - (1 << 14)))
    finally:
        os.close(fd)
    lines = [line.strip() for line in raw.decode(errors="replace").splitlines() if line.strip()]
    # How Python draws a group of exceptions: below what a server behind mcp-proxy said itself.
    plain = [line for line in lines if line[0] not in "|+"]
    return printable(" | ".join((plain or lines)[-3:]))


# --- failures ---------------------------------------------------------------------------------


class Failure:
    """The last failure of a service: what to say, how often in a row, when, of what."""

    def __init__(self, message: str, count: int, when: float, boot: str, digest: str) -> None:
        self.message = message
        self.count = count
        self.when = when
        self.boot = boot
        self.digest = digest

    def pause_left(self, digest: str) -> float:
        """Return for how many seconds the hook should still leave the service alone."""
        passed = time.time() - self.when
        if digest != self.digest or self.boot != realm()[0] or passed < 0:
            return 0.0
        return min(LONGEST_PAUSE_S, 2.0 ** min(self.count - 1, 9)) - passed


def read_failure(files: Files) -> Failure | None:
    """Return what NAME.fail holds, or None when there is none or it cannot be read."""
    try:
        message, data, *_ = _read(files.fail).decode(errors="replace").split("\n")
        version, count, when, boot, digest, end = data.split()
        if (version, end) != ("v1", ".") or not 0 < int(count) < 1 << 31:
            return None
        return Failure(printable(message), int(count), float(when), boot, digest)
    except (OSError, ValueError):
        return None


def _note_failure(files: Files, message: str, digest: str) -> None:
    last = read_failure(files)
    count = last.count + 1 if last and last.digest == digest else 1
    _write_failure(files.fail, message, f"v1 {count} {time.time():.3f} {realm()[0]} {digest} .")


def _write_failure(path: str, message: str, data: str) -> None:
    try:
        _replace(path, f"{printable(message, 700)}\n{data}\n".encode(errors="replace"))
    except OSError:
        return  # the message itself is on its way to the user


def _attempt_digest(service: Service) -> str:
    """Return a digest that changes with the config and with the programs that would run."""
    parts = [service.digest, service.stamp]
    try:
        programs = [_which(expanded(service).command[0]) or ""]
        programs += [mcp_proxy_command()[0]] if service.bridge else []
    except Problem as problem:
        return _crc([*parts, str(problem)])
    return _crc([*parts, *(f"{path} {_modified(os.path.realpath(path))}" for path in programs)])


# --- the life cycle -----------------------------------------------------------------------------


def ensure(
    service: Service,
    state: str,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    hook: bool = False,
    deep: bool = False,
    revive: bool = False,
) -> Result:
    """See that *service* runs, its files in the directory *state*, within *timeout* seconds.

    *hook* obeys the pauses after failures; *deep* also makes the deep check; *revive* starts a
    service that was stopped on purpose.

    Raises:
        NotYet: it is being started, and was not up in time.
        Problem: it could not be started; the message says why and what to do.
    """
    deadline = time.monotonic() + timeout
    return _in_our_realm(
        lambda files: _Run(
            service, files, deadline, hook=hook, deep=deep and service.bridge, revive=revive
        ).result(),
        *instances(service.name, state),
    )


def ensure_at(
    service: Service, pid_path: str, *, timeout: float = DEFAULT_TIMEOUT_S, deep: bool = False
) -> Result:
    """As `ensure`, with the service's files beside the pidfile *pid_path*."""
    return _in_our_realm(
        lambda files: _Run(
            service, files, time.monotonic() + timeout, deep=deep and service.bridge
        ).result(),
        *_beside(pid_path),
    )


def _beside(pid_path: str) -> list[Files]:
    path = os.path.abspath(pid_path)
    return [Files(path), Files(f"{path.removesuffix('.pid')}@{hostname()}.pid")]


def ensure_running(
    bind: str,
    pid_path: str,
    spawn: Callable[[str], int],
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
) -> str:
    """See that the default service runs at *bind*; return an `EnsureOutcome` (the seed's).

    A live process in the file *pid_path* is accepted.  Otherwise *spawn* is called with *bind*
    under the start lock and the pid it returns is written to *pid_path*.  With
    `spawn_mcp_proxy` the whole protocol runs: lifetime lock, waiting for the port.

    Raises:
        Problem: as `ensure`.  What *spawn* raises goes through, with the lock released.
    """
    service = Service(DEFAULT_NAME, bind=bind)
    deadline = time.monotonic() + timeout
    injected = None if spawn is spawn_mcp_proxy else lambda: spawn(bind)
    return _in_our_realm(
        lambda files: _Run(service, files, deadline, revive=True, injected=injected).result(),
        *_beside(pid_path),
    ).outcome


def spawn_mcp_proxy(bind: str) -> int:
    """Start mcp-proxy with `icm serve` behind it on *bind*, detached; return its pid (the seed's).

    Its output goes nowhere; `ensure` keeps a log.

    Raises:
        UsageError: *bind* is not an address.
        Problem: a program is missing or cannot be run.
    """
    service = Service(DEFAULT_NAME, bind=bind)
    child = _spawn(service, command_line(service), None)
    child.returncode = 0  # it outlives us: no warning about that
    return child.pid


def _in_our_realm(work: Callable[[Files], Result], shared: Files, suffixed: Files) -> Result:
    """Do *work* with the files that are this realm's, and where its locks can be."""
    if _of_this_realm([shared, suffixed]) is shared:
        try:
            return _with_locks(work, shared)
        except _Elsewhere:
            pass
    try:
        return _with_locks(work, suffixed)
    except _Elsewhere:
        raise Problem(
            f"another host or container named {hostname()} shares {shared.directory} and runs"
            f" {shared.stem} there; give this one its own XDG_STATE_HOME"
        ) from None


def _of_this_realm(files: list[Files]) -> Files:
    """Return by which of the `instances` *files* this realm's daemon lives, or may."""
    shared, suffixed = files
    return suffixed if os.path.lexists(suffixed.life) and _alive_here(suffixed) else shared


def _alive_here(files: Files) -> bool:
    """True when a daemon is seen to live by *files*."""
    record = read_record(files.life)
    try:
        lives = record.lives() if record else False
        return lives is not None and (lives or _life_held(files))
    except (OSError, _NoLocks):
        return False  # what is wrong will be said of the files that are looked at then


def _with_locks(work: Callable[[Files], Result], files: Files) -> Result:
    target = _target(files.life)
    if target and not os.path.exists(os.path.dirname(target)):
        _remove(files.life)  # it led to a runtime directory, which went with a session or a boot
    try:
        with _PRIVATE:
            return work(files)
    except _NoLocks:
        pass
    runtime = _runtime_directory()
    try:
        if os.path.lexists(files.lock) and not os.path.getsize(files.lock):
            _remove(files.lock)  # just made, and held by nobody: a holder writes its pid
        if runtime is None or files.locks == runtime:
            raise _no_locks(files)
        moved = Files(files.pid, runtime)
        make_directory(runtime)
        _link(moved.life, files.life)  # where shells look for it, and `Files`
    except OSError as error:
        raise Problem(f"{files.stem}: {_cannot_use(error, files)}") from None
    return _with_locks(work, moved)


def _no_locks(files: Files) -> Problem:
    return Problem(
        f"{files.stem}: the file system of {printable(files.locks)} has no file locks;"
        " set XDG_RUNTIME_DIR to a directory that has"
    )


def _cannot_use(error: OSError, files: Files) -> str:
    place = os.fsdecode(error.filename or files.directory)
    return f"cannot use {printable(place)}: {error.strerror or error}"


class _PrivateUmask:
    """While any thread is inside, new files are the user's alone: a umask is the process's."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._inside = self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = os.umask(0o077)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                os.umask(self._before)


_PRIVATE = _PrivateUmask()


def make_directory(path: str) -> None:
    """Make *path* and its parents, 0700; refuse one that is not ours alone to write.

    Raises:
        Problem: it cannot be made, or somebody else could write there.
    """
    refuse_anothers(path)
    try:
        with _PRIVATE:  # what is made above *path* has its mode from the umask alone
            os.makedirs(path, 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        what = os.strerror(error.errno or 0)
        if os.path.islink(path):
            what = "it is a symbolic link; set XDG_STATE_HOME to where it leads"
        raise Problem(f"cannot use the directory {printable(path)}: {what}") from None
    try:
        seen = os.fstat(fd)
        if seen.st_mode & 0o022:
            raise Problem(f"others can write to {printable(path)}; run: chmod 700 {path!r}")
        if seen.st_mode & 0o077 and os.path.basename(path) == "llmenv":
            os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def refuse_anothers(path: str) -> None:
    """Raise Problem when *path* is another user's, or root would make it in another's directory.

    That is root in a user's home, as by sudo: what root leaves there locks the user out.
    """
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    owner = os.lstat(above).st_uid
    if owner != os.geteuid() and (above == path or os.geteuid() == 0):
        raise Problem(
            f"{printable(above)} belongs to user {_user(owner)}, not to you;"
            " run this as that user, or set HOME"
        )


class _Again(Exception):
    """The state directory was replaced under us: look anew."""


class _Run:
    """One `ensure` of one service in one realm; *deadline* is on the monotonic clock."""

    def __init__(
        self,
        service: Service,
        files: Files,
        deadline: float,
        *,
        hook: bool = False,
        deep: bool = False,
        revive: bool = False,
        injected: Callable[[], int] | None = None,
    ) -> None:
        self.service = service
        self.files = files
        self.deadline = deadline
        self.hook = hook
        self.deep = deep
        self.revive = revive
        self.injected = injected
        self.theirs: OSError | None = None  # what an injected spawn raised
        self.note = ""

    def result(self) -> Result:
        """Run the protocol: look, lock, look again, act."""
        try:
            failure_before = _modified(self.files.fail)
            while True:
                sight = look(self.service, self.files)
                answers = sight.state in ("up", "adopted")
                gone = answers and self.deep and self.child_is_gone()
                if answers and not gone and _published_rightly(self.files, sight):
                    return self.accept(sight)
                if not answers:
                    self.may_start(sight)
                lock = self.start_lock(answers and not gone)
                if lock is None and answers and not gone:
                    return self.accept(sight)
                if lock is None and self.hook:
                    # Each prompt sends another one: only the starter needs to stay.
                    raise NotYet(f"{_lock_holder(self.files)} is starting it")
                if lock is None:
                    self.wait(f"{_lock_holder(self.files)} is starting it")
                    continue
                try:
                    if self.failed_meanwhile(failure_before):
                        failure = read_failure(self.files)
                        raise Problem(failure.message if failure else "it failed to start")
                    return self.under_lock(lock, gone)
                except _Again:
                    continue
                finally:
                    _release_start_lock(lock, self.files)
        except OSError as error:
            if error is self.theirs:
                raise
            self.fail(_cannot_use(error, self.files))

    def accept(self, sight: Sight) -> Result:
        pid = _proved_pid(self.files) or sight.pid
        return Result(EnsureOutcome.ALREADY_RUNNING, pid, self.note)

    def start_lock(self, optional: bool) -> int | None:
        try:
            for directory in {self.files.directory, self.files.locks}:
                make_directory(directory)
            return _take_start_lock(self.files)
        except OSError:
            if optional:  # it runs: a full or read-only disk is no reason to fail
                return None
            raise

    def may_start(self, sight: Sight) -> None:
        """Raise a Problem when the service is to be left alone for now."""
        if is_stopped(self.files) and not self.revive and sight.state in ("down", "taken", "bare"):
            raise self.was_stopped()
        failure = read_failure(self.files) if self.hook else None
        if failure and failure.pause_left(_attempt_digest(self.service)) > 0:
            raise Problem(failure.message)

    def was_stopped(self) -> Problem:
        return Problem(f"{self.service.name} was stopped; llmenv start {self.service.name}")

    def failed_meanwhile(self, before: int | None) -> bool:
        """True when the one we waited for failed: a queue of others would not fare better."""
        return _modified(self.files.fail) not in (None, before)

    def wait(self, why: str) -> None:
        if time.monotonic() >= self.deadline:
            raise NotYet(
                f"{self.service.name}: not up yet on {self.service.bind}: {why};"
                f" it goes on, its output is in {printable(self.files.log)}"
            )
        time.sleep(0.02)

    def fail(self, why: str) -> NoReturn:
        raise self.noted(why)

    def noted(self, why: str) -> Problem:
        """Write the failure down for the hook, and return it."""
        message = f"{self.service.name}: {why}"
        _note_failure(self.files, message, _attempt_digest(self.service))
        return Problem(printable(message, 700))

    def child_is_gone(self) -> bool:
        verdict = deep_check(self.service)
        if verdict in ("busy", "unknown"):
            self.note = f"{self.service.name}: answers its port, but the deep check says {verdict}"
        return verdict == "gone"

    def under_lock(self, lock: int, gone: bool) -> Result:
        """Look again, and act on what is seen until the service is up."""
        if self.revive and is_stopped(self.files):
            _remove(self.files.alive)
        hung_since: float | None = None
        while True:
            sight = look(self.service, self.files)
            if sight.state in ("up", "adopted"):
                if gone and self.child_is_gone():
                    _end(self.service, self.files)
                    gone = False
                    continue
                if sight.detail == ANOTHER_REALMS:
                    return self.accept(sight)
                return self.published(EnsureOutcome.ALREADY_RUNNING, sight.pid)
            if sight.state == "elsewhere":
                raise _Elsewhere
            if sight.state == "taken":
                whose = _started_as(self.service.bind, self.files) or (
                    "which is not this service; stop it, or give the service another bind"
                )
                self.fail(f"{self.service.bind} is taken by {sight.detail}, {whose}")
            if sight.state == "bare" and sight.age < self.service.start_timeout:
                return Result(EnsureOutcome.ALREADY_RUNNING, sight.pid)
            if sight.state == "changed":
                self.meant()  # while it cannot be started, the one that runs is better than none
                _end(self.service, self.files)
            elif sight.state == "starting":
                if sight.age >= self.service.start_timeout:
                    hung_since = hung_since or time.monotonic()
                    if time.monotonic() - hung_since >= HUNG_S:
                        self.end_hung(sight)
                        hung_since = None
                        continue
                if is_stopped(self.files):
                    raise self.was_stopped()
                self.wait(f"pid {sight.pid or '-'} is still starting")
            else:
                if sight.state == "bare":
                    self.note = (
                        f"{self.service.name}: pid {sight.pid} in {printable(self.files.pid)}"
                        f" does not listen on {self.service.bind}; left alone, started another"
                    )
                self.may_start(sight)
                return self.start(lock)

    def end_hung(self, sight: Sight) -> None:
        _end(self.service, self.files)
        if sight.pid is None:
            return  # what a dead leader left behind is no failure of the service
        bind, age = self.service.bind, sight.age
        problem = self.noted(f"it did not listen on {bind} for {age:.0f} s and was ended")
        if self.hook:
            raise problem

    def start(self, lock: int) -> Result:
        """Take the lifetime lock and spawn; then wait for the port."""
        if self.injected:
            try:
                pid = self.injected()
            except OSError as error:
                self.theirs = error
                raise
            self.note_garbage()
            write_pidfile_atomic(self.files.pid, pid)
            return Result(EnsureOutcome.SPAWNED, pid)
        signal, subprocess = _modules_to_spawn_with()
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else each child seems to have exited 0
        service, argv = self.meant()
        life = _take_lifetime_lock(self.files)
        opened = [life]
        try:
            if not (_still_at(lock, self.files.lock) and _still_at(life, self.files.life)):
                raise _Again
            _cut_log(self.files)
            proof = _open_proof(self.files)
            opened.append(proof)
            log = _open_ours(self.files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            opened.append(log)
            offset = os.fstat(log).st_size
            # Blank, and of full length: the child's own record then needs no new block.
            os.pwrite(life, b" " * (RECORD_BYTES - 1) + b"\n", 0)
            try:
                child = _spawn(service, argv, log, life, proof)
            except (OSError, subprocess.SubprocessError) as error:
                why = error.strerror if isinstance(error, OSError) else None
                why = why or f"its identity could not be written to {printable(self.files.life)}"
                if not os.path.isdir(service.cwd):
                    why = f"its cwd {printable(service.cwd)} is no directory"
                self.fail(f"cannot run {printable(argv[0])}: {why}")
        finally:
            for fd in opened:
                _close(fd)
        try:
            return self.await_port(child, offset)
        except OSError as error:
            raise NotYet(
                f"{self.service.name}: pid {child.pid} was started, and then: "
                + _cannot_use(error, self.files)
            ) from None
        finally:
            child.returncode = child.returncode or 0  # it outlives us: no warning about that

    def meant(self) -> tuple[Service, list[str]]:
        """Return the service with its variables expanded, and the command line of its daemon."""
        try:
            service = expanded(self.service)
            return service, command_line(service)
        except Problem as problem:
            self.fail(str(problem))

    def await_port(self, child: subprocess.Popen[bytes], offset: int) -> Result:
        began = time.monotonic()
        let_go: float | None = None
        while True:
            status = child.poll()
            if status is not None and not _life_held(self.files):
                let_go = let_go or time.monotonic()
                # `ssh -f` forks and lets go of the lock; the one that goes on binds a little later.
                if status != 0 or time.monotonic() - let_go >= FORKED_S:
                    self.fail(self.obituary(status, offset))
            if probe(self.service.host, self.service.port) and self.is_ours(child.pid):
                break
            if is_stopped(self.files):
                _end(self.service, self.files)
                raise self.was_stopped()
            if time.monotonic() - began >= self.service.start_timeout:
                _end(self.service, self.files)
                limit = f"{self.service.start_timeout:.0f} s"
                self.fail(f"it did not listen on {self.service.bind} within {limit}, and was ended")
            self.wait(f"pid {child.pid} is still starting")
        warning = open_to_others(self.service)
        self.note = f"{self.service.name}: {warning}" if warning else self.note
        result = self.published(EnsureOutcome.SPAWNED, child.pid)
        if self.deep and self.child_is_gone():
            why = f"started afresh, and its stdio server is gone again at once{self.said(offset)}"
            self.fail(why)
        return result

    def obituary(self, status: int, offset: int) -> str:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        return f"it {how} before it listened on {self.service.bind}{self.said(offset)}"

    def said(self, offset: int) -> str:
        """Return the end of what the log holds from *offset* on, and where that is."""
        tail = _log_tail(self.files, offset)
        return (f'; it said: "{tail}"' if tail else "") + f" ({printable(self.files.log)})"

    def is_ours(self, leader: int) -> bool:
        """False when a stranger took the port while our daemon was on its way to it."""
        who = find_listener(self.service, leader)
        if who is None or _may_serve_for(who, leader, self.files):
            return True
        return who.uid == os.getuid() and who.runs(self.service)

    def published(self, outcome: str, pid: int | None) -> Result:
        try:
            _cut_log(self.files)
            self.note_garbage()
            pid = _publish(self.service, self.files, pid)
        except OSError as error:
            self.note = f"{self.service.name} runs, but {_cannot_use(error, self.files)}"
        return Result(outcome, pid, self.note)

    def note_garbage(self) -> None:
        try:
            read_pidfile(self.files.pid)
        except (OSError, Problem) as problem:
            self.note = self.note or f"{self.service.name}: {problem}; it is replaced"


def _modified(path: str) -> int | None:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return None


def _modules_to_spawn_with() -> tuple[ModuleType, ModuleType]:
    """Import what the look alone does not need, before the lifetime lock is taken."""
    try:
        import signal
        import subprocess
    except Exception as error:  # out of descriptors or memory, a module fails in any way it likes
        raise Problem(f"cannot load Python's own modules: {printable(str(error))}") from None
    return signal, subprocess


def _spawn(
    service: Service, argv: list[str], log: int | None, life: int | None = None, *held: int
) -> subprocess.Popen[bytes]:
    """Run *argv* detached, holding *life* and *held*, its output to *log*; return once exec'ed.

    Raises:
        OSError: exec failed, and no process is left.
    """
    import signal
    import subprocess

    def in_the_child() -> None:
        # Before exec: from here on the process that holds the lock is also the one it names.
        if life is not None:
            os.pwrite(life, _identity(os.getpid(), service).encode(), 0)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    output: int = subprocess.DEVNULL if log is None else log
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/" if service.bridge else service.cwd,
            env=_environment(service),
            start_new_session=True,
            pass_fds=held if life is None else (life, *held),
            preexec_fn=in_the_child,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def deep_check(service: Service) -> str:
    """Ask a bridged service for its tools; return ok, gone, busy or unknown.

    mcp-proxy answers port, /status, ping and initialize even when its stdio child is dead; only
    a call that reaches the child shows it (sparfenyuk/mcp-proxy#247).  One slow call blocks all
    others, so a time-out means busy.
    """
    import http.client

    try:
        answer = call_mcp(_reachable(service.host), service.port, "tools/list", {})
    except TimeoutError:
        return "busy"
    except (OSError, http.client.HTTPException, ValueError):
        return "unknown"
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        return "unknown"
    error = answer.get("error")
    # -32601, method not found: a living server that has no tools.
    alive = "result" in answer or (isinstance(error, dict) and error.get("code") == -32601)
    return "ok" if alive else "gone"


def call_mcp(host: str, port: int, method: str, params: dict[str, Any]) -> Any:
    """Return the JSON that http://*host*:*port*/mcp answers to one call of *method*.

    MCP specification 2025-06-18, Transports, Streamable HTTP: a POST, answered in JSON or as the
    one event of a stream.

    Raises:
        TimeoutError: nothing came for DEEP_TIMEOUT_S.
        OSError, http.client.HTTPException, ValueError: the answer is none of HTTP, or of JSON.
    """
    import http.client
    import json

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    connection = http.client.HTTPConnection(host, port, timeout=DEEP_TIMEOUT_S)
    try:
        connection.request("POST", "/mcp", body, headers)
        text = connection.getresponse().read(1 << 22).decode(errors="replace")
    finally:
        connection.close()
    lines = [line.removeprefix("data:") for line in text.splitlines() if line[:1] in "{d"]
    return json.loads("".join(lines))


# --- stopping -----------------------------------------------------------------------------------


def stop(service: Service, state: str, *, timeout: float = 30.0) -> bool:
    """End *service*, whose files are in *state*, and mark it stopped; True if it was running.

    It stays stopped, for hooks and for `llmenv-ensure`, until it is started with *revive*.

    Raises:
        Problem: it runs, and no identity record proves it ours; or it would not end.
        NotYet: another process held the start lock for *timeout* seconds.
    """
    return (
        _in_our_realm(
            lambda files: _stop(service, files, time.monotonic() + timeout),
            *instances(service.name, state),
        ).outcome
        == "stopped"
    )


def _stop(service: Service, files: Files, deadline: float) -> Result:
    try:
        for directory in {files.directory, files.locks}:
            make_directory(directory)
        sight = look(service, files)
        if sight.state == "elsewhere":
            raise _Elsewhere
        if sight.detail == ANOTHER_REALMS:
            raise Problem(
                f"{service.name} runs in another container that shares"
                f" {printable(files.directory)}; stop it there"
            )
        if sight.state == "starting":
            _mark_stopped(files)  # for the one that waits for it under the lock
        lock = _take_start_lock(files)
        while lock is None:
            if time.monotonic() >= deadline:
                raise NotYet(f"{service.name}: {_lock_holder(files)} holds {printable(files.lock)}")
            time.sleep(0.02)
            lock = _take_start_lock(files)
        try:
            # Marked first: a shell that sees it down must not think that it died.
            _mark_stopped(files)
            ended = _end(service, files)
            if not ended and look(service, files).state in ("up", "adopted"):
                _remove(files.alive)
                whose = _started_as(service.bind, files) or (
                    "not started by llmenv; stop it yourself"
                )
                raise Problem(
                    f"{service.name}: {find_listener(service) or 'a process'} serves"
                    f" {service.bind}, but was {whose}"
                )
            _remove(files.pid)
            _remove(files.fail)
            return Result("stopped" if ended else "idle", None)
        finally:
            _release_start_lock(lock, files)
    except OSError as error:
        raise Problem(f"{service.name}: {_cannot_use(error, files)}") from None


def _started_as(bind: str, files: Files) -> str:
    """Say which service beside *files*, of another name, has *bind*; "" when none has."""
    for other, record in _living(files.directory):
        if other.service != files.service and record.bind == bind:
            return f"started as {other.service}; llmenv stop {other.service}"
    return ""


def _mark_stopped(files: Files) -> None:
    os.close(_open_ours(files.life, os.O_RDWR | os.O_CREAT))
    _link(os.path.basename(files.life), files.alive)


def _end(service: Service, files: Files) -> bool:
    """End the daemon that the record or the lifetime lock proves to be ours, with its children.

    Only under the start lock.  mcp-proxy cleans up after its child on SIGINT, not on SIGTERM, and
    has put it into a session of its own, so the whole family is noted first.  Done when the
    lifetime lock is free; False when there was nothing to end.

    Raises:
        Problem: something is left even after SIGKILL.
    """
    import signal

    roots = _holders(files.life)
    record = read_record(files.life)
    if record and record.uid == os.getuid() and record.lives():
        # Its leader passes the signal on to whom it wraps.
        leaders = {record.pid}
    else:
        leaders = set(roots)
    family = {pid: _start_time(pid) for pid in _descendants(roots | leaders)}
    if not family:
        return False
    stages = ((signal.SIGINT, 6.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 4.0))
    for number, patience in stages:
        for pid in leaders if number == signal.SIGINT else list(family):
            _send(pid, family[pid], number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            left = {pid for pid, start in family.items() if start and _start_time(pid) == start}
            if not left and not _life_held(files):
                return True
            time.sleep(0.02)
        for pid in _descendants(left | _holders(files.life)):
            family.setdefault(pid, _start_time(pid))
    raise Problem(
        f"{service.name}: pid {', '.join(map(str, sorted(left))) or '-'} does not end,"
        " even on SIGKILL"
    )


def _send(pid: int, start: str | None, number: int) -> None:
    """Send a signal to the process that had *start* as its start time, and to no later one."""
    import signal

    if start is None:
        return
    try:
        if hasattr(os, "pidfd_open"):
            # pidfd_open(2): the descriptor goes on to mean this process, whatever the pid does.
            fd = os.pidfd_open(pid)
            try:
                if _start_time(pid) == start:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)
        elif _start_time(pid) == start:
            os.kill(pid, number)
    except OSError:
        return  # it has gone by itself, or will be seen to be left


# --- status -------------------------------------------------------------------------------------


class Status:
    """What `inspect` found.

    *state* is running, broken (its stdio server is gone), starting, stopped, failed, taken or
    down; *pid* the listener's, *uptime* in seconds, both None where not known; *detail* one line.
    """

    def __init__(
        self, state: str, files: Files, pid: int | None, uptime: float | None, detail: str
    ) -> None:
        self.state = state
        self.files = files
        self.pid = pid
        self.uptime = uptime
        self.detail = detail


def find(service: Service, state: str) -> tuple[Files, Sight]:
    """Return which files in *state* are this realm's for *service*, and what a look at it sees.

    Raises:
        Problem: a state file is not what it should be, or cannot be read.
    """
    shared, suffixed = instances(service.name, state)
    try:
        if _of_this_realm([shared, suffixed]) is shared:
            sight = look(service, shared)
            if sight.state != "elsewhere":
                return shared, sight
        return suffixed, look(service, suffixed)
    except OSError as error:
        raise Problem(f"{service.name}: {_cannot_use(error, shared)}") from None
    except _NoLocks:
        raise _no_locks(shared) from None


def left_over(config: Config, state: str) -> list[Service]:
    """Return what runs here by its record in *state*, though *config* has it no more."""
    known = {service.name for service in config.services}
    return [
        Service(files.service, bind=record.bind, bridge=False)
        for files, record in _living(state)
        if files.service not in known
    ]


def _living(state: str) -> Iterator[tuple[Files, Identity]]:
    """Yield what is recorded in the directory *state* and seen to live here, with its record."""
    for files in _recorded(state):
        record = read_record(files.life)
        if record and _alive_here(files):
            yield files, record


def _recorded(state: str) -> list[Files]:
    """Return the files of whatever has been started in the directory *state*, in their order."""
    try:
        names = sorted(os.listdir(state))
    except OSError:
        return []
    stems = [name.removesuffix(".life") for name in names if name.endswith(".life")]
    return [Files(os.path.join(state, f"{stem}.pid")) for stem in stems]


def inspect(service: Service, state: str) -> Status:
    """Return how *service*, whose files are in *state*, is doing; changes nothing.

    Raises:
        Problem: a state file is not what it should be, or cannot be read.
    """
    files, sight = find(service, state)
    failure = read_failure(files)
    pid = _proved_pid(files) or sight.pid
    uptime = _age(pid) if pid else None
    if sight.state in ("up", "adopted"):
        verdict = deep_check(service) if service.bridge else "ok"
        words = {"gone": "its stdio server is gone", "ok": ""}.get(verdict, f"answers: {verdict}")
        return Status("broken" if verdict == "gone" else "running", files, pid, uptime, words)
    if sight.state in ("starting", "bare"):
        return Status("starting", files, pid, uptime, f"no answer on {service.bind} yet")
    if sight.state == "taken":
        return Status("taken", files, None, None, f"{service.bind} is taken by {sight.detail}")
    if sight.state == "changed":
        return Status("running", files, pid, uptime, f"as configured before, on {sight.detail}")
    if is_stopped(files):
        return Status("stopped", files, None, None, "on purpose")
    if failure:
        said = failure.message.removeprefix(f"{service.name}: ")
        return Status("failed", files, None, None, said)
    return Status("down", files, None, None, "")


# --- the command --------------------------------------------------------------------------------


class _Arguments:
    """The command line; by hand, since argparse would cost more than all the rest."""

    VALUES = ("--service", "--bind", "--pidfile", "--timeout")
    SWITCHES = ("--no-bridge", "--deep", "--json", "--quiet", "--help", "--version")

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
            elif word == "--hook" and not equals and len(rest) == 2:
                self.hook, rest = rest, []
            else:
                raise UsageError(
                    f"unknown argument {printable(word + equals + value, 80)!r}; see --help"
                )

    def timeout(self) -> float:
        text = self.values.get("--timeout", str(DEFAULT_TIMEOUT_S))
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= 86400:
            raise UsageError(f"--timeout wants seconds, not {printable(text, 40)!r}")
        return seconds

    def services(self, state: str) -> list[Service]:
        """Return the services that are meant: the config's, with what the options change."""
        named = self.values.get("--service")
        adhoc = (
            self.command is not None or "--bind" in self.values or "--no-bridge" in self.switches
        )
        if named is not None and not valid_name(named):
            raise UsageError(f"bad name {printable(named, 80)!r}: want letters, digits, - and _")
        config = load_config(state=state)
        known = {service.name: service for service in config.services}
        if not adhoc and "--pidfile" not in self.values:
            if named is None:
                return config.kept_alive
            if named not in known:
                have = ", ".join(known) or "none"
                raise UsageError(f"no service {named} in {printable(config.path)}; have: {have}")
            if not config.here:
                raise Problem(config.not_here)
            return [known[named]]
        base = known.get(named or DEFAULT_NAME) or Service(named or DEFAULT_NAME)
        bridge = base.bridge and "--no-bridge" not in self.switches
        bind = self.values.get("--bind", base.bind)
        return [base.but(command=self.command or base.command, bind=bind, bridge=bridge)]


def main(argv: list[str] | None = None) -> int:
    """Run the command with *argv* (default: the process's) and return its exit status."""
    try:
        arguments = _Arguments(sys.argv[1:] if argv is None else argv)
        if "--help" in arguments.switches:
            usage = (__doc__ or "").partition("\n\n\nWORDS")[0]
            _say(1, usage)
            return 0
        if "--version" in arguments.switches:
            _say(1, f"llmenv-ensure {__version__}")
            return 0
        if arguments.hook:
            return _hook_pass(*arguments.hook)
        timeout = arguments.timeout()
        pidfile = arguments.values.get("--pidfile")
        pidfile = None if pidfile is None else _absolute(pidfile)
        state = state_dir() if pidfile is None else ""
        services = arguments.services(state)

        def run(service: Service) -> Result:
            deep = "--deep" in arguments.switches
            if pidfile is not None:
                return ensure_at(service, pidfile, timeout=timeout, deep=deep)
            return ensure(service, state, timeout=timeout, deep=deep)

        return _each(services, lambda service: _report(service, run, arguments.switches))
    except Problem as problem:
        _say(2, f"llmenv-ensure: {problem}")
        return problem.exit_code
    except KeyboardInterrupt:
        return 130


def _absolute(pidfile: str) -> str:
    if not pidfile:
        raise UsageError("--pidfile wants a path")
    try:
        return os.path.abspath(pidfile)
    except FileNotFoundError:
        raise UsageError("this directory is gone: --pidfile wants an absolute path") from None


def entry() -> NoReturn:
    """Run as a script, or for the prompt hook."""
    _open_standard_descriptors()
    status = main()
    # What is left to tear down is only this process: skip the interpreter's farewell.
    os._exit(status)


def _report(service: Service, run: Callable[[Service], Result], switches: set[str]) -> int:
    """Ensure one service; a line about it on stdout, or why not on stderr; the exit status."""
    try:
        result = run(service)
    except Problem as problem:
        if "--json" in switches and "--quiet" not in switches:
            state = "starting" if isinstance(problem, NotYet) else "failed"
            _say_json(service=service.name, state=state, error=str(problem))
        _say(2, f"llmenv-ensure: {problem}")
        return problem.exit_code
    if result.note:
        _say(2, f"llmenv-ensure: {result.note}")
    if "--quiet" in switches:
        return 0
    if "--json" in switches:
        _say_json(service=service.name, state=result.outcome, pid=result.pid, bind=service.bind)
    else:
        _say(1, f"{service.name} {result.outcome} pid={result.pid or '-'}")
    return 0


def _say(fd: int, line: str) -> None:
    """Write one line in one call, so that lines of several processes never mix."""
    try:
        _write_all(fd, (line + "\n").encode(errors="surrogateescape"))
    except OSError:
        return  # nobody listens


def _say_json(**values: object) -> None:
    import json

    _say(1, json.dumps(values))


def _each(services: list[Service], work: Callable[[Service], int]) -> int:
    """Do *work* for all services at once, each in a process of its own; the worst exit status.

    One that is slow or fails never holds up another.
    """
    if len(services) == 1:
        return work(services[0])
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    children = []
    statuses = set()
    for service in services:
        try:
            child = os.fork()
        except OSError:
            statuses.add(work(service))  # no process to be had: one after the other, then
            continue
        if child == 0:
            status = 1
            try:
                status = work(service)
            except KeyboardInterrupt:
                status = 130
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        children.append(child)
    for child in children:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        statuses.add(1 if status < 0 else status)
    return next((status for status in (1, 2, 75) if status in statuses), max(statuses, default=0))


def _hook_pass(state: str, config: str) -> int:
    """What the prompt hook starts in the background: all services, nobody to wait for it."""
    detach()
    refuse_anothers(state)
    # Shells compare the config with it, and the next pass the time of this one: from before the
    # config was read, so that no later change of it goes unseen, but after that of the config,
    # which a wrong clock may have dated in the future. A file's clock lags a little behind ours.
    seen_ns = max(time.time_ns() - 10_000_000, (_modified(config) or 0) + 1)
    complaint = os.path.join(state, CONFIG_FAIL)
    try:
        known = load_config(config, state)
    except UsageError as error:
        make_directory(state)
        if (_modified(complaint) or 0) > (_modified(config) or 0):
            # The prompt that asked has told it by now: leave this shell alone for a minute.
            for files in _recorded(state):
                _date(files.life, seen_ns)
                _date(files.proof, seen_ns)  # fish has it to tell in each new shell
        _write_failure(complaint, str(error), "v1 .")
        return error.exit_code
    _remove(complaint)
    names = [service.name for service in known.kept_alive]
    for files in _recorded(state):
        if files.service not in names:
            _date(files.life, seen_ns)  # an older shell still asks for it

    def run(service: Service) -> int:
        files = instances(service.name, state)
        cuts = [_modified(one.old_log) for one in files]
        deep = _deep_is_due(_of_this_realm(files).proof)
        told = True
        try:
            # Long enough to see one that hangs, and to end it.
            timeout = service.start_timeout + 2 * HUNG_S
            ensure(service, state, timeout=timeout, hook=True, deep=deep)
        except NotYet as problem:
            return problem.exit_code
        except Problem as problem:
            told = any(map(is_stopped, files))  # else the next prompt looks again, and tells why
            if not told and not any(map(read_failure, files)):
                # Of what kept it from even looking, the prompt hears here.
                _note_failure(files[0], str(problem), _attempt_digest(service))
            return problem.exit_code
        finally:
            for one in files if told else []:
                _date(one.life, seen_ns)
            if deep:
                _put_off_deep_check(_of_this_realm(files).proof)
        for one, cut_before in zip(files, cuts, strict=True):
            if _modified(one.old_log) != cut_before:
                _stay_while_flooded(one)
        return 0

    return _each(known.kept_alive, run)


def _deep_is_due(proof: str) -> bool:
    due = _modified(proof)
    return due is None or not 0 < due - time.time_ns() <= DEEP_EVERY_S * 1e9


def _put_off_deep_check(proof: str) -> None:
    try:
        if not os.path.lexists(proof):  # whom we adopted holds none
            os.mkdir(proof, 0o700)
    except OSError:
        return
    _date(proof, time.time_ns() + int(DEEP_EVERY_S * 1e9))


def _date(path: str, time_ns: int) -> None:
    try:
        os.utime(path, ns=(time_ns, time_ns))
    except OSError:
        return


def detach() -> None:
    """Leave the shell that started us: its session, its terminal, its directory, its files."""
    try:
        os.setsid()
    except PermissionError:  # a group leader, as zsh's `&!` makes one
        if os.fork():
            os._exit(0)
        os.setsid()
    _open_standard_descriptors()
    try:
        held = [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        # One by one up to the limit: where that is a thousand million, it takes minutes.
        held = []
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for fd in held:
        if fd > 2:
            _close(fd)
    os.chdir("/")


def _open_standard_descriptors() -> None:
    """See that 0, 1 and 2 are open, so that no state file ever becomes one of them."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd < 3:
        fd = os.dup(fd)
    os.close(fd)


if __name__ == "__main__":
    entry()
