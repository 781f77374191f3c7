"""One server, many agents: each has its own, and cannot tell that there are others."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from bridges import Bridge, Message, Web, Wire, in_background, messages, said
from daemons import kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    AgentOf = Callable[[Bridge], Web | Wire]

BOTH = pytest.mark.parametrize("agent_of", [Web, Wire], ids=["http", "socket"])
SAMPLING: Message = {"sampling": {}}
PARAMS: Message = {"messages": [], "maxTokens": 1}


@BOTH
def test_initialize_is_answered_as_the_server_did(tmp_path: Path, agent_of: AgentOf) -> None:
    """It is greeted once, whoever comes."""
    with Bridge(tmp_path) as bridge:
        for _ in range(3):
            with agent_of(bridge) as agent:
                result = agent.initialize()["result"]
                assert result["serverInfo"] == {"name": "test", "version": "1"}
                assert result["instructions"] == "do as you like"
        wait_until(lambda: len(bridge.came("notifications/initialized")) == 1)
        assert len(bridge.came("initialize")) == 1


@BOTH
@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        (None, "2025-11-25"),
    ],
)
def test_version_is_negotiated_for_each_agent(
    tmp_path: Path, agent_of: AgentOf, wanted: Any, given: str
) -> None:
    """Its own if it is one that we know, else the server's."""
    with Bridge(tmp_path) as bridge, agent_of(bridge) as agent:
        assert agent.initialize(version=wanted)["result"]["protocolVersion"] == given


def test_ids_and_tokens_of_two_agents_do_not_meet(tmp_path: Path) -> None:
    """The server sees others; each agent gets back its own, of its own type."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as one, Wire(bridge) as two:
        for agent, name, number in ((one, "one", 7), (two, "two", "7")):
            agent.send(
                {
                    "id": number,
                    "method": "tools/call",
                    "params": {
                        "name": "echo",
                        "arguments": {"echo": name, "progress": 2, "seconds": 0.2},
                        "_meta": {"progressToken": "same"},
                    },
                }
            )
        for agent, name, number in ((one, "one", 7), (two, "two", "7")):
            heard = [agent.next() for _ in range(3)]
            assert [each["params"]["message"] for each in heard[:2]] == [name, name]
            assert {each["params"]["progressToken"] for each in heard[:2]} == {"same"}
            assert heard[2]["id"] == number
            assert type(heard[2]["id"]) is type(number)
            assert said(heard[2])["echo"] == name
        ids = [message["id"] for message in bridge.came("tools/call")]
        tokens = [
            message["params"]["_meta"]["progressToken"] for message in bridge.came("tools/call")
        ]
        assert len(set(ids)) == len(set(tokens)) == 2


def test_slow_call_holds_up_no_other(tmp_path: Path) -> None:
    """Not of another agent, and not of the same."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as one, Wire(bridge) as two:
        number = one.ask("tools/call", {"name": "echo", "arguments": {"seconds": 60}})
        assert two.tool(echo=2)["echo"] == 2
        assert one.tool(echo=1)["echo"] == 1
        one.send({"method": "notifications/cancelled", "params": {"requestId": number}})


@BOTH
def test_progress_and_log_come_before_the_answer(tmp_path: Path, agent_of: AgentOf) -> None:
    """Over HTTP the answer is a stream then, and JSON else."""
    with Bridge(tmp_path) as bridge, agent_of(bridge) as agent, Wire(bridge) as other:
        agent.initialize()
        other.initialize()
        params = {"name": "echo", "arguments": {"progress": 3, "log": "info"}}
        agent.call("tools/call", params | {"_meta": {"progressToken": 5}})
        methods = [message["method"] for message in agent.heard]
        assert methods == ["notifications/progress"] * 3 + ["notifications/message"]
        assert [each["params"]["progressToken"] for each in agent.heard[:3]] == [5, 5, 5]
        other.call("tools/list")
        assert other.heard == []


