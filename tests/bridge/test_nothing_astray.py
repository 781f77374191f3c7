"""Fifty agents at once: nothing reaches an agent that it was not for, nothing is lost."""

from __future__ import annotations

import json
import os
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from bridges import Bridge, Message, Web, Wire, messages, said
from daemons import wait_until

if TYPE_CHECKING:
    from pathlib import Path

AGENTS = 50
CALLS = int(os.environ.get("LLMENV_TEST_CALLS", "20"))  # of each agent; by hand: 200
PROGRESS = 3


class Agent(threading.Thread):
    """One agent, which calls, cancels, and is cut off at random; everything is marked."""

    def __init__(self, bridge: Bridge, number: int) -> None:
        super().__init__()
        self.bridge = bridge
        self.number = number
        self.random = random.Random(number)
        self.wrong: list[str] = []
        self.done = 0

    def run(self) -> None:
        """Make the calls."""
        agent = self.begin()
        for count in range(CALLS):
            mark = f"{self.number}-{count}"
            fate = self.random.choice(["answer", "answer", "answer", "cancel", "cut"])
            call: Message = {"id": count, "method": "tools/call"}
            arguments = {"echo": mark, "progress": PROGRESS}
            if fate != "answer":
                arguments["seconds"] = 30
            call["params"] = {"name": "echo", "arguments": arguments}
            call["params"]["_meta"] = {"progressToken": count % 5}
            try:
                if isinstance(agent, Wire):
                    self.by_socket(agent, call, mark, fate)
                else:
                    self.by_http(agent, call, mark, fate)
            except Exception as error:
                self.wrong.append(f"{mark}: {error!r}")
            self.done += 1
            if fate == "cut":
                agent.close()
                agent = self.begin()
        agent.close()

    def begin(self) -> Wire | Web:
        """Connect anew."""
        agent = Wire(self.bridge) if self.number % 2 else Web(self.bridge)
        agent.initialize()
        return agent

    def check(self, message: Message, mark: str, number: int) -> bool:
        """See that *message* belongs to the call *mark*; True: it is the answer."""
        if "method" in message:
            params = message["params"]
            if (params["message"], params["progressToken"]) != (mark, number % 5):
                self.wrong.append(f"{mark} heard {message}")
            return False
        if message["id"] != number or said(message)["echo"] != mark:
            self.wrong.append(f"{mark} was answered {message}")
        return True

    def by_socket(self, agent: Wire, call: Message, mark: str, fate: str) -> None:
        """Make one call over the socket."""
        agent.send(call)
        for _ in range(PROGRESS):
            assert not self.check(agent.next(), mark, call["id"])
        if fate == "cancel":
            params = {"requestId": call["id"]}
            agent.send({"method": "notifications/cancelled", "params": params})
        elif fate == "answer":
            assert self.check(agent.next(), mark, call["id"])

    def by_http(self, agent: Web, call: Message, mark: str, fate: str) -> None:
        """Make one call over HTTP."""
        events = messages(agent.post(call))
        for _ in range(PROGRESS):
            assert not self.check(next(events), mark, call["id"])
        if fate == "cancel":
            params = {"requestId": call["id"]}
            with Web(self.bridge) as other:
                other.headers = agent.headers
                other.post({"method": "notifications/cancelled", "params": params})
            assert list(events) == []
        elif fate == "answer":
            assert [self.check(event, mark, call["id"]) for event in events] == [True]


def memory(pid: int) -> int:
    """Return the resident set of *pid*, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmRSS"].split()[0])


def test_nothing_goes_astray(tmp_path: Path) -> None:
    """Progress, answers, cancellations and broken connections, all mixed."""
    with Bridge(tmp_path) as bridge:
        bridge.server_pid()
        before = memory(bridge.pid) if os.path.exists("/proc/self/status") else 0
        agents = [Agent(bridge, number) for number in range(AGENTS)]
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.join()
        assert [wrong for agent in agents for wrong in agent.wrong] == []
        assert [agent.done for agent in agents] == [CALLS] * AGENTS
        wait_until(lambda: bridge.status()["under_way"] == 0)
        status = bridge.status()
        assert status["agents"] == []
        assert "Traceback" not in bridge.log()
        with suppress(FileNotFoundError):
            grown = memory(bridge.pid) - before
            print(json.dumps({"grown_kib": grown}))
            assert grown < 8192
