"""The schemas of the server's tools, as far as `Mcp-Param-*` headers must be checked by them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.messages import request
from llmenv_hooks.bridge.sessions import Call, Session
from llmenv_hooks.helper.jsonrpc import NotAMessage, params_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmenv_hooks.bridge.eras import Eras
    from llmenv_hooks.bridge.headers import Schema
    from llmenv_hooks.helper.jsonrpc import Message

KEPT_S = 60.0
MOST_PAGES = 100


class Schemas:
    """What `tools/list` said of each tool's `inputSchema`, for a minute."""

    def __init__(self, eras: Eras) -> None:
        self._eras = eras
        self._known: dict[str, Schema] = {}
        self._until = 0.0

    def known(self, name: object) -> Schema | None:
        """Return the schema of the tool *name*, if it was seen less than a minute ago."""
        return self._known.get(str(name)) if time.monotonic() < self._until else None

    def fetch(self, message: Message, then: Callable[[], None]) -> None:
        """Ask the server for its tools, in the name of *message*; then call *then*."""
        _Listing(self, params_of(message)["_meta"], then).ask(None)

    def keep(self, schemas: dict[str, Schema]) -> None:
        """Take what a listing found."""
        self._known, self._until = schemas, time.monotonic() + KEPT_S

    def ask(self, call: Call) -> None:
        """Pass on a request of a listing."""
        self._eras.ask_modern(call)


class _Listing:
    """One walk through the pages of `tools/list`; an outlet for the answers."""

    def __init__(self, schemas: Schemas, meta: Message, then: Callable[[], None]) -> None:
        self._schemas = schemas
        self._meta = {key: value for key, value in meta.items() if key != "progressToken"}
        self._then = then
        self._found: dict[str, Schema] = {}
        self._pages = 0

    def ask(self, cursor: str | None) -> None:
        """Ask for a page."""
        params = {"_meta": self._meta} | ({} if cursor is None else {"cursor": cursor})
        try:
            call = Call(Session(), self, request(0, "tools/list", params), modern=True)
        except NotAMessage:
            self._then()
        else:
            self._schemas.ask(call)

    def answer(self, call: Call, message: Message) -> None:
        """Take a page."""
        page = message.get("result")
        page = page if isinstance(page, dict) else {}
        tools = page.get("tools")
        for tool in tools if isinstance(tools, list) else []:
            if isinstance(tool, dict) and isinstance(tool.get("inputSchema"), dict):
                self._found[str(tool.get("name"))] = tool["inputSchema"]
        cursor = page.get("nextCursor")
        self._pages += 1
        if isinstance(cursor, str) and self._pages < MOST_PAGES:
            self.ask(cursor)
            return
        if "result" in message:
            self._schemas.keep(self._found)
        self._then()

    def send(self, message: Message) -> None:
        """Drop what comes with a listing."""

    def cancelled(self, call: Call) -> None:
        """Do nothing: no agent cancels a listing."""
