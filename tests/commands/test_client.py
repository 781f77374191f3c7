"""`llmenv client`, as a person runs it; what it does to the files is in tests/agents."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from agents.support import CONFIG, FORMS, SHAPES, by_connect, expected, parsed
from commands.support import install, llmenv, refused

if TYPE_CHECKING:
    from daemons import World


@pytest.fixture
def world(world: World) -> World:
    """A world with two services in its config."""
    world.config.write_text(CONFIG)
    return world


def run(world: World, *words: str) -> tuple[int, str, str]:
    done = llmenv(world, "client", *words)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", FORMS)
def test_the_snippet_alone_is_on_stdout(world: World, name: str) -> None:
    status, out, err = run(world, name, "--http")
    assert (status, parsed(name, out.encode())) == (
        0,
        parsed(name, out.encode()) | {SHAPES[name][0][0]: expected(name)},
    )
    (line,) = err.splitlines()
    assert line.startswith(f"llmenv: goes into {world.root}/")
    assert line.endswith(f"; llmenv client {name} --write --http merges it")
    install(world)
    status, out, err = run(world, name)
    servers = parsed(name, out.encode())[SHAPES[name][0][0]]
    entry = servers["tunnel"]
    whole = entry.get("command") or entry["cmd"]
    program, *words = whole if name == "opencode" else [whole, *entry["args"]]
    assert (status, words) == (0, ["connect", "tunnel"])
    assert os.access(program, os.X_OK)
    assert servers == by_connect(name, program)
    assert err.endswith(f"; llmenv client {name} --write merges it\n")


def test_a_file_is_written_shown_and_cleaned_again(world: World) -> None:
    assert run(world, "claude", "--write")[0] == 0
    path = world.home / ".claude.json"
    assert run(world, "claude", "--write")[1] == f"{path} is up to date; nothing was changed\n"
    assert run(world)[1].splitlines()[1].split() == ["claude", str(path), "yes", "(connect)"]
    assert run(world, "claude", "--remove")[0] == 0
    assert not path.exists()
    path.write_text('{"a": }')
    assert run(world, "claude", "--write") == (
        1,
        "",
        f"llmenv: {path}:1:7: Expecting value; nothing was changed\n",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nope\x1b"], "no agent 'nope?'; there is: claude, claude-desktop, codex, "),
        (["--remove"], "which agent? there is: claude, "),
        (["--write", "--http"], "which agent? there is: claude, "),
        (["claude", "--write", "--remove"], "--write and --remove exclude each other"),
        (["windsurf", "--project"], "Windsurf has no configuration in a project"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: list[str], says: str) -> None:
    status, out, err = run(world, *words)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"llmenv: {says}")


@pytest.mark.parametrize("words", [[], ["claude"], ["claude", "--write"], ["--write"]])
def test_a_deleted_directory_has_no_project(world: World, words: list[str]) -> None:
    gone = world.root / "gone"
    gone.mkdir()
    code = 'rmdir "$1"; shift; exec "$@"'
    argv = [sys.executable, "-P", "-m", "llmenv_hooks", "client", "--project", *words]
    done = world.run(["sh", "-c", code, "sh", str(gone), *argv], cwd=gone)
    said = "llmenv: the directory that you are in was deleted; go to another first\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_several_agents_at_once(world: World) -> None:
    done = llmenv(world, "client", "claude", "cursor", "--write")
    assert (done.returncode, done.stdout.count("\nwrote ")) == (0, 2), done
    done = llmenv(world, "client", "claude", "cursor", "--remove")
    assert (done.returncode, done.stdout.count("removed ")) == (0, 2), done
    refused(llmenv(world, "client", "claude", "nope", "--write"), 2, "no agent 'nope'")
    assert not (world.home / ".claude.json").exists()
