"""What people type who know other tools: each row of the table does what it says, or answers."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from commands.support import complained, llmenv

from llmenv_hooks.commands import app
from llmenv_hooks.commands.guesses import ALIASES, HINTS
from llmenv_hooks.helper.errors import UsageError

if TYPE_CHECKING:
    from daemons import World

COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
# What an option is tried with: where it does not exist.
TRIED = {"--force": "init", "--purge": "uninstall", "--all": "client", "--dry-run": "client"}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `llmenv` with *words* in this process."""
    monkeypatch.setattr(sys, "argv", ["llmenv", *words])
    return app.run()


@pytest.mark.parametrize(("word", "command"), ALIASES.items())
def test_another_tools_word_for_a_command(
    word: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    wanted = capsys.readouterr().out
    assert run(monkeypatch, word, "--help") == 0
    assert capsys.readouterr().out == wanted.replace(f"llmenv {command}", f"llmenv {word}", 1)


@pytest.mark.parametrize(("typed", "answer"), HINTS.items())
def test_a_word_that_is_nothing_here_is_answered(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = typed.split()
    if typed.startswith("-"):
        words.insert(0, TRIED.get(typed, "status"))
    with pytest.raises(UsageError) as raised:
        run(monkeypatch, *words)
    assert str(raised.value).endswith(f"; {answer}")
    assert "Did you mean" not in str(raised.value)


@pytest.mark.parametrize("answer", [*HINTS.values()])
def test_what_an_answer_names_is_there(answer: str) -> None:
    named = set(re.findall(r"\bllmenv ([a-z]+)", answer))
    assert named <= {*COMMANDS, "connect"}, "`__main__` answers connect itself"


def test_the_answer_stands_in_the_one_line(world: World) -> None:
    said = complained(llmenv(world, "env"), 2)
    assert said == """llmenv: No such command 'env'; in this shell: eval "$(llmenv export bash)\""""


def test_a_slip_is_answered_as_before(world: World) -> None:
    said = complained(llmenv(world, "statu"), 2)
    assert said.startswith("llmenv: No such command 'statu'. Did you mean 'status', 'start'")
    assert said.endswith("? See llmenv --help")


@pytest.mark.parametrize("words", [("version",), ("-V",), ("--version",)])
def test_the_version(world: World, words: tuple[str, ...]) -> None:
    assert llmenv(world, *words).stdout == llmenv(world, "--version").stdout


@pytest.mark.parametrize("words", [(), ("status",), ("config", "get")], ids=" ".join)
def test_help_is_a_command_too(world: World, words: tuple[str, ...]) -> None:
    done = llmenv(world, "help", *words)
    assert (done.returncode, done.stdout) == (0, llmenv(world, *words, "--help").stdout)


def test_help_lists_the_commands_in_the_order_in_which_one_needs_them() -> None:
    needed = "init install client status doctor logs start stop restart".split()
    assert [name for name in COMMANDS if name in needed] == needed
