"""The run in the background, which the hook starts."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from daemons import (
    DEADLINE_S,
    PYTHON,
    World,
    alive,
    first,
    holders,
    starting,
    wait_until,
)
from outcomes import llmenv
from packed import ENSURE, LOAD, ensure


def test_the_hooks_call_leaves_its_callers_session_and_says_nothing(world: World) -> None:
    world.write_config("gate")
    kept = world.root / "kept"
    hold = f"os.dup2(os.open({str(kept)!r}, os.O_RDWR | os.O_CREAT), 9)"
    caller = world.begin(first(hold, world.hook_argv()), cwd=world.home)
    wait_until(lambda: world.told("starts"))
    fields = Path(f"/proc/{caller.pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(caller.pid), "a session of its own"
    assert os.readlink(f"/proc/{caller.pid}/cwd") == "/"
    assert holders(kept) == []
    world.tell("go")
    out, err = caller.communicate(timeout=DEADLINE_S)
    assert (caller.returncode, out, err) == (0, "", "")
    world.check()


def test_the_hooks_call_marks_when_it_passed(world: World) -> None:
    world.write_config()
    assert world.run(world.hook_argv()).returncode == 0
    os.utime(world.path("life"), (1e9, 1e9))
    assert world.run(world.hook_argv()).returncode == 0
    assert time.time() - world.path("life").stat().st_mtime < 60
    world.check()


def test_the_background_run_closes_what_is_open_and_no_more() -> None:
    """A limit of a thousand million descriptors, as in some containers, is not gone through."""
    code = f"{LOAD}\nos.closerange = None; os.dup2(1, 70); ensure.detach(); os.fstat(70)"
    done = subprocess.run([PYTHON, "-c", code, str(ENSURE)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "in <module>" in done.stderr.splitlines()[-2] or "Bad file descriptor" in done.stderr
    code = code.replace("os.fstat(70)", "os._exit(len([fd for fd in os.listdir('/dev/fd')]))")
    done = subprocess.run([PYTHON, "-c", code, str(ENSURE)], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr  # 0, 1, 2 and the listing's own


@pytest.mark.usefixtures("configured")
def test_a_hung_daemon_without_a_record_is_ended_although_the_hook_passes(world: World) -> None:
    starting(world, "mute")
    (old,) = world.daemons()
    world.path("life").write_bytes(b"")
    world.write_config(start_timeout=0.5)  # what runs now is older than that
    wait_until(lambda: (ensure.process_age(old) or 0) > 1)
    asked = world.begin(world.hook_argv())

    def ended() -> bool:
        os.utime(world.path("life"))  # as each pass does
        return not alive(old)

    wait_until(ended)
    asked.kill()


@pytest.mark.usefixtures("configured")
def test_an_address_that_others_can_reach_is_warned_about_by_the_hook_once(world: World) -> None:
    world.bind = f"0.0.0.0:{world.port}"
    world.write_config()
    assert "stub: 0.0.0.0" in llmenv(world, "hook", "bash").stderr
    assert llmenv(world, "hook", "bash").stderr == ""


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("kind", ["broken", "of the future"])
def test_such_a_config_does_not_ask_at_every_prompt(world: World, kind: str) -> None:
    world.run(world.hook_argv())
    if kind == "broken":
        world.config.write_text("[")
    else:
        os.utime(world.config, (time.time() + 9e6,) * 2)
    for _ in range(2):  # the first leaves it to the prompt to tell what is wrong
        assert newer(world.config, world.path("life"))
        world.run(world.hook_argv())
        if kind != "broken":
            break
    assert newer(world.path("life"), world.config)


def newer(one: Path, other: Path) -> bool:
    """As `-nt` of a shell."""
    return one.stat().st_mtime_ns > other.stat().st_mtime_ns
