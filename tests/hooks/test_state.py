"""A state directory that cannot be written is told once a shell, and by `doctor`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import need_root, wait_until
from packed import ensure
from shells import EACH, Shell, helpers, until

if TYPE_CHECKING:
    from daemons import World

DOCTOR = [sys.executable, "-m", "llmenv_hooks", "doctor", "--json"]
# Runs a command where the state directory is, in this order: on a read-only mount, on a full disk.
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
FULL = (
    'mount -t tmpfs -o size=64k,mode=700 none "$0" && chmod 700 "$0" &&'
    ' { head -c 1m /dev/zero >"$0/other" 2>/dev/null; exec "$@"; }'
)
TOLD = {READ_ONLY: "Read-only file system", FULL: "No space left on device"}


def complaint(world: World) -> str:
    """Return what the prompt has to tell of the state directory, "" for nothing."""
    found = [Path(path) for path in ensure.complaint_paths(str(world.state))]
    return "".join(path.read_text() for path in found if path.exists())


def break_state(world: World, how: str) -> str:
    """Make the state directory of *world* one that cannot be used; return what is said of it."""
    world.state.parent.mkdir(parents=True, exist_ok=True)
    if how == "no directory":
        world.state.write_text("")
        told = f"{world.state} is no directory"
    elif how == "above is no directory":
        world.state.parent.rmdir()
        world.state.parent.write_text("")
        told = f"{world.state.parent} is no directory"
    else:
        need_root()
        world.state.mkdir()
        os.chown(world.state, 65534, 65534)
        told = f"{world.state} belongs to user nobody"
    return told


HOW = ("no directory", "above is no directory", "somebody else's")


@EACH
@pytest.mark.parametrize("how", HOW)
def test_a_state_that_cannot_be_used_is_told_once(world: World, name: str, how: str) -> None:
    told = break_state(world, how)
    with Shell(name, world) as shell:
        said = until(shell, "llmenv: ")
        assert told in said
        assert len(said.splitlines()) == 1
        for _ in range(5):
            assert shell.run() == (0, "")
        wait_until(lambda: not helpers(world))


@pytest.mark.parametrize("how", HOW)
def test_doctor_says_it_too(world: World, how: str) -> None:
    told = break_state(world, how)
    found = json.loads(world.run(DOCTOR).stdout)
    (state,) = (one for one in found if one["check"] == "state directory")
    assert state["verdict"] == "fail"
    assert told in state["found"] or "of user 65534" in state["found"]
    assert state["todo"]


@pytest.mark.parametrize("where", [READ_ONLY, FULL])
def test_a_disk_that_cannot_be_written(world: World, where: str) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    inside = [*world.unshare("-m"), "sh", "-c", where, str(world.state)]
    assert world.run([*inside, *world.hook_argv()]).returncode == 1
    assert TOLD[where] in complaint(world)
    assert str(world.state) in complaint(world)
    found = json.loads(world.run([*inside, *DOCTOR]).stdout)
    (state,) = (one for one in found if one["check"] == "state directory")
    assert (state["verdict"], TOLD[where] in state["found"]) == ("fail", True)
    assert world.run(world.hook_argv()).returncode == 0
    assert complaint(world) == "", "all is well again"
    world.check()
