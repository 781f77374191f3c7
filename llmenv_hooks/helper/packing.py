"""The one file: the rooms of a program, one after the other, as one text.

Owns llmenv-ensure.py, what the hooks call, what the tests drive, and what people copy to another
machine; and its companions beside it.  SQLite ships its amalgamation the same way.  The same
source gives the same bytes under every Python, since the text is taken as it stands, but for two
things that are left out: imports among rooms, also those in functions; and what is for type
checkers, which each run would load.  Variables keep their types, as strings.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.companions import BRIDGE, CONNECT, HELPER, companion, program
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable

# Each program, and the rooms that it begins with; the one file comes last, since others name it.
PROGRAMS = {
    BRIDGE: ("llmenv_hooks.bridge.__main__",),
    CONNECT: ("llmenv_hooks.connect.__main__",),
    HELPER: ("llmenv_hooks.helper.seed", "llmenv_hooks.helper.__main__"),
}

HEADING = """\
# {name} {version}: generated from the rooms of llmenv_hooks; change those, not this file.
# SPDX-License-Identifier: MIT
import sys

if sys.version_info < (3, 11):
    sys.exit("{name} needs Python 3.11 or newer, not %d.%d" % sys.version_info[:2])

"""


class Room:
    """One module on its way into the one file.

    *name* is its full name; *uses* are the full names of the rooms it imports from; *imports* are
    lines; *text* is the rest; *defines* its names.
    """

    def __init__(self, name: str, source: str) -> None:
        import ast

        self.name = name
        self.uses: set[str] = set()
        self.imports: set[str] = set()
        self.defines: list[str] = []
        self.text = ""
        source = _without_annotations(source)
        lines = source.splitlines(keepends=True)
        body = ast.parse(source).body
        for node in body:
            self._leave_out_inner(node, lines)
        done = 0
        for node in body:
            first, last = done, node.end_lineno or 0
            done = last
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmenv_hooks."):
                self.uses |= _rooms_of(node)
            elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self.imports.add(lines[last - 1])
            elif not _is_for_type_checkers(node):
                self.defines += _names(node)
                self.text += "".join(lines[first:last])
        self.text = self.text.strip("\n") + "\n"

    def _leave_out_inner(self, outer: ast.stmt, lines: list[str]) -> None:
        """Take the imports of rooms in the functions of *outer* out of *lines*."""
        import ast

        if not isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return
        for node in ast.walk(outer):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmenv_hooks."):
                self.uses |= _rooms_of(node)
                first, last = node.lineno - 1, node.end_lineno or node.lineno
                last += not lines[last].strip()  # with the blank line that divides them from code
                lines[first:last] = [""] * (last - first)


def _is_for_type_checkers(node: ast.stmt) -> bool:
    """True for `TYPE_CHECKING = False`, and for what stands under `if TYPE_CHECKING:`."""
    import ast

    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return _names(node) == ["TYPE_CHECKING"]


def _without_annotations(source: str) -> str:
    """Return *source* with no annotation in a signature, and elsewhere each as a string.

    A field of a dataclass is one by its annotation.
    """
    import ast
    from itertools import accumulate

    whole = source.encode()
    starts = [0, *accumulate(map(len, whole.splitlines(keepends=True)))]

    def span(node: ast.expr | ast.arg) -> tuple[int, int]:
        last = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return starts[node.lineno - 1] + node.col_offset, last

    changes: list[tuple[int, int, bytes]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            first, last = span(node.returns)
            changes.append((whole.rindex(b" ->", 0, first), last, b""))
        elif isinstance(node, ast.arg) and node.annotation:
            first, last = span(node)
            changes.append((first, last, node.arg.encode()))
        elif isinstance(node, ast.AnnAssign):
            first, last = span(node.annotation)
            text = " ".join(whole[first:last].decode().split())
            changes.append((first, last, repr(text).encode()))
    for first, last, new in sorted(changes, reverse=True):
        whole = whole[:first] + new + whole[last:]
    return whole.decode()


def _rooms_of(node: ast.ImportFrom) -> set[str]:
    """Return the rooms that `from ROOM import NAMES` or `from PACKAGE import ROOMS` takes."""
    module = str(node.module)
    if module.count(".") == 1:
        return {f"{module}.{alias.name}" for alias in node.names}
    return {module}


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    import ast

    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    found = [one for target in targets if target for one in ast.walk(target)]
    return [one.id for one in found if isinstance(one, ast.Name)]


def packed_programs() -> dict[str, bytes]:
    """Return the text of each program in PROGRAMS; where this is one of them, as they lie there.

    Raises:
        Problem: one is not there.
        OSError: one cannot be read.
    """
    if __name__.startswith("llmenv_hooks."):
        return {part: packed(f"llmenv-{part}", rooms) for part, rooms in PROGRAMS.items()}
    return {part: _read(__file__ if part == HELPER else program(part)) for part in PROGRAMS}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def packed(name: str, begin: Iterable[str]) -> bytes:
    """Return the rooms that *begin* a program *name*, and all that they use, as one text.

    Raises:
        ValueError: two rooms define the same name, or import each other.
    """
    rooms: dict[str, Room] = {}
    ordered: list[Room] = []
    for first in begin:
        _collect(first, rooms)
        _place(rooms[first], rooms, ordered, [])
    owners: dict[str, str] = {}
    for room in ordered:
        for defined in room.defines:
            if defined in owners:
                raise ValueError(f"{defined} is defined in {owners[defined]} and in {room.name}")
            owners[defined] = room.name
    imports = sorted(set().union(*(room.imports for room in ordered)) - {"import sys\n"})
    text = HEADING.format(name=name, version=__version__) + "".join(imports)
    for room in ordered:
        text += f"\n\n# {'-' * 8} {room.name.rpartition('.')[2]} {'-' * 8}\n\n{room.text}"
    return text.encode()


def _collect(name: str, rooms: dict[str, Room]) -> None:
    """Read the room *name*, and all that it uses, into *rooms*."""
    if name in rooms:
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, *name.split(".")) + ".py", encoding="utf-8") as file:
        rooms[name] = Room(name, file.read())
    for used in sorted(rooms[name].uses):
        _collect(used, rooms)


def _place(room: Room, rooms: dict[str, Room], ordered: list[Room], above: list[str]) -> None:
    """Put *room* into *ordered*, after all that it uses."""
    if room in ordered:
        return
    if room.name in above:
        raise ValueError(f"a circle of imports: {' > '.join([*above, room.name])}")
    for used in sorted(room.uses):
        _place(rooms[used], rooms, ordered, [*above, room.name])
    ordered.append(room)


def pack(path: str) -> None:
    """Write llmenv-ensure.py to the absolute *path*, and its companions beside it.

    Their names have `bridge` or `connect` where that of *path* has `ensure`.  Each is put there by
    rename.

    Raises:
        UsageError: the name of *path* is no such name.
        Problem: they cannot be written.
    """
    if [part for part in PROGRAMS if part in os.path.basename(path)] != [HELPER]:
        raise UsageError(f"--pack wants a name with `{HELPER}` in it, not {printable(path)}")
    for part, content in packed_programs().items():
        place = companion(path, part)
        temporary = place + ".tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
            os.replace(temporary, place)
        except OSError as error:
            raise Problem(f"cannot write {printable(place)}: {error.strerror or error}") from None
