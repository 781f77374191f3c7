"""Where the block stands: whether a shell comes to it, and whether it can stand there at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands.install.support import done, rc_file, refused_line
from commands.support import complained, llmenv
from daemons import need

from llmenv_hooks.commands.rcblock import BEGIN, END

if TYPE_CHECKING:
    from daemons import World

NEVER = [
    ("bash", "return\n"),
    ("bash", "[ -z x ] || return 0\n"),
    ("bash", "exec true\n"),
    ("zsh", "return 0\n"),
    ("zsh", "exec true\n"),
]
OPEN = [
    ("bash", "if true; then\n"),
    ("bash", 'echo "a\n'),
    ("bash", "cat <<E\nx\n"),
    ("bash", "cat <<'E'"),
    ("bash", "a=(1\n"),
    ("zsh", "if true; then\n"),
    ("zsh", "cat <<E\nx\n"),
    ("zsh", "echo 'a\n\n"),
]
WHOLE = [
    ("bash", "echo a \\\n"),
    ("bash", "echo a \\"),
    ("bash", "# it's\n"),
    ("bash", "cat <<E >/dev/null\nx\nE\n"),
    ("bash", "shopt -s extglob\n[[ x == @(x|y) ]]\n"),
    ("zsh", "echo a \\\n"),
    ("zsh", "print -r -- ${(f)x}\n"),
]


def found_by_doctor(world: World) -> list[str]:
    """Return what `doctor` finds wrong with the hook."""
    rows = json.loads(llmenv(world, "doctor", "--json").stdout)
    return [row["found"] for row in rows if (row["check"], row["verdict"]) == ("hook", "fail")]


@pytest.mark.parametrize(("name", "before"), NEVER)
def test_a_block_that_is_never_reached(world: World, name: str, before: str) -> None:
    need(name)
    rc_file(world, name).write_text(before)
    complained(llmenv(world, "install", name), 0, f"a new {name} does not come to the hook")
    assert len(found_by_doctor(world)) == 1
    assert f"a new {name} does not come to the hook" in found_by_doctor(world)[0]


@pytest.mark.parametrize("profile", [".bash_profile", ".bash_login", ".profile"])
def test_a_login_bash_that_does_not_read_bashrc(world: World, profile: str) -> None:
    """As tmux and ssh start it."""
    (world.home / profile).write_text("x=1\n")
    complained(llmenv(world, "install", "bash"), 0, "a login bash", str(world.home / profile))
    assert "a login bash" in found_by_doctor(world)[0]
    (world.home / profile).write_text("[ -r ~/.bashrc ] && . ~/.bashrc\n")
    assert llmenv(world, "install", "bash").stderr == ""
    assert found_by_doctor(world) == []


@pytest.mark.parametrize(("name", "text"), OPEN)
def test_an_open_end_is_refused(world: World, name: str, text: str) -> None:
    need(name)
    path = rc_file(world, name)
    path.write_text(text)
    line = refused_line(world, "install", name)
    assert f"{path} is open at its end" in line
    assert path.read_text() == text


@pytest.mark.parametrize(("name", "text"), WHOLE)
def test_the_block_stands_by_itself(world: World, name: str, text: str) -> None:
    need(name)
    path = rc_file(world, name)
    path.write_text(text)
    assert llmenv(world, "install", name).stderr == ""
    head, block, _ = path.read_bytes().partition(BEGIN)
    assert head.endswith(b"\n\n"), "an empty line before it"
    comment = path.read_text().splitlines()[-3]
    assert comment.startswith("# Added by llmenv install")
    assert not set("`$") & set(comment), "nothing that a here-document would execute"
    assert path.read_bytes().endswith(END + b"\n"), block
    assert found_by_doctor(world) == []
    done(world, "uninstall", name)
    assert path.read_text() == text
