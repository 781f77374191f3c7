"""Start a service exactly once, however many ask at once; prove that it lives.

The seed's names are this package's face.  The rooms below it are described in
docs/architecture.md; everything here is on the standard library alone.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmenv_hooks.helper.errors import EnsureOutcome
    from llmenv_hooks.helper.launch import spawn_mcp_proxy
    from llmenv_hooks.helper.pidfile import read_pidfile, write_pidfile_atomic
    from llmenv_hooks.helper.places import default_pid_path, lockfile_path
    from llmenv_hooks.helper.processes import is_alive
    from llmenv_hooks.helper.programs import is_executable, mcp_proxy_command, on_path
    from llmenv_hooks.helper.seed import ensure_running

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

_ROOMS = {
    "EnsureOutcome": "errors",
    "default_pid_path": "places",
    "ensure_running": "seed",
    "is_alive": "processes",
    "is_executable": "programs",
    "lockfile_path": "places",
    "mcp_proxy_command": "programs",
    "on_path": "programs",
    "read_pidfile": "pidfile",
    "spawn_mcp_proxy": "launch",
    "write_pidfile_atomic": "pidfile",
}


def __getattr__(name: str) -> object:
    """Return one of the names above (PEP 562): a look, and a hook's start, need few of the rooms.

    Raises:
        AttributeError: it is none of them.
    """
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
