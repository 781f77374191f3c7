"""An edit of the config, another LLMENV_CONFIG and an upgrade reach the shells that are open."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from daemons import World, add, alive, kill, listening, starts, wait_until
from shells import (
    AT_ONCE,
    EACH,
    ONE_MINUTE,
    PROC,
    STEADY,
    Shell,
    helpers,
    hook_text,
    prompts_until,
    revives,
    shows,
    traced,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


def takes_up(shell: Shell, world: World, line: str = "") -> None:
    """Edit nothing more: the first prompt asks, and the second has what was asked for."""
    wait_until(lambda: not helpers(world))
    assert shell.run(line or AT_ONCE[shell.name]) == (0, "")
    assert shell.run() == (0, "")
    wait_until(lambda: not helpers(world))
    assert shell.run() == (0, "")


def urls(shell: Shell) -> list[str]:
    """Return the names of the variables that *shell* hands on."""
    lines = shell.run("env | grep '^LLMENV_.*_URL' | sort")[1].splitlines()
    return [line.partition("=")[0] for line in lines]


@EACH
def test_an_added_and_a_removed_service_reach_every_open_shell(world: World, name: str) -> None:
    """Its variable, and who is asked for; in a shell too that is not the one that asked."""
    first = world.config.read_text()
    with Shell(name, world) as asking, Shell(name, world) as other:
        wait_until(world.proved)
        for shell in (asking, other):
            takes_up(shell, world)
        oracle = add(world, "second")
        takes_up(asking, world)
        wait_until(lambda: listening(oracle))
        for shell in (asking, other):
            prompts_until(
                shell,
                lambda shell=shell: "LLMENV_SECOND_URL" in urls(shell),  # type: ignore[misc]
            )
        (pid,) = starts(oracle)
        kill(pid)
        prompts_until(other, lambda: len(starts(oracle)) == 2)
        wait_until(lambda: listening(oracle))
        world.config.write_text(first)
        takes_up(asking, world)
        for shell in (asking, other):
            prompts_until(
                shell,
                lambda shell=shell: urls(shell) == ["LLMENV_MCP_URL", "LLMENV_STUB_URL"],  # type: ignore[misc]
            )
        kill(starts(oracle)[-1])
        for shell in (asking, other):
            takes_up(shell, world)
        assert len(starts(oracle)) == 2
        revives(other, world)


@EACH
def test_what_is_the_shells_own_stays_when_the_hook_is_read_again(world: World, name: str) -> None:
    """Its status, once a prompt, nothing printed, and no file opened once it is steady."""
    with Shell(name, world, prompt=STEADY.get(name)) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        add(world, "second")
        takes_up(shell, world)
        prompts_until(shell, lambda: shows(shell, "LLMENV_SECOND_URL"))
        assert shell.run("sh -c 'exit 3'") == (3, "")
        assert shell.run("true") == (0, "")
        if PROC:
            calls = traced(shell, world, 3, "open,openat,openat2,fork,vfork,clone,clone3,execve")
            assert not [call for call in calls if str(world.root) in call or "exec" in call]


@EACH
def test_the_failure_of_a_new_service_is_told_in_an_open_shell(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        add(world, "second", modes="die=3")
        said = until(shell, "llmenv: second:")
        assert "exited with status 3" in said
        for _ in range(4):
            assert shell.run() == (0, "")


@EACH
def test_another_config_reaches_an_open_shell(world: World, name: str, tmp_path: Path) -> None:
    """LLMENV_CONFIG is set, and unset again."""
    with World(tmp_path / "other") as elsewhere, Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        elsewhere.write_config()
        other = elsewhere.config.read_text().replace("services.stub", "services.other")
        elsewhere.config.write_text(other)
        setting = "set -gx LLMENV_CONFIG {}" if name == "fish" else "export LLMENV_CONFIG={}"
        assert shell.run(setting.format(elsewhere.config)) == (0, "")
        wait_until(lambda: elsewhere.told("listening"))
        prompts_until(shell, lambda: urls(shell) == ["LLMENV_MCP_URL", "LLMENV_OTHER_URL"])
        wait_until(lambda: not helpers(world))
        assert (
            shell.run("set -e LLMENV_CONFIG" if name == "fish" else "unset LLMENV_CONFIG")[0] == 0
        )
        prompts_until(shell, lambda: urls(shell) == ["LLMENV_MCP_URL", "LLMENV_STUB_URL"])
        revives(shell, world)


@pytest.mark.skipif(not PROC, reason="compares at each prompt")
def test_fish_hears_of_another_config_in_any_scope(world: World, tmp_path: Path) -> None:
    """A prompt compares again after each that is set, also where another hides it."""
    with World(tmp_path / "other") as elsewhere, Shell("fish", world) as shell:
        elsewhere.write_config()
        wait_until(world.proved)
        takes_up(shell, world)
        clock = shows(shell, "__llmenv_terminal")
        assert shows(shell, "__llmenv_clock") == clock
        function = "function local; set -lx LLMENV_CONFIG /none; echo $__llmenv_clock; end"
        assert shell.run(function) == (0, "")
        assert shell.run("local") == (0, str(world.path("proof")))
        assert shows(shell, "__llmenv_clock") == clock
        hidden = f"set -lx LLMENV_CONFIG {world.config}; set -gx LLMENV_CONFIG {elsewhere.config}"
        assert shell.run(f"begin; {hidden}; end") == (0, "")
        assert shell.run() == (0, "")
        assert shows(shell, "__llmenv_clock") != clock
        wait_until(lambda: elsewhere.told("listening"))


@EACH
def test_two_edits_in_one_second_both_arrive(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        whole = world.config.read_text()
        date = world.config.stat().st_mtime_ns + 1_000_000_000
        for bind in ("127.0.0.1:2", "127.0.0.1:3"):
            service = f'[services.second]\ncommand = ["x"]\nbind = "{bind}"\nautostart = false\n'
            world.config.write_text(whole + service)
            os.utime(world.config, ns=(date, date))
            wait_until(lambda: not helpers(world))
            shell.run(ONE_MINUTE[name])
            prompts_until(
                shell,
                lambda bind=bind: shows(shell, "LLMENV_SECOND_URL") == f"http://{bind}/mcp",  # type: ignore[misc]
            )


@EACH
def test_a_wrong_config_leaves_the_list_as_it_is(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        right = world.config.read_text()
        world.config.write_text("[services.stub]\nport = 1\n")
        until(shell, "unknown key")
        kill(world.check(None))
        assert urls(shell) == ["LLMENV_MCP_URL", "LLMENV_STUB_URL"]
        world.config.write_text(right.replace("services.stub", "services.renewed"))
        prompts_until(shell, lambda: "LLMENV_RENEWED_URL" in urls(shell))


@EACH
def test_without_the_package_the_shell_goes_on_and_says_so_once(world: World, name: str) -> None:
    """The helper reads the config by itself; what it starts, this shell does not know."""
    gone = hook_text(world, name).replace(sys.executable, f"{world.root}/gone/python")
    with Shell(name, world, hook=gone) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        oracle = add(world, "second")
        takes_up(shell, world)
        wait_until(lambda: listening(oracle))
        wait_until(lambda: not helpers(world))
        said = shell.run(ONE_MINUTE[name])[1]
        assert said.count("open shells keep the services that they have") == 1
        for _ in range(4):
            assert shell.run() == (0, "")
        assert urls(shell) == ["LLMENV_MCP_URL", "LLMENV_STUB_URL"]
        revives(shell, world)


@EACH
def test_nothing_of_the_state_directory_is_evaluated(world: World, name: str) -> None:
    """Nor a file beside the helper that is not this user's, or was made for an older config."""
    text = hook_text(world, name)
    with Shell(name, world, hook=text) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        (edition,) = world.state.glob("edition-*")
        newer = world.home / ".local/share/llmenv"
        assert not list(newer.glob("hook.*%*"))
        other = edition.with_name("edition-$(touch PWNED)-`touch PWNED`")
        other.mkdir()
        edition.rename(world.root / "edition")
        (world.state / "hook").write_text("touch PWNED\n")
        for _ in range(3):
            assert shell.run(AT_ONCE[name]) == (0, "")
        wait_until(lambda: edition.exists())
    assert not list(world.root.rglob("PWNED"))