def test_progress_without_a_token_is_nobodys(tmp_path: Path) -> None:
    """Who gave none gets none, whatever the server sends."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as agent:
        agent.tool(progress=2)
        assert agent.heard == []


def test_log_level_of_one_agent_is_not_that_of_another(tmp_path: Path) -> None:
    """The server is told the most talkative, and each hears what it wants."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as one, Wire(bridge) as two:
        one.call("logging/setLevel", {"level": "debug"})
        two.call("logging/setLevel", {"level": "error"})
        levels = [message["params"]["level"] for message in bridge.came("logging/setLevel")]
        assert levels == ["debug", "debug"]
        one.tool(log="info")
        two.tool(log="info")
        two.tool(log="alert")
        assert [each["params"]["level"] for each in one.heard] == ["info"]
        assert [each["params"]["level"] for each in two.heard] == ["alert"]


@BOTH
def test_cancelled_call_is_cancelled_in_the_server(tmp_path: Path, agent_of: AgentOf) -> None:
    """By the server's id for it; nothing comes back."""
    with Bridge(tmp_path) as bridge, agent_of(bridge) as agent, agent_of(bridge) as again:
        agent.initialize()
        call: Message = {"id": "slow", "method": "tools/call"}
        call["params"] = {"name": "echo", "arguments": {"seconds": 60}}
        cancel = {"method": "notifications/cancelled", "params": {"requestId": "slow"}}
        if isinstance(agent, Wire):
            agent.send(call)
            wait_until(lambda: bridge.came("tools/call"))
            agent.send(cancel)
        else:
            assert isinstance(again, Web)
            again.headers = agent.headers
            response = in_background(agent.post, call)
            wait_until(lambda: bridge.came("tools/call"))
            assert again.post(cancel).status == 202
            assert list(messages(wait_until(lambda: response)[0])) == []
        number = bridge.came("tools/call")[0]["id"]
        wait_until(lambda: f"stopped {number}" in bridge.notes())


@BOTH
def test_agent_that_goes_away_cancels_what_it_asked(tmp_path: Path, agent_of: AgentOf) -> None:
    """As if it had said so."""
    with Bridge(tmp_path) as bridge:
        with agent_of(bridge) as agent:
            call: Message = {"id": 1, "method": "tools/call"}
            call["params"] = {"name": "echo", "arguments": {"seconds": 60}}
            if isinstance(agent, Wire):
                agent.send(call)
            else:
                agent.http.request(
                    "POST", "/mcp", json.dumps({"jsonrpc": "2.0"} | call), agent.headers
                )
            wait_until(lambda: bridge.came("tools/call"))
        number = bridge.came("tools/call")[0]["id"]
        wait_until(lambda: f"stopped {number}" in bridge.notes())
        assert bridge.status()["under_way"] == 0


def test_one_agent_cannot_cancel_the_call_of_another(tmp_path: Path) -> None:
    """Ids are each agent's own."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as one, Wire(bridge) as two:
        one.send({"id": 1, "method": "tools/call", "params": {"arguments": {"seconds": 0.3}}})
        wait_until(lambda: bridge.came("tools/call"))
        for number in (1, bridge.came("tools/call")[0]["id"]):
            two.send({"method": "notifications/cancelled", "params": {"requestId": number}})
        assert "result" in one.answer(1)


@BOTH
def test_server_asks_the_agent_whose_call_it_is(tmp_path: Path, agent_of: AgentOf) -> None:
    """And gets its answer, under the id that it gave."""
    with Bridge(tmp_path) as bridge, agent_of(bridge) as agent, Wire(bridge) as other:
        agent.initialize(SAMPLING)
        other.initialize(SAMPLING)
        result = ask(bridge, agent, "sampling/createMessage", PARAMS, {"role": "assistant"})
        assert result == {"role": "assistant"}
        assert other.heard == []


def test_server_asks_in_the_middle_of_others_calls(tmp_path: Path) -> None:
    """Calls that are answered meanwhile, or came later, were not the one."""
    with Bridge(tmp_path) as bridge, ExitStack() as stack:
        agents = [stack.enter_context(Wire(bridge)) for _ in range(10)]
        for agent in agents:
            agent.initialize(SAMPLING)
        others = agents[1:]
        numbers = [
            agent.ask("tools/call", {"name": "echo", "arguments": {"seconds": 0.5}})
            for agent in others
        ]
        wait_until(lambda: len(bridge.came("tools/call")) == len(others))
        result = ask(bridge, agents[0], "sampling/createMessage", PARAMS, {"n": 1})
        assert result == {"n": 1}
        for agent, number in zip(others, numbers, strict=True):
            assert "result" in agent.answer(number)
            assert agent.heard == []


def test_server_gets_an_error_when_two_agents_could_be_meant(tmp_path: Path) -> None:
    """It waits for no answer that never comes."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as one, Wire(bridge) as two:
        one.initialize(SAMPLING)
        two.initialize(SAMPLING)
        two.ask("tools/call", {"name": "echo", "arguments": {"seconds": 60}})
        wait_until(lambda: bridge.came("tools/call"))
        answer = one.tool(ask="sampling/createMessage", params=PARAMS)["answer"]
        assert "2 agents have requests under way" in answer["message"]
        assert one.heard == []


