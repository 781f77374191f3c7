"""TOML, as Codex has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.support import expected, parsed

if TYPE_CHECKING:
    from agents.support import Home


def test_servers_in_an_inline_table_get_ours_beside_them(home: Home) -> None:
    before = b'mcp_servers = {x = {command = "y"}} # mine\n[tui]\nb = 2\n'
    path = home.put("codex", before)
    home("codex", "write")
    assert parsed("codex", path.read_bytes())["mcp_servers"] == {
        "x": {"command": "y"},
        **expected("codex"),
    }
    home("codex", "remove")
    assert path.read_bytes().replace(b"} }", b"}}") == before  # tomlkit leaves a blank
