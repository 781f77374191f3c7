"""What is shown of an edit: our lines and where they stand, and never what a neighbour has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from agents.support import FORMS, IN_JSON, SHAPES, texts

if TYPE_CHECKING:
    from agents.support import Home

SECRET = "s3cret, {"
NEIGHBOUR = {"command": "y", "env": {"TOKEN": SECRET}, "headers": {SECRET: "X"}}


@pytest.mark.parametrize("name", IN_JSON)
@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("http", [False, True])
def test_a_secret_of_a_neighbour_is_never_shown(
    home: Home, name: str, indent: int | None, http: bool
) -> None:
    home.http = http
    holder = SHAPES[name][0][0]
    whole = {SECRET: 1, holder: {"x": NEIGHBOUR}, "last": {"key": [SECRET]}}
    path = home.put(name, json.dumps(whole, indent=indent).encode())
    said = home(name, "write")
    home.http = not http
    said += home(name, "write")
    home.port(17001)
    said += home(None, "write") + home(name, "remove")
    assert "s3cret" not in said
    assert "memory" in said
    assert json.loads(path.read_text()) == whole


@pytest.mark.parametrize("name", FORMS)
def test_only_our_lines_are_shown(home: Home, name: str) -> None:
    home.http = False
    for text in texts(name).values():
        path = home.put(name, text.encode())
        shown = home(name, "write") + home(name, "remove")
        lines = [line for line in shown.splitlines() if re.match(r"[-+](?![-+])", line)]
        assert sum("memory" in line for line in lines) >= 2
        for theirs in ('"y"', '"x"', "- name: x", "[mcp_servers.x]", "mine", '"a"', "é"):
            assert not any(theirs in line for line in lines), (text, lines)
        path.unlink()


def test_where_the_lines_stand_is_shown(home: Home) -> None:
    home.put("cursor", b'{\n  "mcpServers": {\n    "x": {\n      "command": "y"\n    }\n  }\n}\n')
    shown = home("cursor", "write").splitlines()
    assert shown[2:7] == [
        "@@ -6,0 +6,6 @@",
        '+    "memory": {',
        '+      "url": "http://127.0.0.1:7878/mcp"',
        "+    },",
        '+    "tunnel": {',
    ]


def test_headers_that_a_user_has_added_to_ours_are_not_shown(home: Home) -> None:
    entry = {"url": "http://127.0.0.1:7878/mcp", "headers": {"A": SECRET}}
    home.put("cursor", json.dumps({"mcpServers": {"memory": entry}}).encode())
    said = home("cursor", "write")
    assert "tunnel" in said
    assert "s3cret" not in said


def test_codex_and_continue_hide_a_neighbour_in_the_same_line(home: Home) -> None:
    home.put(
        "codex",
        b'mcp_servers = {x = {command = "s3cret"}, memory = {url = "http://127.0.0.1:9/mcp"}}\n',
    )
    assert "s3cret" not in home("codex", "write") + home("codex", "remove")
    home("continue", "write")
    path = home.path("continue")
    text = path.read_text().replace("schema: v1", "schema: v1 # s3cret")
    path.write_text(text + "    requestOptions: # s3cret\n      headers: {A: s3cret}\n")
    home.port(17001)
    assert "s3cret" not in home("continue", "write") + home("continue", "remove")
