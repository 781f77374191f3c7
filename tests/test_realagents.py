"""The scripted model and the outages of `make agents`, without the agents."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemons import alive, wait_until
from headless import HEADLESS
from modelserver import Model
from outages import Memory, Outages, left
from rounds import Round, Step
from script import WAITS, Script

from realagents import LLMENV, SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemons import World

Json = dict[str, Any]


def post(model: Model, path: str, body: Json) -> list[Json]:
    """Ask *model*, and return the events of its answer."""
    connection = HTTPConnection(model.url.removeprefix("http://"), timeout=20)
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


class AnthropicAgent:
    """It asks as Claude Code does."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.messages: list[Json] = [{"role": "user", "content": "begin"}]

    def ask(self, *tools: str) -> tuple[str, str, Json] | None:
        """Return the id, the name and the arguments of the call that the model makes."""
        body = {"model": "m", "messages": self.messages, "tools": [{"name": one} for one in tools]}
        events = post(self.model, "/v1/messages?beta=true", body)
        (block,) = [one["content_block"] for one in events if one["type"] == "content_block_start"]
        (delta,) = [one["delta"] for one in events if one["type"] == "content_block_delta"]
        if block["type"] == "text":
            return None
        return block["id"], block["name"], json.loads(delta["partial_json"])

    def give(self, id: str, text: str) -> None:
        """Tell what came back of the call *id*."""
        content = [{"type": "text", "text": text}]
        block = {"type": "tool_result", "tool_use_id": id, "content": content}
        self.messages.append({"role": "user", "content": [block]})


class OpenAIAgent:
    """It asks as Codex does."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.items: list[Json] = [{"type": "message", "role": "user", "content": []}]

    def ask(self, *tools: str) -> tuple[str, str, Json] | None:
        """Return the id, the name and the arguments of the call that the model makes."""
        functions = [{"type": "function", "name": one} for one in tools]
        space = {"type": "namespace", "name": "mcp__memory", "tools": functions}
        body = {"input": self.items, "tools": [space, {"type": "web_search"}]}
        events = post(self.model, "/v1/responses", body)
        (item,) = [one["item"] for one in events if one["type"] == "response.output_item.done"]
        if item["type"] == "message":
            return None
        assert item["namespace"] == "mcp__memory"
        return item["call_id"], item["name"], json.loads(item["arguments"])

    def give(self, id: str, text: str) -> None:
        """Tell what came back of the call *id*."""
        self.items.append({"type": "function_call_output", "call_id": id, "output": text})


class GeminiAgent:
    """It asks as Gemini CLI does."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.contents: list[Json] = [{"role": "user", "parts": [{"text": "begin"}]}]

    def ask(self, *tools: str) -> tuple[str, str, Json] | None:
        """Return the id, the name and the arguments of the call that the model makes."""
        declared = {"functionDeclarations": [{"name": one} for one in tools]}
        path = "/v1beta/models/m:streamGenerateContent?alt=sse"
        (event,) = post(self.model, path, {"contents": self.contents, "tools": [declared]})
        (part,) = event["candidates"][0]["content"]["parts"]
        if "text" in part:
            return None
        call = part["functionCall"]
        return call["id"], call["name"], call["args"]

    def give(self, id: str, text: str) -> None:
        """Tell what came back of the call *id*."""
        part = {"functionResponse": {"id": id, "name": "store", "response": {"output": text}}}
        self.contents.append({"role": "user", "parts": [part]})


AGENTS = [AnthropicAgent, OpenAIAgent, GeminiAgent]
Agent = AnthropicAgent | OpenAIAgent | GeminiAgent


@pytest.mark.parametrize("kind", AGENTS)
def test_the_script_is_followed_and_the_answers_are_told_apart(
    kind: Callable[[Model], Agent],
) -> None:
    gaps: list[int] = []
    script = Script(3, gaps.append)
    with Model(script) as model:
        agent = kind(model)
        assert agent.ask("read") is None  # a title, say
        for number in (1, 2, 3):
            called = agent.ask("read", "mcp__memory__store", "mcp__memory__search")
            assert called == agent.ask("read", "mcp__memory__store"), "asked again, told again"
            assert called
            id, name, arguments = called
            assert name == "mcp__memory__store"
            assert arguments == {"text": script.texts[-1]}
            assert gaps == [1, 2][: number - 1]
            arguments |= {} if number == 2 else {"created": "now"}
            agent.give(id, json.dumps(arguments))
        assert agent.ask("read", "mcp__memory__store") is None
    assert len(set(script.texts)) == 3
    assert script.answered() == [True, False, True]
    assert set(script.results) == {1, 2, 3}