@EACH
def test_an_upgrade_reaches_an_open_shell(world: World, name: str) -> None:
    """The first new shell, or `llmenv` command, names another helper the newest."""
    with Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        newest = world.home / ".local/share/llmenv/llmenv-ensure.py"
        copy = newest.resolve()
        older = copy.with_name("llmenv-ensure-000000000000.py")
        older.write_bytes(copy.read_bytes())
        newest.unlink()
        newest.symlink_to(older.name)
        assert shell.run(ONE_MINUTE[name]) == (0, "")
        prompts_until(shell, lambda: list(newest.parent.glob("hook.*%*")))
        wait_until(lambda: not helpers(world))
        fresh = next(iter(newest.parent.glob("hook.*%*")))
        assert fresh.stat().st_mode & 0o777 == 0o600
        assert newest.resolve() == copy
        revives(shell, world)


@EACH
def test_a_host_that_ran_none_takes_up_a_service(world: World, name: str) -> None:
    """And one whose last service is gone for this host leaves its daemon alone."""
    here = world.config.read_text()
    with Shell(name, world) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        pid = world.check(None)
        world.config.write_text('server_host = "elsewhere"\n' + here)
        prompts_until(shell, lambda: "elsewhere" in shows(shell, "LLMENV_STUB_URL"))
        kill(pid)
        for _ in range(3):
            assert shell.run(AT_ONCE[name]) == (0, "")
        wait_until(lambda: not helpers(world))
        assert not alive(pid)
        assert len(world.told("starts")) == 1
        world.config.write_text(here)
        prompts_until(shell, lambda: "127.0.0.1" in shows(shell, "LLMENV_STUB_URL"))
        prompts_until(shell, lambda: len(world.told("starts")) == 2)


