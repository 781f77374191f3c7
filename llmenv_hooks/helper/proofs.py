"""The proofs of life that a shell tests with builtins: NAME.proof, NAME.alive, NAME.output.

NAME.alive leads through a descriptor of the daemon's, and so nowhere once the daemon is dead.  The
same link to NAME.life itself says that the service was stopped on purpose.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import link_target, make_link, open_ours, remove_file, same_file
from llmenv_hooks.helper.locks import above_ten
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import PROC, descriptors


def open_proof_dir(files: Files, config: str) -> int:
    """Return a descriptor of at least 10 of NAME.proof, for the daemon to hold beside the lock.

    The link `config` in it says for which *config* the daemon is started.

    proc(5): /proc/PID/fd/N leads into a directory that the process has open.  A shell proves it
    alive by one look at a file there, since no other process has this directory open.
    """
    name = f"{files.stem}.life"
    inside = os.path.join(files.proof, name)
    if not os.path.lexists(files.proof):
        os.mkdir(files.proof, 0o700)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = above_ten(os.open(files.proof, flags))
    except NotADirectoryError:
        raise Problem(f"{printable(files.proof)} is not a directory; remove it") from None
    try:
        if link_target(inside) != f"../{name}":
            make_link(f"../{name}", inside)
        if config_of(files) != config:
            make_link(config or "-", _config_link(files))
    except BaseException:
        os.close(fd)
        raise
    return fd


def config_of(files: Files) -> str:
    """Return the config for which the daemon of *files* was started, or "" when it is not known."""
    config = link_target(_config_link(files)) or ""
    return config if os.path.isabs(config) else ""


def _config_link(files: Files) -> str:
    return os.path.join(files.proof, "config")


def move_proof_dir(old: Files, files: Files, pid: int) -> None:
    """Move NAME.proof of *old*, which the daemon *pid* holds open, to *files*, if that is to do."""
    moved = any(same_file(path, files.proof) for path, _ in descriptors(pid))
    if moved or not os.path.isdir(old.proof):
        return
    name = os.path.basename(files.life)
    make_link(f"../{name}", os.path.join(old.proof, name))
    if os.path.isdir(files.proof):
        for other in os.listdir(files.proof):
            remove_file(os.path.join(files.proof, other))
    os.rename(old.proof, files.proof)  # over an empty directory, if there is one


def proof_link(pid: int | None, files: Files) -> tuple[str, str] | None:
    """Return by which link a shell can see that *pid* still serves, and where that has to lead."""
    if pid is None:
        return None
    for path, _ in descriptors(pid):
        if same_file(f"{path}/{files.stem}.life", files.life):
            return files.alive, f"{path}/{files.stem}.life"
    output = f"{PROC}/{pid}/fd/2"
    return (files.output, output) if same_file(output, files.log) else None


def linked_pid(files: Files) -> int | None:
    """Return the pid that one of the links proves, as a shell's test would, or None."""
    for link, file in ((files.alive, files.life), (files.output, files.log)):
        words = (link_target(link) or "").split("/")
        if len(words) > 4 and words[2].isdigit() and same_file(link, file):
            return int(words[2])
    return None


def is_stopped(files: Files) -> bool:
    """True after `stop`, until the service is started on purpose."""
    return link_target(files.alive) == os.path.basename(files.life)


def mark_stopped(files: Files) -> None:
    """Make NAME.alive the link that says that the service was stopped on purpose."""
    os.close(open_ours(files.life, os.O_RDWR | os.O_CREAT))
    make_link(os.path.basename(files.life), files.alive)
