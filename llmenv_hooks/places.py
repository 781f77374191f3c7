"""Where the user's files lie, as platformdirs says it, for all but the helper and `llmenv hook`.

Those two have the same rule by hand (`xdg_directory`): the helper may import nothing, and
platformdirs takes longer to import than the rest of `llmenv hook`.  The Unix class is for macOS
too, so that a hook and a command look in one place.

XDG Base Directory Specification: an empty or relative variable counts as unset.
"""

from __future__ import annotations

import os

from platformdirs.unix import Unix

from llmenv_hooks.helper.errors import Problem

PACKAGE = os.path.dirname(os.path.abspath(__file__))


def home() -> str:
    """Return the user's home directory.

    Raises:
        Problem: HOME does not say where that is.
    """
    path = os.environ.get("HOME", "")
    if not os.path.isabs(path):
        raise Problem("cannot tell where your files are: HOME is no absolute path; set HOME")
    return path


def data_directory() -> str:
    """Return the absolute path of the llmenv directory under XDG_DATA_HOME; it need not exist.

    Raises:
        Problem: neither XDG_DATA_HOME nor HOME is an absolute path.
    """
    _refuse_the_account_database("XDG_DATA_HOME")
    return Unix("llmenv").user_data_dir


def config_home() -> str:
    """Return the absolute path of the directory in which every program has its config.

    Raises:
        Problem: neither XDG_CONFIG_HOME nor HOME is an absolute path.
    """
    _refuse_the_account_database("XDG_CONFIG_HOME")
    return Unix().user_config_dir


def _refuse_the_account_database(variable: str) -> None:
    """See that *variable* or HOME says where; without both platformdirs asks getpwuid(3).

    The helper does not: under sudo or in a container that names somebody else's home.
    """
    if not os.path.isabs(os.environ.get(variable, "")):
        home()
