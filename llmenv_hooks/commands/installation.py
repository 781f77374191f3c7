"""What `llmenv doctor` looks at of the installation: the state directory, the hooks, mcp-proxy."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from typing import TYPE_CHECKING

from llmenv_hooks import render, userfile
from llmenv_hooks.commands import rcblock
from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.commands.rcfiles import startup_files
from llmenv_hooks.commands.rcreach import unreached
from llmenv_hooks.helper.complaints import state_trouble
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.files import modified
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.programs import is_executable, mcp_proxy_command
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.install import static_path

if TYPE_CHECKING:
    from collections.abc import Iterator


def state_directory() -> Iterator[Finding]:
    """Judge whose the state directory is, and who else may write to it."""
    state = state_dir()
    try:
        seen = os.lstat(state)
    except (FileNotFoundError, NotADirectoryError):
        why, _, todo = state_trouble(state).rpartition("; ")
        made = f"{state}, made at the first start"
        yield Finding("state directory", "fail" if why else "ok", why or made, todo)
        return
    mode = stat.S_IMODE(seen.st_mode)
    found = f"{state}, mode {mode:04o}"
    if not stat.S_ISDIR(seen.st_mode):
        yield Finding("state directory", "fail", f"{state} is no directory", "move it away")
    elif seen.st_uid != os.geteuid():
        owner = f"{found}, of user {seen.st_uid}"
        yield Finding("state directory", "fail", owner, "run this as that user, or set HOME")
    elif mode & 0o022:
        yield Finding("state directory", "fail", found, f"chmod 700 {state}")
    elif trouble := state_trouble(state):
        why, _, todo = trouble.rpartition("; ")
        yield Finding("state directory", "fail", why, todo)
    else:
        yield Finding("state directory", "ok", found)


def hooks() -> Iterator[Finding]:
    """Find the lines of rc files that bring the hook, and judge what they lead to."""
    found = False
    for shell in render.QUOTE:
        findings = [one for path in startup_files(shell) for one in _hook_in(shell, path)]
        yield from findings
        found = found or bool(findings)
        # A shell that starts renews an old hook, and doctor changes nothing.
        if findings and all(one.verdict == "ok" for one in findings):
            for wrong in unreached(shell):
                why, _, todo = wrong.rpartition("; ")
                yield Finding("hook", "fail", why, todo)
    if not found:
        yield Finding("hook", "warn", "in no rc file of bash, zsh or fish", "llmenv install")


def _hook_in(shell: str, path: str) -> Iterator[Finding]:
    """Judge the hook in *path*, an rc file of *shell*; nothing when there is none."""
    where, again = f"{shell}: {path}", f"llmenv install {shell}"
    try:
        content = userfile.load(path) or b""
        rcblock.refuse_half(path, content)
    except Problem as problem:
        yield Finding("hook", "fail", f"{shell}: {problem}", f"mend it; then: {again}")
        return
    if rcblock.has_block(content):
        yield from _sourced(shell, where, again)
    elif rcblock.find_eval(content):
        yield from _evaluated(where, content)


def _sourced(shell: str, where: str, again: str) -> Iterator[Finding]:
    """Judge the static file, which the block in *where* sources."""
    static = userfile.load(static_path(shell))
    if static is None:
        yield Finding("hook", "fail", f"{where}: the file it sources is gone", again)
        return
    code = os.fsdecode(static)
    if static == _current(shell):
        yield Finding("hook", "ok", f"{where}, llmenv {__version__}")
    elif render.QUOTE[shell](config_path()) not in _inner(shell, code):
        other = f"{where}: the file it sources follows another config than {config_path()}"
        yield Finding("hook", "warn", other, again)
    elif _renews_itself(shell, code):
        later = "made before the config or llmenv was changed; the next shell renews it"
        yield Finding("hook", "ok", f"{where}, {later}")
    else:
        version = re.match(r"# llmenv (\S+)\n", code)
        old = f"is of llmenv {version[1] if version else '(no version)'}"
        if version and version[1] == __version__:
            old += ", but of another config or Python"
        yield Finding("hook", "warn", f"{where}: the file it sources {old}", again)
    python = _interpreter(shell, code)
    if is_executable(python):
        yield Finding("interpreter", "ok", f"{shell}: {python}")
    else:
        gone = f"{shell}: {python or 'what the hook calls'} is gone"
        yield Finding("interpreter", "fail", gone, again)


def _inner(shell: str, code: str) -> str:
    """Return the hook in *code*, a static file: for zsh all of it is one quoted word, the last."""
    try:
        return shlex.split(code)[-1] if shell == "zsh" else code
    except (ValueError, IndexError):  # the file was cut, or edited
        return code


def _renews_itself(shell: str, code: str) -> bool:
    """Say whether *code*, a static file, sees that it is old: as it asks itself, see `static`."""
    made = modified(static_path(shell)) or 0
    sources = render.sources(shell, state_dir(), config_path())
    if any((modified(source) or 0) > made for source in sources):
        return True
    old = re.search(r"[^\s'\"]*\.dist-info/METADATA", code)
    return old is not None and not os.path.exists(old[0])


def _interpreter(shell: str, code: str) -> str:
    """Return the first path that *code*, a static file, tests with -x; "" for none."""
    try:
        words = shlex.shlex(_inner(shell, code).partition(" -x ")[2], posix=True)
        words.whitespace_split, words.commenters = True, ""
        if shell == "fish":
            words.escapedquotes = "'"
        return words.get_token() or ""
    except (ValueError, IndexError):  # the file was cut, or edited
        return ""


def _evaluated(where: str, content: bytes) -> Iterator[Finding]:
    """Judge a line that runs `llmenv hook`: whether a shell finds that."""
    yield Finding("hook", "ok", f"{where}, by llmenv hook (llmenv install is faster)")
    named = re.search(rb"^[^#\n]*?([^\s\"'`(]*\bllmenv) hook\b", content, re.M)
    word = os.fsdecode(named[1]) if named else "llmenv"
    program = os.path.expanduser(os.path.expandvars(word))
    if path := shutil.which(program):
        yield Finding("interpreter", "ok", f"{where} runs {path}")
    else:
        todo = "put its directory on PATH, before that line"
        yield Finding("interpreter", "fail", f"{where} runs {program}, which is not on PATH", todo)


def _current(shell: str) -> bytes | None:
    """Return what the static file of *shell* would be now, or None with a wrong config."""
    static, state, config = static_path(shell), state_dir(), config_path()
    try:
        return os.fsencode(render.static(shell, static, state, config))
    except Problem:
        return None


def bridge_program() -> Iterator[Finding]:
    """Find mcp-proxy, or what runs it."""
    program, leading = mcp_proxy_command()
    yield Finding("mcp-proxy", "ok", " ".join([program, *leading]))
