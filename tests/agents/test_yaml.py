"""YAML, as Continue has it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from agents.generated import KEYS
from agents.support import expected, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel import yaml as library

from llmenv_hooks.agents.yaml import HEAD, YAML

if TYPE_CHECKING:
    from agents.support import Home


def test_what_is_in_the_file_for_continue_stays(home: Home) -> None:
    """All of that file is ours, so an entry in it may have more than we write."""
    home("continue", "write")
    path = home.path("continue")
    more = "    url: 'http://127.0.0.1:7878/mcp' # mine\n    requestOptions:\n      timeout: 9\n"
    text = path.read_text().replace('    url: "http://127.0.0.1:7878/mcp"\n', more)
    assert more in text
    text = text.replace("schema: v1\n", "schema: v1\n# mine too\n")
    path.write_text(text)
    assert "up to date" in home("continue", "write")
    home.port(17001)
    home("continue", "write")
    updated = text.replace("'http://127.0.0.1:7878/mcp'", '"http://127.0.0.1:17001/mcp"')
    assert path.read_text() == updated
    home("continue", "remove")
    assert path.read_text() == (
        HEAD.replace("schema: v1\n", "schema: v1\n# mine too\n")[:-1] + " []\n"
    )
    assert parsed("continue", path.read_bytes()) == {"mcpServers": {}}
    home("continue", "write")
    assert parsed("continue", path.read_bytes())["mcpServers"] == expected("continue", 17001)


PLAIN = st.text(st.sampled_from("ab #:-'\"[]{}\n\u00e9\u2603"), max_size=12) | st.integers()


NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2)
)


SERVERS = st.lists(st.dictionaries(KEYS, NESTED, max_size=3), max_size=3)


@settings(deadline=None, max_examples=200)
@given(SERVERS, st.sampled_from([0, 2, 4]), st.booleans())
def test_any_yaml_is_kept(servers: list[dict[str, Any]], indent: int, more: bool) -> None:
    """As a library writes it, which has many ways."""
    whole = [{"name": f"n{index}"} | server for index, server in enumerate(servers)]
    out = io.StringIO()
    writer = library.YAML()
    writer.indent(mapping=2, sequence=indent + 2, offset=indent)
    writer.dump(
        {"name": "x", "mcpServers": whole} | ({"rules": ["- name: y"]} if more else {}), out
    )
    text = out.getvalue()
    read = library.YAML(typ="safe").load
    value = {"type": "stdio", "command": "é", "args": ["u", '"']} if more else {"url": "u"}
    put = YAML.put(text, ("new",), value)
    new = {"name": "new"} | value
    assert read(put) == read(text) | {"mcpServers": [*whole, new]}
    assert YAML.drop(put, ("new",)) == text
    assert set(YAML.read(text)) == {server["name"] for server in whole}
    for server in whole:
        left = YAML.drop(text, (server["name"],))
        assert read(left) == read(text) | {"mcpServers": [one for one in whole if one != server]}
