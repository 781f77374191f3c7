"""YAML, as Continue has it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from agents.generated import KEYS
from agents.support import expected, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel import yaml as library

from llmenv_hooks.agents.yaml import CONTINUE, GOOSE

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
        CONTINUE.words.removeprefix("name ").replace("schema: v1\n", "schema: v1\n# mine too\n")[
            :-1
        ]
        + " []\n"
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
    put = CONTINUE.put(text, ("new",), value)
    new = {"name": "new"} | value
    assert read(put) == read(text) | {"mcpServers": [*whole, new]}
    assert CONTINUE.drop(put, ("new",)) == text
    assert set(CONTINUE.read(text)) == {server["name"] for server in whole}
    for server in whole:
        left = CONTINUE.drop(text, (server["name"],))
        assert read(left) == read(text) | {"mcpServers": [one for one in whole if one != server]}


def test_what_goose_has_written_anew_is_ours_still(home: Home) -> None:
    """It writes the whole file, with lists in lines of their own, and keeps no comment."""
    home.http = False
    home("goose", "write")
    path = home.path("goose")
    whole = library.YAML(typ="safe").load(path.read_text())
    out = io.StringIO()
    library.YAML().dump({"GOOSE_MODE": "auto", **whole, "last": 1}, out)
    path.write_text(out.getvalue())
    assert "args:\n    - connect\n" in out.getvalue()
    assert home("goose", "write") == f"{path} is up to date; nothing was changed\n"
    path.write_text(out.getvalue().replace(str(home.program), "/gone/llmenv"))
    home(None, "write")
    assert parsed("goose", path.read_bytes())["extensions"] == home.commands("goose")
    home("goose", "remove")
    assert path.read_text() == "GOOSE_MODE: auto\nextensions: {}\nlast: 1\n"


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(KEYS, st.dictionaries(KEYS, NESTED, max_size=3), max_size=3), st.booleans())
def test_any_mapping_is_kept(servers: dict[str, Any], more: bool) -> None:
    out = io.StringIO()
    library.YAML().dump({"a": "x", "extensions": servers} | ({"z": ["x"]} if more else {}), out)
    text = out.getvalue()
    read = library.YAML(typ="safe").load
    put = GOOSE.put(text, ("new",), {"enabled": True, "type": "stdio", "cmd": "é", "args": ["u"]})
    new = {"name": "new", "enabled": True, "type": "stdio", "cmd": "é", "args": ["u"]}
    whole = read(text)
    assert read(put) == whole | {"extensions": whole["extensions"] | {"new": new}}
    assert GOOSE.drop(put, ("new",)) == text
    assert set(GOOSE.read(text)) == set(servers)
    for name in servers:
        left = {key: value for key, value in servers.items() if key != name}
        assert read(GOOSE.drop(text, (name,)) or "") == whole | {"extensions": left}
