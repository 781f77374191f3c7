"""`llmenv` itself: its usage, its help, what it prints where, and a reader that leaves."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
from commands.support import complained, llmenv, refused
from daemons import PYTHON

if TYPE_CHECKING:
    from daemons import World


@pytest.mark.parametrize("command", ["start", "stop", "restart", "logs"])
def test_an_unknown_service_is_refused(world: World, command: str) -> None:
    refused(llmenv(world, command, "nope\x1b"), 2, "no service 'nope?' in ", "; there is: stub")


@pytest.mark.parametrize("command", ["hook", "export"])
def test_what_is_evaluated_fails_aloud(world: World, command: str) -> None:
    done = llmenv(world, command, "tcsh")
    complained(done, 2, "no hook for 'tcsh'; there is: bash, zsh, fish")
    assert done.stdout == "false\n"


@pytest.mark.parametrize(
    "words", [["status"], ["start"], ["check"], ["export", "bash"], ["hook", "zsh"]]
)
def test_a_wrong_config_is_refused(world: World, words: list[str]) -> None:
    world.config.write_text('[services.stub]\nbind = "localhost:1"\ncommand = ["x"]\n')
    complained(llmenv(world, *words), 2, f"{world.config}:2: services.stub.bind: bad address")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nope\x1b", "No such command 'nope.+'; see llmenv --help"),
        ("status --nope", "No such option: --nope; see llmenv status --help"),
        ("logs -n x", "'-n'.* integer; see llmenv logs --help"),
        ("hook", "Missing argument 'SHELL'; see llmenv hook --help"),
        ("start a b", "no service .a. in .*; there is: stub"),
        ("doctor a", r"unexpected extra argument.*; see llmenv doctor --help"),
        ("config nope", "No such command 'nope'; see llmenv config --help"),
        ("--show-completion", "requires an argument; see llmenv --help"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: str, said: str) -> None:
    done = llmenv(world, *words.split())
    complained(done, 2)
    assert re.search(f"^llmenv: .*{said}$", done.stderr)
    assert done.stderr.rstrip("\n").isprintable()
    assert done.stdout == ("false\n" if words == "hook" else "")


@pytest.mark.parametrize("words", [(), ("config",), ("hook",), ("config", "show")], ids=" ".join)
def test_help_is_asked_for_by_h_too(world: World, words: tuple[str, ...]) -> None:
    done = llmenv(world, *words, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == llmenv(world, *words, "--help").stdout
    if words in ((), ("config",)):  # a group, with no command named
        assert done.stdout == llmenv(world, *words).stdout


@pytest.mark.parametrize(
    "words",
    [
        *("hook bash", "hook zsh", "export fish", "status", "status --json", "start", "doctor"),
        *("client", "config path", "--help", "--version"),
    ],
)
def test_what_cannot_be_written_is_told(world: World, words: str) -> None:
    """Nothing follows that a shell would evaluate, nor what Python says when it ends."""
    command = f"'{PYTHON}' -m llmenv_hooks {words}"
    for redirected in (">/dev/full", ">&-"):
        done = world.run(["bash", "-c", f"{command} {redirected}"])
        refused(done, 1, "llmenv: cannot write to standard output: ")


def test_what_is_told_never_goes_to_stdout(world: World) -> None:
    """Where stderr is closed, Python prints to stdout in its place."""
    done = world.run(["bash", "-c", f"'{PYTHON}' -m llmenv_hooks hook tcsh 2>&-"])
    assert (done.returncode, done.stdout) == (2, "false\n")
    world.tell("answer", "{}")
    done = world.run(["bash", "-c", f"'{PYTHON}' -m llmenv_hooks client zed 2>&-"])
    assert "goes into" not in done.stdout


def test_a_reader_that_leaves_gets_no_traceback(world: World) -> None:
    done = world.run(["bash", "-c", f"'{sys.executable}' -m llmenv_hooks hook bash | true"])
    assert "Traceback" not in done.stderr


# A typer that has moved what is private to it.
MOVED = """
import sys, typer, typer._completion_classes, typer._completion_shared
del typer._completion_classes.completion_init, typer._completion_shared.get_completion_script
from llmenv_hooks.__main__ import main
main()
"""


def test_a_typer_that_has_moved_what_is_private_breaks_completion_alone(world: World) -> None:
    done = world.run([PYTHON, "-c", MOVED, "status", "--json"])
    assert (done.stderr, json.loads(done.stdout)[0]["state"]) == ("", "down")
    assert "ImportError" in world.run([PYTHON, "-c", MOVED, "--show-completion", "zsh"]).stderr


def test_a_command_imports_nothing_that_it_does_not_use(world: World) -> None:
    done = world.run([PYTHON, "-X", "importtime", "-m", "llmenv_hooks", "--version"])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported  # so that we know how to read it
    assert imported.isdisjoint({"rich.console", "tomlkit", "http.client", "asyncio", "jinja2"})
