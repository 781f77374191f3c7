"""The table of the state files: README in the state directory, for whoever finds it.

docs/architecture.md and the project's README have their tables from here.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import read_regular, replace_file

STATE_FILES = (
    ("NAME.pid", "the pid as a decimal number, and nothing else, for other tools"),
    ("NAME.pid.lock", "the start lock and its holder's pid, while a start is under way"),
    ("NAME.life", "the lifetime lock, which the daemon holds, and its identity record"),
    ("NAME.proof", "a directory that the daemon holds open; its time: the next deep check"),
    ("NAME.alive", "the link that shells test; it leads nowhere as soon as the daemon dies"),
    ("NAME.output", "used instead of NAME.alive for a daemon that closes inherited descriptors"),
    ("NAME.sock", "the bridge's socket, for `llmenv connect`, `status` and `doctor`"),
    ("NAME.token", "the bridge's token, where the system cannot tell users apart"),
    ("NAME.keeper", "who stays in front of the daemon, as a unit does: its identity record"),
    ("NAME.child", "why the bridge's server keeps dying, while it does"),
    ("NAME.fail", "the last failure: its message, count and time"),
    ("NAME.log", "the daemon's output, at most 1 MiB; what came before it is in NAME.log.1"),
    ("config.parsed", "the config as it was last read"),
    ("edition-*", "which edition of the hook open shells should have"),
    ("hook.fail", "why no newer hook could be rendered for open shells"),
    ("config.toml.fail", "what is wrong with the config, while something is"),
    ("uninstalled", "`llmenv uninstall` was here: open shells have nothing to complain of"),
    ("setup.json", "what `llmenv setup` made, for `--undo`"),
    ("share.json", "what `llmenv share` changed, for `--undo`"),
    ("backup/", "your files as they were before llmenv first wrote into them"),
    ("helper.log", "tracebacks of bugs in background runs; with LLMENV_DEBUG, what each run does"),
    ("README", "this table"),
)
README = "README"


def readme() -> str:
    """Return the text of README."""
    width = max(len(name) for name, _ in STATE_FILES)
    rows = "".join(f"{name:{width}}  {what}\n" for name, what in STATE_FILES)
    return (
        "llmenv keeps the state of its services here.  NAME is a service's; NAME@HOST is one of\n"
        "another host or container with the same home.  `llmenv stop` first, then all of it may\n"
        f"be removed.\n\n{rows}"
    )


def write_readme(directory: str) -> None:
    """Put README into the state directory *directory*, unless it is there and as it should be."""
    if os.path.basename(directory) != "llmenv":
        return  # a directory that --pidfile names is the user's own
    path, text = os.path.join(directory, README), readme().encode()
    try:
        if not os.path.lexists(path) or read_regular(path) != text:
            replace_file(path, text)
    except OSError:
        return  # nothing depends on it
