"""`llmenv client`, against the agents' files as people have them."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import json5
import pytest
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
        return {"empty": ""}
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
        for case in ("empty", "comments" if name != "continue" else "empty"):
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
        assert found in ({}, {"name": "llmenv", "version": "0.0.1", "schema": "v1"})
        return {"mcpServers": {server.pop("name"): server for server in servers}}
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

    def put(self, name: str, content: bytes | None) -> Path:
        path = self.path(name)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return path

    def port(self, port: int) -> None:
        self.config.write_text(CONFIG.replace('127.0.0.1:7878"\n', f'127.0.0.1:{port}"\n'))

    def __call__(self, name: str, *options: str) -> str:
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
        assert all(byte in rest for byte in before), "something was inserted, and no more"
        for comment in re.findall(rb"(?://|# )[^\r\n]*|/\*.*?\*/", before):
            assert comment in written
        backup = path.with_name(path.name + ".llmenv-backup")
        assert backup.read_bytes() == before
        assert str(backup) in out
        newlines = b"\r\n" if b"\r\n" in before else b"\n"
        assert set(re.findall(rb"\r?\n", written)) <= {newlines}

    stamp = path.stat().st_ino
    assert home(name, "write") == f"{path} is up to date; nothing was changed\n"
    assert path.stat().st_ino == stamp

    home.port(17001)
    home(name, "write")
    assert path.read_bytes() == written.replace(b"127.0.0.1:7878/", b"127.0.0.1:17001/")

    out = home(name, "remove")
    assert read(path) == before
    assert (f"removed {path}" if before is None else f"wrote {path}") in out
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


def broken() -> Iterator[Any]:
    for name in AGENTS:
        texts = BROKEN_TOML if name == "codex" else BROKEN_JSON if name in IN_JSON else []
        for text, words in texts:
            holder = SHAPES[name][0][0]
            yield name, text.replace("SERVERS", holder).encode(), words.replace("SERVERS", holder)
        yield name, b"\xff", ": byte 0 is no UTF-8"
    for text in ("name: mine\n", client.AGENTS["continue"].title, formats.YAML_HEAD + "# mine\n"):
        yield "continue", text.encode(), ": not as llmenv wrote it"


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


@pytest.mark.parametrize("name", [*IN_JSON, "codex"])
@pytest.mark.parametrize(
    "url",
    ["http://localhost:9/mcp", "http://[::1]:9/mcp/", "http://127.8.8.8/x/mcp"],
)
def test_an_old_entry_of_ours_gets_the_url_and_keeps_the_rest(
    home: Home, name: str, url: str
) -> None:
    key = AGENTS[name].url_key
    content = with_entry(name, {"enabled": False, key: url, "timeout": 9})
    path = home.put(name, content)
    home(name, "write")
    updated = content.replace(url.encode(), URLS["memory"].encode())
    assert updated.rstrip(b"}\n") in path.read_bytes().replace(b', "tunnel"', b'}, "tunnel"')
    assert parsed(name, path.read_bytes())[SHAPES[name][0][0]]["memory"]["timeout"] == 9


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
        (["--write"], "which agent? there is: claude, "),
        (["claude", "--write", "--remove"], "--write and --remove exclude each other"),
        (["windsurf", "--project"], "Windsurf has no configuration in a project"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: list[str], says: str) -> None:
    status, out, err = run(world, *words)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"llmenv: {says}")


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
