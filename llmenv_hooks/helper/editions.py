"""Which edition of the hook open shells should have, and that it is rendered where they find it.

Owns edition-CONFIG-MADE in the state directory, which is there while the hook that was made of this
config, as it is, for this helper is the right one.  The link `state` in it leads back.  Each shell
looks at its first daemon through it, so the same look tells that there is a newer hook.  Its time
is as of when the config was last looked at.  hook.fail says why no newer hook could be rendered.
"""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.checksums import checksum_of
from llmenv_hooks.helper.directories import make_directory, ours_alone
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.failures import write_failure
from llmenv_hooks.helper.files import link_target, modified, remove_file, set_mtime

EDITION = "edition-"
HOOK_FAIL = "hook.fail"
NEWEST = "llmenv-ensure.py"  # beside the copies: a link to the newest
RENEWAL = "llmenv_hooks.renewal"  # what renders it, when that package is there
HOOK_MARK = "# llmenv "
NO_EDITION = "-"  # the edition of a shell that has none of this config yet


class OpenShell:
    """What the hook of a shell says of itself.

    *default* is its config when LLMENV_CONFIG is not set.  A newer hook for *shell*, which has
    *edition* now, goes to *path*; *python* is the one that may have the package.
    """

    def __init__(self, default: str, shell: str, path: str, edition: str, python: str) -> None:
        self.default = default
        self.shell = shell
        self.path = path
        self.edition = edition
        self.python = python


def edition(config: str, content: bytes | None, helper: str) -> str:
    """Return the name of the edition for the config at *config* and the helper's file *helper*.

    *content* is what the config holds, or None when there is none.
    """
    made = checksum_of(os.fsencode(f"{helper}\0{content is None}\0") + (content or b""))
    return f"{_of_config(config)}{made}"


def config_content(config: str) -> bytes | None:
    """Return what the config holds, or None when it cannot be read."""
    try:
        with open(config, "rb") as file:
            return file.read()
    except OSError:
        return None


def as_of(config: str) -> int:
    """Return the time, in ns, as of which this run knows *config*.

    It lies before the file is read, so that no later change goes unseen, but after the file's own
    time, which a wrong clock may have put into the future.  A file's clock lags a little.
    """
    lag = 10_000_000
    return max(time.time_ns() - lag, (modified(config) or 0) + 1)


def keep_edition(state: str, config: str, shell: OpenShell, looked_at: int) -> None:
    """See that open shells get the hook that *config* asks for.

    It was looked at as of *looked_at*, in ns.
    """
    right = edition(config, config_content(config), _newest_helper())
    path = os.path.join(state, right)
    if right != shell.edition and _edition_in(shell.path) != right:
        failed = _render_newer(shell, state, config)
        if failed:
            _note_why_not(failed, state, config)
            # The shell that asks goes on with the one it has.
            make_edition(os.path.join(state, shell.edition), looked_at)
            return
        path = os.path.join(state, _edition_in(shell.path) or right)
    remove_file(os.path.join(state, HOOK_FAIL))
    if not os.path.isdir(path):
        _remove_others(state, config)
    make_edition(path, looked_at)


def _of_config(config: str) -> str:
    return f"{EDITION}{checksum_of(os.fsencode(config))}-"


def _newest_helper() -> str:
    """Return the name of the helper's file that a hook rendered now would call."""
    if __name__.startswith("llmenv_hooks."):
        return "unpacked.py"
    directory, own = os.path.split(os.path.abspath(__file__))
    return link_target(os.path.join(directory, NEWEST)) or own


def _edition_in(path: str) -> str:
    """Return the edition of the hook in the file *path*; "" when there is none."""
    try:
        with open(path, "rb") as file:
            line = os.fsdecode(file.readline(200))
    except OSError:
        return ""
    return line.removeprefix(HOOK_MARK).strip() if line.startswith(HOOK_MARK) else ""


def _render_newer(shell: OpenShell, state: str, config: str) -> str:
    """Have the package render a hook for *shell*; return why that cannot be, "" when it is done."""
    import subprocess

    words = [shell.shell, shell.path, state, config, shell.default]
    command = [shell.python, "-E", "-P", "-m", RENEWAL, *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30
        )
    except OSError as error:
        return f"{printable(shell.python)}: {error.strerror}"
    except subprocess.SubprocessError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"it exited with status {done.returncode}"


def _note_why_not(why: str, state: str, config: str) -> None:
    told = (
        f"open shells keep the services that they have, whatever {printable(config)} says now:"
        f" no newer hook can be rendered ({printable(why, 300)}); reinstall llmenv-hooks"
    )
    write_failure(os.path.join(state, HOOK_FAIL), told, "v1 .")


def make_edition(path: str, looked_at: int) -> None:
    """See that the edition at *path* is there, and as of *looked_at*, in ns."""
    if os.path.basename(path) == NO_EDITION:
        return
    try:
        make_directory(os.path.dirname(path))
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
        link = os.path.join(path, "state")
        if not os.path.islink(link):
            os.symlink("..", link)
    except (OSError, Problem):
        return  # shells ask again
    set_mtime(path, looked_at)


def _remove_others(state: str, config: str) -> None:
    """Remove all editions for *config*: each shell that has one of them looks for a newer hook."""
    if not ours_alone(state):
        return
    for name in os.listdir(state):
        if name.startswith(_of_config(config)):
            path = os.path.join(state, name)
            remove_file(os.path.join(path, "state"))
            try:
                os.rmdir(path)
            except OSError:
                continue
