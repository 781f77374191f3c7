"""Start a service exactly once, however many ask at once; prove that it lives.

The seed's names are this package's face.  The rooms below it are described in
docs/architecture.md; everything here is on the standard library alone.
"""

from llmenv_hooks.helper.errors import EnsureOutcome
from llmenv_hooks.helper.launch import spawn_mcp_proxy
from llmenv_hooks.helper.pidfile import read_pidfile, write_pidfile_atomic
from llmenv_hooks.helper.places import default_pid_path, lockfile_path
from llmenv_hooks.helper.processes import is_alive
from llmenv_hooks.helper.programs import is_executable, mcp_proxy_command, on_path
from llmenv_hooks.helper.protocol import ensure_running

__all__ = [
    "EnsureOutcome",
    "default_pid_path",
    "ensure_running",
    "is_alive",
    "is_executable",
    "lockfile_path",
    "mcp_proxy_command",
    "on_path",
    "read_pidfile",
    "spawn_mcp_proxy",
    "write_pidfile_atomic",
]
