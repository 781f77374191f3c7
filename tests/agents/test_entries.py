"""Which entries are ours, and are updated or removed, and which are somebody else's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from agents.support import (
    CONFIG,
    FORMS,
    IN_JSON,
    SHAPES,
    URLS,
    by_url,
    expected,
    parsed,
    read,
    texts,
    with_entry,
)

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from agents.support import Home


@pytest.mark.parametrize("name", [*IN_JSON, "codex"])
@pytest.mark.parametrize(
    "entry",
    [
        {"command": "icm", "args": ["serve"]},
        {"URL": "https://127.0.0.1:7878/mcp"},
        {"URL": "http://memory.example.com/mcp"},
        {"URL": "http://127.0.0.1:7878/sse"},
        {"URL": "http://[127.0.0.1:7878/mcp"},
        {"URL": 3},
    ],
)
def test_an_entry_of_somebody_else_is_left_alone(
    home: Home, name: str, entry: dict[str, Any]
) -> None:
    key = AGENTS[name].url_key
    content = with_entry(name, {key if k == "URL" else k: value for k, value in entry.items()})
    path = home.put(name, content)
    with pytest.raises(Problem, match=f"^{path}: memory in it is another server"):
        home(name, "write")
    assert "has nothing of ours" in home(name, "remove")
    assert path.read_bytes() == content


OLD_URLS = ["http://localhost:9/mcp", "http://[::1]:9/mcp/", "http://127.8.8.8/x/mcp"]


@pytest.mark.parametrize("name", [*IN_JSON, "codex"])
@pytest.mark.parametrize("url", OLD_URLS)
def test_an_old_entry_of_ours_gets_the_url(home: Home, name: str, url: str) -> None:
    content = with_entry(name, by_url(name, url))
    path = home.put(name, content)
    home(name, "write")
    updated = content.replace(url.encode(), URLS["memory"].encode())
    assert updated.rstrip(b"}\n") in path.read_bytes().replace(b', "tunnel"', b'}, "tunnel"')
    home(name, "remove")
    assert "memory" not in parsed(name, path.read_bytes()).get(SHAPES[name][0][0], {})


@pytest.mark.parametrize("name", [*IN_JSON, "codex"])
@pytest.mark.parametrize("more", [{"headers": {"X": "1"}}, {"type": "sse"}, {"enabled": False}])
def test_an_entry_with_more_than_we_write_is_named(
    home: Home, name: str, more: dict[str, Any]
) -> None:
    """The user has made it theirs, as that of another server may be."""
    if name == "codex":
        more = {"tool_timeout_sec": 9}
    key = AGENTS[name].url_key
    content = with_entry(name, {key: "http://localhost:3000/mcp"} | more)
    path = home.put(name, content)
    says = re.escape(f"memory in it is not as llmenv writes it ({', '.join(more)})")
    for option in ("write", "remove"):
        with pytest.raises(Problem, match=f"^{path}: {says}: edit that by hand; nothing"):
            home(name, option)
        assert path.read_bytes() == content
    assert "another server" in home(None)
    # With the right URL there is nothing to write, but it is still not ours to remove.
    path.write_bytes(content.replace(b"http://localhost:3000/mcp", URLS["memory"].encode()))
    home(name, "write")
    written = parsed(name, path.read_bytes())[SHAPES[name][0][0]]
    assert written["memory"] == {key: URLS["memory"]} | more
    assert written["tunnel"] == expected(name)["tunnel"]
    with pytest.raises(Problem, match=says):
        home(name, "remove")


@pytest.mark.parametrize("name", FORMS)
def test_an_entry_from_before_there_was_a_config_is_replaced(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_without_a_config() -> None:
        with monkeypatch.context() as context:
            context.delenv("LLMENV_CONFIG")
            home(name, "write")
        found = parsed(name, read(home.path(name)))[SHAPES[name][0][0]]
        assert found == {"mcp-proxy": expected(name)["memory"]}

    for port in (7878, 17001):  # as when 7878 was taken when `init` looked
        home.port(port)
        write_without_a_config()
        home(name, "write")
        assert parsed(name, read(home.path(name)))[SHAPES[name][0][0]] == expected(name, port)
        home(name, "remove")
        assert not home.path(name).exists()
        write_without_a_config()
        home(name, "remove")
        assert not home.path(name).exists()


@pytest.mark.parametrize("name", FORMS)
def test_an_entry_of_a_service_that_was_renamed_is_replaced(home: Home, name: str) -> None:
    before = texts(name)["others"].encode()
    path = home.put(name, before)
    home(name, "write")
    home.config.write_text(CONFIG.replace("services.memory", "services.brain"))
    home(name, "write")
    servers = parsed(name, path.read_bytes())[SHAPES[name][0][0]]
    assert set(servers) == {"x", "brain", "tunnel"}
    assert servers["brain"] == expected(name)["memory"]
    home.config.write_text(CONFIG)
    home(name, "remove")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", IN_JSON)
@pytest.mark.parametrize(
    ("key", "port", "more"),
    [
        ("mcp-proxy", 3000, {}),
        ("mcp-proxy", 7878, {"headers": {}}),
        ("mine", 7878, {}),
        ("mine", 17001, {"headers": {}}),
    ],
)
def test_an_entry_of_another_name_that_is_not_ours_to_the_letter_stays(
    home: Home, name: str, key: str, port: int, more: dict[str, Any]
) -> None:
    home.port(17001)
    url = f"http://127.0.0.1:{port}/mcp"
    entry = by_url(name, url) | more
    before = json.dumps({SHAPES[name][0][0]: {key: entry}}).encode()
    path = home.put(name, before)
    home(name, "write")
    assert parsed(name, path.read_bytes())[SHAPES[name][0][0]][key] == entry
    home(name, "remove")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("claude", "${LLMENV_MCP_URL:-http://127.0.0.1:7878/mcp}"),
        ("gemini", "$LLMENV_MEMORY_URL"),
        ("opencode", "{env:LLMENV_MCP_URL}"),
    ],
)
def test_an_entry_that_follows_our_variable_is_left_to_it(home: Home, name: str, url: str) -> None:
    path = home.put(name, with_entry(name, {"url": url}))
    home(name, "write")
    assert parsed(name, path.read_bytes())[SHAPES[name][0][0]]["memory"] == {"url": url}


def test_on_another_host_the_url_is_the_servers(home: Home) -> None:
    home.config.write_text('server_host = "nas.lan"\n' + CONFIG)
    home("cursor", "write")
    path = home.path("cursor")
    assert b'"http://nas.lan:7878/mcp"' in path.read_bytes()
    home.config.write_text('server_host = "nas.lan"\n' + CONFIG.replace("7878", "17001"))
    home("cursor", "write")
    assert b'"http://nas.lan:17001/mcp"' in path.read_bytes()
    home("cursor", "remove")
    assert not path.exists()
