"""A patch that does not hit is an error, whoever makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packed import ENSURE, MISSED, UNKNOWN, did_its_part, ensure, patch

if TYPE_CHECKING:
    from daemons import World


def test_a_patch_replaces_what_the_helper_has(monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch, "hostname", lambda: "elsewhere")
    assert ensure.default_pid_path()
    assert ensure.instances("stub", "/")[1].stem == "stub@elsewhere"


def test_a_patch_of_what_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        patch(monkeypatch, "no_such_name", None)


def test_a_crash_at_a_function_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(AssertionError, match=f"there is no no_such_name to patch in {ENSURE}"):
        world.run(world.crash_argv("no_such_name", "before", may_miss=True))
    assert world.told("starts") == []


@pytest.mark.parametrize("when", ["before", "child-after"])
def test_a_crash_that_never_comes_is_an_error(world: World, when: str) -> None:
    argv = world.crash_argv("pwrite", when, 1000)
    with pytest.raises(AssertionError, match="call 1000 of pwrite was never reached"):
        world.run(argv)


def test_no_such_end_passes_for_one_of_the_helpers() -> None:
    for status in (UNKNOWN, MISSED):
        with pytest.raises(AssertionError, match="why"):
            did_its_part(status, "why")
    for status in (0, 1, 2, 75, 130, -9):
        did_its_part(status, "")
