"""The two doors: who is let in, what is refused, and that nobody can fill or hold up the bridge."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from bridges import LATEST, Bridge, Web, Wire, messages
from daemons import DEADLINE_S, nobody, wait_until
from wire import FORGED, MALFORMED, PORT, WELCOME, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridges import Message


@pytest.fixture(scope="module", name="bridge")
def _bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with Bridge(tmp_path_factory.mktemp("bridge")) as bridge:
        bridge.server_pid()
        yield bridge


def connect(bridge: Bridge) -> socket.socket:
    """Return a connection to its port."""
    assert bridge.port
    return socket.create_connection(("127.0.0.1", bridge.port), DEADLINE_S)


def status_of(bridge: Bridge, raw: bytes) -> int | None:
    """Send the bytes *raw*; return the status of the answer, None when there is none."""
    with connect(bridge) as sock:
        sock.sendall(raw.replace(str(PORT).encode(), str(bridge.port).encode()))
        response = http.client.HTTPResponse(sock)
        try:
            response.begin()
        except (http.client.HTTPException, ConnectionError):
            return None
        return response.status


def heard(bridge: Bridge) -> list[str]:
    """Return what the server has heard, once the bridge has said all that it says by itself."""
    wait_until(lambda: bridge.came("notifications/initialized"))
    return bridge.notes()


@pytest.mark.parametrize("raw", [*FORGED.values()], ids=FORGED.keys())
def test_forged_request_is_refused(bridge: Bridge, raw: bytes) -> None:
    """Before anything else of it is looked at; the server hears nothing."""
    before = heard(bridge)
    assert status_of(bridge, raw) == 403
    assert heard(bridge) == before


@pytest.mark.parametrize(("status", "raw"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_is_refused(bridge: Bridge, status: int, raw: bytes) -> None:
    """With the status that says so; the server hears nothing."""
    before = heard(bridge)
    assert status_of(bridge, raw) == status
    assert heard(bridge) == before


@pytest.mark.parametrize("raw", WELCOME.values(), ids=WELCOME.keys())
def test_what_agents_send_is_answered(bridge: Bridge, raw: bytes) -> None:
    """A POST, a GET and a DELETE, each in its way."""
    assert status_of(bridge, raw) in ((200,) if raw.startswith(b"POST") else (200, 400, 406))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1e999}}', -32700),
        (b"[" * 100_000, -32700),
        (b'{"a":' * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"x"}', -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b"1", -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":[],"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}', -32602),
    ],
    ids=lambda value: repr(value)[:60],
)
@pytest.mark.parametrize("door", ["http", "socket"])
def test_what_is_no_message_costs_its_connection(
    bridge: Bridge, door: str, body: bytes, code: int
) -> None:
    """And nothing else: not the server's, not another agent's."""
    before = heard(bridge)
    if door == "http":
        with Web(bridge) as agent:
            response = agent.request("POST", body)
            answer = json.loads(response.read())
            assert response.status == 400
    else:
        with Wire(bridge) as agent:
            agent.sock.sendall((body or b"?") + b"\n")
            answer = agent.next()
            assert agent.file.read() == b""
    assert answer["error"]["code"] == code
    with Wire(bridge) as other:
        assert other.call("ping")["result"] == {}
    assert heard(bridge) == before
    assert "Traceback" not in bridge.log()


def test_endless_line_costs_its_connection(bridge: Bridge) -> None:
    """At the socket as over HTTP: 4 MiB."""
    with Wire(bridge) as agent:
        line = b"x" * (4 << 20) + b"xx"
        agent.sock.sendall(line)
        assert "4194304 bytes" in agent.next()["error"]["message"]


def test_paths_and_forms_of_an_answer(bridge: Bridge) -> None:
    """/mcp alone, and what a client accepts."""
    with Web(bridge) as agent:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
        for path, status in {"/": 404, "/sse": 404, "/mcp/../mcp": 404, "/mcp": 200}.items():
            agent.http.request("POST", path, body, agent.headers)
            response = agent.http.getresponse()
            response.read()
            assert (path, response.status) == (path, status)
        assert agent.request("GET", Accept="application/json").status == 406


@pytest.mark.parametrize("accept", ["text/html", "image/*"])
def test_client_that_accepts_neither_form(bridge: Bridge, accept: str) -> None:
    """406, and the server is not asked."""
    with Web(bridge, Accept=accept) as agent:
        assert agent.post({"id": 1, "method": "tools/list"}).status == 406


def test_client_that_accepts_json_alone(bridge: Bridge) -> None:
    """It gets the answer, and nothing of what comes before it; whom it cannot hear is told so."""
    with Web(bridge, Accept="application/json") as agent:
        agent.initialize({"sampling": {}})
        assert agent.tool(echo=1, log="info")["echo"] == 1
        answer = agent.tool(ask="sampling/createMessage")["answer"]
        assert "does not accept text/event-stream" in answer["message"]
        assert agent.heard == []


def test_unknown_revision_is_refused(bridge: Bridge) -> None:
    """400, as 2025-06-18 wants it."""
    with Web(bridge, MCP_Protocol_Version="2001-01-01") as agent:
        assert agent.post({"id": 1, "method": "tools/list"}).status == 400


def test_second_request_waits_for_the_first(bridge: Bridge) -> None:
    """HTTP has them in order; pipelined ones are answered in order."""
    bodies: list[Message] = [{"id": 1, "method": "tools/call"}, {"id": 2, "method": "ping"}]
    bodies[0]["params"] = {"name": "echo", "arguments": {"seconds": 0.2}}
    with connect(bridge) as sock:
        for body in bodies:
            data = json.dumps({"jsonrpc": "2.0"} | body).encode()
            sock.sendall(request(length=f"Content-Length: {len(data)}", body=data))
        read = b""
        while read.count(b'"jsonrpc"') < 2:
            read += sock.recv(4096)
        assert read.index(b'"id":1') < read.index(b'"id":2')


def test_half_open_connections_hold_up_nobody(bridge: Bridge) -> None:
    """300 of one user, each with half a head; others are answered at once."""
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(bridge)).sendall(b"POST /mcp HTTP/1.1\r\nHost: l")
        with Web(bridge) as agent:
            assert agent.tool(echo=1)["echo"] == 1


def test_flood_of_connections_pushes_out_the_idle(bridge: Bridge) -> None:
    """A cap, and who comes then is let in all the same."""
    with ExitStack() as stack:
        for _ in range(700):
            stack.enter_context(connect(bridge))
        with Web(bridge) as agent:
            assert agent.tool(echo=1)["echo"] == 1


def test_slow_head_and_slow_body_end(tmp_path: Path) -> None:
    """10 s and 30 s are allowed, here a tenth of that."""
    # The seconds are the module's own: a bridge of the test's making has others.
    code = "from llmenv_hooks.bridge import httpdoor, program; httpdoor.FIRST_S = 1.0; "
    code += "httpdoor.SECONDS.update(head=1.0, body=1.0); program.main()"
    with Bridge(tmp_path, code=code) as bridge, Web(bridge) as agent:
        agent.initialize()
        starts = [b"", b"POST /mcp HTTP/1.1\r\n"]
        starts.append(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        )
        starts[2] += b"Content-Length: 5\r\n\r\n{"
        for start in starts:
            with connect(bridge) as sock:
                sock.sendall(start)
                assert sock.recv(1) == b""
        assert agent.tool(echo=1)["echo"] == 1  # who has asked before may be silent
        assert bridge.status()["refused"] == {"time": 3}


@pytest.mark.parametrize("door", ["http", "socket"])
def test_agent_that_does_not_read_is_dropped(tmp_path: Path, door: str) -> None:
    """What is kept for it has a bound; nobody else notices."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as other, ExitStack() as stack:
        other.initialize()
        if door == "http":
            web = stack.enter_context(Web(bridge))
            web.initialize()
            web.request("GET")
        else:
            stack.enter_context(Wire(bridge)).initialize()
        flood = {"notify": "notifications/tools/list_changed", "params": {"x": "y" * 1_000_000}}
        wait_until(lambda: other.tool(**flood) and "slow" in bridge.status()["refused"])
        assert len(bridge.status()["agents"]) == 1
        assert other.tool(echo=1)["echo"] == 1


