"""How many copies of a server run, as their command lines tell, and how much memory they take."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from llmenv_hooks.helper.marks import MARK
from llmenv_hooks.helper.processes import (
    all_parents,
    ancestors,
    command_words,
    descendants,
    has_proc,
    own_pids,
    proc_file,
    run_tool,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_BEFORE = 3  # words before a program: an interpreter and its options, `uv tool` of uvx


class Copies(NamedTuple):
    """The first process of each copy of a server, and how many bytes all of them take."""

    pids: list[int]
    bytes: int


def running() -> dict[int, list[str]]:
    """Return the command line of each process of this user."""
    if not has_proc():
        lines = run_tool("ps", "-x", "-ww", "-o", "pid=,args=").splitlines()
        pairs = (line.strip().partition(" ") for line in lines)
        return {int(pid): args.split() for pid, _, args in pairs if pid.isdigit()}
    return {pid: words for pid in own_pids() if (words := command_words(pid))}


def copies_of(argv: Sequence[str], processes: dict[int, list[str]]) -> Copies:
    """Return which of *processes* are copies of the server that *argv*, expanded, starts."""
    found = {pid for pid, words in processes.items() if is_copy(words, argv) and not _is_ours(pid)}
    parents = all_parents()
    first = sorted(pid for pid in found if found & ancestors(pid, parents) == {pid})
    return Copies(first, memory_of(first))


def is_copy(words: Sequence[str], argv: Sequence[str]) -> bool:
    """Say whether the command line *words* is that of a program that was started as *argv*.

    npx calls itself `npm exec PACKAGE ARGUMENTS`, in one word.
    """
    if words[0].startswith("npm exec "):
        package = [word for word in argv[1:] if word not in ("-y", "--yes", "-q", "--quiet", "--")]
        return os.path.basename(argv[0]) == "npx" and " ".join(words).split()[2:] == package
    before = len(words) - len(argv)
    if not 0 <= before <= _MOST_BEFORE:
        return False
    program, *arguments = words[before:]
    same = os.path.basename(program) == os.path.basename(argv[0])
    return same and arguments == list(argv[1:])


def memory_of(roots: Iterable[int]) -> int:
    """Return the bytes that *roots* and all below them take, a page that several share by its part.

    proc_pid_smaps(5): Pss.  Where that is not to be had, it is the resident size.
    """
    return sum(map(_bytes_of, descendants(set(roots)))) if roots else 0


def _bytes_of(pid: int) -> int:
    if not has_proc():
        size = run_tool("ps", "-o", "rss=", "-p", str(pid))
        return int(size) * 1024 if size.isdigit() else 0
    found = re.search(rb"^Pss:\s+(\d+) kB", proc_file(pid, "smaps_rollup"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    pages = proc_file(pid, "statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _is_ours(pid: int) -> bool:
    """Say whether *pid* carries the mark of a service: it is the one that is shared."""
    if has_proc():
        return f"{MARK}=".encode() in proc_file(pid, "environ")
    return f" {MARK}=" in run_tool("ps", "-E", "-ww", "-o", "command=", "-p", str(pid))


def shown_bytes(number: float) -> str:
    """Return *number* of bytes as a person says it."""
    megabytes = number / 1_000_000
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
