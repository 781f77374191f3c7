"""Which files each shell reads when it starts."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

from llmenv_hooks import places
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.programs import which


def rc_files(shell: str) -> list[str]:
    """Return the files that *shell* reads when it starts and that `install` puts its block into.

    Raises:
        Problem: HOME or ZDOTDIR does not say where they are.
    """
    if shell == "zsh":
        return [os.path.join(_zdotdir(), ".zshrc")]
    if shell == "fish":
        return [os.path.join(places.config_home(), "fish", "conf.d", "llmenv.fish")]
    home = places.home()
    bashrc = os.path.join(home, ".bashrc")
    if sys.platform == "darwin":
        # A terminal of macOS opens login shells.  They read the first of these three that is there,
        # so a new .bash_profile would hide the other two.
        names = (".bash_profile", ".bash_login", ".profile")
        login = [os.path.join(home, name) for name in names]
        path = next((path for path in login if os.path.lexists(path)), login[0])
        if os.path.realpath(path) != os.path.realpath(bashrc):
            return [bashrc, path]
    return [bashrc]


def startup_files(shell: str) -> list[str]:
    """Return `rc_files`, and what else *shell* may read where people put a line by hand.

    Raises:
        Problem: HOME or ZDOTDIR does not say where they are.
    """
    files = rc_files(shell)
    if shell == "bash":
        files += [os.path.join(places.home(), name) for name in (".bash_profile", ".profile")]
    elif shell == "fish":
        files.append(os.path.join(os.path.dirname(os.path.dirname(files[0])), "config.fish"))
    return list(dict.fromkeys(files))


def _zdotdir() -> str:
    """Return the directory of .zshrc, as zsh says: .zshenv may set ZDOTDIR without exporting it."""
    said = os.environ.get("ZDOTDIR", "")
    zsh = which("zsh")
    if zsh:
        code = r"""\builtin print -rn -- $'\0'"${ZDOTDIR-}"$'\0'"""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            asked = subprocess.run(
                [zsh, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=5
            )
            # Between two NULs, since .zshenv may print something too.
            if answer := re.search(rb"\0(.*?)\0", asked.stdout, re.DOTALL):
                said = os.fsdecode(answer[1])
    if said and not os.path.isabs(said):
        raise Problem(
            f"ZDOTDIR is {printable(said)!r}: zsh would read .zshrc from wherever it starts;"
            " make it an absolute path"
        )
    return said or places.home()
