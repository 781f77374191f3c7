"""What is left of llmenv when its hook was taken out of the rc files, and what takes that away."""

from __future__ import annotations

import os

from llmenv_hooks import render, userfile
from llmenv_hooks.commands import rcblock
from llmenv_hooks.commands.rcfiles import startup_files
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.managers import unit_paths
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.records import living


def tell_what_stays() -> None:
    """Print a line for each thing of ours that is still there; nothing when there is none."""
    state, config = state_dir(), config_path()
    running = [files.service for files, _ in living(state)]
    if running:
        print(f"still running: {', '.join(running)}; `llmenv stop` ends it")
    for path in unit_paths():
        print(f"left: {printable(path)}, a unit that runs llmenv; `llmenv unit` takes it out")
    tell_lines_by_hand()
    if os.path.isdir(state):
        print(f"left: {printable(state)}; `llmenv prune --all` deletes it")
    if os.path.exists(config):
        print(f"left: {printable(config)}, agents' entries (`llmenv client` shows them),")
        print("and what servers have stored themselves")


def tell_lines_by_hand() -> None:
    """Name each line in an rc file that runs `llmenv hook`: the user has put it in."""
    for shell in render.QUOTE:
        for path in startup_files(shell):
            content = userfile.load(path) or b""
            if found := rcblock.find_eval(content):
                print(f"{rcblock.place(path, content, found)} runs `llmenv hook`; take it out")
