"""Several services in one config, and what their values may say: autostart, `~` and `${NAME}`."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import World, add, alive, kill, wait_until
from shells import SHELLS, STEADY, Shell, helpers, hook_text, prompts_until, traced

from llmenv_hooks import ensure

if TYPE_CHECKING:
    import subprocess


def listening(oracle: Path) -> bool:
    return (oracle / "listening").exists()


def starts(oracle: Path, least: int = 1) -> list[int]:
    """Return the pids that were started, or none while they are fewer than *least*."""
    pids = [int(word) for word in (oracle / "starts").read_text().split()]
    return pids if len(pids) >= least else []


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run([sys.executable, "-m", "llmenv_hooks", *words])


def test_one_that_is_slow_holds_up_no_other(world: World) -> None:
    slow = add(world, "slow", modes="gate")
    fails = add(world, "fails", modes="die=3")
    third = add(world, "third")
    asked = world.begin(world.hook_argv())
    wait_until(lambda: listening(third) and world.told("listening"))
    wait_until(lambda: (world.state / "fails.fail").exists())
    assert not listening(slow)
    assert (fails / "starts").exists()
    assert asked.poll() is None
    (slow / "go").touch()
    wait_until(lambda: listening(slow))


def test_all_are_looked_at_in_one_pass(world: World) -> None:
    others = [add(world, f"more-{number}") for number in range(4)]
    done = world.run(world.bare())
    assert done.returncode == 0
    assert all(listening(oracle) for oracle in others)
    assert len(done.stdout.splitlines()) == 5
    rows = llmenv(world, "status").stdout.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [
        ["stub", "running"],
        *([f"more-{number}", "running"] for number in range(4)),
    ]


@pytest.mark.parametrize("command", ["start", "restart"])
def test_by_hand_too_one_that_is_slow_holds_up_no_other(world: World, command: str) -> None:
    world.write_config("gate")
    add(world, "fails", modes="die=3")
    third = add(world, "third")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", command])
    assert asked.stdout is not None
    said = asked.stdout.readline()
    assert said == f"third spawned pid={(third / 'listening').read_text()}"
    wait_until(lambda: (world.state / "fails.fail").exists() and world.told("starts"))
    assert not world.told("listening")
    assert asked.poll() is None
    world.tell("go")
    out, err = asked.communicate(timeout=20)
    assert out == f"stub spawned pid={world.check()}\n"
    assert (asked.returncode, err.count("\n")) == (1, 1)
    assert err.startswith("llmenv: fails: it exited with status 3 ")


def test_the_worst_exit_status_is_that_of_all(world: World) -> None:
    world.write_config("gate")
    held = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    world.write_config("gate", start_timeout=0.3)
    add(world, "fails", modes="die=3")
    done = llmenv(world, "start", "stub")
    assert (done.returncode, "is starting it" in done.stderr) == (75, True), done
    done = llmenv(world, "start")
    assert (done.returncode, done.stderr.count("\n")) == (1, 2), done
    world.tell("go")
    assert held.wait(20) == 0


def test_a_process_that_is_killed_is_not_taken_for_a_success(world: World) -> None:
    world.write_config("gate")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", "start"])
    wait_until(lambda: world.told("starts"))
    children = Path(f"/proc/{asked.pid}/task/{asked.pid}/children").read_text()
    os.kill(int(children), signal.SIGKILL)
    out, err = asked.communicate(timeout=20)
    said = "llmenv: stub: its process was ended; llmenv status tells more\n"
    assert (asked.returncode, out, err) == (1, "", said)


def test_stop_and_the_interrupt_end_all(world: World) -> None:
    other = add(world, "other", modes="gate")
    asked = world.begin([sys.executable, "-m", "llmenv_hooks", "start"], start_new_session=True)
    assert asked.stdout is not None
    asked.stdout.readline()
    wait_until(lambda: (other / "starts").exists())
    os.killpg(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=20)
    assert (asked.returncode, out, err) == (130, "", "")
    done = llmenv(world, "stop")
    assert sorted(done.stdout.splitlines()) == ["other stopped", "stub stopped"]
    assert not world.daemons()
    assert not alive(int((other / "starts").read_text()))


@pytest.mark.parametrize("name", SHELLS)
def test_without_autostart_the_prompt_leaves_it_alone(world: World, name: str) -> None:
    asked = add(world, "asked", "autostart = false")
    assert "asked.alive" not in hook_text(world, name)
    with Shell(name, world) as shell:
        wait_until(world.proved)
        shell.run()
        assert not (asked / "starts").exists()
        assert "LLMENV_ASKED_URL" in shell.run("env")[1]
    assert "asked" not in world.run(world.bare()).stdout
    assert llmenv(world, "status").returncode == 0
    assert "asked" not in llmenv(world, "start").stdout
    assert llmenv(world, "restart").stdout.splitlines()[0] == "asked was not running"
    assert not (asked / "starts").exists()
    assert llmenv(world, "start", "asked").returncode == 0
    assert listening(asked)
    assert "asked spawned" in llmenv(world, "restart").stdout
    assert "asked stopped" in llmenv(world, "stop").stdout


def test_start_where_no_service_starts_by_itself(world: World) -> None:
    with world.config.open("a") as file:
        file.write("autostart = false\n")
    done = llmenv(world, "start")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "llmenv: which service? all have autostart = false: stub\n"
    assert llmenv(world, "restart").stdout == "stub was not running\n"
    assert llmenv(world, "restart", "stub").returncode == 0
    world.check()


def test_autostart_is_true_or_false(world: World) -> None:
    add(world, "asked", "autostart = 1")
    done = world.run(world.bare())
    assert done.returncode == 2
    assert "services.asked.autostart: want true or false" in done.stderr


def test_the_home_and_variables_stand_for_their_values(world: World) -> None:
    (world.home / "work").mkdir()
    world.env["WHERE"] = str(world.home)
    world.env["ODD"] = "$x ~ ${y} 'z'"
    oracle = add(
        world,
        "more",
        "cwd = '~/work'",
        "env = { A = '~/a', B = 'x${WHERE}${ODD}y', C = '$WHERE ~ $${WHERE} a~/b', D = '~user' }",
    )
    done = world.run(world.bare("--service", "more"))
    assert (done.returncode, done.stderr) == (0, "")
    pid = (oracle / "listening").read_text().strip()
    assert os.readlink(f"/proc/{pid}/cwd") == str(world.home / "work")
    raw = Path(f"/proc/{pid}/environ").read_text().split("\0")
    env = dict(line.split("=", 1) for line in raw if line)
    assert env["A"] == f"{world.home}/a"
    assert env["B"] == f"x{world.home}{world.env['ODD']}y"
    assert env["C"] == "$WHERE ~ ${WHERE} a~/b"
    assert env["D"] == "~user"


def test_the_home_itself_as_the_directory(world: World) -> None:
    oracle = add(world, "more", "cwd = '~'")
    assert world.run(world.bare("--service", "more")).returncode == 0
    pid = (oracle / "listening").read_text().strip()
    assert os.readlink(f"/proc/{pid}/cwd") == str(world.home)


def test_words_of_a_command_are_expanded_and_in_every_shell_it_is_the_same_service(
    world: World,
) -> None:
    text = world.config.read_text().replace(str(world.oracle), "${ORACLE}")
    world.config.write_text(text)
    world.env["ORACLE"] = str(world.oracle)
    assert world.run(world.bare()).returncode == 0
    pid = world.check()
    del world.env["ORACLE"]
    assert world.run(world.bare()).stdout == f"stub already-running pid={pid}\n"


def test_a_variable_that_is_not_set_concerns_one_service_only(world: World) -> None:
    add(world, "more", "env = { A = '${NO_SUCH}' }")
    done = world.run(world.bare())
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "more: ${NO_SUCH} in the config is not set in this shell" in done.stderr
    world.check()


@pytest.mark.parametrize("cwd", ["${WHERE}", "~/none", "/none"])
def test_a_directory_that_is_not_there_is_named(world: World, cwd: str) -> None:
    world.env["WHERE"] = "relative"
    add(world, "more", f"cwd = '{cwd}'")
    done = world.run(world.bare("--service", "more"))
    assert done.returncode == 1
    assert "its cwd" in done.stderr
    assert (cwd if cwd[0] != "~" else str(world.home / "none")) in done.stderr


def test_a_stranger_on_the_port_is_not_taken_for_one_with_an_unset_variable(world: World) -> None:
    assert ensure.Listener(1, os.getuid(), ["x"]).runs(ensure.Service(command=["x"], bridge=False))
    odd = ensure.Service(command=["x", "${NO_SUCH_VARIABLE}"], bridge=False)
    assert not ensure.Listener(1, os.getuid(), ["x", "${NO_SUCH_VARIABLE}"]).runs(odd)


@pytest.mark.parametrize("name", SHELLS)
def test_what_keeps_it_from_starting_at_all_is_told_at_the_prompt(world: World, name: str) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    world.path("log").symlink_to("/dev/null")
    with Shell(name, world) as shell:
        said = ""
        wait_until(lambda: world.path("fail").exists())

        def told() -> bool:
            nonlocal said
            said += shell.run()[1]
            return "not a regular file" in said

        wait_until(told)
        world.path("log").unlink()


def test_a_daemon_that_forks_and_takes_its_time_is_not_ended(world: World) -> None:
    modes = ["fork", "gate"]
    assert world.ensure("--timeout", "0.3", modes=modes).returncode == 75
    wait_until(lambda: len(world.told("starts")) == 2)
    assert world.ensure("--timeout", "3", modes=modes).returncode == 75
    world.tell("go")
    assert world.ensure(modes=modes).returncode == 0
    world.check(starts=2)


@pytest.mark.parametrize("name", SHELLS)
def test_a_steady_prompt_opens_nothing_and_looks_at_a_proof_each(world: World, name: str) -> None:
    """And at the config; in fish also at the time when the next pass is due."""
    add(world, "other")
    stats = "stat,lstat,newfstatat,statx,access,faccessat,faccessat2"
    with Shell(name, world, prompt=STEADY.get(name)) as shell:
        wait_until(lambda: world.proved() and (world.state / "other.alive").exists())
        wait_until(lambda: not helpers(world))
        shell.run()
        calls = traced(shell, world, 3, f"open,openat,openat2,{stats}")
        assert not [call for call in calls if "uptime" in call]
        ours = [call for call in calls if str(world.root) in call]
        assert not [call for call in ours if "open" in call.split("(")[0]]
        names = ["other.alive", "stub.alive", world.config.name]
        names += ["stub.proof"] * (name == "fish")
        assert sorted(Path(call.split('"')[1]).name for call in ours) == sorted(names * 3)
        os.utime(world.path("proof"), (1e9, 1e9))
        calls = traced(shell, world, 3, "open,openat,openat2")
        assert len([call for call in calls if "uptime" in call]) == 3 * (name == "fish")


@pytest.mark.parametrize("modes", ["", "close-fds"])
@pytest.mark.parametrize("name", SHELLS)
def test_each_service_that_died_is_back_after_the_next_prompt(
    world: World, name: str, modes: str
) -> None:
    """And none is asked for while all live, those too that are known by their output alone."""
    world.write_config()
    more = [add(world, other, modes=modes) for other in ("second", "third")]
    with Shell(name, world) as shell:
        wait_until(lambda: world.proved() and all(map(listening, more)))
        for oracle in more:
            wait_until(lambda: not helpers(world))
            (pid,) = starts(oracle)
            for _ in range(3):
                assert shell.run() == (0, "")
            assert not helpers(world)
            kill(pid)
            prompts_until(shell, partial(starts, oracle, least=2))


# --- what the config has no more ----------------------------------------------------------------


def renamed(world: World, *more: str) -> int:
    """Start the stub, call it `new` in the config, with *more* to its command; return its pid."""
    pid = world.up()
    text = world.config.read_text().replace("[services.stub]", "[services.new]")
    for word in more:
        text = text.replace('"]', f'", "{word}"]', 1)
    world.config.write_text(text)
    return pid


def test_what_the_config_lost_goes_on_and_is_shown(world: World) -> None:
    """Before it, open shells asked for the lost one every two seconds until they ended."""
    other = add(world, "other")
    assert world.run(world.hook_argv()).returncode == 0
    pid = world.pidfile()
    text = world.config.read_text()
    world.config.write_text(text[text.index("[services.other]") :])
    assert world.run(world.hook_argv()).returncode == 0
    assert world.path("life").stat().st_mtime_ns > world.config.stat().st_mtime_ns
    gone = f"not in {world.config} any more; llmenv stop stub"
    done = llmenv(world, "status")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"stub: {gone}")
    assert "llmenv stop stub" in llmenv(world, "doctor").stdout
    assert llmenv(world, "stop", "stub").stdout == "stub stopped\n"
    assert not alive(pid or 0)
    assert "stub" not in llmenv(world, "status").stdout
    assert alive(starts(other)[0])


def test_stop_ends_also_what_the_config_lost(world: World) -> None:
    pid = renamed(world)
    done = llmenv(world, "stop")
    assert (done.returncode, done.stdout) == (0, "stub stopped\nnew was not running\n")
    assert not alive(pid)


def test_a_renamed_service_is_stopped_by_its_old_name(world: World) -> None:
    pid = renamed(world)
    assert world.run(world.bare()).stdout == f"new already-running pid={pid}\n"
    done = llmenv(world, "stop", "new")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("but was started as stub; llmenv stop stub\n")
    assert alive(pid)
    assert llmenv(world, "stop", "stub").returncode == 0
    assert llmenv(world, "start", "new").returncode == 0


def test_the_port_of_a_renamed_service_is_told_with_its_old_name(world: World) -> None:
    renamed(world, "fork")
    done = world.run(world.bare())
    assert done.returncode == 1
    assert done.stderr.endswith(", started as stub; llmenv stop stub\n")


@pytest.mark.parametrize("word", ["/no/such", "${NO_SUCH}/x", "~nobody"])
def test_what_cannot_be_started_does_not_end_what_runs(world: World, word: str) -> None:
    """An edit, or one shell's lack of a variable; the next prompt hears what is wrong."""
    pid = world.up()
    text = world.config.read_text()
    world.config.write_text(text.replace('command = ["', f'command = ["{word}", "', 1))
    for argv in (world.bare(), world.hook_argv()):
        assert world.run(argv).returncode == 1
        assert world.path("life").stat().st_mtime_ns < world.config.stat().st_mtime_ns
    assert ensure.read_failure(world.files)
    assert alive(pid)
    world.config.write_text(text)
    assert world.run(world.hook_argv()).returncode == 0
    assert world.check() == pid
