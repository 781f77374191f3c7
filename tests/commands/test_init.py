"""`llmenv init`."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from commands.support import ended, on_a_terminal, program, refused
from daemons import PYTHON, wait_until

from llmenv_hooks.commands.init import SCHEMA as SCHEMA_FILE
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.mcp import deep_check
from llmenv_hooks.helper.programs import expanded
from llmenv_hooks.helper.services import GUARDED

if TYPE_CHECKING:
    import subprocess

    from daemons import World

    from llmenv_hooks.helper.services import Service

EXAMPLES = Path(__file__).parents[2] / "examples"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

# `llmenv`, for which the default address is the world's, since 7878 may be in use.
LLMENV = """
import sys
from llmenv_hooks.commands import init
init.DEFAULT_BIND = sys.argv.pop(1)
from llmenv_hooks.__main__ import main
main()
"""


@pytest.fixture
def world(world: World) -> World:
    """A world without a config, and without icm."""
    world.config.unlink()
    (world.root / "bin").mkdir()
    world.env["PATH"] = f"{world.root}/bin:/usr/bin:/bin"
    return world


def argv(world: World, *words: str) -> list[str]:
    return [PYTHON, "-c", LLMENV, world.bind, *words]


def llmenv_here(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run(argv(world, *words))


def written(world: World) -> Service:
    """Return the service of the config, which has to be as `init` leaves it."""
    text = world.config.read_text()
    VALIDATOR.validate(tomllib.loads(text))
    assert stat.S_IMODE(world.config.stat().st_mode) == 0o600
    assert text.startswith(f"#:schema {SCHEMA_FILE.as_uri()}\n#")
    (service,) = load_config(str(world.config)).services
    assert service.name == "memory"
    return service


def test_init_takes_icm_where_there_is_one(world: World) -> None:
    program(world, "icm", "")
    done = llmenv_here(world, "init", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {world.config}: memory on {world.bind}\n" in done.stdout
    assert "`llmenv start`" in done.stdout.splitlines()[-1]
    service = written(world)
    assert (service.command, service.bind) == (["icm", "serve"], world.bind)


def test_what_init_offers_in_comments_works_too(world: World) -> None:
    program(world, "icm", "")
    llmenv_here(world, "init", "--yes")
    setting = re.compile(r"# (\[|[a-z_]+ = )")
    lines = world.config.read_text().splitlines()
    shown = "\n".join(line[2:] if setting.match(line) else line for line in lines)
    table = tomllib.loads(shown)
    VALIDATOR.validate(table)
    offered = {key for values in table["services"].values() for key in values}
    assert offered >= set(Checker.SERVICE_KEYS)


def test_init_leaves_a_config_alone(world: World) -> None:
    for content in ("", "broken ["):
        world.config.write_text(content)
        refused(llmenv_here(world, "init", "--yes"), 1, f"{world.config} is there already")
        assert world.config.read_text() == content
    world.config.unlink()
    world.config.mkdir()
    refused(llmenv_here(world, "init", "--yes"), 1, str(world.config))


def test_init_writes_through_a_dangling_link(world: World) -> None:
    """As a manager of dotfiles leaves it before the file is there."""
    program(world, "icm", "")
    target = world.root / "dotfiles" / "llmenv é.toml"
    world.config.symlink_to(target)
    assert llmenv_here(world, "init", "--yes").returncode == 0
    assert world.config.is_symlink()
    assert 'command = ["icm", "serve"]' in target.read_text()


def test_init_without_a_terminal_does_not_wait(world: World) -> None:
    refused(llmenv_here(world, "init"), 2, "no terminal", "llmenv init --yes")
    assert not world.config.exists()


def test_init_where_the_config_cannot_be(world: World) -> None:
    world.env["LLMENV_CONFIG"] = "/proc/nowhere/config.toml"
    refused(llmenv_here(world, "init", "--yes"), 1, "/proc/nowhere/config.toml")


def test_init_looks_for_a_free_port_and_says_who_has_the_usual_one(world: World) -> None:
    program(world, "icm", "")
    with socket.create_server(("127.0.0.1", world.port)):
        done = llmenv_here(world, "init", "--yes")
    assert f"port {world.port} is taken by pid {os.getpid()} (" in done.stdout
    service = written(world)
    assert service.port > world.port
    assert f"memory on {service.bind}" in done.stdout


def test_init_keeps_the_port_of_the_very_service(world: World) -> None:
    """The one that runs without a config: it is adopted, not doubled."""
    program(world, "icm", "")
    world.begin(world.stub("mcp-proxy", "icm", "serve", str(world.port)))
    wait_until(lambda: world.told("listening"))
    assert "taken" not in llmenv_here(world, "init", "--yes").stdout
    assert written(world).bind == world.bind


def test_init_with_the_example_server_and_on(world: World) -> None:
    done = llmenv_here(world, "init", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    service = written(world)
    assert service.command == [sys.executable, str(EXAMPLES / "memory_server.py")]
    done = llmenv_here(world, "start")
    assert done.stdout.startswith("memory started, pid "), done
    assert deep_check(service) == "ok"
    assert llmenv_here(world, "stop").stdout == "memory stopped\n"


def test_init_takes_a_path_as_it_is(world: World) -> None:
    """Also where the interpreter's has in it what is a variable in the config."""
    odd = world.root / "${HOME}"
    odd.symlink_to(Path(sys.executable).parent)
    python = odd / Path(sys.executable).name
    wanted = ["-c", f"import sys; sys.executable = {str(python)!r}\n{LLMENV}", world.bind]
    assert world.run([PYTHON, *wanted, "init", "--yes"]).returncode == 0
    assert expanded(written(world)).command[0] == str(python)