def test_big_answer_arrives_whole(bridge: Bridge) -> None:
    """However slowly it is read: the bound is for what piles up behind it."""
    with Web(bridge) as agent:
        answer = agent.call("tools/call", {"name": "echo", "arguments": {"bytes": 30_000_000}})
        assert len(answer["result"]["content"][0]["text"]) == 30_000_000


def test_agent_that_asks_too_much_at_once(bridge: Bridge) -> None:
    """A thousand requests under way are enough."""
    with Wire(bridge) as agent:
        call = {"name": "echo", "arguments": {"seconds": 1}}
        numbers = [agent.ask("tools/call", call) for _ in range(1010)]
        answers = [agent.next() for _ in numbers]
        failed = [each["error"]["message"] for each in answers if "error" in each]
        assert failed == ["more than 1000 requests under way"] * 10


def test_other_user_is_not_let_in(tmp_path: Path) -> None:
    """Neither by the port nor by the socket, were it open to all."""
    tmp_path.chmod(0o755)
    with Bridge(tmp_path) as bridge:
        assert bridge.path("sock").stat().st_mode & 0o777 == 0o600
        bridge.path("sock").chmod(0o666)
        code = "import socket, sys\n"
        code += f"s = socket.create_connection(('127.0.0.1', {bridge.port}))\n"
        code += "s.sendall(b'POST /mcp HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        code += "try: print(len(s.recv(9)))\nexcept ConnectionError: print(0)\n"
        run = subprocess.run(
            nobody([sys.executable, "-I", "-S", "-c", code]), capture_output=True, check=True
        )
        assert run.stdout == b"0\n"
        assert bridge.status()["refused"] == {"user": 1}


