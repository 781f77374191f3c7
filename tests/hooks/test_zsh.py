"""What is so in zsh alone: its arrays of functions, its modules, its named directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import (
    World,
    wait_until,
)
from shells import (
    ONE_MINUTE,
    Shell,
    held,
    hook_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_zsh_hooks_of_others_survive_ksh_arrays(world: World) -> None:
    before = "setopt ksh_arrays; a() { :; }; b() { :; }; precmd_functions=(a b)"
    with Shell("zsh", world, before=before, twice=True) as shell:
        assert shell.run('print -r -- "${precmd_functions[@]}"')[1] == "a b __llmenv_hook"
        wait_until(world.proved)


def test_no_zsh_module_is_loaded(world: World, helper: Path) -> None:
    loaded = []
    for hook in ("", hook_text(world, "zsh", helper=helper)):
        with Shell("zsh", world, hook=hook) as shell:
            shell.run()
            loaded.append(shell.run("zmodload")[1])
    assert loaded[0] == loaded[1]


def test_zsh_names_no_directory_after_a_variable_of_ours(world: World, helper: Path) -> None:
    shown = []
    world.state.mkdir(parents=True)
    for hook in ("", hook_text(world, "zsh", helper=helper)):
        with Shell("zsh", world, hook=hook, before="setopt auto_name_dirs") as shell:
            shell.run(f"cd '{world.state}'")
            shown.append([shell.run("print -P %~") for _ in range(2)])
            shell.run(f"cd '{world.config.parent}'")
            shown[-1].append(shell.run("print -P %~"))
    assert shown[0] == shown[1]


@pytest.mark.parametrize("kind", ["unset precmd_functions", "precmd_functions=scalar"])
def test_zsh_that_has_no_array_yet_gets_one(world: World, helper: Path, kind: str) -> None:
    text = hook_text(world, "zsh", helper=helper)
    with Shell("zsh", world, hook=text, before=f"{kind}; scalar() {{ : }}") as shell:
        assert shell.startup.strip() == ""
        assert "array" in shell.run("echo ${(t)precmd_functions}")[1]
        wait_until(lambda: world.told("calls"))


# What counts of powerlevel10k's instant prompt: until the first prompt is drawn, all output goes
# into a file, which it holds against whoever wrote it.
INSTANT = """
zmodload zsh/sched
exec {__out}>&1 {__err}>&2 1>~/instant 2>&1
__instant() { exec 1>&$__out 2>&$__err; precmd_functions=(${precmd_functions:#__first}) }
__first() { sched +0 __instant }
precmd_functions+=(__first)
"""


@pytest.mark.parametrize("gone", [False, True])
def test_nothing_is_said_before_the_second_prompt(world: World, gone: bool) -> None:
    """What failed before this shell began is told at the next prompt, and once."""
    world.state.mkdir(parents=True, mode=0o700)
    world.path("child").write_text("stub: it keeps dying\n")
    world.config.write_text(world.config.read_text().replace("bridge = false", ""))
    helper = world.root / "helper.py"
    if not gone:
        helper.write_text("")
    text = hook_text(world, "zsh", helper=helper)
    with held(world), Shell("zsh", world, hook=text, before=INSTANT) as shell:
        said = shell.run()[1]
        assert ("is gone, or not yours to run" if gone else "llmenv: stub: it keeps dying") in said
        assert (world.home / "instant").read_text() == ""
        for line in ("", ONE_MINUTE["zsh"], ""):
            assert shell.run(line) == (0, "")
