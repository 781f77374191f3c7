"""`llmenv logs`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv, refused
from daemons import add

if TYPE_CHECKING:
    from daemons import World

OLD = "2020-01-02T03:04:05+0000 llmenv:"


def start_line(seconds_ago: float = 0) -> str:
    """Return the line that a start so long ago begins with."""
    then = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(time.time() - seconds_ago))
    return f"{then} llmenv: starting stub: asked to"


def write_log(world: World, *lines: str) -> None:
    world.state.mkdir(parents=True, mode=0o700, exist_ok=True)
    world.path("log").write_text("".join(f"{line}\n" for line in lines))


def test_the_last_lines_are_shown_harmless(world: World) -> None:
    refused(llmenv(world, "logs"), 1, "stub has not written anything yet")
    world.state.mkdir(parents=True, mode=0o700)
    world.path("log.1").write_text("old one\nold two\n")
    world.path("log").write_text("new \x1b[31mred\x07\n")
    assert llmenv(world, "logs").stdout == "old one\nold two\nnew ?[31mred?\n"
    assert llmenv(world, "logs", "-n", "2").stdout == "old two\nnew ?[31mred?\n"


def test_it_begins_with_the_last_start(world: World) -> None:
    """Also where that is in the older file."""
    write_log(world, "ready", "working")
    start = start_line()
    world.path("log.1").write_text(f"{OLD} starting stub: asked to\nfirst life\n{start}\n")
    assert llmenv(world, "logs").stdout == f"{start}\nready\nworking\n"
    assert llmenv(world, "logs", "-n", "4").stdout.startswith("first life\n")
    assert llmenv(world, "logs", "-n", "0").stdout == ""


@pytest.mark.parametrize("option", ["-n", "--tail", "--lines"])
def test_a_server_that_talks_does_not_fill_the_screen(world: World, option: str) -> None:
    write_log(world, start_line(), *map(str, range(500)))
    assert llmenv(world, "logs").stdout.splitlines() == [str(n) for n in range(400, 500)]
    assert len(llmenv(world, "logs", option, "300").stdout.splitlines()) == 300


def test_since(world: World) -> None:
    write_log(world, f"{OLD} starting stub: asked to", "old", start_line(90), "new")
    for when in ("2m", "1h", "2020-01-03"):
        assert llmenv(world, "logs", "--since", when).stdout.splitlines()[1:] == ["new"]
    assert llmenv(world, "logs", "--since", "2019-01-01").stdout.splitlines()[1] == "old"
    assert llmenv(world, "logs", "--since", "30s").stdout == ""
    for wrong in ("yesterday", "5 m", ""):
        refused(llmenv(world, "logs", "--since", wrong), 2, "--since wants 30m, 2h, 1d or")


def test_all_services_each_line_with_its_name(world: World) -> None:
    add(world, "more")
    write_log(world, "one")
    (world.state / "more.log").write_text("two\n")
    assert llmenv(world, "logs").stdout == "stub | one\nmore | two\n"
    assert llmenv(world, "logs", "more", "stub").stdout == "more | two\nstub | one\n"
    assert llmenv(world, "logs", "more").stdout == "two\n"


@pytest.mark.parametrize("option", ["-f", "--follow"])
def test_logs_follow_a_log_that_is_cut(world: World, option: str) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    log = world.path("log")
    log.write_text("first line\n")
    following = world.begin([sys.executable, "-u", "-m", "llmenv_hooks", "logs", option])
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
