"""What cannot start is told in one line, tried again after a pause, and mended at once."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import (
    DEADLINE_S,
    PYTHON,
    World,
    free_port,
    holders,
    wait_until,
)
from outcomes import recovers, refused
from packed import ensure

if TYPE_CHECKING:
    import subprocess


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (b"\x00\x01junk", 0o755, "Exec format error"),
        (b"#!/no/such/interpreter\n", 0o755, "No such file"),
        (b"#!/bin/sh\n", 0o644, "not an executable file"),
        (b"#!/bin/sh\n", 0o755, "Text file busy"),
    ],
)
def test_a_program_that_cannot_be_run_is_named(
    world: World, text: bytes, mode: int, words: str
) -> None:
    program = world.root / "program"
    program.write_bytes(text)
    program.chmod(mode)
    argv = world.argv()
    with program.open("ab") if words == "Text file busy" else nullcontext():
        refused(world.run([*argv[: argv.index("--") + 1], str(program)]), 1, str(program), words)
    assert holders(world.path("life")) == [] if world.path("life").exists() else True
    recovers(world)


@pytest.mark.parametrize("env", ["", "/usr/bin/env ", "/usr/bin/env -S A=b "])
@pytest.mark.parametrize("proxy", [False, True])
def test_an_interpreter_that_is_gone_is_named(world: World, env: str, proxy: bool) -> None:
    """As after an upgrade of Python: the script is there, what its first line names is not."""
    gone = "python3.99" if env else str(world.root / "gone" / "python")
    program = world.root / "bin" / "mcp-proxy"
    program.parent.mkdir()
    program.write_text(f"#!{env}{gone} -I\n")
    program.chmod(0o755)
    world.env["PATH"] = f"{program.parent}:{world.env['PATH']}"
    argv = world.bare("--bind", world.bind, *(["--", "true"] if proxy else ["--no-bridge", "--"]))
    done = world.run(argv if proxy else [*argv, str(program)])
    refused(done, 1, f"cannot run {program}: its first line names {gone}:")
    failed = world.state / "mcp-proxy.fail"
    assert f"its first line names {gone}:" in failed.read_text()


def test_a_daemon_that_exits_is_quoted_and_made_harmless(world: World) -> None:
    world.state.mkdir(parents=True)
    world.path("log").write_text("an older run's line\n")
    began = time.monotonic()
    done = world.ensure("--timeout", "60", modes=["die=3"])
    assert time.monotonic() - began < 10, "it did not wait for the timeout"
    refused(done, 1, "exited with status 3", "one line", "no ?[31mluck? today", "stub.log")
    assert "older" not in done.stderr
    message, data, rest = world.path("fail").read_text().split("\n")
    assert message.isprintable()
    assert message in done.stderr
    assert (data.split()[:2], rest) == (["v1", "1"], "")
    recovers(world)


def naps(child: subprocess.Popen[str]) -> int:
    """Return how often *child* has waited for something."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def test_those_who_wait_for_a_start_that_fails_do_not_try_in_turn(world: World) -> None:
    argv = world.argv("--timeout", "60", modes=["gate", "die=1"])
    callers = [world.begin(argv)]
    wait_until(lambda: world.told("starts"))
    callers += [world.begin(argv) for _ in range(5)]
    wait_until(lambda: all(naps(caller) > 20 for caller in callers))  # they poll
    world.tell("go")
    said = {caller.communicate(timeout=DEADLINE_S) for caller in callers}
    assert [caller.returncode for caller in callers] == [1] * 6
    assert [(out, err.count("exited with status 1")) for out, err in said] == [("", 1)]
    assert len(world.told("starts")) == 1


def age_failure(world: World, seconds: float, count: int | None = None) -> None:
    """Make the noted failure *seconds* older, and the *count*-th in a row."""
    message, data, _ = world.path("fail").read_text().split("\n")
    words = data.split()
    words[1] = str(count or words[1])
    words[2] = f"{float(words[2]) - seconds:.3f}"
    world.path("fail").write_text(f"{message}\n{' '.join(words)}\n")


def noted(world: World) -> str:
    """Return the message that the prompt has to tell."""
    return world.path("fail").read_text().split("\n")[0]


def test_a_cause_is_told_once_and_not_each_text_of_it(world: World) -> None:
    """Shells compare texts; so the text stays while the cause does."""
    script = world.root / "program"
    count = f'echo >>"{world.root}/tries"; echo "try $(wc -l <"{world.root}/tries")"'
    script.write_text(f'#!/bin/sh\n{count}\nexit "$(cat "{world.root}/status")"\n')
    script.chmod(0o755)
    (world.root / "status").write_text("1")
    world.config.write_text(
        f'[services.stub]\ncommand = ["{script}"]\nbind = "{world.bind}"\nbridge = false\n'
    )
    assert world.run(world.hook_argv()).returncode == 1
    first = noted(world)
    assert "exited with status 1 before it listened" in first
    assert 'it said: "try 1"' in first
    for tries in (2, 3):
        age_failure(world, 60)
        assert world.run(world.hook_argv()).returncode == 1
        failure = ensure.read_failure(world.files)
        assert failure is not None
        assert failure.count == tries, "it was tried"
        assert noted(world) == first
    assert 'it said: "try 4"' in world.run(world.bare()).stderr, "who asks is told what it says now"
    (world.root / "status").write_text("3")
    age_failure(world, 60)
    assert world.run(world.hook_argv()).returncode == 1
    assert "exited with status 3 before it listened" in noted(world), "another cause"
    world.config.write_text(world.config.read_text() + "start_timeout = 9\n")
    assert world.run(world.hook_argv()).returncode == 1
    assert 'it said: "try 6"' in noted(world), "after an edit it is told anew"


