"""`llmenv install` and `llmenv uninstall`: a block in the rc file that sources a static hook.

The block names a file under $XDG_DATA_HOME that holds the rendered hook, so a shell start runs no
Python.  Code in that file sees when it is old, and runs this module in the background.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
import sys
import time
from typing import Annotated

import shellingham  # type: ignore[import-untyped]
import typer

from llmenv_hooks import ensure, onefile, render, userfile

BEGIN = b"# >>> llmenv >>>"
END = b"# <<< llmenv <<<"
# What uninstall must undo besides the block; said in the block, so that it outlives everything.
_WITH_NEWLINE = b", and the newline before it."
_WITH_FILE = b", and this file."
_BLOCK = re.compile(
    rb"^%b[ \t\r]*\n(?P<body>(?:(?!%b).*\n)*?)%b[ \t\r]*(?:\n|\Z)" % (BEGIN, BEGIN, END), re.M
)
_HALF = re.compile(rb"%b|%b" % (BEGIN, END))
# The line alone, which `install` has people add where it may not write, or one like it.
_SOURCED = re.compile(
    rb"^(?![ \t]*#).*(?:\.|\bsource)[ \t].*\bllmenv/hook\.(?:bash|zsh|fish)\b", re.M
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
    """Return the files that *shell* reads when it starts and that `install` puts its block into.

    Raises:
        Problem: HOME or ZDOTDIR does not say where they are.
    """
    if shell == "zsh":
        return [os.path.join(_zdotdir(), ".zshrc")]
    if shell == "fish":
        config = os.environ.get("XDG_CONFIG_HOME", "")
        base = config if os.path.isabs(config) else os.path.join(userfile.home(), ".config")
        return [os.path.join(base, "fish", "conf.d", "llmenv.fish")]
    home = userfile.home()
    bashrc = os.path.join(home, ".bashrc")
    if sys.platform == "darwin":
        # A terminal there opens login shells. A new .bash_profile would hide the other two.
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
        files += [os.path.join(userfile.home(), name) for name in (".bash_profile", ".profile")]
    elif shell == "fish":
        files.append(os.path.join(os.path.dirname(os.path.dirname(files[0])), "config.fish"))
    return list(dict.fromkeys(files))


def _zdotdir() -> str:
    """Return the directory of .zshrc, by zsh's own word: .zshenv may set ZDOTDIR unexported."""
    said = os.environ.get("ZDOTDIR", "")
    zsh = ensure._which("zsh")
    if zsh:
        code = r"""\builtin print -rn -- $'\0'"${ZDOTDIR-}"$'\0'"""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            asked = subprocess.run(
                [zsh, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=5
            )
            if answer := re.search(rb"\0(.*?)\0", asked.stdout, re.DOTALL):  # .zshenv may print too
                said = os.fsdecode(answer[1])
    if said and not os.path.isabs(said):
        raise ensure.Problem(
            f"ZDOTDIR is {ensure.printable(said)!r}: zsh would read .zshrc from wherever it starts;"
            " make it an absolute path"
        )
    return said or userfile.home()


def static_path(shell: str) -> str:
    """Return the file that the block of *shell* sources.

    Not in the state directory: nothing from there is ever evaluated.
    """
    # As platformdirs says it, by the rule that the other places are found by.
    data = ensure.xdg_directory("XDG_DATA_HOME", ".local/share", "the hook")
    return os.path.join(data, f"hook.{shell}")


def has_block(content: bytes | None) -> bool:
    """True when *content* of an rc file has the block in it, or the line alone."""
    return any(pattern.search(content or b"") for pattern in (_BLOCK, _SOURCED))


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
        own = [onefile.unpacked()]  # and no copy is kept
        render.static(shell, static, state, config, helpers=own)  # or say what is wrong
        shown = "".join(userfile.diff(*edit) for edit in edits)
        print(shown.rstrip("\n") or "llmenv is installed already, nothing would change")
        return
    _write_static(shell, static, state, config)
    for path, old, new in edits:
        if new == old:
            print(f"llmenv is installed already in {ensure.printable(path)}, nothing changed")
            continue
        try:
            backup = userfile.replace(path, old, new, original=_without_block(path, old))
        except ensure.Problem as problem:
            by_hand = ensure.printable(os.fsdecode(line), 10_000)
            raise ensure.Problem(f"{problem}; add this line to it by hand: {by_hand}") from None
        did = "updated the block in" if _BLOCK.search(old or b"") else "added a block to"
        print(f"{did} {ensure.printable(path)}{_kept(backup)}")
    _tell_of_eval(shell)
    if any(new != old for _, old, new in edits):
        print(f"next: exec {shell}, or open a new terminal")


def _kept(backup: str | None) -> str:
    return f" (backup: {ensure.printable(backup)})" if backup else ""


def _tell_of_eval(shell: str) -> None:
    """Say where the older way to install the hook still stands; both together do no harm."""
    for path in startup_files(shell):
        content = userfile.load(path) or b""
        if found := _EVAL.search(content):
            print(_place(path, content, found), _SLOWER)


def _place(path: str, content: bytes, found: re.Match[bytes]) -> str:
    number = content.count(b"\n", 0, found.start()) + 1
    return f"{ensure.printable(path)}:{number}"


def uninstall(shell: Shell = None) -> None:
    """Take out what install put in.

    The rc file is again what it was. Without SHELL it is taken out of the rc files of all shells.
    """
    found = failed = False
    for name in [render.checked(shell)] if shell else render.QUOTE:
        try:
            found |= _uninstalled(name)
        except ensure.Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    onefile.take_away_all()
    if failed:
        raise typer.Exit(1)
    if not found:
        print(f"llmenv is not installed in {shell or 'any shell'}, nothing changed")


def _uninstalled(shell: str) -> bool:
    """Take the hook out of the files of *shell*, all that can be; return whether there was one.

    Raises:
        Problem: what could not be taken out; the file that it sources stays then.
    """
    static = static_path(shell)
    files = startup_files(shell)
    if shell == "zsh":  # that of another ZDOTDIR, which zsh reads no more
        former = [os.environ.get("ZDOTDIR", ""), os.environ.get("HOME", "")]
        files += [os.path.join(place, ".zshrc") for place in former if os.path.isabs(place)]
    found, problems = False, []
    for path in dict.fromkeys(files):
        try:
            found |= _taken_out(path, _line(shell, static))
        except ensure.Problem as problem:
            problems.append(str(problem))
    if problems:
        raise ensure.Problem("; also: ".join(problems))
    for file in [static, *glob.glob(glob.escape(static) + "@*")]:
        try:
            os.unlink(file)
        except FileNotFoundError:
            continue
        except OSError as error:
            why = error.strerror
            raise ensure.Problem(f"cannot delete {ensure.printable(file)}: {why}") from None
        if not found:
            looked = ", ".join(map(ensure.printable, dict.fromkeys(files)))
            gone = ensure.printable(file)
            print(f"deleted {gone}; no block is in {looked}, and one elsewhere does nothing now")
            found = True
    return found


def _taken_out(path: str, line: bytes) -> bool:
    """Take the block and each *line* out of *path*; return whether there was one.

    Raises:
        Problem: that cannot be done, or something else in it sources the hook.
    """
    old = userfile.load(path)
    new = _without_block(path, old)
    if new is not None:
        new = _alone(line).sub(b"", new)
    if new != old:
        try:
            backup = userfile.replace(path, old, new, original=new)
        except ensure.Problem as problem:
            seen = [pattern.search(old or b"") for pattern in (_BLOCK, _alone(line))]
            first = min(filter(None, seen), key=re.Match.start)
            place = _place(path, old or b"", first)
            raise ensure.Problem(f"{problem}; take out by hand what is at {place}") from None
        did = "removed" if new is None else "took the block out of"
        print(f"{did} {ensure.printable(path)}{_kept(backup)}")
    if new and (left := _SOURCED.search(new)):
        raise ensure.Problem(
            f"{_place(path, new, left)} sources the hook in a way of your own; take that line out"
            " by hand, then uninstall again"
        )
    return new != old


def _detected() -> str:
    """Return the shell that this runs in when there is a hook for it, else the login shell.

    Raises:
        UsageError: there is no hook for either.
    """
    names = [os.path.basename(os.environ.get("SHELL", ""))]
    with contextlib.suppress(shellingham.ShellDetectionFailure, RuntimeError, OSError):
        names.insert(0, shellingham.detect_shell()[0])
    for name in names:
        if name in render.QUOTE:
            return name
    name = ensure.printable(names[0], 40)
    seen = f"no hook for your shell {name!r}" if name else "which shell?"
    known = ", ".join(render.QUOTE)
    raise ensure.UsageError(f"{seen}; say one: llmenv install SHELL, with SHELL of {known}")


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


def _alone(line: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^%b[ \t\r]*(?:\n|\Z)" % re.escape(line), re.M)


def _with_block(path: str, old: bytes | None, line: bytes) -> bytes:
    """Return *old* with one block around *line*: in the place of the one it has, else at its end.

    Raises:
        Problem: half a block is there.
    """
    content = old or b""
    _refuse_half(path, content)
    found = _BLOCK.search(content)
    if found:
        undo = next((u for u in (_WITH_NEWLINE, _WITH_FILE) if u in found["body"]), b" again.")
        before, after = content[: found.start()], _BLOCK.sub(b"", content[found.end() :])
    elif _alone(line).search(content):
        return content  # added by hand, where we may not write
    else:
        torn = content and not content.endswith(b"\n")
        undo = _WITH_NEWLINE if torn else _WITH_FILE if old is None else b" again."
        # Not CRLF, also where the file has it: a CR would become a part of the user's last line.
        before, after = content + b"\n" * bool(torn), b""
    says = b"# Added by `llmenv install`; `llmenv uninstall` takes it out" + undo
    return before + b"\n".join([BEGIN, says, line, END, b""]) + after


def _without_block(path: str, content: bytes | None) -> bytes | None:
    """Return *content* as it was before there was a block in it; None: there was no file.

    Raises:
        Problem: half a block is there.
    """
    if content is None:
        return None
    _refuse_half(path, content)
    undo = b""
    while found := _BLOCK.search(content):
        undo = found["body"]
        before, after = content[: found.start()], content[found.end() :]
        if _WITH_NEWLINE in undo and not after:
            before = before.removesuffix(b"\n")
        content = before + after
    return content if content or _WITH_FILE not in undo else None


def _refuse_half(path: str, content: bytes) -> None:
    rest = _BLOCK.sub(lambda block: b"\n" * block[0].count(b"\n"), content)
    if half := _HALF.search(rest):
        raise ensure.Problem(
            f"{_place(path, rest, half)}: half a block of llmenv's; take out by hand what is left"
            f" of {BEGIN.decode()} ... {END.decode()}"
        )


# --- the static file ------------------------------------------------------------------------------


def _write_static(shell: str, path: str, state: str, config: str) -> None:
    """Render what the block sources, and date it so that it is not older than its sources.

    Raises:
        UsageError: a wrong config; what is there is dated all the same, until the config changes.
        Problem: it cannot be written.
    """
    # Before the sources are read, so that no later change goes unseen; file times lag a little.
    dates = [time.time_ns() - 10_000_000]
    for source in render.sources(shell, state, config):
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
    onefile.take_away_old()


def _renew(shell: str, path: str, state: str, config: str) -> None:
    """Write *path*, from which a shell has just started this, anew in the background.

    When it is not there the shell, the first one of its kind on this host, waits for it and
    evaluates what is printed.
    """
    if not os.path.exists(os.path.join(os.path.dirname(path), f"hook.{shell}")):
        return  # uninstalled meanwhile
    if os.path.exists(path):
        ensure.detach()
    else:
        sys.stdout.buffer.write(os.fsencode(render.static(shell, path, state, config)))
    _write_static(shell, path, state, config)


if __name__ == "__main__":
    _renew(*sys.argv[1:])  # as static.* starts it, also that of an older version
