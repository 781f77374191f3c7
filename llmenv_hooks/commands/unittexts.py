"""The text of a service's units: systemd.service(5), systemd.socket(5), launchd.plist(5)."""

from __future__ import annotations

import os
import plistlib
import re
from typing import TYPE_CHECKING

from llmenv_hooks.agents import launcher
from llmenv_hooks.helper.environment import daemon_environment
from llmenv_hooks.helper.managers import MANAGERS
from llmenv_hooks.helper.services import GUARDED, Service
from llmenv_hooks.helper.stopping import HANDOVER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

STOP_S = int(2 * HANDOVER_S)  # for the calls under way, and then for the daemon
PAUSE_S = 1  # before a service is tried again; what cannot be started waits longer by itself
# What the manager itself says, or what is the session's of whoever asks.
_SESSIONS = {"HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "SSH_AUTH_SOCK"}
_PLAIN = re.compile(r"[\w/.,:=@+-]+", re.ASCII)

_SERVICE = """\
# Of `llmenv unit systemd {name} --write`; `systemctl --user edit {unit}` adds to it.
[Unit]
Description={name}, kept by llmenv
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}\
Restart=on-failure
RestartPreventExitStatus=2
RestartSec={pause}
KillMode=mixed
TimeoutStartSec=infinity
TimeoutStopSec={stop}
{sockets}\

[Install]
WantedBy=default.target
"""
_SOCKET = """\
# Of `llmenv unit systemd {name} --write`; `systemctl --user edit {unit}` adds to it.
[Unit]
Description=The address of {name}, kept by llmenv

[Socket]
ListenStream={bind}

[Install]
WantedBy=sockets.target
"""


def units(manager: str, service: Service) -> dict[str, str]:
    """Return the path and the text of each unit by which *manager* keeps *service*."""
    paths = MANAGERS[manager].paths(service.name)
    texts = {"systemd": _for_systemd, "launchd": _for_launchd}[manager](service)
    return dict(zip(paths, texts, strict=False))


def _for_systemd(service: Service) -> list[str]:
    """Return the text of the service unit, and that of the socket's, if there is to be one."""
    manager = MANAGERS["systemd"]
    unit, socket = (os.path.basename(path) for path in manager.paths(service.name))
    # Another server opens its port itself, and a service may have no port.
    has_socket = service.bridge == GUARDED and bool(service.port)
    command = " ".join(_quoted(word).replace("$", "$$") for word in _command(service))
    lines = [f"Environment={_quoted(f'{key}={value}')}\n" for key, value in _environment()]
    text = _SERVICE.format(
        name=service.name,
        unit=unit,
        command=command,
        environment="".join(lines),
        pause=PAUSE_S,
        stop=STOP_S,
        sockets=f"Sockets={socket}\n" if has_socket else "",
    )
    if not has_socket:
        return [text]
    return [text, _SOCKET.format(name=service.name, unit=socket, bind=service.bind)]


def _for_launchd(service: Service) -> list[str]:
    """Return the property list."""
    job = {
        "Label": MANAGERS["launchd"].unit(service.name),
        "ProgramArguments": _command(service),
        "EnvironmentVariables": dict(_environment()),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": PAUSE_S,
        "ExitTimeOut": STOP_S,
    }
    return [plistlib.dumps(job).decode()]


def _command(service: Service) -> list[str]:
    return [*launcher.helper_command(), "--foreground", service.name]


def _environment() -> Iterable[tuple[str, str]]:
    """Yield what a daemon would have of this shell's environment, and its manager does not know."""
    found = daemon_environment(Service())
    if os.environ.get("LLMENV_CONFIG"):
        found["LLMENV_CONFIG"] = os.environ["LLMENV_CONFIG"]
    for key, value in sorted(found.items()):
        is_place = key.startswith("XDG_") and key.endswith("_HOME")
        if key not in _SESSIONS and (is_place or not key.startswith("XDG_")):
            yield key, value


def _quoted(word: str) -> str:
    """Return *word* as systemd.syntax(7) reads it: quoted if need be, and without specifiers."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("%", "%%") + '"'
