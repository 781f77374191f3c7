"""Several services at the prompt: each is seen to have died, and costs next to nothing."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from daemons import (
    World,
    add,
    kill,
    listening,
    starts,
    wait_until,
)
from outcomes import llmenv
from shells import (
    SHELLS,
    STEADY,
    Shell,
    helpers,
    hook_text,
    prompts_until,
    traced,
)

pytestmark = pytest.mark.usefixtures("configured")


@pytest.mark.parametrize("name", SHELLS)
def test_without_autostart_the_prompt_leaves_it_alone(world: World, name: str) -> None:
    asked = add(world, "asked", "autostart = false")
    assert "asked.alive" not in hook_text(world, name)
    with Shell(name, world) as shell:
        wait_until(world.proved)
        shell.run()
        assert not (asked / "starts").exists()
        assert "LLMENV_ASKED_URL" in shell.run("env")[1]
    assert "asked" not in world.run(world.bare()).stdout
    assert llmenv(world, "status").returncode == 0
    assert "asked" not in llmenv(world, "start").stdout
    assert (
        llmenv(world, "restart").stdout.splitlines()[0]
        == "asked was not running; autostart = false"
    )
    assert not (asked / "starts").exists()
    assert llmenv(world, "start", "asked").returncode == 0
    assert listening(asked)
    assert "asked started" in llmenv(world, "restart").stdout
    assert "asked stopped" in llmenv(world, "stop").stdout


@pytest.mark.parametrize("name", SHELLS)
def test_what_keeps_it_from_starting_at_all_is_told_at_the_prompt(world: World, name: str) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    world.path("log").symlink_to("/dev/null")
    with Shell(name, world) as shell:
        said = ""
        wait_until(lambda: world.path("fail").exists())

        def told() -> bool:
            nonlocal said
            said += shell.run()[1]
            return "not a regular file" in said

        wait_until(told)
        world.path("log").unlink()


@pytest.mark.parametrize("name", SHELLS)
def test_a_steady_prompt_opens_nothing_and_looks_at_a_proof_each(world: World, name: str) -> None:
    """And at the config; in fish also at the time when the next pass is due."""
    add(world, "other")
    stats = "stat,lstat,newfstatat,statx,access,faccessat,faccessat2"
    with Shell(name, world, prompt=STEADY.get(name)) as shell:
        wait_until(lambda: world.proved() and (world.state / "other.alive").exists())
        wait_until(lambda: not helpers(world))
        shell.run()
        calls = traced(shell, world, 3, f"open,openat,openat2,{stats}")
        assert not [call for call in calls if "uptime" in call]
        ours = [call for call in calls if str(world.root) in call]
        assert not [call for call in ours if "open" in call.split("(")[0]]
        names = ["other.alive", "stub.alive", world.config.name]
        names += ["stub.proof"] * (name == "fish")
        assert sorted(Path(call.split('"')[1]).name for call in ours) == sorted(names * 3)
        os.utime(world.path("proof"), (1e9, 1e9))
        calls = traced(shell, world, 3, "open,openat,openat2")
        assert len([call for call in calls if "uptime" in call]) == 3 * (name == "fish")


@pytest.mark.parametrize("modes", ["", "close-fds"])
@pytest.mark.parametrize("name", SHELLS)
def test_each_service_that_died_is_back_after_the_next_prompt(
    world: World, name: str, modes: str
) -> None:
    """And none is asked for while all live, those too that are known by their output alone."""
    world.write_config()
    more = [add(world, other, modes=modes) for other in ("second", "third")]
    with Shell(name, world) as shell:
        wait_until(lambda: world.proved() and all(map(listening, more)))
        for oracle in more:
            wait_until(lambda: not helpers(world))
            (pid,) = starts(oracle)
            for _ in range(3):
                assert shell.run() == (0, "")
            assert not helpers(world)
            kill(pid)
            prompts_until(shell, partial(starts, oracle, least=2))