@BOTH
@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("sampling/createMessage", PARAMS, "does not support sampling"),
        ("elicitation/create", {"message": "?"}, "does not support elicitation"),
        ("elicitation/create", {"mode": "url"}, "does not support elicitation by URL"),
        ("roots/list", {}, "does not support roots"),
        ("tasks/get", {}, "no agent can be asked that"),
    ],
)
def test_server_gets_an_error_when_the_agent_cannot(
    tmp_path: Path, agent_of: AgentOf, method: str, params: Message, why: str
) -> None:
    """The agent is not asked what it did not say that it can."""
    with Bridge(tmp_path) as bridge, agent_of(bridge) as agent:
        agent.initialize()
        answer = agent.tool(ask=method, params=params)["answer"]
        assert answer["code"] == -32601
        assert why in answer["message"]


def test_server_gets_an_error_when_the_agent_goes_away(tmp_path: Path) -> None:
    """And no other agent can answer in its stead."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as other:
        with Wire(bridge) as agent:
            agent.initialize(SAMPLING)
            arguments = {"ask": "sampling/createMessage", "params": PARAMS}
            agent.ask("tools/call", {"name": "echo", "arguments": arguments})
            asked = agent.next()
            other.send({"id": asked["id"], "result": {"of": "another"}})
            other.tool()
            assert not answers(bridge)
        wait_until(lambda: answers(bridge))
        assert "error" in answers(bridge)[0]


def test_server_asks_only_for_a_call_of_the_life_in_which_it_asked(tmp_path: Path) -> None:
    """A late answer does not reach the next process, which may have given the same id."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as agent:
        agent.initialize(SAMPLING)
        arguments = {"ask": "sampling/createMessage", "params": PARAMS}
        number = agent.ask("tools/call", {"name": "echo", "arguments": arguments})
        asked = agent.next()
        kill(bridge.server_pid())
        assert "error" in agent.answer(number)
        assert [each["method"] for each in agent.heard] == ["notifications/cancelled"]
        agent.send({"id": asked["id"], "result": {}})
        agent.tool()
        assert not answers(bridge)


def test_ping_is_answered_whatever_the_server_does(tmp_path: Path) -> None:
    """In both directions."""
    with Bridge(tmp_path, "slow=60") as bridge, Wire(bridge) as agent:
        assert agent.call("ping")["result"] == {}
    with Bridge(tmp_path) as bridge, Wire(bridge) as agent:
        assert agent.tool(ask="ping")["answer"] == {}


def test_change_is_told_to_all_that_listen(tmp_path: Path) -> None:
    """By the socket, and by the stream of a GET."""
    with (
        Bridge(tmp_path) as bridge,
        Web(bridge) as web,
        Web(bridge) as stream,
        Wire(bridge) as wire,
    ):
        web.initialize()
        wire.initialize()
        stream.headers = web.headers
        events = messages(stream.request("GET"))
        wire.tool(notify="notifications/tools/list_changed")
        assert next(events)["method"] == "notifications/tools/list_changed"
        assert [each["method"] for each in wire.heard] == ["notifications/tools/list_changed"]


