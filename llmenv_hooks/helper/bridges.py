"""How a stdio server is put onto an address: by our own bridge, or by mcp-proxy.

Our bridge is llmenv-bridge.py beside the helper's one file, or the rooms of the package.
"""

from __future__ import annotations

import os
import sys

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.programs import mcp_proxy_command, program_path
from llmenv_hooks.helper.services import GUARDED, NO_BRIDGE, Service, bind_option
from llmenv_hooks.helper.sockets import socket_path

# Python keeps the bytecode of modules alone, and asyncio without ssl is 4 MB and 10 ms less.
BOOT = (
    "import sys; sys.modules['ssl'] = None; where, _, name = sys.argv.pop(1).rpartition('/');"
    " sys.path.append(where); name = name.removesuffix('.py'); __import__(name);"
    " sys.exit(sys.modules[name].main())"
)


def command_line(service: Service, files: Files, listening: int | None = None) -> list[str]:
    """Return the argv of the daemon of *service*, which is `expanded`, programs as absolute paths.

    *listening* is a descriptor that it inherits, if it does not have to listen itself.

    Raises:
        Problem: a program is not there.
    """
    command = [program_path(service), *service.command[1:]]
    if service.bridge == NO_BRIDGE:
        return command
    if service.bridge == GUARDED:
        inherited = [] if listening is None else ["--listen-fd", str(listening)]
        return [*_guarded(service, files), *inherited, "--", *command]
    proxy, leading = mcp_proxy_command()
    # Stateless, so that agents survive a restart of the proxy.
    options = ["--host", service.host, "--port", str(service.port), "--stateless"]
    options += ["--log-level", "WARNING", "--cwd", service.cwd, "--pass-environment"]
    return [proxy, *leading, *options, "--", *command]


def bridge_program() -> str:
    """Return what BOOT loads: the path of llmenv-bridge.py, or of the package's module.

    Raises:
        Problem: this is the helper's one file, and llmenv-bridge.py is not beside it.
    """
    here = os.path.abspath(__file__)
    if __name__.startswith("llmenv_hooks."):
        root = os.path.dirname(os.path.dirname(os.path.dirname(here)))
        return os.path.join(root, "llmenv_hooks.bridge.program")
    beside = bridge_beside(here)
    if os.path.isfile(beside):
        return beside
    raise Problem(
        f"{printable(beside)} is not there; copy it too: llmenv-ensure --pack writes both"
    )


def bridge_beside(helper: str) -> str:
    """Return where the bridge lies that belongs to the one file at the path *helper*."""
    directory, name = os.path.split(helper)
    return os.path.join(directory, name.replace("ensure", "bridge", 1))


def _guarded(service: Service, files: Files) -> list[str]:
    """Return our bridge's command line, without the server's."""
    options = ["--name", service.name, *bind_option(service), "--socket", socket_path(files)]
    options += ["--log", files.log, "--child-note", files.child, "--token-file", files.token]
    options += ["--start-timeout", f"{service.start_timeout:g}"]
    for origin in service.origins:
        options += ["--origin", origin]
    return [sys.executable, "-I", "-S", "-c", BOOT, bridge_program(), *options]
