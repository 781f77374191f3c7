"""The hook beside the tools that people really have at their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import neighbours
import pytest
from daemons import World, kill, wait_until
from shells import EACH, Shell, counted, fires_once_a_prompt, revives, shows

if TYPE_CHECKING:
    from pathlib import Path

ORDER = pytest.mark.parametrize("order", ["before", "after"])


INIT = {"direnv": "direnv hook", "mise": "mise activate", "starship": "starship init"}
INIT["zoxide"] = "zoxide init"


def keeps_the_status(shell: Shell) -> None:
    assert shell.run("sh -c 'exit 3'")[0] == 3
    assert shell.run("true")[0] == 0


@EACH
@ORDER
@pytest.mark.parametrize("tool", INIT)
def test_beside_a_real_tool(world: World, name: str, tool: str, order: str) -> None:
    project = neighbours.settle(world)
    line = f"{INIT[tool]} {name} | source" if name == "fish" else f'eval "$({INIT[tool]} {name})"'
    line = neighbours.NOT_PRIVATE[name] + line
    with Shell(
        name,
        world,
        hook=counted(world, name),
        prompt=neighbours.BEHIND[name] if tool == "starship" else None,
        **{order: line},  # type: ignore[arg-type]
    ) as shell:
        wait_until(world.proved)
        fires_once_a_prompt(shell)
        keeps_the_status(shell)
        shell.run(f"cd '{project}'")
        does_its_job(tool, shell, world, project)
        shell.run("cd /")
        revives(shell, world)
        fires_once_a_prompt(shell)


def does_its_job(tool: str, shell: Shell, world: World, project: Path) -> None:
    """Assert that *tool* has done what it is there for, now that *shell* is in *project*."""
    if tool == "zoxide":
        assert str(project) in world.run(["zoxide", "query", "-l"]).stdout
    elif tool == "starship":
        assert "drawn-after-7" in shell.run("sh -c 'exit 7'")[1]
    else:
        assert shows(shell, {"direnv": "FROM_ENVRC", "mise": "FROM_MISE"}[tool]) == "yes"
        shell.run("cd /")
        assert shows(shell, {"direnv": "FROM_ENVRC", "mise": "FROM_MISE"}[tool]) == ""


REDUCED = [
    ("bash", "PREEXEC_STRING"),
    ("bash", "PREEXEC_ARRAY"),
    ("zsh", "OH_MY_ZSH"),
    ("zsh", "PREZTO"),
]


@ORDER
@pytest.mark.parametrize(("name", "tool"), REDUCED)
def test_beside_a_framework(world: World, name: str, tool: str, order: str) -> None:
    code = getattr(neighbours, tool)
    with Shell(name, world, hook=counted(world, name), twice=True, **{order: code}) as shell:
        wait_until(world.proved)
        fires_once_a_prompt(shell)
        keeps_the_status(shell)
        shell.run("sh -c 'exit 5'")
        assert shows(shell, "__precmd") == "5"
        revives(shell, world)
        fires_once_a_prompt(shell)
    (log,) = world.home.glob("told.*")
    assert log.read_text().splitlines() == shell.entered  # and of nothing that we run


@EACH
@ORDER
def test_starship_and_an_rc_file_that_is_read_again(world: World, name: str, order: str) -> None:
    """In bash it keeps our line in a variable of its own, out of sight."""
    neighbours.settle(world)
    line = f"starship init {name} | source" if name == "fish" else f'eval "$(starship init {name})"'
    with Shell(
        name,
        world,
        hook=counted(world, name),
        prompt=neighbours.BEHIND[name],
        **{order: line},  # type: ignore[arg-type]
    ) as shell:
        wait_until(world.proved)
        shell.run(f"source '{shell.hook}'")
        fires_once_a_prompt(shell)


OWN = {
    "bash-none": "",
    "bash-string": "PROMPT_COMMAND=true",
    "bash-array": "PROMPT_COMMAND=(true)",
    "bash-string-and-array": "PROMPT_COMMAND+=(true)",
    "zsh": "",
    "fish": "",
}


@pytest.mark.parametrize("kind", OWN)
def test_an_rc_file_that_is_read_again_with_another_service(
    world: World, tmp_path: Path, kind: str
) -> None:
    """The hook looks after that too, and still once a prompt, wherever in PROMPT_COMMAND it is."""
    name = kind.partition("-")[0]
    order = "after" if kind == "bash-string-and-array" else "before"
    with (
        World(tmp_path / "other") as other,
        Shell(name, world, hook=counted(world, name), **{order: OWN[kind]}) as shell,  # type: ignore[arg-type]
    ):
        wait_until(world.proved)
        other.write_config()
        service = other.config.read_text().replace("services.stub", "services.other")
        world.config.write_text(world.config.read_text() + service)
        shell.hook.write_text(counted(world, name))
        assert shell.run(f"source '{shell.hook}'") == (0, "")
        (pid,) = wait_until(lambda: other.told("listening"))
        wait_until(lambda: shell.run() == (0, "") and (world.state / "other.pid").exists())
        fires_once_a_prompt(shell)
        kill(pid)
        wait_until(lambda: shell.run() == (0, "") and len(other.told("listening")) == 2)
        revives(shell, world)
        fires_once_a_prompt(shell)
