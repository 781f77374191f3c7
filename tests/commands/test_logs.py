"""`llmenv logs`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from commands.support import llmenv, refused

if TYPE_CHECKING:
    from daemons import World


def test_the_last_lines_are_shown_harmless(world: World) -> None:
    refused(llmenv(world, "logs"), 1, "stub has not written anything yet")
    world.state.mkdir(parents=True, mode=0o700)
    world.path("log.1").write_text("old one\nold two\n")
    world.path("log").write_text("new \x1b[31mred\x07\n")
    assert llmenv(world, "logs").stdout == "old one\nold two\nnew ?[31mred?\n"
    assert llmenv(world, "logs", "-n", "2").stdout == "old two\nnew ?[31mred?\n"


def test_logs_follow_a_log_that_is_cut(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    log = world.path("log")
    log.write_text("first line\n")
    following = world.begin([sys.executable, "-u", "-m", "llmenv_hooks", "logs", "-f"])
    assert following.stdout is not None
    assert following.stdout.readline() == "first line\n"
    with log.open("a") as file:
        file.write("second line\n")
    assert following.stdout.readline() == "second line\n"
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write("third\n")
    assert following.stdout.readline() == "third\n"
    following.send_signal(2)
    assert following.wait(10) == 130
