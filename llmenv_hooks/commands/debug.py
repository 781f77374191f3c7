"""`llmenv debug`: versions, paths, the config and the ends of the logs, to paste into a report."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from llmenv_hooks import render
from llmenv_hooks.commands.config import keys_of, toml_value
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.failures import read_failure
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.install import static_path
from llmenv_hooks.places import PACKAGE

if TYPE_CHECKING:
    from llmenv_hooks.helper.services import Service

LOG_LINES = 20
LINE_LIMIT = 300  # characters
SECRET = ("env", "headers")  # tables of the config whose values nobody else is to see


def print_debug() -> None:
    """Print what a bug report needs.

    The values of env and headers in the config are left out. Look at the logs before you paste.
    """
    _print_versions()
    state = state_dir()
    print(f"\n# paths\nconfig {printable(config_path())}\nstate {printable(state)}")
    for shell in render.QUOTE:
        path = static_path(shell)
        print(f"hook {printable(path)}: {'there' if os.path.exists(path) else 'not installed'}")
    for name in sorted(name for name in os.environ if name.startswith("LLMENV_")):
        print(f"{printable(name)}={printable(os.environ[name])}")
    try:
        config = load_config()
    except Problem as problem:
        print(f"\n# config\n{problem}")
        services = []
    else:
        print(f"\n# config\nserver_host {printable(config.server_host or '-')}")
        services = config.services
    for service in services:
        _print_service(service, state)
    _print_end("helper.log", os.path.join(state, "helper.log"))


def _print_versions() -> None:
    print(f"# versions\nllmenv {__version__} in {printable(PACKAGE)}")
    print(f"Python {platform.python_version()} in {printable(sys.executable)}")
    print(f"{platform.platform()}")
    for shell in render.QUOTE:
        path = shutil.which(shell)
        print(f"{shell} {_version(path) if path else 'not installed'}")


def _version(program: str) -> str:
    """Return the first line of what *program* says of its version."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", timeout=5
        )
    except (OSError, subprocess.SubprocessError) as error:
        return printable(str(error))
    return printable(done.stdout.partition("\n")[0], 100)


def _print_service(service: Service, state: str) -> None:
    print(f"\n# service {service.name}")
    for key in keys_of(service):
        value = getattr(service, key)
        hidden = dict.fromkeys(value, "...") if key in SECRET else value
        print(f"{key} = {toml_value(hidden)}")
    if service.url:
        return
    try:
        seen = inspect(service, state)
        files, sight = find(service, state)
    except Problem as problem:
        print(problem)
        return
    print(f"state {seen.state}, pid {seen.pid or '-'}: {printable(seen.detail, 700)}")
    print(f"sight {sight.state} {printable(sight.detail)}")
    if failure := read_failure(files):
        print(f"failed {failure.count} in a row: {failure.message}")
    _print_end(os.path.basename(files.log), files.log)


def _print_end(name: str, path: str) -> None:
    """Print the last lines of the log at *path*."""
    try:
        with open(path, "rb") as file:
            lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except OSError as error:
        print(f"\n# {name}: {error.strerror}")
        return
    print(f"\n# {name}, its last lines")
    for line in lines:
        print(printable(line, LINE_LIMIT))
