"""The house: how large a room may be, and what it may take from which other.

A room is a module.  Rooms are read in one sitting, take only what another has opened to them, need
no circle of imports, and the helper and its companions run on the standard library alone.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = "llmenv_hooks"
ROOM_LINES = 300
TEST_LINES = 600
# Rooms that have to work where only Python is installed, and the rooms that they may use.
ON_THEIR_OWN = {
    f"{PACKAGE}.helper": (f"{PACKAGE}.helper",),
    f"{PACKAGE}.bridge": (f"{PACKAGE}.bridge", f"{PACKAGE}.helper"),
    f"{PACKAGE}.connect": (f"{PACKAGE}.connect", f"{PACKAGE}.helper"),
}


def module_name(path: Path) -> str:
    """Return the name by which *path* is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


ROOMS = {module_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in ROOMS.items()}


def is_below(name: str, package: str) -> bool:
    """Say whether *name* is *package*, or something in it."""
    return f"{name}.".startswith(f"{package}.")


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Yield what *room* imports, wherever in it: the module, and the name it has there."""
    for node in ast.walk(TREES[room]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room}:{node.lineno}: say the whole name of the module"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if module in ROOMS else str(node.module), alias.asname or alias.name


def used_rooms(room: str) -> set[str]:
    """Return the rooms that *room* imports."""
    return {module for module, _ in imports(room) if module in ROOMS}


def private_uses(room: str) -> Iterator[str]:
    """Yield each underscored name of another room that *room* takes, with its place."""
    modules = {name: module for module, name in imports(room) if module in ROOMS}
    for node in ast.walk(TREES[room]):
        if isinstance(node, ast.ImportFrom) and is_below(str(node.module), PACKAGE):
            for alias in node.names:
                if is_private(alias.name):
                    yield f"{room}:{node.lineno} {node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            module = modules.get(ast.unparse(node.value), room)
            if module != room:
                yield f"{room}:{node.lineno} {module}.{node.attr}"


def is_private(name: str) -> bool:
    """Say whether *name* begins with one underscore; `__version__` and the like are Python's."""
    return name.startswith("_") and not name.startswith("__")


def test_a_room_is_read_in_one_sitting() -> None:
    limits = dict.fromkeys(ROOMS.values(), ROOM_LINES)
    limits |= dict.fromkeys((ROOT / "tests").rglob("*.py"), TEST_LINES)
    lines = {path: len(path.read_text().splitlines()) for path in limits}
    assert {str(path): lines[path] for path in limits if lines[path] > limits[path]} == {}


def test_no_room_takes_an_underscored_name_of_another() -> None:
    assert [use for room in ROOMS for use in private_uses(room)] == []


def test_rooms_import_each_other_in_no_circle() -> None:
    list(TopologicalSorter({room: used_rooms(room) for room in ROOMS}).static_order())


@pytest.mark.parametrize("package", ON_THEIR_OWN)
def test_the_helper_and_its_companions_need_the_standard_library_alone(package: str) -> None:
    rooms = [room for room in ROOMS if is_below(room, package)]
    foreign = {
        f"{room} imports {module}"
        for room in rooms
        for module, _ in imports(room)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not any(is_below(module, own) for own in ON_THEIR_OWN[package])
    }
    assert rooms != []
    assert foreign == set()


def test_what_the_package_imports_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["check"]
    names = {re.split(r"[^\w-]", one)[0].lower() for one in declared}
    imported = {module.partition(".")[0] for room in ROOMS for module, _ in imports(room)}
    foreign = imported - set(sys.stdlib_module_names) - {PACKAGE}
    distributions = packages_distributions()
    assert "typer" in foreign
    assert {distributions[name][0].lower() for name in foreign} <= names
