"""The README's picture: what a fresh account sees that does as the README says."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import picture

if TYPE_CHECKING:
    from pathlib import Path


def seen(svg: str) -> str:
    """Return the text of *svg* without blanks."""
    return re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", svg)).replace("\N{NBSP}", ""))


def test_a_fresh_account_sees_what_the_picture_shows(tmp_path: Path) -> None:
    shown = picture.record(tmp_path)
    installed, set_up, stored, killed, found, status = (said for _, said in shown)
    assert "These apps are now available" in installed
    assert "an agent sees memory with 4 tools: store, search, list, forget" in set_up
    assert "Claude Code, /home/ada/.claude.json" in set_up
    assert killed == ""
    assert stored == found
    assert '"text": "We deploy on Fridays."' in found
    assert "memory: 0 agents, 2 calls" in status
    kept = seen(picture.PICTURE.read_text())
    assert all(seen(f"$ {html.escape(step)}") in kept for step, _ in shown), "make picture"
    assert "<svg" in picture.picture(shown)