@pytest.mark.parametrize("kind", ["string", "array", "vscode", "starship"])
def test_our_line_is_replaced_wherever_it_is_kept(world: World, kind: str) -> None:
    """In PROMPT_COMMAND, or in the variable into which a neighbour took it."""
    before = {"string": "PROMPT_COMMAND=true", "array": "PROMPT_COMMAND=(true true)"}.get(kind, "")
    after = {
        "vscode": "__vsc_original_prompt_command=$PROMPT_COMMAND; __vsc_prompt_cmd_original() {"
        ' eval "$__vsc_original_prompt_command"; }; PROMPT_COMMAND=__vsc_prompt_cmd_original',
        "starship": "STARSHIP_PROMPT_COMMAND=$PROMPT_COMMAND; starship_precmd() {"
        ' eval "$STARSHIP_PROMPT_COMMAND"; }; PROMPT_COMMAND=starship_precmd',
    }.get(kind, "")
    with Shell("bash", world, before=before, after=after) as shell:
        wait_until(world.proved)
        takes_up(shell, world)
        add(world, "second")
        prompts_until(shell, lambda: shows(shell, "LLMENV_SECOND_URL"))
        kept = '"${PROMPT_COMMAND[*]} $STARSHIP_PROMPT_COMMAND $__vsc_original_prompt_command"'
        said = shell.run(f"echo {kept}")[1]
        assert said.count("__llmenv_status=$?") == 1
        assert ("second.alive" in said) == PROC
        (edition,) = world.state.glob("edition-*")
        assert (edition.name in said) == PROC
