"""`connect`: an agent's stdio server, which never sees the service down."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bridges import LATEST, MODERN, envelope, hello
from daemons import DEADLINE_S, World, alive, kill, wait_until
from stdio_agent import Agent, add_memory, came, memory_pid, new_bind

import llmenv_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 4 << 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose one service is to be added."""
    with World(tmp_path / "w") as made:
        yield made


def bridge_is_another(world: World, pid: int) -> bool:
    """True once the service has come back as another process than *pid*."""
    return (world.state / "memory.alive").exists() and memory_pid(world) != pid


def unread(agent: Agent) -> int:
    """Return how many bytes that the agent wrote have not been read."""
    assert agent.process.stdin
    answer = fcntl.ioctl(agent.process.stdin, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


# --- the service comes and goes -----------------------------------------------------------------


def test_service_that_is_down_is_started(world: World) -> None:
    add_memory(world)
    agent = Agent(world)
    assert agent.initialize()["result"]["serverInfo"]["name"] == "test"
    assert agent.tool(echo="hello")["echo"] == "hello"
    assert alive(memory_pid(world))
    assert agent.end() == 0
    assert agent.complaints() == ""
    assert agent.heard == []


def test_service_goes_on_without_the_agent(world: World) -> None:
    """And the next agent finds it."""
    add_memory(world)
    first = Agent(world)
    server = first.tool()["pid"]
    first.end()
    assert Agent(world).tool()["pid"] == server


def test_many_agents_share_one_server(world: World) -> None:
    """That come at once, while nothing runs."""
    add_memory(world)
    agents = [Agent(world) for _ in range(12)]
    numbers = [agent.ask_tool(echo=n) for n, agent in enumerate(agents)]
    answers = [agent.answer(number) for agent, number in zip(agents, numbers, strict=True)]
    said = [json.loads(answer["result"]["content"][0]["text"]) for answer in answers]
    assert [one["echo"] for one in said] == list(range(12))
    assert len({one["pid"] for one in said}) == 1


def test_bridge_killed_while_nothing_is_asked(world: World) -> None:
    """The agent notices nothing, and the new bridge knows the agent."""
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize({"sampling": {}})
    for n in range(5):
        pid = memory_pid(world)
        kill(pid)
        assert agent.tool(echo=n)["echo"] == n
        assert memory_pid(world) != pid
    # Only an agent that was introduced, with what it can do, is asked anything.
    number = agent.ask_tool(ask="sampling/createMessage")
    asked = agent.next()
    assert asked["method"] == "sampling/createMessage"
    agent.send({"id": asked["id"], "result": {"said": "yes"}})
    answer = agent.answer(number)
    assert json.loads(answer["result"]["content"][0]["text"])["answer"] == {"said": "yes"}
    assert agent.heard == []
    assert len(came(notes, "tools/call")) == 6


def test_bridge_comes_back_for_a_silent_agent(world: World) -> None:
    """Though it dies again the moment it is there, before `connect` has come to it."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    for _ in range(3):
        pid = memory_pid(world)
        kill(pid)
        wait_until(partial(bridge_is_another, world, pid))


def test_bridge_killed_in_a_call(world: World) -> None:
    """The call may have been done: it gets an error, and is not sent again."""
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize()
    number = agent.ask_tool(seconds=60)
    wait_until(lambda: came(notes, "tools/call"))
    kill(memory_pid(world))
    error = agent.answer(number)["error"]
    assert error["message"].startswith("memory: ")
    assert error["message"].endswith("during this call; it may have been done")
    assert agent.tool(echo="next")["echo"] == "next"
    assert len(came(notes, "tools/call")) == 2


def test_call_that_the_bridge_has_not_read_is_sent_to_the_next_one(world: World) -> None:
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize()
    assert agent.tool(echo="first")["echo"] == "first"
    pid = memory_pid(world)
    kill(pid, signal.SIGSTOP)
    number = agent.ask_tool(echo="unread")
    wait_until(lambda: unread(agent) == 0)
    kill(pid)
    answer = agent.answer(number)
    assert json.loads(answer["result"]["content"][0]["text"])["echo"] == "unread"
    assert len(came(notes, "tools/call")) == 2


def test_bridge_killed_before_it_answered_initialize(world: World) -> None:
    """To say hello asks for nothing to be done, so it is said again."""
    notes = add_memory(world, "slow=1")
    agent = Agent(world)
    number = agent.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
    wait_until(lambda: came(notes, "initialize"))
    wait_until(lambda: (world.state / "memory.pid").exists())
    kill(memory_pid(world))
    assert agent.answer(number)["result"]["serverInfo"]["name"] == "test"


def test_server_killed_in_a_call(world: World) -> None:
    """The bridge's own error passes, and the connection stays."""
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize()
    server = agent.tool()["pid"]
    number = agent.ask_tool(seconds=60)
    wait_until(lambda: len(came(notes, "tools/call")) == 2)
    kill(server)
    assert "may have been done" in agent.answer(number)["error"]["message"]
    assert agent.tool()["pid"] != server


def test_stopped_service_stays_stopped(world: World) -> None:
    """The error says so; once it is started again, the agent goes on."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    pid = memory_pid(world)
    assert world.run(world.bare("--stop")).returncode == 0
    for _ in range(2):
        error = agent.call("tools/list")["error"]
        assert error["message"] == "memory was stopped; llmenv start memory"
    assert not alive(pid)
    assert not (world.state / "memory.pid").exists()
    assert world.run(world.bare("--start")).returncode == 0
    assert agent.tool(echo="on")["echo"] == "on"
    agent.end()
    assert agent.complaints() == "llmenv connect: memory was stopped; llmenv start memory\n"


def test_service_that_is_restarted(world: World) -> None:
    """What is asked between its end and its start waits."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    pid = memory_pid(world)
    assert world.run(world.bare("--stop")).returncode == 0
    number = agent.ask_tool(echo="in between")
    wait_until(lambda: unread(agent) == 0)
    assert world.run(world.bare("--start")).returncode == 0
    assert "result" in agent.answer(number)
    assert memory_pid(world) != pid


def test_edited_config(world: World) -> None:
    """Its new server, at its new address, is the one that is asked from then on."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    pid = memory_pid(world)
    world.bind = new_bind()
    notes = add_memory(world, notes="other-notes")
    assert world.run(world.bare()).returncode == 0
    assert agent.tool(echo="new")["echo"] == "new"
    assert came(notes, "tools/call")
    assert memory_pid(world) != pid


def test_agent_after_an_edit_has_the_new_server(world: World) -> None:
    """Though no shell has looked at the config since."""
    add_memory(world)
    Agent(world).initialize()
    notes = add_memory(world, notes="other-notes")
    assert Agent(world).tool(echo="new")["echo"] == "new"
    assert came(notes, "tools/call")


def test_package_that_is_upgraded_under_it(world: World) -> None:
    """The new one has other rooms: what it needs of its own to restart a service is loaded."""
    add_memory(world)
    package = world.root / "site" / "llmenv_hooks"
    shutil.copytree(Path(llmenv_hooks.__file__).parent, package)
    begin = f"import sys; sys.path.insert(0, {str(package.parent)!r})"
    llmenv = [sys.executable, "-c", f"{begin}; from llmenv_hooks.__main__ import main; main()"]
    agent = Agent(world, argv=[*llmenv, "connect", "memory"])
    agent.initialize()
    loaded = "import llmenv_hooks.bridge.program; print(*sys.modules)"
    kept = world.run([sys.executable, "-c", f"{begin}; {loaded}"]).stdout.split()
    gone = [room for room in package.rglob("*.py") if module_of(room, package) not in kept]
    assert {"connector.py", "managers.py", "renaming.py"} <= {room.name for room in gone}
    for room in gone:
        room.unlink()
    shutil.rmtree(package / "helper" / "__pycache__")
    for _ in range(2):
        kill(memory_pid(world))
        assert agent.tool(echo="upgraded")["echo"] == "upgraded"
    assert world.run(world.bare("--stop")).returncode == 0
    number = agent.ask_tool()
    assert "was stopped" in agent.answer(number)["error"]["message"]


def module_of(room: Path, package: Path) -> str:
    """Return the name of the module that the file *room* in *package* is."""
    return ".".join(room.relative_to(package.parent).with_suffix("").parts)


# --- it cannot be had ---------------------------------------------------------------------------


def test_service_that_cannot_be_started(world: World) -> None:
    """`initialize` gets the line that the prompt would tell; once it is mended, all is well."""
    service = f'[services.memory]\ncommand = ["/none/icm"]\nbind = "{world.bind}"\n'
    world.config.write_text(service)
    agent = Agent(world)
    error = agent.initialize()["error"]
    assert error["message"].startswith("memory: /none/icm is not an executable file")
    add_memory(world)
    assert "result" in agent.initialize()
    agent.end()
    assert agent.complaints().count("/none/icm") == 1


def test_service_that_is_mended_while_it_is_started(world: World) -> None:
    """The start by what the config said before is not what counts."""
    began, end = world.root / "began", world.root / "end"
    script = f"touch '{began}'; until [ -e '{end}' ]; do sleep 0.01; done; exit 3"
    world.config.write_text(
        f'[services.memory]\ncommand = ["sh", "-c", {json.dumps(script)}]\n'
        f'bind = "{world.bind}"\nbridge = false\n'
    )
    agent = Agent(world)
    asked = agent.ask("initialize", hello(None, LATEST))
    wait_until(began.exists)
    add_memory(world)
    end.touch()
    assert "result" in agent.answer(asked)


def test_service_that_does_not_come_up_in_time(world: World) -> None:
    world.write_config("mute", start_timeout=0.5)
    error = Agent(world, "stub").initialize()["error"]
    assert "stub: " in error["message"]


def test_service_that_is_not_in_the_config(world: World) -> None:
    add_memory(world)
    agent = Agent(world, "memry")
    message = agent.initialize()["error"]["message"]
    assert message == f"no service 'memry' in {world.config}; there is: memory"
    assert agent.end() == 0


def test_broken_config(world: World) -> None:
    add_memory(world, lines=["colour = 1"])
    message = Agent(world).initialize()["error"]["message"]
    assert message.startswith(f"{world.config}:4: services.memory.colour: unknown key")


def test_service_that_runs_while_the_config_is_broken(world: World) -> None:
    """It goes on, as at the prompt; once it is down, the agent is told what is wrong."""
    add_memory(world)
    first = Agent(world)
    first.initialize()
    pid = memory_pid(world)
    add_memory(world, lines=["colour = 1"])
    assert Agent(world).tool(echo="new")["echo"] == "new"
    assert memory_pid(world) == pid
    kill(pid)
    wait_until(lambda: not alive(pid))
    message = Agent(world).initialize()["error"]["message"]
    assert message.startswith(f"{world.config}:4: services.memory.colour: unknown key")


# --- what the agent says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "pi', -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32700),
        (b'\xff{"jsonrpc": "2.0", "id": 1, "method": "ping"}', -32700),
        (b"[" * 100_000, -32700),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600),
        (b'{"id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', -32600),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": "%s"}' % (b"x" * MOST_BYTES),
            -32600,
        ),
    ],
)
def test_line_that_is_no_message(world: World, line: bytes, code: int) -> None:
    """It gets an error, and costs nothing else: what is under way goes on."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    number = agent.ask_tool(echo="under way", seconds=0.3)
    agent.write(b"\n  \r\n" + line + b"\n")
    assert agent.answer(None)["error"]["code"] == code
    assert "result" in agent.answer(number)
    assert agent.tool(echo="next")["echo"] == "next"


def test_large_message(world: World) -> None:
    """Up to 4 MiB each way."""
    add_memory(world)
    agent = Agent(world)
    text = "x" * (3 << 20)
    assert agent.tool(echo=text)["echo"] == text


def test_requests_of_2026_07_28_need_no_initialize(world: World) -> None:
    add_memory(world, "modern")
    agent = Agent(world)
    answer = agent.call("server/discover", envelope())
    assert answer["result"]["supportedVersions"] == [MODERN]
    kill(memory_pid(world))
    assert "tools" in agent.call("tools/list", envelope())["result"]


def test_what_the_service_asked_before_it_died(world: World) -> None:
    """The agent hears that nobody waits for its answer; a late one does no harm."""
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize({"sampling": {}})
    number = agent.ask_tool(ask="sampling/createMessage")
    asked = agent.next()
    kill(memory_pid(world))
    assert "may have been done" in agent.answer(number)["error"]["message"]
    cancelled = agent.next()
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == asked["id"]
    agent.send({"id": asked["id"], "result": {"n": 1}})
    second = agent.ask_tool(ask="sampling/createMessage")
    again = agent.next()
    agent.send({"id": again["id"], "result": {"n": 2}})
    answer = agent.answer(second)
    assert json.loads(answer["result"]["content"][0]["text"])["answer"] == {"n": 2}
    assert len(came(notes, "tools/call")) == 2


# --- the agent's end ----------------------------------------------------------------------------


def test_agent_that_says_no_more_gets_what_is_under_way(world: World) -> None:
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    agent.ask_tool(echo="last", seconds=0.3)
    assert agent.end() == 0
    assert json.loads(agent.next()["result"]["content"][0]["text"])["echo"] == "last"


def test_agent_that_says_no_more_is_not_kept_by_a_long_call(world: World) -> None:
    notes = add_memory(world)
    agent = Agent(world)
    agent.initialize()
    agent.ask_tool(seconds=60)
    wait_until(lambda: came(notes, "tools/call"))
    assert agent.end() == 0
    wait_until(lambda: "notifications/cancelled" in notes.read_text())


def test_agent_that_reads_no_more(world: World) -> None:
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    assert agent.process.stdout
    agent.process.stdout.close()
    agent.process.stdout = None
    assert agent.process.wait(DEADLINE_S) == 0


def test_agent_that_goes_while_the_service_starts(world: World) -> None:
    """It does not wait for the start, nor does anybody who reads to the end of its output."""
    world.write_config("gate")
    agent = Agent(world, "stub")
    agent.ask("initialize", {})
    wait_until(lambda: world.told("waiting"))
    assert agent.end() == 0
    assert agent.process.stdout
    assert agent.process.stdout.read() == b""
    assert agent.complaints() == ""
    world.tell("go")
    wait_until(world.proved)


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (b'{"jsonrpc": "2.0", "id": "e", "method": "ping"}', "result"),
        (b'{"jsonrpc": "2.0", "id": "e", "me', "error"),
    ],
)
def test_end_within_a_line(world: World, end: bytes, answer: str) -> None:
    """A whole message counts without the end of its line; half a one gets an error."""
    add_memory(world)
    agent = Agent(world)
    agent.initialize()
    agent.write(end)
    assert agent.end() == 0
    assert answer in agent.next()


def test_state_directory_deeper_than_a_socket_path(tmp_path: Path) -> None:
    with World(tmp_path / ("deep" * 20) / "w") as world:
        add_memory(world)
        agent = Agent(world)
        agent.initialize()
        assert len(os.readlink(world.state / "memory.sock")) < 108
        kill(memory_pid(world))
        assert agent.tool(echo="deep")["echo"] == "deep"


def test_llmenv_connect_needs_no_typer(world: World) -> None:
    add_memory(world)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llmenv_hooks", "connect", "memory"],
        input=b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n',
        capture_output=True,
        env=world.env,
        timeout=DEADLINE_S,
        check=True,
    )
    assert json.loads(done.stdout) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    imported = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert "llmenv_hooks.connect.connector" in imported
    assert not imported & {"typer", "asyncio", "http.client", "subprocess", "tomllib"}
