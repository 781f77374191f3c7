"""How a door is closed, while somebody may be in it."""

from __future__ import annotations

import asyncio


async def close_server(server: asyncio.Server) -> None:
    """Accept no more, and close *server* once what it has accepted last is a connection.

    What becomes one later, asyncio of Python 3.13 and newer counts as one that leaves twice, and
    writes a traceback of that to stderr.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        loop.remove_reader(sock)
    for _ in range(2):  # it takes one turn to make the connection, and ours may come first
        await asyncio.sleep(0)
    server.close()
