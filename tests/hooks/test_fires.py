"""The hook does its job: it starts the daemon, revives it, and asks no more than it must."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pexpect
import pytest
from daemons import (
    World,
    alive,
    kill,
    wait_until,
)
from packed import ensure, patch
from shells import (
    AT_ONCE,
    EACH,
    LONG_AGO,
    NEARLY_A_MINUTE,
    ONE_MINUTE,
    PROC,
    STEADY,
    Shell,
    held,
    helpers,
    hook_text,
    make_edition,
    open_proof,
    prompts_until,
    traced,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


@EACH
def test_it_fires_at_the_first_prompt_and_revives_at_the_next(world: World, name: str) -> None:
    """What a `kill -9` leaves behind is in nobody's way."""
    with Shell(name, world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        first = world.check()
        wait_until(lambda: not helpers(world))
        kill(first)
        prompts_until(shell, lambda: world.pidfile() not in (None, first))
        wait_until(lambda: not helpers(world))
        assert world.check(starts=2) != first


@EACH
def test_two_shells_started_at_once_share_one_daemon(world: World, name: str) -> None:
    """The one that serves is the one that is recorded."""
    world.write_config("gate")
    with Shell(name, world), Shell("bash", world):
        wait_until(lambda: len(helpers(world)) == 2)  # both ask, and nothing is up yet
        world.tell("go")
        wait_until(world.proved)
    world.check(starts=1)


@EACH
def test_the_daemon_and_the_helper_outlive_the_shell(world: World, name: str) -> None:
    """No word about jobs at exit, and nothing dies with the shell."""
    world.write_config("gate")
    with Shell(name, world) as shell:
        wait_until(lambda: world.told("starts"))
        shell.child.sendline("exit")
        shell.child.expect(pexpect.EOF)
        assert "job" not in str(shell.child.before)
    world.tell("go")
    wait_until(world.proved)


@EACH
def test_the_helper_outlives_an_interrupt_and_the_terminal(world: World, name: str) -> None:
    """Even in its first moment, before it has left the terminal."""
    slow = world.root / "slow.py"
    slow.write_text(
        f"import os, time\nos.chdir({str(world.oracle)!r})\n"
        "with open('begun.tmp', 'w') as file: file.write(str(os.getpid()))\n"
        "os.rename('begun.tmp', 'begun')\n"
        "while not os.path.exists('go'): time.sleep(0.01)\n"
        "open('done', 'w').close()\n"
    )
    with Shell(name, world, hook=hook_text(world, name, helper=slow)) as shell:
        (pid,) = wait_until(lambda: world.told("begun"))
        os.kill(pid, signal.SIGINT)  # as ^C does while it is still in the terminal's group
        assert shell.run("echo alive")[1] == "alive"
    wait_until(lambda: not alive(shell.pid))
    world.tell("go")
    wait_until((world.oracle / "done").exists)


@EACH
def test_the_prompt_never_waits(world: World, name: str) -> None:
    """Not for a daemon that takes longer than all of this to come up, whenever it asks for it."""
    world.write_config("gate")
    with Shell(name, world) as shell:
        wait_until(lambda: world.told("starts"))
        for _ in range(5):
            began = time.monotonic()
            assert shell.run(AT_ONCE[name]) == (0, "")
            assert shell.run() == (0, "")
            assert time.monotonic() - began < 1
        assert not world.told("listening")
        world.tell("go")
        wait_until(world.proved)


@EACH
def test_a_daemon_that_lives_and_does_not_answer_is_replaced(world: World, name: str) -> None:
    """What a prompt looks at stays true; the pass that it starts once a minute finds it."""

    def revived() -> bool:
        shell.run()
        return world.proved()

    world.write_config("shut", start_timeout=3)
    with Shell(name, world) as shell:
        wait_until(world.proved)
        wait_until(lambda: not helpers(world))  # one that has the lock would send the next away
        world.tell("shut")
        (wedged,) = wait_until(lambda: world.told("closed"))
        (world.oracle / "shut").unlink()
        assert shell.run() == (0, "")
        assert world.proved()
        assert shell.run(ONE_MINUTE[name]) == (0, "")
        wait_until(lambda: not alive(wedged))
        assert "it did not listen" in until(shell, "llmenv: stub:")
        # Whatever it says: where the machine is busy, three seconds may be too short for a start.
        wait_until(revived)
        wait_until(lambda: not helpers(world))
    world.check(starts=None)


@EACH
def test_once_a_minute_it_asks_all_the_same(world: World, name: str, helper: Path) -> None:
    text = hook_text(world, name, helper=helper)
    with held(world), Shell(name, world, hook=text, before=LONG_AGO[name]) as shell:
        wait_until(lambda: len(world.told("calls")) == 1)
        for line in ("", NEARLY_A_MINUTE[name], "", ""):
            assert shell.run(line) == (0, "")
        assert len(world.told("calls")) == 1
        for line in (ONE_MINUTE[name], "", ""):
            assert shell.run(line) == (0, "")
        wait_until(lambda: len(world.told("calls")) == 2)
        assert shell.run() == (0, "")
    assert len(world.told("calls")) == 2


@EACH
def test_the_helper_is_run_from_bytecode(world: World, name: str, helper: Path) -> None:
    """Which Python keeps for a module: a script of that length it would compile each time."""
    with Shell(name, world, hook=hook_text(world, name, helper=helper)):
        wait_until(lambda: world.told("calls"))
        wait_until(lambda: list(helper.parent.glob("__pycache__/helper.*.pyc")))


@EACH
def test_without_a_config_a_steady_prompt_asks_for_nothing(
    world: World, name: str, helper: Path
) -> None:
    """To zsh, unlike bash and fish, no file is newer than one that is not there."""
    text = hook_text(world, name, helper=helper)
    with held(world), Shell(name, world, hook=text) as shell:
        world.config.unlink(missing_ok=True)
        # With /proc fish sees by the files that its first prompt need not ask.
        asked = 0 if name == "fish" and PROC else 1
        for _ in range(3):
            assert shell.run(AT_ONCE[name]) == (0, "")
            wait_until(lambda: len(world.told("calls")) == asked)


@EACH
def test_a_stopped_service_stays_stopped(world: World, name: str) -> None:
    with Shell(name, world, prompt=STEADY.get(name)) as shell:
        wait_until(world.proved)
        pid = world.pidfile()
        shell.run()
        with pytest.MonkeyPatch.context() as patched:
            if not PROC:  # it must see the world as the one that started the daemon did
                patch(patched, "PROC", "/no/proc")
                patch(patched, "_HAS_PROC", False)
            assert ensure.stop(world.service(), str(world.state))
        assert pid is not None
        assert not alive(pid)
        assert not processes(trace(shell, world, 5))
    assert len(world.told("starts")) == 1


def trace(shell: Shell, world: World, prompts: int) -> list[str]:
    """Return the fork, clone and exec calls that *prompts* prompts make, threads included."""
    return traced(shell, world, prompts, "fork,vfork,clone,clone3,execve")


def processes(calls: list[str]) -> list[str]:
    return [line for line in calls if "CLONE_THREAD" not in line]


@EACH
def test_a_steady_prompt_makes_no_process(world: World, name: str) -> None:
    """Nor a thread, of which fish makes one for itself now and then."""
    calls = []
    for hook in ("", None):
        with Shell(name, world, hook=hook, prompt=STEADY.get(name)) as shell:
            if hook is None:
                wait_until(world.proved)
            shell.run()
            calls.append(trace(shell, world, 30))
            if hook is None:
                kill(world.check())
                assert until_calls(shell, world)  # and the counter would have seen one
    assert not processes(calls[1])
    assert len(calls[1]) < len(calls[0]) + 30


def until_calls(shell: Shell, world: World) -> list[str]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        calls = trace(shell, world, 3)
        if calls:
            return calls
    return []


@EACH
def test_shells_get_the_url(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        for variable in ("LLMENV_MCP_URL", "LLMENV_STUB_URL"):
            assert f"http://{world.bind}/mcp" in shell.run(f"env | grep ^{variable}=")[1]


@EACH
def test_another_host_only_learns_the_url(world: World, name: str, helper: Path) -> None:
    """The hook works only where this host is the server."""
    world.config.write_text('server_host = "somewhere-else"\n' + world.config.read_text())
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        shell.run()
        url = f"http://somewhere-else:{world.port}/mcp"
        assert url in shell.run("env | grep ^LLMENV_MCP_URL=")[1]
    assert not world.told("calls")


@EACH
def test_a_failure_is_told_once(world: World, name: str) -> None:
    """The retries have pauses, whatever the prompts do."""
    world.write_config("die=3")
    with Shell(name, world) as shell:
        said = until(shell, "llmenv: stub:")
        assert "exited with status 3" in said
        assert len(said.splitlines()) == 1
        for _ in range(10):
            assert shell.run() == (0, "")
        wait_until(lambda: not helpers(world))  # none of them stays to wait for the next attempt
    assert len(world.told("starts")) <= 2


@EACH
def test_a_wrong_config_is_told_once(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        world.config.write_text("[services.stub]\nport = 1\n")
        said = until(shell, "llmenv:")
        assert f"{world.config}:2: services.stub.port: unknown key" in said
        for _ in range(5):
            assert shell.run() == (0, "")


@EACH
def test_a_removed_package_is_told_once(world: World, name: str) -> None:
    """A path that was baked in and is gone after an upgrade."""
    text = hook_text(world, name, helper=world.root / "gone.py")
    with Shell(name, world, hook=text) as shell:
        said = shell.startup + shell.run()[1]
        assert (
            said.count("is gone, or not yours to run; reinstall llmenv-hooks or remove its line")
            == 1
        )
        for _ in range(5):
            assert shell.run() == (0, "")


@EACH
def test_control_characters_never_reach_the_terminal(world: World, name: str) -> None:
    world.write_config("die=3")
    with Shell(name, world) as shell:
        until(shell, "llmenv: stub:")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", world.path("fail").read_text())


@EACH
def test_at_most_one_helper_every_two_seconds(world: World, name: str, helper: Path) -> None:
    began = time.monotonic()
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        for _ in range(30):
            shell.run()
        took = time.monotonic() - began
    wait_until(lambda: world.told("calls"))
    assert len(world.told("calls")) <= 1 + took / 1.9


REGISTERED = {
    "bash": "declare -p PROMPT_COMMAND",
    "zsh": "print -r -- $precmd_functions",
    "fish": "functions --handlers-type generic | grep llmenv",
}


@EACH
def test_sourced_twice_fires_once(world: World, name: str, helper: Path) -> None:
    with Shell(name, world, hook=hook_text(world, name, helper=helper), twice=True) as shell:
        assert shell.run(REGISTERED[name])[1].count("__llmenv_hook") <= 1
        wait_until(lambda: world.told("calls"))
        shell.run()
    assert len(world.told("calls")) == 1


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [("bash", "PROMPT_COMMAND", "true"), ("zsh", "precmd_functions", "(true)")],
)
def test_a_place_that_is_readonly_is_told(
    world: World, helper: Path, name: str, variable: str, value: str
) -> None:
    text = hook_text(world, name, helper=helper)
    with Shell(name, world, hook=text, before=f"readonly {variable}={value}") as shell:
        said = f"llmenv: no hook in this shell: {variable} is readonly"
        assert shell.startup.strip() == said
        assert shell.run("echo alive") == (0, "alive")
    assert not world.told("calls")


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_without_a_clock_it_asks_whenever_it_is_down(world: World, name: str, helper: Path) -> None:
    text = hook_text(world, name, helper=helper)
    with Shell(name, world, hook=text, before="unset SECONDS") as shell:
        shell.run()
        shell.run()
        wait_until(lambda: len(world.told("calls")) == 3)


@EACH
def test_a_missing_state_directory_is_silent(world: World, name: str, helper: Path) -> None:
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        assert shell.startup.strip() == ""
        for _ in range(3):
            assert shell.run() == (0, "")


@EACH
@pytest.mark.parametrize("service", [None, "other"])
def test_a_link_to_a_strangers_descriptor_is_no_life(
    world: World, name: str, service: str | None
) -> None:
    """Be it one that has any file open there, or the daemon of another service."""
    with Shell(name, world) as shell:
        wait_until(world.proved)
        kill(world.check())
        (world.state / "other.life").touch()
        fd = open_proof(world, service) if service else 0
        world.path("alive").unlink(missing_ok=True)
        world.path("alive").symlink_to(f"/proc/{os.getpid()}/fd/{fd}/stub.life")
        prompts_until(shell, lambda: len(world.told("starts")) == 2)
        if service:
            os.close(fd)
    wait_until(world.proved)


@EACH
def test_the_paths_are_those_of_the_hook(world: World, name: str) -> None:
    """A shell of another session, with other XDG directories, asks for the same daemon."""
    text = hook_text(world, name)
    world.env["XDG_STATE_HOME"] = str(world.root / "elsewhere")
    world.env["XDG_CONFIG_HOME"] = str(world.root / "elsewhere")
    with Shell(name, world, hook=text):
        wait_until(world.proved)
    assert not (world.root / "elsewhere" / "llmenv").exists()


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize("garbage", ["-1", "1 1", "0x1", "$$", ""])
def test_without_proc_garbage_is_no_life(
    world: World, helper: Path, name: str, garbage: str
) -> None:
    world.state.mkdir(parents=True)
    make_edition(world)
    world.path("life").touch()
    world.path("pid").write_text(garbage)
    with Shell(name, world, hook=hook_text(world, name, proc=False, helper=helper)) as shell:
        assert shell.run(AT_ONCE[name]) == (0, "")
        wait_until(lambda: len(world.told("calls")) == 2)
        world.path("pid").write_text(str(os.getpid()))
        assert shell.run(AT_ONCE[name]) == (0, "")
        assert shell.run() == (0, "")
    assert len(world.told("calls")) == 2
