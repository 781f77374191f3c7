"""Ten agents on the official Python SDK, 1.x or 2.x: `python agents.py TARGET MODE`.

TARGET is a URL, or the command of a stdio server, which each of them runs for itself.

The first is asked, by its model and by its user, in the middle of a call; it answers only once each
of the others has had two more answers.  MODE is one of the 2.x line's `Client`; "1.x" is that line.
What came of it goes to stdout, as JSON; `agents.mjs` is the same in JavaScript.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from contextlib import AsyncExitStack
from typing import Any

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

AGENTS = 10
DEADLINE_S = 120
ASKING: dict[
    str, list[tuple[str, dict[str, Any]]]
] = {  # in the era of sessions, and in that of requests which stand alone
    "legacy": [("test_sampling", {"prompt": "who?"}), ("test_elicitation", {"message": "who?"})],
    "modern": [
        ("test_input_required_result_sampling", {}),
        ("test_input_required_result_elicitation", {}),
    ],
}


class Agents:
    """The ten.

    Attributes:
        counts: how many answers each has had.
        asked: which was asked, each time.
        wrong: answers that were not for who got them.
    """

    def __init__(self, target: str, mode: str) -> None:
        self.target: Any = target
        if not target.startswith("http://"):
            command, *args = shlex.split(target)
            self.target = StdioServerParameters(command=command, args=args, env=dict(os.environ))
        self.mode = mode
        self.counts = [0] * AGENTS
        self.asked: list[int] = []
        self.wrong: list[str] = []
        self.done = False

    async def run(self) -> list[str]:
        """Let all call at once; return what the first was answered."""
        async with AsyncExitStack() as stack:
            sessions = [await self.connect(number, stack) for number in range(AGENTS)]
            others = [asyncio.create_task(self.call(n, sessions[n])) for n in range(1, AGENTS)]
            asking = ASKING["modern" if self.mode == "auto" else "legacy"]
            said = [text_of(await sessions[0].call_tool(*each)) for each in asking]
            self.done = True
            await asyncio.gather(*others)
            return said

    async def connect(self, number: int, stack: AsyncExitStack) -> Any:
        """Return a session of the agent *number*."""

        async def sample(context: object, params: object) -> types.CreateMessageResult:
            await self.be_asked(number)
            content = types.TextContent(type="text", text=f"agent {number}")
            return types.CreateMessageResult(role="assistant", content=content, model="none")

        async def elicit(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
            await self.be_asked(number)
            schema = params.model_dump(by_alias=True)["requestedSchema"]
            content: dict[str, Any] = dict.fromkeys(schema["properties"], f"agent {number}")
            return types.ElicitResult(action="accept", content=content)

        callbacks: dict[str, Any] = {"sampling_callback": sample, "elicitation_callback": elicit}
        if self.mode != "1.x":
            from mcp import Client

            return await stack.enter_async_context(Client(self.target, mode=self.mode, **callbacks))
        transport: Any = (
            streamable_http_client(self.target)
            if isinstance(self.target, str)
            else stdio_client(self.target)
        )
        streams = await stack.enter_async_context(transport)
        session = await stack.enter_async_context(ClientSession(*streams[:2], **callbacks))
        await session.initialize()
        return session

    async def be_asked(self, number: int) -> None:
        """Wait until the others have had answers."""
        self.asked.append(number)
        wanted = [count + 2 for count in self.counts]
        while any(self.counts[n] < wanted[n] for n in range(AGENTS) if n != number):
            await asyncio.sleep(0.01)

    async def call(self, number: int, session: Any) -> None:
        """Call until the first is done, and see that each answer is ours."""
        while not self.done:
            mark = f"{number}-{self.counts[number]}"
            said = text_of(await session.call_tool("test_x_mcp_header", {"region": mark}))
            if said != f"region={mark}":
                self.wrong.append(f"{mark}: {said}")
            self.counts[number] += 1


def text_of(answer: Any) -> str:
    """Return the text of a tool's answer."""
    return str(answer.content[0].text)


async def main(target: str, mode: str) -> None:
    """Print what came of it."""
    agents = Agents(target, mode)
    said = await asyncio.wait_for(agents.run(), DEADLINE_S)
    print(json.dumps({"said": said, "asked": agents.asked, "wrong": agents.wrong}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
