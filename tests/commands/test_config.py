"""`llmenv config check`, `show` and `path`, the schema, and the examples."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from commands.support import COMMAND, llmenv, refused

from llmenv_hooks.commands.init import SCHEMA as SCHEMA_FILE
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.helper.services import GUARDED, Service

if TYPE_CHECKING:
    from daemons import World

EXAMPLES = Path(__file__).parents[2] / "examples"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


@pytest.fixture
def world(world: World) -> World:
    """A world without a config."""
    world.config.unlink()
    return world


def test_check_says_ok_or_what_is_wrong(world: World) -> None:
    done = llmenv(world, "config", "check")
    assert done.returncode == 0
    assert (
        done.stdout
        == f"{world.config}: no such file, so the default holds: mcp-proxy; llmenv init\n"
    )
    world.write_config()
    assert llmenv(world, "config", "check").stdout == f"{world.config}: ok, 1 service\n"
    world.config.write_text(
        world.config.read_text() + '[services.b]\ncommand = ["b"]\nbind = "[::1]:1"\n'
    )
    assert llmenv(world, "config", "check").stdout == f"{world.config}: ok, 2 services\n"
    world.config.write_text('[services.b]\ncommand = ["b"]\r\nbint = "x"\r\n')
    refused(llmenv(world, "config", "check"), 2, f"{world.config}:3: services.b.bint: unknown")
    world.env["LLMENV_CONFIG"] = "/nowhere/config.toml"
    refused(llmenv(world, "config", "check"), 2, "/nowhere/config.toml: no such config")


def test_a_mark_of_the_byte_order_is_none_of_the_config(world: World) -> None:
    world.config.write_text("\ufeff[services.b]\ncommand = ['b']\n")
    assert llmenv(world, "config", "check").stdout == f"{world.config}: ok, 1 service\n"


@pytest.mark.parametrize(
    ("ours", "named", "here"),
    [
        ("nas", "nas", True),
        ("NAS.lan", "nas", True),
        ("nas", "nas.lan", True),
        ("nas.lan", "nas.lan", True),
        ("nas.lan", "nas.example.org", False),
        ("nas", "nas2.lan", False),
    ],
)
def test_services_run_where_the_names_agree(
    monkeypatch: pytest.MonkeyPatch, ours: str, named: str, here: bool
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=ours))
    assert Config([], named, "").here is here


def known(config: Config) -> list[object]:
    """Return all of *config* but where it comes from and when."""
    return [
        config.server_host,
        *({**vars(one), "stamp": "", "config": ""} for one in config.services),
    ]


FULL = r"""
server_host = "näs"
[services.a-1]
command = ["prög", "", "with space", "q\"'\\", "new\nline", "esc\u001b[31m", "\u007f\u009b1m\u202e"]
bind = "[::1]:9999"
cwd = "/tmp/dir é"
env = { NAME = "value", "od d\t" = "$HOME", b = "" }
start_timeout = 0.0000001
[services.B_2]
command = ["x"]
bridge = false
"""


@pytest.mark.parametrize("content", [None, "", FULL], ids=["none", "empty", "full"])
def test_what_show_prints_is_the_same_config(world: World, content: str | None) -> None:
    if content is not None:
        world.config.write_text(content)
    done = world.run([sys.executable, "-m", "llmenv_hooks", "config", "show"])
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.isprintable() for line in done.stdout.splitlines())
    shown = world.root / "shown.toml"
    shown.write_text(done.stdout)
    assert known(load_config(str(shown))) == known(load_config(str(world.config)))
    tables = tomllib.loads(done.stdout)
    VALIDATOR.validate(tables)
    for values in tables["services"].values():
        assert set(values) == set(Checker.SERVICE_KEYS)


def test_the_path_is_printed_as_it_is(world: World) -> None:
    assert llmenv(world, "config", "path").stdout == f"{world.config}\n"
    world.env["LLMENV_CONFIG"] = os.fsdecode(b"/home/\xff/my config.toml")
    done = world.run([*COMMAND, "config", "path"], errors="surrogateescape")
    assert done.stdout == f"{world.env['LLMENV_CONFIG']}\n"


GOOD = [
    "",
    'server_host = "nas"',
    "[services]",
    *(
        f'[services.x]\ncommand = ["icm", ""]\n{rest}'
        for rest in (
            "",
            'bind = "127.0.0.1:1"',
            'bind = "0.0.0.0:65535"',
            'bind = "255.199.10.9:60000"',
            'bind = "[::]:7878"',
            'bind = "[fe80::1]:7878"',
            'bind = "[::ffff:127.0.0.1]:7878"',
            "bridge = false",
            'cwd = "/srv"',
            'cwd = "~"',
            'cwd = "~/x"',
            'cwd = "${HOME}/x"',
            "env = {}",
            'env = { A = "", "b c" = "x=y" }',
            "start_timeout = 1",
            "start_timeout = 0.5",
            "start_timeout = 3600.0",
        )
    ),
    *(
        f"[services.x]\nurl = {rest}"
        for rest in (
            '"https://mcp.example.com/mcp"',
            '"http://127.0.0.1:80"',
            '"http://[::1]:8080/a?b=c"',
            '"https://h/"\nheaders = {}',
            '"https://h/"\nheaders = { Authorization = "Bearer ${TOKEN}", X-Key = "" }',
        )
    ),
    '[services.0a-B_c]\ncommand = ["a"]\n[services.d]\ncommand = ["b"]\nbind = "[::1]:1"',
    f'[services.{"a" * 64}]\ncommand = ["a"]',
]


BAD = [
    "server_host = 3",
    'server_host = ""',
    'serverhost = "nas"',
    "services = 1",
    "[services]\nx = 1",
    "[services.x]",
    '[service.x]\ncommand = ["a"]',
    '[services."a b"]\ncommand = ["a"]',
    '[services."-a"]\ncommand = ["a"]',
    '[services."é"]\ncommand = ["a"]',
    f'[services.{"a" * 65}]\ncommand = ["a"]',
    *(f"[services.x]\ncommand = {value}" for value in ("[]", '"icm"', '[""]', '["a", 1]', "3")),
    *(
        f'[services.x]\ncommand = ["icm"]\n{rest}'
        for rest in (
            "unknown = 1",
            "bind = 7878",
            'bind = ""',
            'bind = ":7878"',
            'bind = "127.0.0.1"',
            'bind = "127.0.0.1:0"',
            'bind = "127.0.0.1:65536"',
            'bind = "127.0.0.256:7878"',
            'bind = "127.0.0.01:7878"',
            'bind = "1.2.3:7878"',
            'bind = "localhost:7878"',
            'bind = "::1:7878"',
            'bind = "[nas]:7878"',
            'bind = "[]:7878"',
            'bridge = "no"',
            'cwd = "here"',
            'cwd = ""',
            'cwd = "~user"',
            "cwd = 1",
            "env = []",
            "env = { A = 1 }",
            'env = { "" = "x" }',
            'env = { "A=B" = "x" }',
            "start_timeout = 0",
            "start_timeout = -1",
            "start_timeout = 3601",
            "start_timeout = true",
            'start_timeout = "60"',
            "autostart = 1",
            'headers = { A = "b" }',
            'url = "https://h/"',
        )
    ),
    *(
        f"[services.x]\nurl = {rest}"
        for rest in (
            "1",
            '""',
            '"mcp.example.com"',
            '"ftp://h/"',
            '"https://"',
            '"https:///mcp"',
            '"https://user@h/"',
            '"https://h/a b"',
            '"https://h/#a"',
            '"https://h/"\nbind = "127.0.0.1:1"',
            '"https://h/"\nautostart = false',
            '"https://h/"\nunknown = 1',
            '"https://h/"\nheaders = []',
            '"https://h/"\nheaders = { A = 1 }',
            '"https://h/"\nheaders = { "a b" = "c" }',
            '"https://h/"\nheaders = { A = "é" }',
            '"https://h/"\nheaders = { A = "b\\nc" }',
        )
    ),
]


@pytest.mark.parametrize(
    ("good", "content"), [(True, one) for one in GOOD] + [(False, one) for one in BAD]
)
def test_the_schema_says_what_the_program_says(tmp_path: Path, good: bool, content: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    try:
        load_config(str(path))
        loads = True
    except UsageError:
        loads = False
    assert (loads, VALIDATOR.is_valid(tomllib.loads(content))) == (good, good)


def test_the_schema_is_one_and_has_every_key_and_default() -> None:
    jsonschema.Draft7Validator.check_schema(VALIDATOR.schema)
    keys = SCHEMA["definitions"]["service"]["properties"]
    assert set(keys) == {*Checker.SERVICE_KEYS, *Checker.ELSEWHERE_KEYS}
    assert all(key["description"] for key in keys.values())
    default = Service()
    assert keys["bridge"]["default"] == GUARDED
    for name in set(keys) - {"command", "autostart", "url", "bridge"}:
        assert keys[name]["default"] == getattr(default, name)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(example: Path) -> None:
    VALIDATOR.validate(tomllib.loads(example.read_text()))
    assert load_config(str(example)).services
