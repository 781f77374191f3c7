"""LLMENV_DEBUG: the hook says whom it asks, and the background run what it sees and decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import wait_until
from shells import EACH, Shell

if TYPE_CHECKING:
    from daemons import World


@pytest.mark.usefixtures("configured")
@EACH
def test_the_hook_tells_what_it_does(world: World, name: str) -> None:
    world.env["LLMENV_DEBUG"] = "1"
    log = world.state / "helper.log"
    with Shell(name, world) as shell:
        wait_until(world.proved)
        wait_until(lambda: "spawned" in log.read_text())
        assert f"which tells {log}" in shell.startup
    told = [line.partition(" llmenv: ")[2] for line in log.read_text().splitlines()]
    assert told[0] == f"{world.config}: keeps stub"
    assert told[1] == "stub: seen to be down"
    assert f"stub: spawned, pid {world.check()}" in told
