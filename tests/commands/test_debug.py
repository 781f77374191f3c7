"""`llmenv debug`, and LLMENV_DEBUG for a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.support import llmenv

from llmenv_hooks.helper.version import __version__

if TYPE_CHECKING:
    from daemons import World


def test_a_report_has_it_all_but_what_is_secret(world: World) -> None:
    with world.config.open("a") as file:
        file.write('env = { API_KEY = "s3cret" }\n')
    assert llmenv(world, "start").returncode == 0
    world.path("log").write_text("a \x1b[31mred line\n")
    done = llmenv(world, "debug")
    assert (done.returncode, done.stderr) == (0, "")
    pid = world.check()
    for words in (
        f"llmenv {__version__} in ",
        f"config {world.config}",
        f"state {world.state}",
        f"state running, pid {pid}",
        'env = { "API_KEY" = "..." }',
        "a ?[31mred line",
    ):
        assert words in done.stdout
    assert "s3cret" not in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_a_report_of_a_config_that_is_wrong(world: World) -> None:
    world.config.write_text("[services.stub]\nbnd = 1\n")
    done = llmenv(world, "debug")
    assert (done.returncode, f"{world.config}:2: " in done.stdout) == (0, True)


def test_a_command_tells_what_it_sees(world: World) -> None:
    world.env["LLMENV_DEBUG"] = "1"
    done = llmenv(world, "start")
    assert done.stderr == "llmenv: stub: seen to be down\n"
    assert "llmenv: stub: seen to be down" in (world.state / "helper.log").read_text()
    del world.env["LLMENV_DEBUG"]
    assert llmenv(world, "start").stderr == ""
