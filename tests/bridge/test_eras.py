"""Revision 2026-07-28: requests that stand alone, on the same endpoint and to the same server."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from bridges import KEY, MODERN, Bridge, Message, Web, Wire, envelope, messages, modern, said
from daemons import kill, wait_until

if TYPE_CHECKING:
    from pathlib import Path

DISCOVER = "server/discover"
LISTEN = "subscriptions/listen"


@pytest.mark.parametrize("kind", ["modern", "locked", "modern-only"])
def test_request_reaches_a_server_that_knows_the_era(tmp_path: Path, kind: str) -> None:
    """By both doors; and one that keeps to an era on each pipe runs twice."""
    with Bridge(tmp_path, kind) as bridge, Web(bridge) as web, Wire(bridge) as wire:
        assert modern(web, DISCOVER)["result"]["supportedVersions"] == [MODERN]
        assert wire.call(DISCOVER, envelope())["result"]["supportedVersions"] == [MODERN]
        answer = said(modern(web, "tools/call", name="echo", arguments={"echo": 1}))
        assert answer["echo"] == 1
        pids = bridge.status()["server"]["pids"]
        assert len(pids) == (2 if kind == "locked" else 1)
        assert answer["pid"] == pids[-1]
        if kind == "modern-only":
            assert web.call("initialize", {})["error"]["code"] == -32601
        else:
            web.initialize()
            assert web.tool()["pid"] == pids[0]


def test_server_that_does_not_know_the_era(tmp_path: Path) -> None:
    """400 and an error of no modern kind: by that a client goes back to `initialize`."""
    with Bridge(tmp_path) as bridge, Web(bridge) as web, Wire(bridge) as wire:
        headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": DISCOVER}
        for _ in range(2):
            response = web.post({"id": 1, "method": DISCOVER, "params": envelope()}, **headers)
            assert response.status == 400
            assert json.loads(response.read())["error"]["code"] == -32601
        assert wire.call(DISCOVER, envelope())["error"]["code"] == -32601
        assert len(bridge.came(DISCOVER)) == 1
        web.initialize()
        assert web.tool(echo=1)["echo"] == 1


def test_progress_and_log_of_a_request(tmp_path: Path) -> None:
    """A request says itself which log messages it wants."""
    with Bridge(tmp_path, "modern") as bridge, Web(bridge) as agent:
        arguments = {"progress": 1, "log": "info"}
        wanted: dict[str, Any] = {"progressToken": "t"}
        for level, methods in {
            None: ["notifications/progress"],
            "error": ["notifications/progress"],
            "debug": ["notifications/progress", "notifications/message"],
        }.items():
            agent.heard.clear()
            meta = wanted if level is None else wanted | {f"{KEY}logLevel": level}
            modern(agent, "tools/call", name="echo", arguments=arguments, meta=meta)
            assert [message["method"] for message in agent.heard] == methods
            assert agent.heard[0]["params"]["progressToken"] == "t"


def test_subscription(tmp_path: Path) -> None:
    """What comes on it carries the agent's id of it; hanging up ends it in the server."""
    with Bridge(tmp_path, "modern") as bridge:
        with Web(bridge) as agent:
            headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": LISTEN}
            events = messages(
                agent.post({"id": "mine", "method": LISTEN, "params": envelope()}, **headers)
            )
            for method in ("subscriptions/acknowledged", "tools/list_changed"):
                event = next(events)
                assert event["method"] == f"notifications/{method}"
                assert event["params"]["_meta"] == {f"{KEY}subscriptionId": "mine"}
        wait_until(lambda: bridge.came("notifications/cancelled"))
        [cancelled] = bridge.came("notifications/cancelled")
        assert cancelled["params"]["requestId"] == bridge.came(LISTEN)[0]["id"]


def test_dead_server_ends_a_subscription(tmp_path: Path) -> None:
    """So that the client subscribes anew."""
    with Bridge(tmp_path, "modern") as bridge, Wire(bridge) as agent:
        number = agent.ask(LISTEN, envelope())
        agent.next()
        agent.next()
        kill(bridge.server_pid())
        assert "ask again" in agent.answer(number)["error"]["message"]


CALL: Message = {"name": "echo", "arguments": {"region": "eu"}}
RIGHT = {
    "MCP_Protocol_Version": MODERN,
    "Mcp_Method": "tools/call",
    "Mcp_Name": "echo",
    "Mcp_Param_Region": "eu",
}


def encoded(text: str) -> str:
    """Return *text* as a header carries what is no plain ASCII."""
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"Mcp_Name": encoded("echo"), "Mcp_Param_Region": encoded("eu")}, None),
        ({"Mcp_Param_Other": "not of the schema"}, None),
        ({"MCP_Protocol_Version": None}, -32020),
        ({"MCP_Protocol_Version": "2025-11-25"}, -32020),
        ({"Mcp_Method": None}, -32020),
        ({"Mcp_Method": "tools/list"}, -32020),
        ({"Mcp_Name": None}, -32020),
        ({"Mcp_Name": "Echo"}, -32020),
        ({"Mcp_Name": "=?base64?ZWNobx==?="}, -32020),
        ({"Mcp_Param_Region": None}, -32020),
        ({"Mcp_Param_Region": "us"}, -32020),
        ({"Mcp_Param_Region": "=?base64?!?="}, -32020),
    ],
)
def test_headers_must_say_what_the_body_says(
    tmp_path: Path, headers: dict[str, str | None], code: int | None
) -> None:
    """400 and HeaderMismatch, if they do not; the tool is not called."""
    with Bridge(tmp_path, "modern") as bridge, Web(bridge) as agent:
        sent = {name: value for name, value in (RIGHT | headers).items() if value is not None}
        call = {"id": 1, "method": "tools/call", "params": envelope(**CALL)}
        response = agent.post(call, **sent)
        answer = json.loads(response.read())
        assert response.status == (400 if code else 200)
        assert answer.get("error", {}).get("code") == code
        assert len(bridge.came("tools/call")) == (0 if code else 1)


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
def test_envelope_must_be_whole(tmp_path: Path, missing: str) -> None:
    """400 and invalid params."""
    with Bridge(tmp_path, "modern") as bridge, Web(bridge) as agent:
        params = envelope()
        del params["_meta"][f"{KEY}{missing}"]
        headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/list"}
        response = agent.post({"id": 1, "method": "tools/list", "params": params}, **headers)
        assert response.status == 400
        assert json.loads(response.read())["error"]["code"] == -32602


def test_what_this_era_has_no_longer(tmp_path: Path) -> None:
    """`initialize` is not found, GET and DELETE are not allowed, notifications mean nothing."""
    with Bridge(tmp_path, "modern") as bridge, Web(bridge, MCP_Protocol_Version=MODERN) as agent:
        params = {"id": 1, "method": "initialize", "params": envelope()}
        response = agent.post(params, Mcp_Method="initialize")
        assert json.loads(response.read())["error"]["code"] == -32601
        for method in ("GET", "DELETE"):
            response = agent.request(method)
            assert (response.status, response.getheader("Allow")) == (405, "POST")
            response.read()
        notification = {"method": "notifications/cancelled", "params": {"requestId": 1}}
        assert agent.post(notification).status == 202
