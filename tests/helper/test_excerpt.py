"""Which lines of a failed daemon's output are quoted: the cause, not what it led to."""

from __future__ import annotations

import pytest
from packed import ensure

BEHIND_MCP_PROXY = """\
Traceback (most recent call last):
  File "<string>", line 1, in <module>
    import nosuch
ModuleNotFoundError: No module named 'nosuch'
  + Exception Group Traceback (most recent call last):
  |   File "mcp_proxy/__main__.py", line 1, in run
  | mcp.shared.exceptions.McpError: Connection closed
  +------------------------------------
"""


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (BEHIND_MCP_PROXY, ["ModuleNotFoundError: No module named 'nosuch'"]),
        ("ready\none\ntwo\nthree\n", ["one", "two", "three"]),
        ("  usage: x\n\n  -p  the port\n", ["usage: x", "-p  the port"]),
        (
            "starting\nError: cannot open db\n    at a (b.js)\n    at c (d.js)\nNode v22\n",
            ["Error: cannot open db", "at a (b.js)", "at c (d.js)"],
        ),
        ("  | only\n  +---- a drawing\n", ["| only", "+---- a drawing"]),
        ("", []),
    ],
    ids=["traceback", "no error", "indented", "node", "drawn", "nothing"],
)
def test_the_cause_is_quoted(said: str, quoted: list[str]) -> None:
    assert ensure.cause([line for line in said.splitlines() if line.strip()]) == quoted
