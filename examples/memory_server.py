#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small memory server for coding agents: MCP over stdio, kept in one SQLite file.

    python examples/memory_server.py        # speaks MCP on stdin and stdout until stdin ends

The file is $LLMENV_MEMORY_DB, else memory.db in the user's data directory for llmenv
(~/.local/share/llmenv on Linux).  Several servers may share it.  It needs `mcp` and
`platformdirs`, both of which llmenv-hooks[memory] brings.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from platformdirs import user_data_path
from pydantic import Field

BUSY_S = 10.0  # how long to wait for another server that writes
VERSION = 1  # of the tables below
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS memory (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: who forgets 5 means the old 5
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    topic TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    topic, text, content=memory, content_rowid=id, tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER IF NOT EXISTS stored AFTER INSERT ON memory BEGIN
    INSERT INTO words (rowid, topic, text) VALUES (new.id, new.topic, new.text);
END;
CREATE TRIGGER IF NOT EXISTS forgotten AFTER DELETE ON memory BEGIN
    INSERT INTO words (words, rowid, topic, text)
    VALUES ('delete', old.id, old.topic, old.text);
END;
PRAGMA user_version = {VERSION};
COMMIT;
"""

Text = Annotated[str, Field(min_length=1, max_length=20_000, description="What to remember.")]
Topic = Annotated[
    str, Field(min_length=1, max_length=100, description="A short label, e.g. a project's name.")
]
InTopic = Annotated[str | None, Field(max_length=100, description="Only memories of this topic.")]
Query = Annotated[str, Field(min_length=1, max_length=1000, description="Words to look for.")]
Limit = Annotated[int, Field(ge=1, le=50, description="How many memories to return at most.")]
Id = Annotated[int, Field(ge=1, lt=1 << 63, description="A memory's id.")]
Before = Annotated[
    int | None, Field(ge=1, lt=1 << 63, description="Only older ids than this: the next page.")
]


@dataclass(frozen=True)
class Memory:
    """One remembered text; *created* is UTC."""

    id: int
    created: str
    topic: str
    text: str


def database_path() -> Path:
    """Return the database's absolute path; its default directory is made, 0700.

    Raises:
        OSError: the directory cannot be made, or LLMENV_MEMORY_DB is relative.
    """
    if named := os.environ.get("LLMENV_MEMORY_DB"):
        if not os.path.isabs(named):  # a daemon's working directory says nothing to its user
            raise OSError(f"LLMENV_MEMORY_DB must be an absolute path, not {named!r}")
        return Path(named)
    directory = user_data_path("llmenv")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "memory.db"


def open_database(path: Path) -> sqlite3.Connection:
    """Return a connection to the database *path*, made when it is new, 0600.

    Raises:
        sqlite3.Error, OSError: it cannot be opened, or is no database of ours.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it for all to read
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")  # readers never wait for a writer
            database.execute("PRAGMA synchronous = FULL")  # what was stored survives a power cut
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise sqlite3.DatabaseError("it was made by a newer version of this program")
            database.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            # When several make the file at once, SQLite refuses without the wait it was told.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return database


def as_plain_words(query: str) -> str:
    """Return an FTS5 expression that finds any word of *query*.

    FTS5 has a query language; within double quotes none of it means anything, and a quoted word
    without a letter finds nothing.  NUL ends a query early, quoted or not.
    """
    words = query.replace("\0", " ").replace('"', " ").split()
    return " OR ".join(f'"{word}"' for word in words) or '""'


def build(database: sqlite3.Connection) -> MCPServer:
    """Return the server of the memories in *database*."""
    server = MCPServer(
        "llmenv-memory",
        instructions="Memories shared by every agent of this user. Search before you start on a"
        " task; store decisions, preferences and facts that a later session will need.",
        log_level="WARNING",
    )

    # The tools are coroutines so that all run in the thread whose connection this is.
    def memories(sql: str, *values: object) -> list[Memory]:
        return [Memory(*row) for row in database.execute(sql, values)]

    @server.tool()
    async def store(text: Text, topic: Topic = "general") -> Memory:
        """Remember a text for later sessions and other agents. Returns it with its id.

        Make it one self-contained fact; say what, why, and where it applies.
        """
        (memory,) = memories(
            "INSERT INTO memory (topic, text) VALUES (?, ?) RETURNING id, created, topic, text",
            *(topic, text),
        )
        return memory

    @server.tool()
    async def search(query: Query, topic: InTopic = None, limit: Limit = 10) -> list[Memory]:
        """Find memories by any of the words in the query, best match first.

        Plain words only: there are no operators. Word endings and accents do not matter; a word
        with punctuation in it, such as a file name, is found as a whole.
        """
        return memories(
            "SELECT memory.* FROM words JOIN memory ON memory.id = words.rowid"
            " WHERE words MATCH ? AND (? IS NULL OR memory.topic = ?)"
            " ORDER BY words.rank, memory.id DESC LIMIT ?",
            *(as_plain_words(query), topic, topic, limit),
        )

    @server.tool(name="list")
    async def list_memories(
        topic: InTopic = None, before: Before = None, limit: Limit = 20
    ) -> list[Memory]:
        """List memories, newest first. For the next page pass the last id as `before`."""
        return memories(
            "SELECT * FROM memory WHERE (? IS NULL OR topic = ?) AND (? IS NULL OR id < ?)"
            " ORDER BY id DESC LIMIT ?",
            *(topic, topic, before, before, limit),
        )

    @server.tool()
    async def forget(id: Id) -> str:
        """Delete the memory with this id for good; use it for what is wrong or outdated."""
        if not database.execute("DELETE FROM memory WHERE id = ?", (id,)).rowcount:
            raise ToolError(f"there is no memory {id}")
        return f"forgot memory {id}"

    return server


def main() -> None:
    """Serve until stdin ends; exit 1 with one line when the database cannot be opened."""
    try:
        path = database_path()
    except OSError as error:
        sys.exit(f"memory_server: cannot open the database: {error}")
    try:
        database = open_database(path)
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"memory_server: cannot open {path}: {getattr(error, 'strerror', None) or error}")
    with closing(database):
        build(database).run("stdio")


if __name__ == "__main__":
    main()
