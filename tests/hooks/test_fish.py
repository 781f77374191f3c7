"""What is so in fish alone."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from daemons import (
    World,
    wait_until,
)
from shells import (
    ONE_MINUTE,
    Shell,
    hook_text,
    shows,
)


def test_fish_that_repaints_asks_once(world: World, helper: Path) -> None:
    with Shell("fish", world, hook=hook_text(world, "fish", helper=helper)) as shell:
        wait_until(lambda: world.told("calls"))
        shell.run("emit fish_prompt; emit fish_prompt; emit fish_prompt")
        shell.run()
    assert len(world.told("calls")) == 1


@pytest.mark.parametrize("named", [True, False])
def test_fish_knows_its_terminal(world: World, helper: Path, named: bool) -> None:
    """By its name, unless that is another file's in this mount namespace."""
    text = hook_text(world, "fish", proc=True, helper=helper)
    environment = {}
    if not named:
        hide = "mount -t tmpfs none /dev/pts && touch $(readlink /proc/self/fd/0) && exec"
        unshare = shlex.join(world.unshare("-m"))
        program = world.root / "elsewhere" / "fish"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\nexec {unshare} sh -c \'{hide} {shutil.which("fish")} "$@"\' sh "$@"\n'
        )
        program.chmod(0o755)
        environment["PATH"] = f"{program.parent}:{world.env['PATH']}"
    with Shell("fish", world, hook=text, environment=environment) as shell:
        name = str(Path(f"/proc/{shell.pid}/fd/0").readlink())
        assert shows(shell, "__llmenv_terminal") == (name if named else "/proc/self/fd/0")


@pytest.mark.parametrize("function", ["string", "read", "test"])
def test_fish_refuses_functions_of_these_names(world: World, helper: Path, function: str) -> None:
    """Which is why the hook may use what they name."""
    text = hook_text(world, "fish", helper=helper)
    with Shell("fish", world, hook=text) as shell:
        assert "reserved" in shell.run(f"function {function}; echo bad; end")[1]
        wait_until(lambda: len(world.told("calls")) == 1)
        world.path("fail").parent.mkdir(parents=True)
        world.path("fail").write_text("stub: reason\nv1 data .\n")
        assert shell.run(ONE_MINUTE["fish"])[1] == "llmenv: stub: reason"
        wait_until(lambda: len(world.told("calls")) == 2)
