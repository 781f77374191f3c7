"""What is so in zsh alone: its arrays of functions, its modules, its named directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import (
    World,
    wait_until,
)
from shells import (
    Shell,
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
