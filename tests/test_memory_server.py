"""examples/memory_server.py over real stdio, driven by the official MCP client."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemons import need
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

SERVER = Path(__file__).parent.parent / "examples" / "memory_server.py"
TIMEOUT_S = 60

HOSTILE = [
    'icm "recall cwd* AND (',
    '"',
    '""""',
    "( ) * ^ : - + NEAR(",
    "text: recall",
    "NOT",
    "recall OR",
    "NEAR(recall cwd, 2)",
    "'; DROP TABLE memory; --",
    "recall\0cwd",
    "%_?",
    "\U0001d518 \u202e \u0301",
    "a " * 500,
]


def environment(database: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LLMENV_MEMORY_DB": str(database)}


@asynccontextmanager
async def client(database: Path) -> AsyncIterator[ClientSession]:
    parameters = StdioServerParameters(
        command=sys.executable, args=[str(SERVER)], env=environment(database)
    )
    async with (
        stdio_client(parameters) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


async def call(session: ClientSession, tool: str, **arguments: object) -> Any:
    """Return a tool's structured result; a tool error is an AssertionError."""
    answer = await session.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content.get("result", answer.structured_content)


async def refused(session: ClientSession, tool: str, **arguments: object) -> str:
    """Return the text of a tool's error."""
    answer = await session.call_tool(tool, arguments)
    assert answer.is_error, answer.content
    return str(answer.content)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


def start_raw(
    database: Path, *argv: str, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, *(argv or (str(SERVER),))],
        env=environment(database),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_tools_are_described_for_agents(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert set(tools) == {"store", "search", "list", "forget"}
            for tool in tools.values():
                assert tool.description
                for name, schema in tool.input_schema["properties"].items():
                    assert schema.get("description"), f"{tool.name}.{name}"

    run(work())


def test_store_search_list_forget(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            first = await call(session, "store", text="We deploy on Fridays", topic="ops")
            second = await call(session, "store", text="Café opens at nine")
            assert (first["topic"], second["topic"]) == ("ops", "general")
            assert first["id"] != second["id"]

            async def found(query: str, **more: object) -> list[int]:
                return [m["id"] for m in await call(session, "search", query=query, **more)]

            assert await found("deploying") == [first["id"]]  # by its stem
            assert await found("cafe") == [second["id"]]  # without the accent
            assert await found("deploy friday nine xyzzy") == [first["id"], second["id"]]
            assert await found("ops") == [first["id"]]  # the topic counts as text
            assert await found("deploy friday nine", topic="ops") == [first["id"]]
            assert await found("deploy friday nine", limit=1) == [first["id"]]
            assert await found("xyzzy") == []

            assert await call(session, "list") == [second, first]
            assert await call(session, "list", limit=1) == [second]
            assert await call(session, "list", before=second["id"]) == [first]
            assert await call(session, "list", topic="ops") == [first]

            await call(session, "forget", id=second["id"])
            assert await call(session, "list") == [first]
            assert await found("cafe") == []
            assert f"no memory {second['id']}" in await refused(session, "forget", id=second["id"])
            third = await call(session, "store", text="new")
            assert third["id"] > second["id"], "an id was given twice"

    run(work())


def test_data_survives_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            stored = await call(session, "store", text="the blue elephant")
        async with client(tmp_path / "m.db") as session:
            assert await call(session, "search", query="elephant") == [stored]

    run(work())


def test_hostile_queries_are_plain_searches(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            stored = await call(session, "store", text="icm filters recall by its cwd")
            await call(session, "store", text="something else")
            for query in HOSTILE:
                found = await call(session, "search", query=query)
                wanted = [stored] if "recall" in query else []
                assert [m for m in found if "else" not in m["text"]] == wanted, query
            assert len(await call(session, "list")) == 2
            # Operators mean nothing: neither AND nor NOT narrows what plain words find.
            assert await call(session, "search", query="recall AND xyzzy") == [stored]
            assert await call(session, "search", query="NOT recall") == [stored]

    run(work())


def test_hostile_texts_come_back_as_they_were(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            for text in HOSTILE:
                stored = await call(session, "store", text=text, topic=text[:100])
                assert (stored["text"], stored["topic"]) == (text, text[:100])
                assert (await call(session, "list", limit=1)) == [stored]

    run(work())


def test_sizes_are_limited(tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "m.db") as session:
            calls: list[tuple[str, dict[str, object]]] = [
                ("store", {"text": "x" * 20_001}),
                ("store", {"text": ""}),
                ("store", {"text": "x", "topic": "t" * 101}),
                ("search", {"query": "q" * 1001}),
                ("search", {"query": ""}),
                ("search", {"query": "q", "limit": 51}),
                ("list", {"limit": 0}),
                ("forget", {"id": 1 << 63}),
                ("forget", {"id": -1}),
            ]
            for tool, arguments in calls:
                await refused(session, tool, **arguments)
            assert await call(session, "list") == []
            assert await call(session, "store", text="x" * 20_000)

    run(work())


def test_servers_share_one_database(tmp_path: Path) -> None:
    """Four at once make the file and write to it; all see all."""

    async def writer(number: int) -> None:
        async with client(tmp_path / "m.db") as session:
            for index in range(10):
                await call(session, "store", text=f"shared fact {index}", topic=f"t{number}")

    async def work() -> None:
        await asyncio.gather(*(writer(number) for number in range(4)))
        async with client(tmp_path / "m.db") as session:
            assert len(await call(session, "search", query="shared", limit=50)) == 40

    run(work())


def test_many_make_the_database_at_once(tmp_path: Path) -> None:
    """SQLite refuses some of those that switch a new file to WAL together; we try again."""
    program = """if True:
        import os, sys, time
        from pathlib import Path
        import memory_server
        failed = 0
        for round in range(30):
            began, children = time.monotonic() + 0.02, []
            for _ in range(8):
                child = os.fork()
                if not child:
                    while time.monotonic() < began:
                        pass
                    try:
                        memory_server.open_database(Path(sys.argv[1], f"{round}.db"))
                    except BaseException as error:
                        print(error, file=sys.stderr)
                        os._exit(1)
                    os._exit(0)
                children.append(child)
            failed += sum(os.waitpid(child, 0)[1] != 0 for child in children)
        sys.exit(failed)
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=SERVER.parent,
        env={"PYTHONPATH": str(SERVER.parent)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ends_when_stdin_ends(tmp_path: Path) -> None:
    done = start_raw(tmp_path / "m.db")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ends_when_stdin_ends_in_a_session(tmp_path: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"},
        },
    }
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        env=environment(tmp_path / "m.db"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(hello), file=server.stdin, flush=True)
        answer = json.loads(server.stdout.readline())
        assert answer["result"]["serverInfo"]["name"] == "llmenv-memory"
        server.stdin.close()
        assert server.wait(TIMEOUT_S) == 0


def test_default_place_is_private(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SERVER)],
        env={"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "a b"), "LLMENV_MEMORY_DB": ""},
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    (database,) = tmp_path.rglob("memory.db")
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    if sys.platform == "linux":
        assert database == tmp_path / "a b" / "llmenv" / "memory.db"


@pytest.mark.parametrize("kind", ["missing", "directory", "garbage", "newer", "relative"])
def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path, kind: str) -> None:
    database = tmp_path / "m.db"
    if kind == "missing":
        database = tmp_path / "no" / "such" / "m.db"
    elif kind == "directory":
        database.mkdir()
    elif kind == "garbage":
        database.write_text("these are my notes, do not touch them\n" * 100)
    elif kind == "newer":
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        database = Path("m.db")
    before = database.read_bytes() if database.is_file() else None
    done = start_raw(database)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("memory_server: cannot open ")
    assert str(database) in done.stderr
    assert done.stderr.count("\n") == 1
    if kind == "garbage":
        assert database.read_bytes() == before


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    prefix = []
    if os.geteuid() == 0:  # who may write everywhere, unless that right is taken away
        need("setpriv")
        prefix = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override"]
    done = start_raw(tmp_path / "m.db", prefix=prefix)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