def test_init_says_what_is_missing_for_a_start(world: World) -> None:
    child = on_a_terminal(world, argv(world, "init"))
    child.expect("Use the example memory server .*Y/n]: ")
    child.sendline("n")
    child.expect("The command of your MCP server.*: ")
    child.sendline("no-such-server --memory")
    status, said = ended(child)
    assert status == 0
    assert "llmenv: before it can start: no-such-server is not an executable file" in said
    assert written(world).command == ["no-such-server", "--memory"]


def test_init_asks_for_no_mcp_proxy(world: World) -> None:
    """Our own bridge is in front of what it writes."""
    program(world, "icm", "")
    python = world.root / "bin" / "python"
    python.symlink_to(sys.executable)  # one without mcp-proxy beside it
    wanted = ["-c", f"import sys; sys.executable = {str(python)!r}\n{LLMENV}", world.bind]
    done = world.run([PYTHON, *wanted, "init", "--yes"])
    assert (done.returncode, done.stderr) == (0, "")
    assert written(world).bridge == GUARDED


def test_init_asks_for_one_thing(world: World) -> None:
    child = on_a_terminal(world, argv(world, "init"))
    child.expect("Use the example memory server .*Y/n]: ")
    child.sendline("")
    status, said = ended(child)
    assert status == 0
    assert f"wrote {world.config}" in said
    assert written(world).command[-1].endswith("memory_server.py")


@pytest.mark.parametrize(
    ("entered", "command"),
    [
        ("npx -y 'my server' \"a\\\\b\"", ["npx", "-y", "my server", "a\\b"]),
        ("${HOME}/mémoire", ["${HOME}/mémoire"]),
    ],
)
def test_init_takes_a_command_of_the_users(world: World, entered: str, command: list[str]) -> None:
    child = on_a_terminal(world, argv(world, "init"), LC_ALL="C.UTF-8")
    child.expect("Y/n]: ")
    child.sendline("n")
    child.expect("command of your MCP server.*: ")
    child.sendline(entered)
    assert ended(child)[0] == 0
    assert tomllib.loads(world.config.read_text())["services"]["memory"]["command"] == command


@pytest.mark.parametrize(
    ("entered", "said"),
    [("npx 'x", "No closing quotation"), ("  ", "no command"), ("\4", "llmenv: aborted")],
)
def test_init_writes_nothing_when_it_gets_no_answer(world: World, entered: str, said: str) -> None:
    child = on_a_terminal(world, argv(world, "init"))
    child.expect("Y/n]: ")
    child.sendline("n")
    child.expect("command of your MCP server.*: ")
    child.send(entered if entered == "\4" else f"{entered}\n")
    status, text = ended(child)
    assert status == 1
    assert said in text
    assert "Traceback" not in text
    assert not world.config.exists()
