"""A guarded service without a port (`bind = false`): its bridge's socket is all there is of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from bridges import Wire
from commands.support import install
from daemons import PYTHON, alive, kill
from guarded import GuardedWorld

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.helper.processes import command_of
from llmenv_hooks.helper.sockets import prepare_socket, socket_path
from llmenv_hooks.hookvalues import exports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTENS = (
    "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
    " print(flush=True); time.sleep(1000)"
)


class SocketWorld(GuardedWorld):
    """Its service has no port."""

    def configure(self, lines: str = "") -> None:
        """Write the config."""
        command = json.dumps(self.server())
        self.config.write_text(f"[services.stub]\ncommand = {command}\n{lines or 'bind = false'}\n")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SocketWorld]:
    with SocketWorld(tmp_path / "w") as made:
        yield made


def call(world: SocketWorld) -> None:
    with Wire(world) as wire:
        assert wire.tool(echo="wire")["echo"] == "wire"


def test_it_lives_as_any_other_does(world: SocketWorld) -> None:
    pid = world.bring_up()
    call(world)
    assert world.bring_up() == pid
    assert len(world.told()) == 1
    assert world.path("pid").read_text() == f"{pid}\n"
    assert world.path("alive").exists()
    assert "--bind" not in command_of(pid)
    kill(pid)
    again = world.bring_up()
    assert again != pid
    call(world)
    done = world.run(world.bare("--stop"))
    assert (done.returncode, done.stdout) == (0, "stub stopped\n")
    assert world.living() == []


def test_what_is_said_of_it(world: SocketWorld) -> None:
    install(world)
    world.bring_up()
    (row,) = json.loads(world.llmenv("status", "--json")[1])
    assert (row["state"], row["address"], row["url"]) == ("running", "socket", None)
    assert "bind = false\n" in world.llmenv("config", "show")[1]
    assert world.llmenv("config", "get", "stub.bind") == (0, "false\n")
    status, said = world.llmenv("url")
    assert status == 1
    assert "llmenv connect stub" in said
    findings = json.loads(world.llmenv("doctor", "--json")[1])
    found = {one["check"]: one["found"] for one in findings if one["service"] == "stub"}
    assert found["address"] == "its socket, this user alone"
    assert found["who may ask"] == "this user's programs, and no web page"
    assert found["round trip"].startswith("llmenv connect stub: it has ")
    assert exports(load_config(str(world.config))) == []


def test_another_bind_is_another_daemon(world: SocketWorld) -> None:
    alone = world.bring_up()
    world.configure(f'bind = "{world.bind}"')
    by_port = world.bring_up()
    assert not alive(alone)
    world.configure()
    assert world.bring_up() not in (alone, by_port)
    assert not alive(by_port)


def test_one_whose_record_is_lost_is_adopted(world: SocketWorld) -> None:
    pid = world.bring_up()
    world.path("life").unlink()
    assert world.bring_up() == pid
    assert len(world.told()) == 1


def test_a_stranger_at_its_socket_is_named(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", world.env["XDG_RUNTIME_DIR"])
    world.state.mkdir(parents=True, mode=0o700)
    prepare_socket(world.files)
    stranger = world.begin([PYTHON, "-c", LISTENS, socket_path(world.files)])
    assert stranger.stdout
    stranger.stdout.readline()
    done = world.run(world.bare())
    assert done.returncode == 1
    assert f"its socket is taken by pid {stranger.pid}" in done.stderr
    stranger.kill()
    stranger.wait()
    world.bring_up()


def test_one_that_is_left_over_is_seen_and_stopped(world: SocketWorld) -> None:
    pid = world.bring_up()
    world.config.write_text(f'[services.x]\ncommand = ["x"]\nbind = "{world.bind}"\n')
    assert "stub" in world.llmenv("status")[1]
    assert world.llmenv("stop", "stub")[0] == 0
    assert not alive(pid)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("bind = true", "or false: the socket alone"),
        ("bind = ''", "or false: the socket alone"),
        ("bind = false\nbridge = false", 'only bridge = "guarded"'),
        ("bind = false\nbridge = 'mcp-proxy'", 'only bridge = "guarded"'),
        ("bind = false\norigins = ['x://y']", "no web page"),
    ],
)
def test_what_goes_with_it(world: SocketWorld, lines: str, why: str) -> None:
    world.configure(lines)
    with pytest.raises(UsageError) as refusal:
        load_config(str(world.config))
    assert why in str(refusal.value)
