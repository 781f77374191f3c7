"""`llmenv install` and `llmenv uninstall`: a block in the rc file that sources a static hook.

The block names a file under $XDG_DATA_HOME that holds the rendered hook, so a shell start runs no
Python.  Code in that file sees when it is old, and runs this module in the background.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from typing import Annotated

import shellingham  # type: ignore[import-untyped]
import typer

from llmenv_hooks import ensure, render, userfile

BEGIN = b"# >>> llmenv >>>"
END = b"# <<< llmenv <<<"
# What uninstall must undo besides the block; said in the block, so that it outlives everything.
_WITH_NEWLINE = b", and the newline before it."
_WITH_FILE = b", and this file."
_BLOCK = re.compile(
    rb"^%b[ \t\r]*\n(?P<body>(?:(?!%b).*\n)*?)%b[ \t\r]*(?:\n|\Z)" % (BEGIN, BEGIN, END), re.M
)
_EVAL = re.compile(rb"^[^#\n]*\bllmenv hook\b", re.M)
_SLOWER = "runs `llmenv hook` too, which is slower; that line can go"

Shell = Annotated[
    str | None,
    typer.Argument(
        metavar="SHELL", help="bash, zsh or fish", autocompletion=lambda: [*render.QUOTE]
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the changes as a diff, make none.")]


def rc_files(shell: str) -> list[str]:
    """Return the files that *shell* reads when it starts and that `install` puts its block into."""
    home = os.path.expanduser("~")
    if shell == "zsh":
        return [os.path.join(os.path.abspath(os.environ.get("ZDOTDIR") or home), ".zshrc")]
    if shell == "fish":
        config = os.environ.get("XDG_CONFIG_HOME", "")
        base = config if os.path.isabs(config) else os.path.join(home, ".config")
        return [os.path.join(base, "fish", "conf.d", "llmenv.fish")]
    bashrc = os.path.join(home, ".bashrc")
    if sys.platform == "darwin":
        # A terminal there opens login shells. A new .bash_profile would hide the other two.
        names = (".bash_profile", ".bash_login", ".profile")
        login = [os.path.join(home, name) for name in names]
        path = next((path for path in login if os.path.lexists(path)), login[0])
        if os.path.realpath(path) != os.path.realpath(bashrc):
            return [bashrc, path]
    return [bashrc]


def static_path(shell: str) -> str:
    """Return the file that the block of *shell* sources.

    Not in the state directory: nothing from there is ever evaluated.
    """
    # As platformdirs says it, by the rule that the other places are found by.
    data = ensure.xdg_directory("XDG_DATA_HOME", ".local/share", "the hook")
    return os.path.join(data, f"hook.{shell}")


def has_block(content: bytes | None) -> bool:
    """True when *content* of an rc file has the block in it."""
    return _BLOCK.search(content or b"") is not None


def has_eval(content: bytes) -> bool:
    """True when *content* of an rc file runs `llmenv hook`, the way without a block."""
    return _EVAL.search(content) is not None


def install(shell: Shell = None, dry_run: DryRun = False) -> None:
    """Have every new shell run the hook.

    By a marked block in its rc file. Without SHELL it is the one this runs in. A second run
    changes nothing.
    """
    shell = render.checked(shell) if shell else _detected()
    static, state, config = static_path(shell), ensure.state_dir(), ensure.config_path()
    line = _line(shell, static)
    files = [(path, userfile.load(path)) for path in rc_files(shell)]
    edits = [(path, old, _with_block(path, old, line)) for path, old in files]
    if dry_run:
        render.static(shell, static, state, config)  # or say what is wrong
        shown = "".join(userfile.diff(*edit) for edit in edits)
        print(shown.rstrip("\n") or "llmenv is installed already, nothing would change")
        return
    _write_static(shell, static, state, config)
    for path, old, new in edits:
        if new == old:
            print(f"llmenv is installed already in {ensure.printable(path)}, nothing changed")
            continue
        try:
            backup = userfile.replace(path, old, new)
        except ensure.Problem as problem:
            by_hand = ensure.printable(os.fsdecode(line), 10_000)
            raise ensure.Problem(f"{problem}; add this line to it by hand: {by_hand}") from None
        did = "updated the block in" if has_block(old) else "added a block to"
        kept = f" (as it was: {ensure.printable(backup)})" if backup else ""
        print(f"{did} {ensure.printable(path)}{kept}")
    _tell_of_eval(shell)
    if any(new != old for _, old, new in edits):
        print(f"next: exec {shell}, or open a new terminal")


def _tell_of_eval(shell: str) -> None:
    """Say where the older way to install the hook still stands; both together do no harm."""
    paths = rc_files(shell)
    if shell == "fish":
        paths.append(os.path.join(os.path.dirname(os.path.dirname(paths[0])), "config.fish"))
    for path in paths:
        content = userfile.load(path) or b""
        if found := _EVAL.search(content):
            number = content.count(b"\n", 0, found.start()) + 1
            print(f"{ensure.printable(path)}:{number}", _SLOWER)


def uninstall(shell: Shell = None) -> None:
    """Take out what install put in.

    The rc file is again what it was. Without SHELL it is taken out of the rc files of all shells.
    """
    found = False
    for name in [render.checked(shell)] if shell else render.QUOTE:
        for path in rc_files(name):
            old = userfile.load(path)
            if old is None or not has_block(old):
                continue
            new = _without_block(old)
            if new is None:
                userfile.remove(path, old)
            else:
                userfile.replace(path, old, new)
            print("removed" if new is None else "took the block out of", ensure.printable(path))
            found = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(static_path(name))
            found = True
    if not found:
        print(f"llmenv is not installed in {shell or 'any shell'}, nothing changed")


def _detected() -> str:
    """Return the shell that this runs in, else the user's login shell.

    Raises:
        UsageError: there is no hook for it.
    """
    try:
        name: str = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, RuntimeError, OSError):
        name = os.path.basename(os.environ.get("SHELL", ""))
    if name not in render.QUOTE:
        seen = f"no hook for your shell {ensure.printable(name, 40)!r}" if name else "which shell?"
        known = ", ".join(render.QUOTE)
        raise ensure.UsageError(f"{seen}; say one: llmenv install SHELL, with SHELL of {known}")
    return name


# --- the block ------------------------------------------------------------------------------------


def _line(shell: str, static: str) -> bytes:
    """Return the code that sources *static*, silent where it is missing: homes get copied."""
    path = render.QUOTE[shell](static)
    code = {
        # A .profile may be read by a sh that is no bash.
        "bash": f'if [ -n "${{BASH_VERSION-}}" ] && [ -r {path} ]; then \\builtin . {path}; fi',
        "zsh": f"if [ -r {path} ]; then \\builtin . {path}; fi",
        "fish": f"if builtin test -r {path}; builtin source {path}; end",
    }[shell]
    # After a comment sign a CR does no harm, which git or an editor may put at the end.
    return os.fsencode(f"{code} #")


def _with_block(path: str, old: bytes | None, line: bytes) -> bytes:
    """Return *old* with one block around *line*: in the place of the one it has, else at its end.

    Raises:
        Problem: half a block is there.
    """
    content = old or b""
    found = _BLOCK.search(content)
    if found:
        undo = next((u for u in (_WITH_NEWLINE, _WITH_FILE) if u in found["body"]), b" again.")
        before, after = content[: found.start()], _BLOCK.sub(b"", content[found.end() :])
    elif line in content.splitlines():
        return content  # added by hand, where we may not write
    else:
        torn = content and not content.endswith(b"\n")
        undo = _WITH_NEWLINE if torn else _WITH_FILE if old is None else b" again."
        # Not CRLF, also where the file has it: a CR would become a part of the user's last line.
        before, after = content + b"\n" * bool(torn), b""
    if BEGIN in before + after or END in before + after:
        raise ensure.Problem(
            f"{ensure.printable(path)} has half a block of llmenv's in it; take out what is left"
            f" of {BEGIN.decode()} ... {END.decode()}"
        )
    says = b"# Added by `llmenv install`; `llmenv uninstall` takes it out" + undo
    return before + b"\n".join([BEGIN, says, line, END, b""]) + after


def _without_block(content: bytes) -> bytes | None:
    """Return *content* as it was before there was a block in it; None: there was no file."""
    undo = b""
    while found := _BLOCK.search(content):
        undo = found["body"]
        before, after = content[: found.start()], content[found.end() :]
        if _WITH_NEWLINE in undo and not after:
            before = before.removesuffix(b"\n")
        content = before + after
    return content if content or _WITH_FILE not in undo else None


# --- the static file ------------------------------------------------------------------------------


def _write_static(shell: str, path: str, state: str, config: str) -> None:
    """Render what the block sources, and date it so that it is not older than its sources.

    Raises:
        UsageError: a wrong config; what is there is dated all the same, until the config changes.
        Problem: it cannot be written.
    """
    # Before the sources are read, so that no later change goes unseen; file times lag a little.
    dates = [time.time_ns() - 10_000_000]
    for source in render.sources(shell, config):
        with contextlib.suppress(OSError):
            dates.append(os.stat(source).st_mtime_ns)
    ensure.make_directory(os.path.dirname(path))
    try:
        code = os.fsencode(render.static(shell, path, state, config))
        if userfile.load(path) != code:
            userfile.write_beside(path, code, 0o600, None)
    except OSError as error:
        raise ensure.Problem(f"cannot write {ensure.printable(path)}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            os.utime(path, ns=(max(dates), max(dates)))


if __name__ == "__main__":
    # As static.* starts it, also that of an older version: SHELL PATH STATE CONFIG. What has been
    # uninstalled meanwhile stays so.
    ensure.detach()
    if os.path.exists(sys.argv[2]):
        _write_static(*sys.argv[1:])