@pytest.mark.parametrize("waiting", ["ToolSearch", "list_mcp_resources"])
def test_it_waits_for_the_tool_where_the_agent_can(waiting: str) -> None:
    script = Script(1)
    with Model(script) as model:
        agent = AnthropicAgent(model)
        for number in range(WAITS // 2):
            called = agent.ask("read", waiting)
            assert called
            assert called[:2] == (f"wait_{number + 1}", waiting)
            agent.give(called[0], "[]")
        called = agent.ask("read", waiting, "store")
        assert called
        assert called[1] == "store"


def test_it_waits_once_after_a_call_that_failed() -> None:
    gaps: list[int] = []
    with Model(Script(2, gaps.append)) as model:
        agent = AnthropicAgent(model)
        tools = ("ToolSearch", "store")
        agent.give((agent.ask(*tools) or ("",))[0], "not connected")
        asked = [agent.ask(*tools) for _ in range(3)]
    assert [one and one[1] for one in asked] == ["ToolSearch", "store", "store"]
    assert gaps == [1]


def test_it_does_not_wait_for_ever() -> None:
    with Model(Script(1)) as model:
        agent = AnthropicAgent(model)
        asked = [agent.ask("ToolSearch") for _ in range(WAITS + 2)]
        assert [one is None for one in asked] == [False] * WAITS + [True] * 2


def test_a_round_has_each_server_called_and_waits_for_all() -> None:
    counted: list[int] = []
    all_there = threading.Barrier(2, lambda: counted.append(1), timeout=20)
    steps = [Step(r"(^|_)read_graph$", {}, "relations"), Step(r"(^|_)echo$", {"message": "m"}, "m")]
    rounds = [Round(steps, {"ToolSearch": {"query": "x"}}, all_there) for _ in range(2)]

    def run(one: Round) -> None:
        with Model(one) as model:
            agent = AnthropicAgent(model)
            assert (agent.ask("ToolSearch") or ("", ""))[1] == "ToolSearch"
            for tool, text in (("mcp__g__read_graph", '{"relations": []}'), ("echo", "no")):
                id, name, _ = agent.ask("ToolSearch", tool) or ("", "", {})
                assert name == tool
                agent.give(id, text)
            assert agent.ask(tool) is None

    threads = [threading.Thread(target=run, args=(one,)) for one in rounds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counted == [1]
    for one in rounds:
        (wrong,) = one.wrong()
        assert wrong.startswith("(^|_)echo$: ")


def test_what_the_model_does_not_have_is_refused_and_noted() -> None:
    with Model(Script(1)) as model:
        for method, path in (("GET", "/v1/models"), ("CONNECT", "telemetry.example:443")):
            connection = HTTPConnection(model.url.removeprefix("http://"), timeout=20)
            connection.request(method, path)
            assert connection.getresponse().status == 404
            connection.close()
        assert model.refused == ["GET /v1/models", "CONNECT telemetry.example:443"]


def test_there_are_twelve_kills_in_nineteen_gaps() -> None:
    kills = [whom for whom in Outages.PLAN[:19] if whom]
    assert {whom: kills.count(whom) for whom in kills} == {"bridge": 4, "server": 4, "both": 4}


def test_the_versions_are_pinned() -> None:
    path = Path(__file__).parents[1] / "realagents" / "package.json"
    pinned = json.loads(path.read_text())["dependencies"]
    assert set(pinned) == {agent.package for agent in HEADLESS.values()}
    assert all(version[0].isdigit() for version in pinned.values())


def test_each_outage_is_one_and_leaves_nothing(world: World) -> None:
    memory = Memory(world, SERVER, LLMENV)
    memory.run("start", "memory")
    outages = Outages(memory, revive=True)
    bridge, servers = memory.bridge(), wait_until(memory.servers)
    assert set(bridge) < set(left(world))
    outages.between(3)
    assert memory.bridge() == bridge
    assert not any(map(alive, servers))
    servers = wait_until(memory.servers)
    outages.between(4)
    assert memory.bridge() == []
    assert not any(map(alive, servers))
    outages.between(5)
    assert memory.bridge() not in ([], bridge)
    assert (outages.kills, outages.unheard) == (2, [5])
    memory.run("stop", "memory")
    wait_until(lambda: left(world) == [])
