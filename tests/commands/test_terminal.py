"""What a terminal gets: colours, bold titles and a progress line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from commands.support import COMMAND, ended, on_a_terminal
from daemons import add, wait_until

if TYPE_CHECKING:
    from daemons import World


SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    "words",
    ["--help", "status", "doctor", "client", "config show", "nonsense", "stop nonsense"],
)
def test_no_color_on_a_terminal(world: World, words: str) -> None:
    world.write_config()
    said = ended(on_a_terminal(world, [*COMMAND, *words.split()], NO_COLOR="1"))[1]
    assert said
    assert "\x1b" not in said


@pytest.mark.parametrize("words", ["status", "doctor", "client"])
def test_a_table_on_a_terminal_has_bold_titles(world: World, words: str) -> None:
    world.write_config()
    assert "\x1b[1m" in ended(on_a_terminal(world, [*COMMAND, words]))[1]


@pytest.mark.parametrize("color", [False, True])
def test_a_slow_start_shows_a_progress_line(world: World, color: bool) -> None:
    world.write_config("gate")
    child = on_a_terminal(world, [*COMMAND, "start"], **({} if color else {"NO_COLOR": "1"}))
    child.expect("starting stub, see")
    assert not world.told("listening")
    before = child.before
    world.tell("go")
    status, said = ended(child)
    assert status == 0
    assert f"stub started, pid {world.check()}" in said
    assert bool(SGR.search(f"{before}{said}")) == color


def test_no_progress_line_without_a_terminal(world: World) -> None:
    world.write_config("gate")
    starting = world.begin([*COMMAND, "start"])
    wait_until(lambda: world.told("starts"))
    world.tell("go")
    out, err = starting.communicate(timeout=20)
    assert (out, err) == (f"stub started, pid {world.check()}\n", "")


def test_the_progress_line_shows_a_path_as_it_is(world: World) -> None:
    """Also one that reads like rich's markup, or that a terminal would obey."""
    world.env["XDG_STATE_HOME"] = f"{world.root}/a[/b]c[red]"
    world.write_config("gate")
    child = on_a_terminal(world, [*COMMAND, "start"])
    child.expect_exact("/a[/b]c[red]/llmenv/stub.log")
    world.tell("go")
    assert ended(child)[0] == 0


def test_the_progress_line_is_one_for_all_that_start(world: World) -> None:
    world.write_config("gate")
    add(world, "second")
    child = on_a_terminal(world, [*COMMAND, "start"])
    child.expect(r"starting stub, second, see \S+/\*.log")
    child.expect("second started, pid ")
    child.expect("starting stub, see")
    world.tell("go")
    status, said = ended(child)
    assert status == 0
    assert "stub started, pid " in said


@pytest.mark.parametrize("columns", ["0", "1", "3", "10", "-1", "x"])
@pytest.mark.parametrize("words", ["status", "doctor"])
def test_a_width_that_cannot_be_right_is_none(world: World, words: str, columns: str) -> None:
    world.write_config()
    usual = world.run([*COMMAND, words])
    world.env["COLUMNS"] = columns
    done = world.run([*COMMAND, words])
    assert done.stdout == usual.stdout
    assert "stub" in done.stdout


def test_a_terminal_that_says_no_width(world: World) -> None:
    world.write_config()
    child = on_a_terminal(world, ["sh", "-c", 'stty cols 1; exec "$@"', "sh", *COMMAND, "status"])
    assert re.search(r"service +state", SGR.sub("", ended(child)[1]))