def test_token_where_users_cannot_be_told_apart(tmp_path: Path) -> None:
    """Without it 401; without a file for it the bridge does not start."""
    bridge = Bridge(tmp_path, options=["--token-file", str(tmp_path / "token")])
    bridge.host = "0.0.0.0"
    with bridge:
        token = (tmp_path / "token").read_text().strip()
        with Web(bridge) as agent:
            assert agent.post({"id": 1, "method": "tools/list"}).status == 401
        with Web(bridge, Authorization=f"Bearer {token}") as agent:
            assert agent.tool(echo=1)["echo"] == 1
    without = Bridge(tmp_path / "without")
    without.host = "0.0.0.0"
    with without:
        assert without.process
        assert without.process.wait() == 1
        assert "there is no --token-file" in without.log()


def test_long_call_is_kept_alive(tmp_path: Path) -> None:
    """By a comment in a stream, so that nobody on the way takes it for dead."""
    code = "from llmenv_hooks.bridge import httpdoor, program; httpdoor.KEEP_ALIVE_S = 0.5; "
    code += "program.main()"
    with Bridge(tmp_path, code=code) as bridge, Web(bridge) as agent:
        call = {"name": "echo", "arguments": {"seconds": 3, "echo": 1}}
        response = agent.post({"id": 1, "method": "tools/call", "params": call})
        assert response.readline() == b": keep-alive\n"
        found: list[Message] = list(messages(response))
        assert found[0]["id"] == 1


def test_slow_greeting_has_its_session(tmp_path: Path) -> None:
    """Its answer is no stream, whose head would be written before the session's id is known."""
    code = "from llmenv_hooks.bridge import httpdoor, program; httpdoor.KEEP_ALIVE_S = 0.1; "
    code += "program.main()"
    with Bridge(tmp_path, "slow=3", code=code) as bridge, Web(bridge) as agent:
        agent.initialize({"sampling": {}})
        assert "-s-" in agent.headers["Mcp-Session-Id"]


