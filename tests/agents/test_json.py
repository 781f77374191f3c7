"""JSON with comments: what is put in and taken out, and nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import json5
import pytest
from agents.generated import BLANKS, VALUES, objects
from agents.support import URLS, expected, parsed
from hypothesis import given, settings

from llmenv_hooks.agents import jsonc

if TYPE_CHECKING:
    from agents.support import Home


@pytest.mark.parametrize(
    ("text", "left"),
    [
        # As an agent may write it anew: an empty object is what each of them can read.
        ('{\n    "mcpServers": {\n        "memory": {\n            "url": "URL"\n', "{}"),
        ('{ "mcpServers": { "memory": { "url": "URL" } } }\n', "{}\n"),
        ('// mine\n{\n  "mcpServers": { "memory": { "url": "URL" } }\n}\n', "// mine\n{}\n"),
        ('{"a": 1, "mcpServers": {"memory": {"url": "URL"}}}', '{"a": 1, "mcpServers": {}}'),
        (
            '{"mcpServers": {\n"memory": {"url": "URL"}, // c\n"x": {}}}',
            '{"mcpServers": { // c\n"x": {}}}',
        ),
    ],
)
def test_what_is_removed_from_a_file_that_was_written_anew(
    home: Home, text: str, left: str
) -> None:
    text += "        }\n    }\n}" * text.endswith('"URL"\n')
    path = home.put("cursor", text.replace("URL", URLS["memory"]).encode())
    home("cursor", "remove")
    assert path.read_text() == left


def test_opencode_2_has_its_servers_one_level_down(home: Home) -> None:
    before = b'{\n  "mcp": {\n    "servers": {\n      "x": {}, // mine\n    },\n  },\n}\n'
    path = home.put("opencode", before)
    home("opencode", "write")
    servers = parsed("opencode", path.read_bytes())["mcp"]["servers"]
    assert servers == {"x": {}, **expected("opencode")}
    home("opencode", "remove")
    assert path.read_bytes() == before
    path.write_text('{"mcp": {"servers": {"type": "local", "command": ["x"]}}}')
    home("opencode", "write")
    assert set(parsed("opencode", path.read_bytes())["mcp"]) == {"servers", *URLS}


@settings(deadline=None, max_examples=200)
@given(BLANKS, objects(VALUES), BLANKS)
def test_any_json_is_kept(before: str, middle: str, after: str) -> None:
    text = before + middle + after
    whole = json5.loads(text)
    assert jsonc.parse(text) == whole
    holder = whole.get("servers", {})
    path = ("servers", "new")
    if not isinstance(holder, dict):
        with pytest.raises(json.JSONDecodeError):
            jsonc.put(text, path, 1)
        return
    put = jsonc.put(text, path, {"url": "u"})
    assert json5.loads(put) == whole | {"servers": holder | {"new": {"url": "u"}}}
    assert jsonc.drop(put, path) == text
    assert jsonc.drop(text, path) == text
    for key in holder:
        left = jsonc.drop(text, ("servers", key))
        kept = {k: value for k, value in holder.items() if k != key}
        found = json5.loads(left) if left and json5_has_value(left) else {}
        assert found.get("servers", {}) == kept
        assert {**found, "servers": 0} == {**whole, "servers": 0}


def json5_has_value(text: str) -> bool:
    return bool(re.sub(r"//[^\n]*|/\*.*?\*/|\s", "", text))