def test_the_hook_pauses_longer_and_longer(world: World) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=6)  # a pause too long for a slow machine to pass by itself
    for attempt, pause in enumerate([32, 64, 128], start=1):
        for passed in (0, pause - 15):
            age_failure(world, passed)
            assert world.run(world.hook_argv()).returncode == 1
            assert len(world.told("starts")) == attempt
        age_failure(world, 16)
        assert world.run(world.hook_argv()).returncode == 1
        assert len(world.told("starts")) == attempt + 1
    assert world.run(world.bare()).returncode == 1
    assert len(world.told("starts")) == 5, "a direct call always tries"


def needs_a_cure(world: World) -> Path:
    """Have the service fail until the file that is returned exists."""
    cure, script = world.root / "cure", world.root / "program"
    script.write_text(f'#!/bin/sh\n[ -e "{cure}" ] || exit 1\nexec "$@"\n')
    script.chmod(0o755)
    world.write_config()
    text = world.config.read_text().replace('command = ["', f'command = ["{script}", "', 1)
    world.config.write_text(text)
    return cure


def test_a_service_comes_back_once_its_trouble_is_gone(world: World) -> None:
    """The program is the same, what it needs is not: found after one pause."""
    cure = needs_a_cure(world)
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=6)
    cure.touch()
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 33)
    assert world.run(world.hook_argv()).returncode == 0
    world.check()


@pytest.mark.parametrize("word", ["{0}/program", "{0}/link", "~/program", "${{HOME}}/program"])
def test_a_mended_program_is_tried_at_once(world: World, word: str) -> None:
    linked = "link" in word
    script = world.home / "program"
    named = word.format(world.home)
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    if linked:
        Path(named).symlink_to(script)
    world.write_config()
    text = world.config.read_text().replace('command = ["', f'command = ["{named}", "', 1)
    world.config.write_text(text)
    for _ in range(2):
        assert world.run(world.hook_argv()).returncode == 1
    script.write_text('#!/bin/sh\nexec "$@"\n')
    assert world.run(world.hook_argv()).returncode == 0
    world.check()


def test_an_edited_config_is_tried_at_once(world: World) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=9)  # in the middle of a pause of minutes
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 1
    world.config.write_text(world.config.read_text() + "\n")
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 2


def test_llmenv_start_tries_at_once(world: World) -> None:
    cure = needs_a_cure(world)
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=9)
    start = [PYTHON, "-m", "llmenv_hooks", "start"]
    done = world.run(start)
    assert (done.returncode, done.stdout) == (1, "")
    assert "exited with status 1" in done.stderr
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert failure.count == 10, "it was tried"
    cure.touch()
    assert world.run(world.hook_argv()).returncode == 1, "the pause goes on"
    assert world.run(start).returncode == 0
    world.check()
    assert not world.path("fail").exists()


def test_a_bad_config_is_noted_for_the_prompt_and_forgotten(world: World) -> None:
    world.config.write_text("nonsense = \x1b 3\n")
    assert world.run(world.hook_argv()).returncode == 2
    note = world.state / "config.toml.fail"
    lines = note.read_text().splitlines()
    assert str(world.config) in lines[0]
    assert lines[0].isprintable()
    assert len(lines) == 2
    world.write_config()
    assert world.run(world.hook_argv()).returncode == 0
    assert not note.exists()
    world.check()


def test_one_of_several_services_fails_and_the_others_run(world: World) -> None:
    world.write_config()
    bind = f"127.0.0.1:{free_port()}"
    world.config.write_text(
        world.config.read_text()
        + f'[services.other]\ncommand = ["/no/such"]\nbind = "{bind}"\nbridge = false\n'
    )
    done = world.run(world.bare("--json"))
    assert done.returncode == 1
    said = {line["service"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert said["other"]["state"] == "failed"
    assert "/no/such" in said["other"]["error"]
    pid = world.check()
    assert said["stub"] == {"service": "stub", "state": "spawned", "pid": pid, "bind": world.bind}
    assert world.run(world.bare("--quiet", "--service", "stub")).stdout == ""


@pytest.mark.usefixtures("configured")
def test_what_spawn_raises_goes_through(world: World) -> None:
    trouble = FileNotFoundError(2, "no such file", "/opt/my-proxy")

    def spawn(bind: str) -> int:
        raise trouble

    with pytest.raises(FileNotFoundError) as raised:
        ensure.ensure_running(world.bind, str(world.path("pid")), spawn)
    assert raised.value is trouble


@pytest.mark.usefixtures("configured")
def test_an_address_that_others_can_reach_is_warned_about_at_its_start(world: World) -> None:
    world.bind = f"0.0.0.0:{world.port}"
    warned = world.ensure()
    assert warned.returncode == 0
    assert "can be reached by other machines" in warned.stderr
    assert world.ensure().stderr == ""
