"""What a shell does with what `llmenv install` has put into its rc file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands.install.support import (
    EACH,
    Real,
    done,
    programs,
    rc_file,
    silent,
    start,
    static,
    with_prompt,
)
from commands.support import llmenv
from daemons import need, wait_until

from llmenv_hooks.commands.rcblock import BEGIN
from llmenv_hooks.pty_shell import PROMPTS

if TYPE_CHECKING:
    from daemons import World


@EACH
def test_a_new_shell_starts_the_service(world: World, name: str) -> None:
    with_prompt(world, name)
    before = rc_file(world, name).read_bytes() if rc_file(world, name).exists() else None
    said = done(world, "install", name)
    assert said.splitlines()[-1] == f"next: exec {name}, or open a new terminal"
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        assert f"http://{world.bind}/mcp" in shell.run("env | grep ^LLMENV_MCP_URL=")[1]
    world.check()
    assert str(rc_file(world, name)) in done(world, "uninstall", name)
    if before is None:
        assert not rc_file(world, name).exists()
    else:
        assert rc_file(world, name).read_bytes() == before
    assert not static(world, name).exists()


@EACH
def test_the_hook_in_it_is_the_one_that_llmenv_hook_prints(world: World, name: str) -> None:
    done(world, "install", name)
    hook = llmenv(world, "hook", name).stdout
    text = static(world, name).read_text()
    text = shlex.split(text)[-1] if name == "zsh" else text
    assert "__llmenv_hook" in hook
    assert hook in text


@EACH
def test_a_shell_start_runs_no_program(world: World, name: str) -> None:
    start(world, name)  # fish makes its directories at its first start
    bare = programs(world, name)
    done(world, "install", name)
    assert len(programs(world, name)) == len(bare)
    os.utime(static(world, name), (1, 1))  # and the counter would have seen one
    assert "python" in "".join(programs(world, name)[len(bare) :])


@EACH
def test_a_missing_static_file_is_silent(world: World, name: str) -> None:
    done(world, "install", name)
    static(world, name).unlink()
    code = "echo $status" if name == "fish" else "echo $?"
    assert start(world, name, code).stdout == "0\n"
    silent(start(world, name))


@EACH
@pytest.mark.parametrize("interactive", [True, False])
def test_llmenv_disable_and_scripts_are_left_alone(
    world: World, name: str, interactive: bool
) -> None:
    done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    code = f"source '{static(world, name)}'; echo <$LLMENV_MCP_URL>".replace("<", '"<').replace(
        ">", '>"'
    )
    if interactive:
        world.env["LLMENV_DISABLE"] = "1"
    seen = world.run([name, *["-i"] * interactive, "-c", code], start_new_session=True)
    assert seen.stdout == "<>\n"
    assert static(world, name).stat().st_mtime == 1


@EACH
def test_any_path_works(world: World, name: str) -> None:
    place = world.root / 'a b$HOME\'s "`x`" \\ é\nnew # line'
    world.env["XDG_STATE_HOME"] = str(place)
    world.env["XDG_DATA_HOME"] = str(place / "data")
    world.state = place / "llmenv"
    with_prompt(world, name)
    done(world, "install", name)
    assert "nothing changed" in done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    done(world, "uninstall")
    assert not static(world, name).exists()


def test_a_crlf_file_that_bash_can_read_goes_on_working(world: World) -> None:
    rc_file(world).write_bytes(b"# mine #\r\n" + PROMPTS["bash"].encode() + b"# more\r\n")
    done(world, "install", "bash")
    # As `git config core.autocrlf` would leave the block.
    text = rc_file(world).read_bytes()
    head, begin, block = text.partition(BEGIN)
    rc_file(world).write_bytes(head + begin + block.replace(b"\n", b"\r\n"))
    with Real("bash", world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
    assert "updated the block" in done(world, "install", "bash")
    assert rc_file(world).read_bytes() == text


@EACH
def test_the_line_of_llmenv_hook_is_told_and_does_no_harm(world: World, name: str) -> None:
    with_prompt(world, name)
    path = rc_file(world, name)
    path = path.parent.parent / "config.fish" if name == "fish" else path
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    line = "llmenv hook fish | source" if name == "fish" else f'eval "$(llmenv hook {name})"'
    number = len(path.read_text().splitlines()) + 2
    with path.open("a") as file:
        file.write(f"# not this: llmenv hook {name}\n{line}\n")
    said = done(world, "install", name)
    assert f"{path}:{number} runs `llmenv hook` too" in said
    registered = {
        "bash": 'echo "${PROMPT_COMMAND[*]}"',
        "zsh": "echo $precmd_functions",
        "fish": "functions --handlers-type generic | grep llmenv",
    }
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        assert shell.run(registered[name])[1].count("__llmenv_hook") == 1
        wait_until(world.proved)
    world.check()


def test_the_block_does_nothing_in_a_sh_that_reads_a_profile(world: World) -> None:
    need("dash")
    done(world, "install", "bash")
    silent(world.run(["dash", "-eui", "-c", f". '{rc_file(world)}'"]))
