"""How a stdio server is put onto an address: by our own bridge, or by mcp-proxy."""

from __future__ import annotations

from llmenv_hooks.helper.companions import BRIDGE, command_of_part
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.programs import mcp_proxy_command, program_path
from llmenv_hooks.helper.services import GUARDED, NO_BRIDGE, Service, bind_option
from llmenv_hooks.helper.sockets import socket_path

WITHOUT_SSL = "import sys; sys.modules['ssl'] = None; "  # asyncio is 4 MB and 10 ms less


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


def _guarded(service: Service, files: Files) -> list[str]:
    """Return our bridge's command line, without the server's."""
    options = ["--name", service.name, *bind_option(service), "--socket", socket_path(files)]
    options += ["--log", files.log, "--child-note", files.child, "--token-file", files.token]
    options += ["--start-timeout", f"{service.start_timeout:g}"]
    for origin in service.origins:
        options += ["--origin", origin]
    return command_of_part(BRIDGE, *options, first=WITHOUT_SSL)