def test_update_is_told_to_who_subscribed(tmp_path: Path) -> None:
    """The server keeps the subscription as long as one agent has it."""
    with (
        Bridge(tmp_path) as bridge,
        Wire(bridge) as one,
        Wire(bridge) as two,
        Wire(bridge) as three,
    ):
        for agent in (one, two):
            agent.call("resources/subscribe", {"uri": "a:b"})
        three.initialize()
        update = {"notify": "notifications/resources/updated", "params": {"uri": "a:b"}}
        three.tool(**update)
        assert len(one.next()["params"]) == len(two.next()["params"]) == 1
        assert three.heard == []
        one.call("resources/unsubscribe", {"uri": "a:b"})
        assert not bridge.came("resources/unsubscribe")
        three.tool(**update)
        assert two.next()["method"] == "notifications/resources/updated"
        two.close()
        wait_until(lambda: bridge.came("resources/unsubscribe"))
        assert one.call("ping")["result"] == {}
        assert one.heard == []


def test_new_server_is_told_what_agents_had_told_the_old_one(tmp_path: Path) -> None:
    """Subscriptions and the log level outlive its death."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as agent:
        agent.call("resources/subscribe", {"uri": "a:b"})
        agent.call("logging/setLevel", {"level": "info"})
        kill(bridge.server_pid())
        wait_until(lambda: len(bridge.came("resources/subscribe")) == 2)
        wait_until(lambda: len(bridge.came("logging/setLevel")) == 2)


def test_session_outlives_the_bridge(tmp_path: Path) -> None:
    """Its id says what a new bridge must know; one of anybody else's is no error."""
    bridge = Bridge(tmp_path)
    with bridge, Web(bridge) as agent:
        agent.initialize(SAMPLING)
        bridge.end()
        agent.close()
        bridge.start()
        assert ask(bridge, agent, "sampling/createMessage", PARAMS, {"n": 2}) == {"n": 2}
        agent.headers["Mcp-Session-Id"] = "0d5fc9ab-of-another-server"
        assert agent.tool(echo=1)["echo"] == 1


def test_ended_session_is_gone(tmp_path: Path) -> None:
    """404, so that the agent begins anew; its stream ends."""
    with Bridge(tmp_path) as bridge, Web(bridge) as agent, Web(bridge) as stream:
        agent.initialize()
        stream.headers = agent.headers
        events = messages(stream.request("GET"))
        assert agent.request("DELETE").read() == b""
        assert list(events) == []
        response = agent.post({"id": 1, "method": "tools/list"})
        assert response.status == 404
        response.read()
        agent.initialize()
        assert agent.tool(echo=1)["echo"] == 1


def test_request_without_a_session_is_served(tmp_path: Path) -> None:
    """As by a server that has none: what a deep check sends."""
    with Bridge(tmp_path) as bridge, Web(bridge) as agent:
        assert agent.call("tools/list")["result"]["tools"]


def answers(bridge: Bridge) -> list[Message]:
    """Return the agents' answers that came to the server."""
    found = [json.loads(line) for line in bridge.notes() if line.startswith("{")]
    return [message for message in found if "method" not in message]


def ask(bridge: Bridge, agent: Web | Wire, method: str, params: Message, result: Message) -> Any:
    """Let the server ask *agent*, which answers *result*; return what the server got."""
    call = {"name": "echo", "arguments": {"ask": method, "params": params}}
    if isinstance(agent, Wire):
        number = agent.ask("tools/call", call)
        asked = agent.next()
        assert asked["method"] == method
        agent.send({"id": asked["id"], "result": result})
        return said(agent.answer(number))["answer"]
    stream = messages(agent.post({"id": 99, "method": "tools/call", "params": call}))
    asked = next(stream)
    assert (asked["method"], asked["params"]) == (method, params)
    with Web(bridge) as back:
        back.headers = agent.headers
        assert back.post({"id": asked["id"], "result": result}).status == 202
    [answer] = stream
    assert answer["id"] == 99
    return said(answer)["answer"]
