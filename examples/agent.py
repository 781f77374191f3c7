#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The smallest agent there is: starts the MCP server as coding agents do, and calls one tool.

    python3 examples/agent.py memory store topic=work text='We deploy on Fridays.'
    python3 examples/agent.py memory search query=deploy

It runs `llmenv connect NAME`, which is what `llmenv client` has an agent run, speaks MCP to its
standard input and output, and prints what the tool answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "example-agent", "version": "1"},
}


class Agent:
    """An MCP client of the service *name*."""

    def __init__(self, name: str) -> None:
        self._server = subprocess.Popen(
            ["llmenv", "connect", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._asked = 0
        self.ask("initialize", HELLO)
        self._send({"method": "notifications/initialized"})

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result, or leave with the error that came instead."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        assert self._server.stdout
        for line in self._server.stdout:
            answer = json.loads(line)
            if answer.get("id") == self._asked and "method" not in answer:
                return answer["result"] if "error" not in answer else sys.exit(str(answer["error"]))
        sys.exit("the server has ended")

    def _send(self, message: dict[str, Any]) -> None:
        assert self._server.stdin
        self._server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._server.stdin.flush()


def main(name: str, tool: str, *words: str) -> None:
    """Call *tool* of the service *name* with *words*, each KEY=VALUE."""
    arguments = dict(word.split("=", 1) for word in words)
    answer = Agent(name).ask("tools/call", {"name": tool, "arguments": arguments})
    for content in answer["content"]:
        print(content.get("text", content["type"]))
    sys.exit(answer.get("isError", False))


if __name__ == "__main__":
    main(*sys.argv[1:])
