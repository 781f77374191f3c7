"""Where things lie: the XDG directories, and the paths of one service's files.

The names of all state files are put together here; docs/architecture.md says what each holds.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.directories import only_ours
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.files import link_target
from llmenv_hooks.helper.services import DEFAULT_NAME


def xdg_directory(variable: str, fallback: str, what: str) -> str:
    """Return the llmenv directory under `xdg_base`."""
    return os.path.join(xdg_base(variable, fallback, what), "llmenv")


def xdg_base(variable: str, fallback: str, what: str) -> str:
    """Return the directory $*variable*, else $HOME/*fallback*.

    XDG Base Directory Specification: a relative value is to be ignored, an empty one is unset.
    """
    for name, rest in ((variable, ""), ("HOME", fallback)):
        base = os.environ.get(name, "")
        if os.path.isabs(base):
            return os.path.join(base, rest) if rest else base
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


def config_path(named: str | None = None) -> str:
    """Return the absolute path of the config (it need not exist): $LLMENV_CONFIG, else XDG's.

    *named* stands in for LLMENV_CONFIG; "" is as if that were not set.

    Raises:
        UsageError: LLMENV_CONFIG is relative.
        Problem: neither XDG_CONFIG_HOME nor HOME is set to an absolute path.
    """
    named = os.environ.get("LLMENV_CONFIG", "") if named is None else named
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
        self.sock = base + ".sock"
        self.child = base + ".child"
        self.token = base + ".token"
        self.keeper = base + ".keeper"
        self.log = base + ".log"
        self.old_log = base + ".log.1"
        # Where there are no locks, `_with_locks` has put them elsewhere and left a link.
        self.locks = locks or _moved_to(base + ".life") or self.directory
        self.lock = os.path.join(self.locks, os.path.basename(lockfile_path(self.pid)))
        self.life = os.path.join(self.locks, self.stem + ".life")


def runtime_directory() -> str | None:
    """Return where locks go when the state directory's file system has none, or None."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(runtime, "llmenv") if os.path.isabs(runtime) else None


def _moved_to(life: str) -> str | None:
    """Return the runtime directory, ours if not this shell's, that the link *life* leads to."""
    directory, name = os.path.split(link_target(life) or "")
    if os.path.basename(directory) != "llmenv" or name != os.path.basename(life):
        return None
    try:
        seen = os.stat(directory)
    except OSError:
        return None
    return directory if only_ours(seen) else None


def hostname() -> str:
    """Return this host's name, made safe for a file name."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in os.uname().nodename)


def instances(name: str, state: str) -> list[Files]:
    """Return where service *name* may be recorded: NAME.*, then this realm's NAME@HOST.*."""
    return beside(os.path.join(state, f"{name}.pid"))


def beside(pid_path: str) -> list[Files]:
    """Return the files beside the pidfile *pid_path*, and this host's own, as `instances` does."""
    path = os.path.abspath(pid_path)
    return [Files(path), Files(f"{path.removesuffix('.pid')}@{hostname()}.pid")]


def cannot_use(error: OSError, files: Files) -> str:
    """Return what to say of an *error* with one of *files*."""
    place = os.fsdecode(error.filename or files.directory)
    return f"cannot use {printable(place)}: {error.strerror or error}"
