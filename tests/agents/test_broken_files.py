"""A file that its agent could not read either is named, with the place, and left alone."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from agents.support import FORMS, IN_JSON, SHAPES

from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.support import Home


BROKEN_JSON = [
    ('{\n  "a": 1\n  "b": 2\n}\n', ":3:3: Expecting ',' delimiter"),
    ('{"a": 1', ":1:8: Expecting ',' delimiter"),
    ('// x\n{"a": [1,,]}', ":2:10: Expecting value"),
    ("{,}", ":1:2: Expecting property name"),
    ('{"a": 1} x', ":1:10: Extra data"),
    ('{"a": NaN}', ":1:7: NaN is no JSON"),
    ('{"a": "x\ny"}', ":1:9: Invalid control character"),
    ("{ /* never closed", ":1:3: Expecting property name"),
    ("[" * 100_000, ":1:1: Nested too deeply"),
    ("[]", ": what it holds is no table of servers"),
    ("null", ": what it holds is no table of servers"),
    ('{"SERVERS": []}', ": SERVERS is no table of servers"),
    ('{"SERVERS": null}', ": SERVERS is no table of servers"),
]


BROKEN_TOML = [
    ("a = 1\na = 2\n", ':2:1: Key "a" already exists'),
    ("a = 1\nb = ]\n", ":2:5: Unexpected character"),
    ("mcp_servers = 3\n", ": mcp_servers is no table of servers"),
]


BROKEN_YAML = [
    ("# mine\nname: mine\n", ":2:1: no list of mcpServers comes before this"),
    ('{"mcpServers": []}', ":1:1: no list of mcpServers comes before this"),
    ("mcpServers: [{name: x}]\n", ":1:1: mcpServers is no list in lines of its own"),
    ("mcpServers:\n  x:\n    y: 1\n", ":2:1: llmenv cannot read this line"),
    ("mcpServers:\n  - {name: x}\n", ":2:1: llmenv cannot read this line"),
    ("mcpServers:\n  - name: x\n   y: 1\n", ":3:1: llmenv cannot read this line"),
    ("mcpServers:\n  - name: x\n\turl: y\n", ":3:1: llmenv cannot read this line"),
    ("mcpServers:\n  - name: x\n    <<: *y\n", ":3:1: llmenv cannot read this line"),
]


BROKEN_GOOSE = [
    ("{a: 1}\n", ":1:1: llmenv cannot read this line"),
    ("  a: 1\n", ":1:1: llmenv cannot read this line"),
    ("a: 1\nb\n", ":2:1: llmenv cannot read this line"),
    ("extensions: {x: {}}\n", ":1:1: extensions is no mapping in lines of its own"),
    ("extensions:\n  - name: x\n", ":2:1: llmenv cannot read this line"),
    ("extensions:\n  x:\n    y: 1\n   z: 1\n", ":4:1: llmenv cannot read this line"),
    ("extensions:\n  x:\n\ty: 1\n", ":3:1: llmenv cannot read this line"),
    ("extensions:\n  x:\n    <<: *y\n", ":3:1: llmenv cannot read this line"),
]


def broken() -> Iterator[Any]:
    for name in FORMS:
        texts = BROKEN_TOML if name == "codex" else BROKEN_JSON if name in IN_JSON else []
        for text, words in texts:
            holder = SHAPES[name][0][0]
            yield name, text.replace("SERVERS", holder).encode(), words.replace("SERVERS", holder)
        yield name, b"\xff", ": byte 0 is no UTF-8"
    for text, words in BROKEN_YAML:
        yield "continue", text.encode(), words
    for text, words in BROKEN_GOOSE:
        yield "goose", text.encode(), words


@pytest.mark.parametrize(("name", "content", "words"), list(broken()))
@pytest.mark.parametrize("option", ["write", "remove"])
def test_a_broken_file_is_named_and_left_alone(
    home: Home, name: str, content: bytes, words: str, option: str
) -> None:
    path = home.put(name, content)
    with pytest.raises(Problem, match="^" + re.escape(f"{path}{words}")) as caught:
        home(name, option)
    assert str(caught.value).endswith("; nothing was changed")
    assert str(caught.value).isprintable()
    assert path.read_bytes() == content
    assert set(os.listdir(path.parent)) <= {path.name, "config.toml"}
