"""`llmenv client`, against the agents' files as people have them."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import json5
import pytest
import typer
from daemons import World
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from llmenv_hooks import client, formats, jsonc
from llmenv_hooks.client import AGENTS
from llmenv_hooks.ensure import Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


CONFIG = """
[services.memory]
command = ["icm", "serve"]
bind = "127.0.0.1:7878"

[services.tunnel]
command = ["ssh", "-N", "-L", "7879:127.0.0.1:7878", "nas"]
bind = "[::1]:7879"
bridge = false
"""
URLS = {"memory": "http://127.0.0.1:7878/mcp", "tunnel": "http://[::1]:7879/mcp"}

# What each agent's documentation shows, with the URL in the place of {url}.
SHAPES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "claude": (("mcpServers",), {"type": "http", "url": "{url}"}),
    "codex": (("mcp_servers",), {"url": "{url}"}),
    "gemini": (("mcpServers",), {"type": "http", "url": "{url}"}),
    "cursor": (("mcpServers",), {"url": "{url}"}),
    "vscode": (("servers",), {"type": "http", "url": "{url}"}),
    "windsurf": (("mcpServers",), {"serverUrl": "{url}"}),
    "zed": (("context_servers",), {"url": "{url}"}),
    "opencode": (("mcp",), {"type": "remote", "url": "{url}"}),
    "continue": (("mcpServers",), {"type": "streamable-http", "url": "{url}"}),
}
IN_JSON = [name for name in AGENTS if name not in ("codex", "continue")]

JSON_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "braces": "{}",
    "open braces": "{\n}\n",
    "no servers yet": '{\n  "SERVERS": {}\n}\n',
    "others": '{\n  "a": [1, {"b": null}],\n  "SERVERS": {\n    "x": {\n      "command": "é ☃"\n'
    "    }\n  }\n}\n",
    "others, then more": '{\n    "SERVERS": {\n        "x": {"command": "y"}\n    },\n'
    '    "last": "{\\"memory\\": //}"\n}\n',
    "one line": '{"a": 1, "SERVERS": {"x": {"command": "y", "args": ["/*", "*/"]}}}',
    "comments": "// mine\n{\n\t// first\n\t\"a\": 1, // one, {\n\t/* two } */\n\t\"SERVERS\": {\n"
    '\t\t"x": {"command": "y",}, // x\n\t\t// "z": {},\n\t},\n\t// the end\n}\n// really\n',
    "a comment behind": '{\n  "a": 1 // one\n  // "b": 2\n}\n',
    "a comment inside": '{ // nothing yet\n}\n',
    "only a comment": "// Zed settings\n",
    "only a comment, no newline": "// Zed settings",
    "no final newline": '{\n  "a": 1\n}',
    "twice": '{"SERVERS": {"old": {}}, "SERVERS": {"x": {}}}',
}  # fmt: skip
YAML_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "comments": "# mine\n",
    "comments, no final newline": "\n# mine: mcpServers",
    "others": "name: mine # two\nmcpServers:\n  # - name: z\n  - name: x # one\n    command: y\n"
    "    args:\n    - -v\n    - a: b\n    env:\n      # c\n      A: |\n        - name: memory\n"
    "        #d\n\n  # the end\n",
    "others, then more": "mcpServers: # [] those\n- url: 'it''s # x'\n  name: x\n# - name: z\n"
    '-   type: stdio\n    name: "\\"y: #"\n\nrules:\n  - name: memory\n',
    "none": "schema: v1\nmcpServers: [] # [] none\n# the end\n",
    "no final newline": "mcpServers:\n  - name: x\n    command: y",
    "none, no final newline": "mcpServers: []",
}
TOML_TEXTS = {
    "empty": "",
    "a newline": "\n",
    "others": 'model = "é ☃"\n\n[mcp_servers.x]\ncommand = "y"\n\n[mcp_servers.x.env]\nA = "b"\n',
    "others, then more": '[mcp_servers.x]\ncommand = "y"\n\n\n[tui]\ntheme = "[z]"\n',
    "comments": '# mine\nmodel = "m" # one\n\n# [mcp_servers.memory]\n[[aot]]\na = 1\n# the end\n',
    "parent": "[mcp_servers]\n",
    "parent behind": "[mcp_servers.x.env]\na = 1\n[tui]\n[mcp_servers] # mine\n",
    "dotted": 'mcp_servers.x.command = "y"\n',
    "no final newline": 'model = "m" # one',
}


def texts(name: str) -> dict[str, str]:
    if name == "continue":
        return YAML_TEXTS
    if name == "codex":
        return TOML_TEXTS
    return {case: text.replace("SERVERS", SHAPES[name][0][0]) for case, text in JSON_TEXTS.items()}


def cases() -> Iterator[Any]:
    """Yield each agent with each text, also in CRLF, and with a byte order mark."""
    for name in AGENTS:
        yield pytest.param(name, None, id=f"{name}-missing")
        for case, text in texts(name).items():
            yield pytest.param(name, text.encode(), id=f"{name}-{case}")
            if "\n" in text:
                yield pytest.param(
                    name, text.replace("\n", "\r\n").encode(), id=f"{name}-{case}-crlf"
                )
        for case in ("empty", "comments"):
            marked = b"\xef\xbb\xbf" + texts(name)[case].encode()
            yield pytest.param(name, marked, id=f"{name}-{case}-bom")


def parsed(name: str, content: bytes | None) -> dict[str, Any]:
    """Return what *content* holds, read by another parser than ours."""
    text = (content or b"").decode("utf-8-sig")
    if name == "codex":
        return tomllib.loads(text)
    if name == "continue":
        found = dict(YAML(typ="safe").load(text) or {})
        servers = found.pop("mcpServers", [])
        if "version" in found:
            assert found.pop("name"), found == {"version": "0.0.1", "schema": "v1"}
            del found["version"], found["schema"]
        return found | {"mcpServers": {server.pop("name"): server for server in servers}}
    if not re.sub(r"//.*|\s", "", text):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = json5.loads(text)
    assert isinstance(value, dict)
    return value


def expected(name: str, port: int = 7878) -> dict[str, dict[str, str]]:
    shape = SHAPES[name][1]
    return {
        service: {key: value.format(url=url) for key, value in shape.items()}
        for service, url in ((s, u.replace("7878", str(port))) for s, u in URLS.items())
    }


def others(name: str, content: bytes | None) -> dict[str, Any]:
    """Return what *content* holds besides our servers, and tables without any."""
    found = parsed(name, content)
    holder = SHAPES[name][0][0]
    servers = {key: value for key, value in found.pop(holder, {}).items() if key not in URLS}
    return found | ({holder: servers} if servers else {})


class Home:
    """A home with a config, in which `llmenv client` is called without a process of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys
        self.config = root / "config.toml"
        self.config.write_text(CONFIG)

    def path(self, name: str) -> Path:
        return self.root / os.path.relpath(AGENTS[name].path(False), self.root)

    def backup(self, name: str) -> Path:
        path = os.path.realpath(self.path(name))
        return self.root / ".local/state/llmenv/backup" / path.lstrip("/")

    def put(self, name: str, content: bytes | None) -> Path:
        path = self.path(name)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return path

    def port(self, port: int) -> None:
        self.config.write_text(CONFIG.replace('127.0.0.1:7878"\n', f'127.0.0.1:{port}"\n'))

    def __call__(self, name: str | None, *options: str) -> str:
        """Return what `llmenv client` prints."""
        client.client(name, **dict.fromkeys(options, True))
        return self.capsys.readouterr().out


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Home:
    for variable in list(os.environ):
        if variable.endswith(("_HOME", "_DIR")):
            monkeypatch.delenv(variable)
    made = Home(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LLMENV_CONFIG", str(made.config))
    monkeypatch.setattr(sys, "platform", "linux")
    return made


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize(("name", "before"), list(cases()))
def test_written_updated_and_removed(home: Home, name: str, before: bytes | None) -> None:
    path = home.put(name, before)
    out = home(name, "write")
    assert f"wrote {path}" in out
    assert f"+++ {path}" in out
    written = path.read_bytes()
    servers = parsed(name, written)[SHAPES[name][0][0]]
    assert {key: servers[key] for key in URLS} == expected(name)
    assert others(name, written) == others(name, before)
    if before is None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert home(name) == written.decode()
    else:
        rest = iter(written)
        kept = before.replace(b"mcpServers: []", b"mcpServers:") if name == "continue" else before
        assert all(byte in rest for byte in kept), "something was inserted, and no more"
        for comment in re.findall(rb"(?://|# )[^\r\n]*|/\*.*?\*/", before):
            assert comment in written
        backup = home.backup(name)
        assert backup.read_bytes() == before
        assert f" (backup: {backup})" in out
        newlines = b"\r\n" if b"\r\n" in before else b"\n"
        assert set(re.findall(rb"\r?\n", written)) <= {newlines}

    stamp = path.stat().st_ino
    assert home(name, "write") == f"{path} is up to date; nothing was changed\n"
    assert path.stat().st_ino == stamp

    home.port(17001)
    home(name, "write")
    assert path.read_bytes() == written.replace(b"127.0.0.1:7878/", b"127.0.0.1:17001/")
    assert read(home.backup(name)) == before

    out = home(name, "remove")
    assert read(path) == before
    assert (f"removed {path}" if before is None else f"wrote {path}") in out
    assert not home.backup(name).exists()
    assert "(backup" not in out
    assert not list(home.root.rglob("*backup"))
    if before is not None or not path.exists():
        assert home(name, "remove") == f"{path} has nothing of ours; nothing was changed\n"


def test_codex_servers_in_an_inline_table(home: Home) -> None:
    before = b'mcp_servers = {x = {command = "y"}} # mine\n[tui]\nb = 2\n'
    path = home.put("codex", before)
    home("codex", "write")
    assert parsed("codex", path.read_bytes())["mcp_servers"] == {
        "x": {"command": "y"},
        **expected("codex"),
    }
    home("codex", "remove")
    assert path.read_bytes().replace(b"} }", b"}}") == before  # tomlkit leaves a blank


@pytest.mark.parametrize("name", AGENTS)
def test_a_link_stays_and_a_mode_is_kept(home: Home, name: str) -> None:
    real = home.root / "dotfiles" / "real"
    real.parent.mkdir()
    path = home.put(name, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(real)
    home(name, "write")
    assert path.is_symlink()
    assert parsed(name, real.read_bytes())[SHAPES[name][0][0]] == expected(name)
    home(name, "remove")
    assert path.is_symlink()
    assert not real.exists()
    real.write_bytes(b"")
    real.chmod(0o640)
    home(name, "write")
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    home(name, "remove")
    assert real.read_bytes() == b""


@pytest.mark.parametrize("name", AGENTS)
def test_a_read_only_file_is_left_alone(home: Home, name: str) -> None:
    path = home.put(name, b"")
    path.chmod(0o444)
    with pytest.raises(Problem, match=f"^cannot write {path}: it is read-only$"):
        home(name, "write")
    assert path.read_bytes() == b""


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


def broken() -> Iterator[Any]:
    for name in AGENTS:
        texts = BROKEN_TOML if name == "codex" else BROKEN_JSON if name in IN_JSON else []
        for text, words in texts:
            holder = SHAPES[name][0][0]
            yield name, text.replace("SERVERS", holder).encode(), words.replace("SERVERS", holder)
        yield name, b"\xff", ": byte 0 is no UTF-8"
    for text, words in BROKEN_YAML:
        yield "continue", text.encode(), words


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


def with_entry(name: str, entry: dict[str, Any]) -> bytes:
    if name == "codex":
        lines = "".join(f"{key} = {json.dumps(value)} # mine\n" for key, value in entry.items())
        return f"[mcp_servers.memory]\n{lines}".encode()
    return json.dumps({SHAPES[name][0][0]: {"memory": entry, "x": {}}}).encode()


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
    shape = SHAPES[name][1]
    content = with_entry(name, {key: value.format(url=url) for key, value in shape.items()})
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


@pytest.mark.parametrize("name", AGENTS)
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


@pytest.mark.parametrize("name", AGENTS)
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
    entry = {k: value.format(url=url) for k, value in SHAPES[name][1].items()} | more
    before = json.dumps({SHAPES[name][0][0]: {key: entry}}).encode()
    path = home.put(name, before)
    home(name, "write")
    assert parsed(name, path.read_bytes())[SHAPES[name][0][0]][key] == entry
    home(name, "remove")
    assert path.read_bytes() == before


def test_write_without_an_agent_updates_all_that_have_an_old_url(home: Home) -> None:
    nothing = "no agent has an old URL of ours; nothing was changed\n"
    assert home(None, "write") == nothing
    written = ["claude", "codex", "cursor", "continue"]
    for name in written:
        home(name, "write")
    other = home.put("gemini", b'{"mcpServers": {"x": {}}}')
    assert home(None, "write") == nothing
    home.port(17001)
    out = home(None, "write")
    assert re.findall(r"^wrote (\S+)$", out, re.M) == [str(home.path(name)) for name in written]
    for name in written:
        assert parsed(name, read(home.path(name)))[SHAPES[name][0][0]] == expected(name, 17001)
    assert other.read_bytes() == b'{"mcpServers": {"x": {}}}'
    assert not home.path("zed").exists()
    assert home(None, "write") == nothing
    home.config.write_text(CONFIG.replace("7878", "17001").replace(".memory", ".brain"))
    assert home(None, "write").count("wrote ") == len(written)


def test_write_without_an_agent_goes_on_after_a_file_that_it_cannot(home: Home) -> None:
    for name in ("claude", "cursor", "zed"):
        home(name, "write")
    home.port(17001)
    home.path("claude").chmod(0o444)
    broken = home.put("gemini", b"{")
    with pytest.raises(typer.Exit) as left:
        home(None, "write")
    assert left.value.exit_code == 1
    out, err = home.capsys.readouterr()
    assert [line for line in err.splitlines() if not line.startswith("llmenv: ")] == []
    assert f"{home.path('claude')}: it is read-only" in err
    assert f"{broken}:1:2" in err
    for name in ("cursor", "zed"):
        assert f"wrote {home.path(name)}" in out


def test_write_without_an_agent_in_a_project(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    home("claude", "write")
    home("claude", "write", "project")
    (project / "opencode.json").write_text("{}")
    home.port(17001)
    out = home(None, "write", "project")
    assert re.findall(r"^wrote (\S+)$", out, re.M) == [str(project / ".mcp.json")]
    assert b"7878" in home.path("claude").read_bytes()


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
        formats.YAML_HEAD.replace("schema: v1\n", "schema: v1\n# mine too\n")[:-1] + " []\n"
    )
    assert parsed("continue", path.read_bytes()) == {"mcpServers": {}}
    home("continue", "write")
    assert parsed("continue", path.read_bytes())["mcpServers"] == expected("continue", 17001)


def test_a_backup_is_kept_until_the_file_is_as_it_was(home: Home) -> None:
    before = b'{"a": "secret"}'
    path = home.put("cursor", before)
    own = path.with_name("mcp.json.llmenv-backup")
    own.write_bytes(b"# not ours")
    home("cursor", "write")
    path.write_bytes(path.read_bytes().replace(b'"a": "secret"', b'"b": 2'))
    home.port(17001)
    assert f"(backup: {home.backup('cursor')})" in home("cursor", "write")
    assert home.backup("cursor").read_bytes() == before
    assert home.backup("cursor").stat().st_mode & 0o777 == 0o600
    assert f"(backup: {home.backup('cursor')})" in home("cursor", "remove")
    assert home.backup("cursor").read_bytes() == before
    home("cursor", "write")  # what the user has is now another
    assert home.backup("cursor").read_bytes() == b'{"b": 2}'
    assert "(backup" not in home("cursor", "remove")
    assert not home.backup("cursor").exists()
    assert own.read_bytes() == b"# not ours"


@pytest.mark.parametrize("where", ["", "relative"])
def test_without_a_home_nothing_is_written(
    home: Home, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(home.root)
    monkeypatch.setenv("HOME", where)
    for name in (*AGENTS, None):
        with pytest.raises(Problem, match=r"HOME is no absolute path; set HOME$"):
            home(name, "write")
    assert os.listdir(home.root) == ["config.toml"]


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


def test_opencode_has_comments_in_a_file_of_another_name(home: Home) -> None:
    twin = home.path("opencode").with_suffix(".jsonc")
    twin.parent.mkdir(parents=True)
    twin.write_bytes(b"{} // mine\n")
    assert str(twin) in home("opencode", "write")
    assert b"mine" in twin.read_bytes()
    assert not twin.with_suffix(".json").exists()


def test_where_the_files_are(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(home.root)
    for variable, name, end in (
        ("CLAUDE_CONFIG_DIR", "claude", ".claude.json"),
        ("CODEX_HOME", "codex", "config.toml"),
        ("GEMINI_CLI_HOME", "gemini", ".gemini/settings.json"),
        ("XDG_CONFIG_HOME", "opencode", "opencode/opencode.json"),
        ("XDG_CONFIG_HOME", "zed", "zed/settings.json"),
        ("XDG_CONFIG_HOME", "vscode", "Code/User/mcp.json"),
        ("CONTINUE_GLOBAL_DIR", "continue", "mcpServers/llmenv.yaml"),
    ):
        usual = AGENTS[name].path(False)
        assert usual.startswith(root)
        for ignored in ("", "relative"):
            monkeypatch.setenv(variable, ignored)
            assert AGENTS[name].path(False) == usual
        monkeypatch.setenv(variable, f"{root}/else where")
        assert AGENTS[name].path(False) == f"{root}/else where/{end}"
        monkeypatch.delenv(variable)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert AGENTS["zed"].path(False) == f"{root}/.config/zed/settings.json"
    assert AGENTS["vscode"].path(False) == (
        f"{root}/Library/Application Support/Code/User/mcp.json"
    )


@pytest.mark.parametrize("name", AGENTS)
def test_in_a_project(home: Home, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    if name == "windsurf":
        with pytest.raises(UsageError, match=r"^Windsurf has no configuration in a project$"):
            home(name, "write", "project")
        return
    home(name, "write", "project")
    (written,) = (path for path in project.rglob("*") if path.is_file())
    assert str(written) == AGENTS[name].path(True)
    assert parsed(name, written.read_bytes())[SHAPES[name][0][0]] == expected(name)
    assert not home.path(name).exists()
    home(name, "remove", "project")
    assert not written.exists()


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


def test_the_table(home: Home) -> None:
    def table(*, project: bool = False) -> dict[str, str]:
        client.client(project=project)
        lines = home.capsys.readouterr().out.splitlines()[1:]
        return {line.split()[0]: line.rstrip() for line in lines}

    assert list(table()) == list(AGENTS)
    assert all(line.split()[-1] == "no" for line in table().values())
    home("claude", "write")
    home("codex", "write")
    home.port(17001)
    home("codex", "write")
    home.put("cursor", b'{"mcpServers": {"memory": {"command": "x\\u001b"}}}')
    home.put("zed", b"{\x1b")
    rows = table()
    assert rows["claude"].endswith("memory: old URL, tunnel: yes")
    assert rows["codex"].split() == ["codex", str(home.path("codex")), "yes"]
    assert rows["cursor"].endswith("memory: another server, tunnel: no")
    assert f"{home.path('zed')}:1:2: Expecting property name" in rows["zed"]
    assert list(table(project=True)) == [name for name in AGENTS if name != "windsurf"]


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


# --- the command itself ---------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        made.config.write_text(CONFIG)
        yield made


def run(world: World, *words: str) -> tuple[int, str, str]:
    done = world.run([sys.executable, "-m", "llmenv_hooks", "client", *words])
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", AGENTS)
def test_the_snippet_alone_is_on_stdout(world: World, name: str) -> None:
    status, out, err = run(world, name)
    assert (status, parsed(name, out.encode())) == (
        0,
        parsed(name, out.encode()) | {SHAPES[name][0][0]: expected(name)},
    )
    (line,) = err.splitlines()
    assert line.startswith(f"llmenv: goes into {world.root}/")
    assert line.endswith(f"; llmenv client {name} --write merges it")


def test_the_command(world: World) -> None:
    assert run(world, "claude", "--write")[0] == 0
    path = world.home / ".claude.json"
    assert run(world, "claude", "--write")[1] == f"{path} is up to date; nothing was changed\n"
    assert run(world)[1].splitlines()[1].split() == ["claude", str(path), "yes"]
    assert run(world, "claude", "--remove")[0] == 0
    assert not path.exists()
    path.write_text('{"a": }')
    assert run(world, "claude", "--write") == (
        1,
        "",
        f"llmenv: {path}:1:7: Expecting value; nothing was changed\n",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nope\x1b"], "no agent 'nope?'; there is: claude, codex, "),
        (["--remove"], "which agent? there is: claude, "),
        (["claude", "--write", "--remove"], "--write and --remove exclude each other"),
        (["windsurf", "--project"], "Windsurf has no configuration in a project"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: list[str], says: str) -> None:
    status, out, err = run(world, *words)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"llmenv: {says}")


@pytest.mark.parametrize("words", [[], ["claude"], ["claude", "--write"], ["--write"]])
def test_a_deleted_directory_has_no_project(world: World, words: list[str]) -> None:
    gone = world.root / "gone"
    gone.mkdir()
    code = 'rmdir "$1"; shift; exec "$@"'
    argv = [sys.executable, "-P", "-m", "llmenv_hooks", "client", "--project", *words]
    done = world.run(["sh", "-c", code, "sh", str(gone), *argv], cwd=gone)
    said = "llmenv: the directory that you are in was deleted; go to another first\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


# --- any text -------------------------------------------------------------------------------------

BLANKS = st.lists(
    st.sampled_from([" ", "\n", "\r\n", "\t", "// c, }\u00a0\n", '/* " */', "//\n", "/*\n*/"]),
    max_size=3,
).map("".join)
SCALARS = st.sampled_from(["1", "-2.5e3", "true", "null", '"x"', '"\\"//,}"', '"/*"', '"é☃"'])
KEYS = st.sampled_from(["a", "servers", "memory", "tunnel", "b"])


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    members = [
        f'{draw(BLANKS)}"{key}"{draw(BLANKS)}:{draw(BLANKS)}{draw(values)}{draw(BLANKS)}'
        for key in draw(st.lists(KEYS, max_size=3, unique=True))
    ]
    comma = "," * (bool(members) and draw(st.booleans()))
    return "{" + ",".join(members) + comma + draw(BLANKS) + "}"


VALUES = st.recursive(
    SCALARS, lambda inner: objects(inner) | inner.map(lambda one: f"[{one}]"), max_leaves=8
)


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
    writer = YAML()
    writer.indent(mapping=2, sequence=indent + 2, offset=indent)
    writer.dump(
        {"name": "x", "mcpServers": whole} | ({"rules": ["- name: y"]} if more else {}), out
    )
    text = out.getvalue()
    read = YAML(typ="safe").load
    put = formats.YAML.put(text, ("new",), {"url": "u"})
    new = {"name": "new", "type": "streamable-http", "url": "u"}
    assert read(put) == read(text) | {"mcpServers": [*whole, new]}
    assert formats.YAML.drop(put, ("new",)) == text
    assert set(formats.YAML.read(text)) == {server["name"] for server in whole}
    for server in whole:
        left = formats.YAML.drop(text, (server["name"],))
        assert read(left) == read(text) | {"mcpServers": [one for one in whole if one != server]}
