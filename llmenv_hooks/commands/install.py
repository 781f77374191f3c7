"""`llmenv install` and `llmenv uninstall`: a block in the rc file that sources a static hook.

So a shell start runs no Python.
"""

import contextlib
import glob
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import shellingham  # type: ignore[import-untyped]
import typer

from llmenv_hooks import onefile, render, userfile
from llmenv_hooks.commands import rcblock
from llmenv_hooks.commands.agentfiles import one_file_is_used
from llmenv_hooks.commands.parameters import Shells
from llmenv_hooks.commands.rcfiles import rc_files, startup_files
from llmenv_hooks.commands.rcparser import refuse_open_end
from llmenv_hooks.commands.rcreach import unreached
from llmenv_hooks.commands.remains import tell_what_stays
from llmenv_hooks.commands.stopped import tell_who_is_stopped
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.files import replace_file
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.hookvalues import UNINSTALLED
from llmenv_hooks.install import static_path, write_static

LINE_LIMIT = 10_000  # characters

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the changes as a diff, make none.")]


def install(
    shells: Shells = None,
    every: Annotated[bool, typer.Option("--all", help="bash, zsh and fish.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Add the shell prompt hook to your rc file.

    It adds a marked block. Without SHELL it is the shell that this runs in. A second run changes
    nothing.
    """
    names = list(render.QUOTE) if every else [render.checked(shell) for shell in shells or []]
    for shell in names or [current_shell()]:
        _install(shell, dry_run)
    if not dry_run:
        tell_who_is_stopped()


def _install(shell: str, dry_run: bool) -> None:
    """Put the block into the rc files of *shell*, or show how they would change."""
    static, state, config = static_path(shell), state_dir(), config_path()
    line = rcblock.source_line(shell, static)
    files = [(path, userfile.load(path)) for path in rc_files(shell)]
    edits = [(path, old, rcblock.with_block(path, old, line)) for path, old in files]
    for path, old in files:
        if old and not rcblock.has_block(old):
            refuse_open_end(shell, path, old)
    if dry_run:
        own = [onefile.unpacked()]  # no copy is kept
        render.static(shell, static, state, config, helpers=own)  # raises what a real run would
        shown = "".join(userfile.diff(*edit) for edit in edits)
        print(shown.rstrip("\n") or "llmenv is installed already, nothing would change")
        return
    before = userfile.load(static)
    write_static(shell, static, state, config)
    for path, old, new in edits:
        _put_in(path, old, new, line)
    _tell_of_eval(shell)
    for wrong in unreached(shell):
        print(f"llmenv: {wrong}", file=sys.stderr)
    if any(new != old for _, old, new in edits):
        print(f"next: exec {shell}, or open a new terminal")
    elif before != userfile.load(static):
        print(f"the hook was made anew; it follows {printable(config)}")


def current_shell() -> str:
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
    name = printable(names[0], 40)
    seen = f"no hook for your shell {name!r}" if name else "which shell?"
    known = ", ".join(render.QUOTE)
    raise UsageError(f"{seen}; say one: llmenv install SHELL, with SHELL of {known}")


def _put_in(path: str, old: bytes | None, new: bytes, line: bytes) -> None:
    """Write *new*, which has the block, in the place of *old*, and say so.

    Raises:
        Problem: it cannot be written; with the *line* that a person can add.
    """
    if new == old:
        print(f"llmenv is installed already in {printable(path)}, nothing changed")
        return
    try:
        backup = userfile.replace(path, old, new, original=rcblock.without_block(path, old))
    except Problem as problem:
        by_hand = printable(os.fsdecode(line), LINE_LIMIT)
        raise Problem(f"{problem}; add this line to it by hand: {by_hand}") from None
    did = "updated the block in" if rcblock.has_whole_block(old or b"") else "added a block to"
    print(f"{did} {printable(path)}{_kept(backup)}")


def _kept(backup: str | None) -> str:
    return f" (backup: {printable(backup)})" if backup else ""


def _tell_of_eval(shell: str) -> None:
    """Name each line that runs `llmenv hook`, the older way; both together do no harm."""
    for path in startup_files(shell):
        content = userfile.load(path) or b""
        if found := rcblock.find_eval(content):
            place = rcblock.place(path, content, found)
            print(f"{place} runs `llmenv hook` too, which is slower; that line can go")


def uninstall(
    shells: Shells = None,
    every: Annotated[
        bool, typer.Option("--all", help="Out of all shells, as without SHELL.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Take the hook out of your rc files.

    The rc file is then what it was before. Without SHELL it goes from all shells.
    """
    named = [render.checked(shell) for shell in shells or []] if not every else []
    found = failed = False
    for name in named or render.QUOTE:
        try:
            found |= (_would_be_uninstalled if dry_run else _uninstalled)(name)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if not dry_run and not one_file_is_used() and onefile.take_away_all():
        _tell_open_shells()
    if failed:
        raise typer.Exit(1)
    if not found:
        print(f"llmenv is not installed in {', '.join(named) or 'any shell'}, nothing changed")
    elif not named:
        tell_what_stays()


def _tell_open_shells() -> None:
    """Leave word for shells that are open that the helper is gone for good."""
    state = state_dir()
    with contextlib.suppress(OSError):
        if os.path.isdir(state):
            replace_file(os.path.join(state, UNINSTALLED), b"")


def _would_be_uninstalled(shell: str) -> bool:
    """Show how the files of *shell* would change; return whether they would."""
    static, found = static_path(shell), False
    line = rcblock.source_line(shell, static)
    for path in _files_with_a_block(shell):
        old = userfile.load(path)
        new = rcblock.without_hook(path, old, line)
        print(userfile.diff(path, old, new), end="")
        found |= new != old
    if os.path.lexists(static):
        print(f"would delete {printable(static)}")
        found = True
    return found


def _uninstalled(shell: str) -> bool:
    """Take the hook out of all files of *shell*; return whether there was one.

    Raises:
        Problem: it could not be taken out of some.  The static file, which they source, stays.
    """
    static = static_path(shell)
    line = rcblock.source_line(shell, static)
    files = _files_with_a_block(shell)
    found, problems = False, []
    for path in files:
        try:
            found |= _taken_out(path, line)
        except Problem as problem:
            problems.append(str(problem))
    if problems:
        raise Problem("; also: ".join(problems))
    for file in _delete_static(static):
        if not found:
            looked = ", ".join(map(printable, files))
            gone = printable(file)
            print(f"deleted {gone}; no block is in {looked}, and one elsewhere does nothing now")
            found = True
    return found


def _files_with_a_block(shell: str) -> list[str]:
    """Return the files in which `install` may have put the block of *shell*, now or before."""
    files = startup_files(shell)
    if shell == "zsh":  # ZDOTDIR may have been set, or another one, since the install
        directories = [os.environ.get("ZDOTDIR", ""), os.environ.get("HOME", "")]
        files += [os.path.join(one, ".zshrc") for one in directories if os.path.isabs(one)]
    return list(dict.fromkeys(files))


def _taken_out(path: str, line: bytes) -> bool:
    """Take the block and each *line* out of *path*; return whether there was one.

    Raises:
        Problem: that cannot be done, or something else in it sources the hook.
    """
    old = userfile.load(path)
    new = rcblock.without_hook(path, old, line)
    if old is not None and new != old:
        try:
            backup = userfile.replace(path, old, new, original=new)
        except Problem as problem:
            place = rcblock.place_of_hook(path, old, line)
            raise Problem(f"{problem}; take out by hand what is at {place}") from None
        did = "removed" if new is None else "took the block out of"
        print(f"{did} {printable(path)}{_kept(backup)}")
    if new and (left := rcblock.find_source(new)):
        raise Problem(
            f"{rcblock.place(path, new, left)} sources the hook in a way of your own; take that"
            " line out by hand, then uninstall again"
        )
    return new != old


def _delete_static(static: str) -> Iterator[str]:
    """Delete the file *static*, those of other hosts with this home, and those for open shells.

    Yield each that was there.

    Raises:
        Problem: one cannot be deleted.
    """
    for file in [static, *glob.glob(glob.escape(static) + "[@-]*")]:
        try:
            os.unlink(file)
        except FileNotFoundError:
            continue
        except OSError as error:
            why = error.strerror
            raise Problem(f"cannot delete {printable(file)}: {why}") from None
        yield file
