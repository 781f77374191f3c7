"""The real mcp-proxy with the example server behind it, driven by the official MCP client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemons import holders, missing, wait_until
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from packed import ENSURE, ensure

from llmenv_hooks.helper.status import inspect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator


ROOT = Path(__file__).parent.parent.parent


EXAMPLES = ROOT / "examples"


BIN = Path(sys.executable).parent


TIMEOUT_S = 60


def children(pid: int) -> list[int]:
    """Return the live children of *pid*: what ps says, not what ensure.py believes."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [int(row[0]) for row in rows if row[1] == str(pid) and row[2][0] != "Z"]


def gone(pid: int) -> bool:
    return ensure.is_alive(pid) is False


class Home:
    """A fresh HOME, and llmenv-ensure as a user of it would run it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config" / "llmenv" / "config.toml"
        self.state = root / "state" / "llmenv"
        self.environment = {
            "PATH": os.pathsep.join([str(BIN), os.defpath]),
            "HOME": str(root),
            "SHELL": "/bin/zsh",
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_STATE_HOME": str(root / "state"),
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "XDG_RUNTIME_DIR": str(root),
        }

    def write_config(self) -> str:
        """Write a config of the example server on a free port; return the service's URL."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = json.dumps([sys.executable, str(EXAMPLES / "memory_server.py")])
        self.config.parent.mkdir(parents=True)
        self.config.write_text(
            f'[services.memory]\ncommand = {command}\nbind = "127.0.0.1:{port}"\n'
            'bridge = "mcp-proxy"\n'
        )
        return f"http://127.0.0.1:{port}/mcp"

    def run(self, *argv: str, wanted: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * TIMEOUT_S,
            check=False,
        )
        assert done.returncode == wanted, f"{done.stdout}{done.stderr}{self.log()}"
        return done

    def bring_up(self, *argv: str) -> tuple[str, int]:
        """Run llmenv-ensure; return what it says it did, and the pid."""
        said = self.run(sys.executable, "-I", "-S", str(ENSURE), "--timeout", str(TIMEOUT_S), *argv)
        found = re.fullmatch(r"memory (already-running|spawned) pid=(\d+)\n", said.stdout)
        assert found, said.stdout
        assert said.stderr == ""
        return found[1], int(found[2])

    def service(self) -> ensure.Service:
        return ensure.load_config(str(self.config)).services[0]

    def stop(self) -> bool:
        return ensure.stop(self.service(), str(self.state))

    def log(self) -> str:
        return "".join(file.read_text() for file in self.state.glob("*.log"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    if not (BIN / "mcp-proxy").exists():
        missing("mcp-proxy is not installed beside this Python: `make setup` does it")
    if not shutil.which("ps"):
        missing("ps is not installed")
    (tmp_path / "a b").mkdir()
    home = Home(tmp_path / "a b")
    yield home
    if home.config.exists():
        home.stop()


@pytest.fixture
def url(home: Home) -> str:
    return home.write_config()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[ClientSession]:
    async with (
        asyncio.timeout(TIMEOUT_S),
        streamable_http_client(url) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        hello = await session.initialize()
        assert hello.server_info.name == "llmenv-memory"
        yield session


async def call(session: ClientSession, tool: str, **arguments: object) -> Any:
    answer = await session.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content.get("result", answer.structured_content)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


def test_a_client_uses_what_ensure_started(home: Home, url: str) -> None:
    assert home.bring_up()[0] == "spawned"

    async def work() -> None:
        async with client(url) as session:
            tools = {tool.name for tool in (await session.list_tools()).tools}
            assert tools == {"store", "search", "list", "forget"}
            stored = await call(session, "store", text="the blue elephant")
            query = 'icm "elephant cwd* AND ('
            assert await call(session, "search", query=query) == [stored]
        # Two clients at once, through the one child.
        async with client(url) as one, client(url) as other:
            facts = [call(one if n % 2 else other, "store", text=f"fact {n}") for n in range(10)]
            assert len({memory["id"] for memory in await asyncio.gather(*facts)}) == 10
            assert len(await call(one, "search", query="fact")) == 10

    run(work())
    assert home.bring_up()[0] == "already-running"
    written = [line for line in home.log().splitlines() if " llmenv: " not in line]
    assert written == [], "a healthy service fills the log"


def test_deep_check_revives_a_dead_stdio_server(home: Home, url: str) -> None:
    _, proxy = home.bring_up()
    assert home.bring_up("--deep") == ("already-running", proxy)

    async def store() -> None:
        async with client(url) as session:
            await call(session, "store", text="the blue elephant")

    async def find() -> None:
        async with client(url) as session:
            (found,) = await call(session, "search", query="elephant")
            assert found["text"] == "the blue elephant"

    run(store())
    (child,) = children(proxy)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: gone(child), TIMEOUT_S)  # the stdio server dies

    assert home.bring_up() == ("already-running", proxy), "nothing cheap can see it"
    assert inspect(home.service(), str(home.state)).state == "broken"
    outcome, revived = home.bring_up("--deep")
    assert outcome == "spawned"
    assert revived != proxy
    assert gone(proxy)
    assert (home.state / "memory.pid").read_text().strip() == str(revived)
    run(find())
    assert home.bring_up("--deep") == ("already-running", revived)


@pytest.mark.parametrize("stubborn", [False, True])
def test_stop_leaves_nothing_behind(home: Home, url: str, stubborn: bool) -> None:
    if stubborn:  # a server that heeds neither the end of its stdin nor SIGTERM
        wrapper = home.root / "stubborn.py"
        wrapper.write_text(
            "import runpy, signal, sys, threading\n"
            "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
            "    signal.signal(number, signal.SIG_IGN)\n"
            f"threading.Thread(target=threading.Event().wait, args=({10 * TIMEOUT_S},)).start()\n"
            f"runpy.run_path({str(EXAMPLES / 'memory_server.py')!r}, run_name='__main__')\n"
        )
        text = home.config.read_text()
        home.config.write_text(text.replace(str(EXAMPLES / "memory_server.py"), str(wrapper)))
    _, proxy = home.bring_up()
    (child,) = children(proxy)
    assert home.stop()
    assert gone(proxy)
    assert gone(child)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", home.service().port)) != 0
    assert not home.stop(), "there was nothing left to stop"


def test_a_live_client_survives_a_restart(home: Home, url: str) -> None:
    """mcp-proxy runs stateless: an agent's session means nothing to it, so none is lost."""
    _, proxy = home.bring_up()

    async def work() -> None:
        async with client(url) as session:
            stored = await call(session, "store", text="the blue elephant")
            os.kill(proxy, signal.SIGKILL)
            wait_until(lambda: gone(proxy), TIMEOUT_S)  # mcp-proxy dies
            outcome, revived = await asyncio.to_thread(home.bring_up)
            assert (outcome, revived != proxy) == ("spawned", True)
            assert await call(session, "search", query="elephant") == [stored]

    run(work())


def test_what_a_server_says_that_fails_is_quoted(home: Home, url: str) -> None:
    """Not the traceback that mcp-proxy writes below it."""
    fails = [sys.executable, "-c", "import sys; sys.exit('ERROR: no API key; set FOO_KEY')"]
    text = home.config.read_text()
    home.config.write_text(re.sub("(?m)^command = .*", f"command = {json.dumps(fails)}", text))
    done = home.run(sys.executable, str(ENSURE), wanted=1)
    assert "ERROR: no API key; set FOO_KEY" in done.stderr, url


def test_only_the_proxy_holds_the_lifetime_lock(home: Home, url: str) -> None:
    pid = home.bring_up()[1]
    wait_until(lambda: len(children(pid)) == 1, TIMEOUT_S)  # the proxy's stdio server
    assert holders(home.state / "memory.life") == [pid]


def test_kill_9_of_the_proxy_leaves_no_second_server(home: Home, url: str) -> None:
    _, proxy = home.bring_up()
    (child,) = children(proxy)
    os.kill(proxy, signal.SIGKILL)
    home.bring_up()
    wait_until(lambda: gone(child), TIMEOUT_S)  # the orphaned stdio server sees its stdin end


def test_example_config_is_valid() -> None:
    config = ensure.load_config(str(EXAMPLES / "config.toml"))
    assert config.here
    (service,) = config.services
    assert config.url(service) == "http://127.0.0.1:7878/mcp"
    assert service.command[-1].endswith("/examples/memory_server.py")


def test_example_config_is_valid_with_its_comments_taken_away(tmp_path: Path) -> None:
    """What it shows in comments works too."""
    lines = (EXAMPLES / "config.toml").read_text().splitlines()
    setting = re.compile(r"# (\[|[a-z_]+ = )")
    shown = [line.removeprefix("# ") if setting.match(line) else line for line in lines]
    (tmp_path / "config.toml").write_text("\n".join(shown))
    config = ensure.load_config(str(tmp_path / "config.toml"))
    assert config.server_host == "nas"
    assert [service.name for service in config.services] == ["memory", "tunnel"]
    assert set(ensure.Checker.SERVICE_KEYS) <= set(re.findall(r"^(\w+) =", "\n".join(shown), re.M))
