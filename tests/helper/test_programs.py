"""Which program a command means: looked for before anything is spawned."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from daemons import World, add
from outcomes import refused_at_once
from packed import ensure


@pytest.mark.parametrize("command", ["no-such-program", "./here", "/etc/passwd", "/", "a\nb"])
def test_a_missing_program_is_named_before_anything_is_spawned(
    world: World, tmp_path: Path, command: str
) -> None:
    here = tmp_path / "here"
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)
    argv = world.bare("--bind", world.bind, "--no-bridge", "--", command)
    refused_at_once(
        world, world.run(argv, cwd=tmp_path), 1, ensure.printable(command), "not an executable"
    )
    assert not (world.state / "mcp-proxy.pid.lock").exists()
    assert not (world.state / "mcp-proxy.life").exists()


def test_a_missing_icm_and_a_missing_proxy_are_named(world: World, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    python = tools / "python"
    python.symlink_to(os.path.realpath(sys.executable))
    world.env["PATH"] = str(tools)
    argv = [str(python), *world.bare("--bind", world.bind)[1:]]
    refused_at_once(world, world.run(argv), 1, "icm", "is not on PATH; run `llmenv init`")
    icm = tools / "icm"
    icm.write_text("#!/bin/sh\n")
    icm.chmod(0o755)
    refused_at_once(world, world.run(argv), 1, "neither mcp-proxy nor uvx")


@pytest.mark.usefixtures("configured")
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


@pytest.mark.usefixtures("configured")
def test_the_home_itself_as_the_directory(world: World) -> None:
    oracle = add(world, "more", "cwd = '~'")
    assert world.run(world.bare("--service", "more")).returncode == 0
    pid = (oracle / "listening").read_text().strip()
    assert os.readlink(f"/proc/{pid}/cwd") == str(world.home)


@pytest.mark.usefixtures("configured")
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


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("cwd", ["${WHERE}", "~/none", "/none"])
def test_a_directory_that_is_not_there_is_named(world: World, cwd: str) -> None:
    world.env["WHERE"] = "relative"
    add(world, "more", f"cwd = '{cwd}'")
    done = world.run(world.bare("--service", "more"))
    assert done.returncode == 1
    assert "its cwd" in done.stderr
    assert (cwd if cwd[0] != "~" else str(world.home / "none")) in done.stderr
