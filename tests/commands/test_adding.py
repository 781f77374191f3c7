"""`llmenv add`, `remove` and `url`, and `llmenv config edit` and `get`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands.support import COMMAND, ended, llmenv, on_a_terminal, program, refused
from daemons import free_port

from llmenv_hooks.helper.configfiles import load_config

if TYPE_CHECKING:
    from daemons import World


def test_a_service_is_added_and_removed(world: World) -> None:
    before = world.config.read_text()
    command = ["npx", "-y", "a b", "${HOME}", "--flag"]
    assert llmenv(world, "add", "notes", "--", *command).returncode == 0
    stub, notes = load_config(str(world.config)).services
    assert (stub.name, notes.name) == ("stub", "notes")
    assert notes.command == [*command[:3], "$${HOME}", "--flag"], "the shell has expanded it"
    assert world.config.read_text().startswith(before)
    done = llmenv(world, "remove", "notes")
    assert done.stdout.startswith(f"removed notes from {world.config}\n")
    assert [one.name for one in load_config(str(world.config)).services] == ["stub"]
    refused(llmenv(world, "remove", "stub"), 1, "stub is the last service")


def test_what_is_added_runs_and_what_is_removed_does_not(world: World) -> None:
    bind = f"127.0.0.1:{free_port()}"
    world.config.write_text(f'[services.other]\ncommand = ["x"]\nbind = "{bind}"\n')
    assert llmenv(world, "add", "--bind", world.bind, "stub", "--", *world.stub()).returncode == 0
    world.config.write_text(world.config.read_text() + "bridge = false\n")
    assert llmenv(world, "start", "stub").returncode == 0
    world.check()
    assert llmenv(world, "remove", "stub").stdout.startswith("stopped and removed stub")
    assert not world.daemons()
    # What is added again has not been stopped by anybody.
    assert llmenv(world, "add", "--bind", world.bind, "stub", "--", *world.stub()).returncode == 0
    (row,) = json.loads(llmenv(world, "status", "stub", "--json").stdout)
    assert row["state"] == "down"


def test_the_first_service_makes_the_config(world: World) -> None:
    world.config.unlink()
    assert llmenv(world, "add", "notes", "--", "npx", "server").returncode == 0
    (service,) = load_config(str(world.config)).services
    assert (service.name, service.command) == ("notes", ["npx", "server"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("stub -- x", "stub is in "),
        ("a.b -- x", "bad name 'a.b'"),
        ("new --bind localhost:1 -- x", "bad address"),
        ("new", "Missing argument"),
    ],
)
def test_what_cannot_be_added_changes_nothing(world: World, words: str, said: str) -> None:
    before = world.config.read_text()
    refused(llmenv(world, "add", *words.split()), 2, said)
    assert world.config.read_text() == before


def test_the_urls(world: World) -> None:
    assert llmenv(world, "url").stdout == f"http://{world.bind}/mcp\n"
    assert llmenv(world, "url", "stub", "stub").stdout == f"http://{world.bind}/mcp\n"
    refused(llmenv(world, "url", "nope"), 2, "no service 'nope'")


def test_the_config_is_edited_and_checked(world: World) -> None:
    program(world, "ed1", f'echo "[services.x]" >>"$1"; test "$1" = {world.config}')
    world.env |= {"VISUAL": "ed1", "EDITOR": "false"}
    refused(llmenv(world, "config", "edit"), 2, "services.x.command: want a list of strings")
    del world.env["VISUAL"]
    refused(llmenv(world, "config", "edit"), 1, "the editor ended with status 1")
    world.env["EDITOR"] = "/nowhere/ed"
    refused(llmenv(world, "config", "edit"), 1, "cannot run an editor", "set EDITOR")
    world.config.unlink()
    refused(llmenv(world, "config", "edit"), 1, "no config yet; llmenv init writes one")


def test_one_value_of_the_config(world: World) -> None:
    for key in ("stub.bind", "services.stub.bind"):
        assert llmenv(world, "config", "get", key).stdout == f"{world.bind}\n"
    command = llmenv(world, "config", "get", "stub.command").stdout
    assert json.loads(command) == world.stub()
    assert llmenv(world, "config", "get", "server_host").stdout == "\n"
    refused(llmenv(world, "config", "get", "stub.nope"), 2, "no key 'nope'; there is: command")
    refused(llmenv(world, "config", "get", "nope.bind"), 2, "no service 'nope'")


@pytest.mark.parametrize(("command", "code"), [("hook", "__llmenv_hook"), ("export", "export LLM")])
def test_on_a_terminal_the_shell_is_guessed(world: World, command: str, code: str) -> None:
    """In an rc file it has to be said: see test_wrong_usage_is_refused."""
    status, said = ended(on_a_terminal(world, [*COMMAND, command], SHELL="/bin/bash"))
    assert (status, code in said) == (0, True)