def test_client_that_names_the_stream_first_gets_one(bridge: Bridge) -> None:
    """The greeting too, and an answer before which nothing comes."""
    with Web(bridge, Accept="text/event-stream, application/json") as agent:
        params = {"protocolVersion": LATEST, "capabilities": {}, "clientInfo": {"name": "x"}}
        response = agent.post({"id": 0, "method": "initialize", "params": params})
        assert response.getheader("Content-Type") == "text/event-stream"
        assert response.getheader("Mcp-Session-Id")
        assert next(messages(response))["result"]["protocolVersion"] == LATEST
        response.read()
        response = agent.post({"id": 1, "method": "tools/list", "params": {}})
        assert response.getheader("Content-Type") == "text/event-stream"
        assert "result" in next(messages(response))


def test_bridge_has_survived_all_that(bridge: Bridge) -> None:
    """The one that these tests share waits for nothing, and has met no error of its own."""
    wait_until(lambda: bridge.status()["under_way"] == 0)
    assert "Traceback" not in bridge.log()


# --- a web page that the config lists -------------------------------------------------------------

PAGE = "vscode-webview://abc"
ALLOW, EXPOSE = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"


def test_preflight_of_a_listed_origin_is_answered(tmp_path: Path) -> None:
    """With what a client of MCP sends, and nothing else."""
    wanted = "authorization,content-type,mcp-session-id,mcp-param-region,x-evil"
    question = {
        "Origin": PAGE,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    }
    with Bridge(tmp_path, options=["--origin", PAGE]) as bridge, Web(bridge) as page:
        page.headers = {}
        response = page.request("OPTIONS", None, **question)
        assert response.read() == b""
        assert (response.status, response.getheader("Content-Length")) == (204, None)
        assert response.getheader(ALLOW) == PAGE
        assert response.getheader("Vary") == "Origin"
        assert response.getheader("Access-Control-Allow-Methods") == "POST, GET, DELETE"
        allowed = response.getheader("Access-Control-Allow-Headers")
        assert allowed == "authorization, content-type, mcp-session-id, mcp-param-region"
        assert response.getheader("Access-Control-Max-Age") == "600"
        assert bridge.status()["refused"] == {}


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), (f"{PAGE}d", 403), (None, 405)]
)
def test_no_other_preflight_is(tmp_path: Path, origin: str | None, status: int) -> None:
    """Whoever asks."""
    with Bridge(tmp_path, options=["--origin", PAGE]) as bridge, Web(bridge) as page:
        page.headers = {}
        response = page.request("OPTIONS", None, **({"Origin": origin} if origin else {}))
        assert (response.status, response.getheader(ALLOW)) == (status, None)


def test_a_listed_page_can_read_its_answers(tmp_path: Path) -> None:
    """JSON, a stream, an empty one, an error; the next request on the connection, too."""
    page = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    with Bridge(tmp_path, options=["--origin", PAGE]) as bridge, Web(bridge, **page) as agent:
        hello_params = {"protocolVersion": "2025-11-25", "capabilities": {}}
        begin = {"id": 0, "method": "initialize", "params": hello_params}
        progress = {"name": "echo", "arguments": {"progress": 1}, "_meta": {"progressToken": 1}}
        for message, status in (
            (begin, 200),
            ({"id": 1, "method": "tools/call", "params": progress}, 200),
            ({"method": "notifications/initialized"}, 202),
            ({"id": "no method"}, 400),
        ):
            response = agent.post(message)
            response.read()
            assert response.status == status
            assert (response.getheader(ALLOW), response.getheader("Vary")) == (PAGE, "Origin")
            assert response.getheader(EXPOSE) == "Mcp-Session-Id"
        agent.http.close()
        agent.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        response = agent.post({"id": 2, "method": "tools/list"})
        assert (response.status, response.getheader(ALLOW)) == (200, None)
