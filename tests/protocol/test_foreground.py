"""`--foreground`: a process that stays in front of the daemon, for a service manager."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from daemons import alive, kill, processes_with, wait_until
from keepers import Busy, Foreground
from packed import ensure
from stdio_agent import Agent, add_memory, came, memory_pid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daemons import World


@pytest.fixture
def notes(world: World) -> Iterator[Path]:
    """`memory` is the service of the config; where its server notes what comes."""
    yield add_memory(world)
    world.run(world.bare("--stop"))


def hook(world: World) -> int:
    """Do what a prompt has done in the background; return its status."""
    return world.run(world.hook_argv()).returncode


def keeper_pid(world: World) -> int | None:
    """Return who is recorded to keep the service, and lives."""
    keeper = ensure.keeper_of(ensure.instances("memory", str(world.state))[0])
    return keeper.pid if keeper else None


@pytest.mark.parametrize("listens", [False, True], ids=["its own socket", "a socket handed over"])
def test_a_keeper_starts_keeps_and_ends_the_daemon(
    world: World, notes: Path, listens: bool
) -> None:
    with Foreground(world, listens=listens) as keeper:
        daemon = keeper.ready()
        assert keeper_pid(world) == keeper.process.pid
        assert hook(world) == 0
        assert memory_pid(world) == daemon
        agent = Agent(world)
        agent.initialize()

        kill(daemon)
        assert agent.tool(echo="after a kill")["echo"] == "after a kill"
        keeper.heard("READY=1")
        assert memory_pid(world) != daemon
        assert hook(world) == 0
        bridge = memory_pid(world)

        assert keeper.end() == 0
        keeper.heard("STOPPING=1")
        assert not alive(bridge)
        assert keeper_pid(world) is None
        assert processes_with(f"notes={notes}") == []


def test_a_connection_that_came_first_is_answered(world: World, notes: Path) -> None:
    """It waits in the socket that the manager holds, also from one daemon to the next."""
    with Foreground(world, listens=True) as keeper:
        for _ in range(2):
            kill(keeper.ready())
            host, port = world.bind.split(":")
            with socket.create_connection((host, int(port))) as sock:
                sock.sendall(b"OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(12) == b"HTTP/1.1 405"


def test_a_hand_over_loses_no_call(world: World, notes: Path) -> None:
    """From a prompt's daemon to the keeper's, from one of the keeper's to the next, and back."""
    assert world.run(world.bare()).returncode == 0
    pids = [memory_pid(world)]
    with Busy(world, seconds=0.02) as agents, Foreground(world) as keeper:
        pids.append(keeper.ready())
        agents.go_on()
        assert keeper.end() == 0
        agents.go_on()
        pids.append(memory_pid(world))
        assert keeper_pid(world) is None
    assert len(set(pids)) == len(pids)
    done = Counter(call["params"]["arguments"]["echo"] for call in came(notes, "tools/call"))
    assert [word for word, times in done.items() if times > 1] == []
    assert set(done) >= set(agents.done)


def test_a_long_call_is_waited_for(world: World, notes: Path) -> None:
    """Longer than a plain end of the bridge would wait."""
    assert world.run(world.bare()).returncode == 0
    agent = Agent(world)
    agent.initialize()
    number = agent.ask_tool(echo="long", seconds=3)
    wait_until(lambda: came(notes, "tools/call"))
    with Foreground(world) as keeper:
        assert "result" in agent.answer(number)
        keeper.ready()
        assert agent.tool(echo="next")["echo"] == "next"
        assert keeper.end() == 0


def test_stop_ends_the_keeper_and_start_needs_none(world: World, notes: Path) -> None:
    with Foreground(world) as keeper:
        keeper.ready()
        assert world.run(world.bare("--stop")).stdout == "memory stopped\n"
        assert keeper.process.wait(20) == 0
        assert hook(world) == 1
        assert processes_with(f"notes={notes}") == []
        keeper.start()  # by name, it starts also what was stopped
        keeper.ready()
        assert Agent(world).tool(echo="again")["echo"] == "again"
        assert keeper.end() == 0


def test_an_edit_of_the_config_reaches_the_keeper(world: World, notes: Path) -> None:
    """By the prompt that sees it, which leaves it to the keeper to start the new one."""
    with Foreground(world) as keeper:
        keeper.ready()
        other = add_memory(world, notes="other-notes")
        hook(world)
        assert Agent(world).tool(echo="new")["echo"] == "new"
        assert came(other, "tools/call")
        assert keeper_pid(world) == keeper.process.pid
        world.config.write_text("broken [")
        keeper.process.send_signal(signal.SIGHUP)
        add_memory(world, notes="other-notes")
        assert Agent(world).tool(echo="still")["echo"] == "still"
        assert keeper.end() == 0


def test_there_is_one_keeper(world: World, notes: Path) -> None:
    with Foreground(world) as keeper:
        daemon = keeper.ready()
        done = world.run(world.bare("--foreground", "memory"))
        assert done.returncode == 1
        assert done.stderr == (
            f"llmenv-ensure: memory: pid {keeper.process.pid} keeps it already\n"
        )
        assert memory_pid(world) == daemon
        assert keeper.end() == 0


def test_a_daemon_that_keeps_dying_is_left_to_the_manager(world: World, notes: Path) -> None:
    with Foreground(world) as keeper:
        for _ in range(3):
            kill(keeper.ready())
        assert keeper.process.wait(20) == 1
        assert keeper.process.stderr
        assert "keeps dying as soon as it is up" in keeper.process.stderr.read()


def test_a_service_that_cannot_be_started_is_one_line(world: World) -> None:
    """The next run sits out the pause, as prompts do, and ends at once when it is told to."""
    service = f'[services.memory]\ncommand = ["/none/icm"]\nbind = "{world.bind}"\n'
    world.config.write_text(service)
    with Foreground(world) as keeper:
        assert keeper.process.wait(20) == 1
        assert keeper.process.stderr
        said = keeper.process.stderr.read()
        assert said.startswith("llmenv-ensure: memory: /none/icm is not an executable file")
        assert said.count("\n") == 1
        for _ in range(6):  # the pauses double: after six there is one of 32 s
            done = world.run(world.bare())
            assert done.returncode == 1
        keeper.start()
        wait_until(lambda: keeper_pid(world) == keeper.process.pid)
        assert keeper.end() == 0


def test_a_socket_of_another_address_is_not_taken(world: World, notes: Path) -> None:
    """The service was moved since its unit was written."""
    with Foreground(world, listens=True) as keeper:
        keeper.ready()
        assert keeper.end() == 0
        world.bind = f"127.0.0.2:{world.port}"
        add_memory(world)
        keeper.start()
        keeper.ready()
        with socket.create_connection(("127.0.0.2", world.port)):
            assert keeper.end() == 0


def test_a_renamed_service_stays_with_its_keeper(world: World, notes: Path) -> None:
    """By its former name, which is all that the keeper knows, and nobody starts a second one."""
    with Foreground(world) as keeper:
        daemon = keeper.ready()
        text = world.config.read_text()
        world.config.write_text(text.replace("[services.memory]", "[services.new]"))
        assert hook(world) == 1
        told = (world.state / "new.fail").read_text()
        assert "started as memory; llmenv stop memory" in told
        assert memory_pid(world) == daemon
        assert keeper_pid(world) == keeper.process.pid
