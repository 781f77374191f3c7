"""Keeps the last rendering of each shell's hook: hook.SHELL in $XDG_CACHE_HOME/llmenv, 0600.

`llmenv hook` runs at every shell start, so what it takes from here needs neither jinja2 nor the
config's parser.
"""

from __future__ import annotations

import os
import sys

from llmenv_hooks import onefile, render
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.directories import ours_alone, refuse_anothers
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.places import config_path, state_dir, xdg_directory
from llmenv_hooks.helper.processes import has_proc
from llmenv_hooks.helper.services import open_to_others
from llmenv_hooks.helper.version import __version__


def cached_hook(shell: str) -> bytes:
    """Return `render.hook(shell)` as bytes, kept from before if nothing it is made of has changed.

    A service that other machines can reach is warned about on stderr, and so is a helper of which
    no copy can be kept, when it is rendered alone.

    Raises:
        UsageError: an unknown shell, or a wrong config.
        Problem: no place for the state.
    """
    key = _key(render.checked(shell))
    path = _cache_path(shell)
    cached = onefile.read(path) if path else None
    if cached is not None and cached.startswith(key):
        helper, seen, code = cached[len(key) :].split(b"\0", 2)
        if onefile.is_right(os.fsdecode(helper)) and seen == _stamp(os.fsdecode(helper)).encode():
            return code
    config = load_config()
    helpers = onefile.helpers()
    code = os.fsencode(render.hook(shell, proc=has_proc(), helpers=helpers))
    if path:
        called = os.fsencode(f"{helpers[0]}\0{_stamp(helpers[0])}\0")
        _keep(path, key + called + code)
    onefile.take_away_old()
    for service in config.kept_alive:
        warning = open_to_others(service)
        if warning:  # once, since from here on it comes from the cache
            print(f"llmenv: {service.name}: {warning}", file=sys.stderr)
    return code


def _keep(path: str, content: bytes) -> None:
    try:
        onefile.write(path, content)
    except OSError:
        return  # only the next shell's start is slower for it


def _key(shell: str) -> bytes:
    """Return all that a rendering depends on, ending in a NUL, which no path can hold."""
    config = config_path()
    parts = [__version__, shell, sys.executable, state_dir(), onefile.directory()]
    parts += [config, os.environ.get("LLMENV_CONFIG", ""), os.uname().nodename]
    parts += [str(has_proc())]
    stamps = map(_stamp, [config, __file__, *render.made_of(shell)])
    return os.fsencode("\n".join([*parts, *stamps, "\0"]))


def _stamp(path: str) -> str:
    try:
        seen = os.stat(path)
    except OSError:
        return "-"
    return f"{seen.st_mtime_ns} {seen.st_size} {seen.st_ino}"


def _cache_path(shell: str) -> str | None:
    """Return the cache file of *shell*, or None where it cannot be trusted.

    What it holds gets evaluated, so nobody else may be able to write there.
    """
    try:
        # platformdirs would say the same, after an import that takes longer than all the rest.
        directory = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
        refuse_anothers(directory)
        os.makedirs(directory, 0o700, exist_ok=True)
        return os.path.join(directory, f"hook.{shell}") if ours_alone(directory) else None
    except (OSError, Problem):
        return None
