"""The programs beside the one file: the bridge, and what an agent runs.

They are llmenv-bridge.py and llmenv-connect.py where this is llmenv-ensure.py, and modules of the
package otherwise.  Either is run as a module: Python keeps no bytecode of a script, and to compile
one takes as much memory again as all else, for as long as it runs.
"""

from __future__ import annotations

import os
import sys

from llmenv_hooks.helper.errors import Problem, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PARTS = HELPER, BRIDGE, CONNECT = "ensure", "bridge", "connect"
MODULES = {BRIDGE: "llmenv_hooks.bridge.program", CONNECT: "llmenv_hooks.connect.connector"}
BOOT = (
    "import sys; where, _, name = sys.argv.pop(1).rpartition('/'); sys.path.append(where);"
    " name = name.removesuffix('.py'); __import__(name); sys.exit(sys.modules[name].main())"
)


def companion(packed: str, part: str) -> str:
    """Return where *part*, one of PARTS, lies beside another at the path *packed*.

    Raises:
        Problem: that is no name of one.
    """
    directory, name = os.path.split(packed)
    for own in PARTS:
        if own in name:
            return os.path.join(directory, name.replace(own, part, 1))
    raise Problem(f"{printable(packed)}: rename it; what lies beside it is found by `{HELPER}`")


def program(part: str) -> str:
    """Return what BOOT loads: the path of the packed *part*, or of the package's module.

    Raises:
        Problem: this is a packed file, and that part is not beside it.
    """
    here = os.path.abspath(__file__)
    if __name__.startswith("llmenv_hooks."):
        root = os.path.dirname(os.path.dirname(os.path.dirname(here)))
        return os.path.join(root, MODULES[part])
    packed = companion(here, part)
    if os.path.isfile(packed):
        return packed
    raise Problem(f"{printable(packed)} is not there; copy it too: llmenv-ensure --pack writes all")


def command_of_part(part: str, *words: str, first: str = "") -> list[str]:
    """Return the argv that runs *part* with *words*, after the Python statements *first*.

    Raises:
        Problem: it is not there.
    """
    return [sys.executable, "-I", "-S", "-c", first + BOOT, program(part), *words]


def become(part: str, *words: str) -> NoReturn:
    """Run *part* with *words* in place of this process.

    Raises:
        Problem: it is not there.
    """
    command = command_of_part(part, *words)
    os.execv(command[0], command)
