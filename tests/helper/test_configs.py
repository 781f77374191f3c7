"""The config: what is read of it, what is kept, and what is refused with file, key and line."""

from __future__ import annotations

import os

import pytest
from daemons import (
    World,
    add,
)
from outcomes import refused_at_once
from packed import ensure


def test_a_config_that_looks_unchanged_is_read_anew(world: World) -> None:
    world.write_config()
    for _ in range(2):
        assert world.run(world.bare()).returncode == 0
    text, seen = world.config.read_text(), world.config.stat()
    world.config.write_text(text.replace("bridge = false", "bridge = FALSE"))
    os.utime(world.config, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    done = world.run(world.bare())
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.toml" in done.stderr


@pytest.mark.parametrize("form", ["empty", "torn", "garbage", "of another Python", "link"])
def test_a_kept_config_that_is_not_whole_is_none(world: World, form: str) -> None:
    world.write_config()
    for _ in range(2):
        assert world.run(world.bare()).returncode == 0
    kept = world.state / ensure.CONFIG_PARSED
    whole = kept.read_bytes()
    kept.unlink()
    data = b"\xff" * 40
    contents = {"empty": b"", "torn": whole[:-9], "garbage": data}
    contents["of another Python"] = ensure.checksum_of(data).encode() + data
    if form == "link":
        (world.root / "victim").write_bytes(whole)
        kept.symlink_to(world.root / "victim")
    else:
        kept.write_bytes(contents[form])
    done = world.run(world.bare())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stub already-running")
    assert not kept.is_symlink()
    assert kept.read_bytes() == whole


S = "[services.stub]\n"


C = 'command = ["sleep", "9"]\n'


CONFIGS: list[tuple[str, str]] = [
    ("services = 3\n", ":1: services: want tables"),
    ("\n\nservice = 3\n", ":3: service: unknown key"),
    ("[[services]]\nname = 1\n", "services: want tables"),
    ("server_host = 3\n", ":1: server_host"),
    ('server_host = ""\n', ":1: server_host"),
    (S + "bind = 7878\n" + C, ":2: services.stub.bind: want an address in quotes"),
    (S + C + '\nbind = "localhost:1"\n', ":4: services.stub.bind: bad address"),
    (S + C + 'bind = "1.2.3.4\\u0000:1"\n', ":3: services.stub.bind: bad address"),
    (S + C + 'bnd = "127.0.0.1:1"\n', ":3: services.stub.bnd: unknown key"),
    (S, ":1: services.stub.command: want a list"),
    (S + 'command = "sleep 9"\n', ":2: services.stub.command: want a list"),
    (S + "command = []\n", ":2: services.stub.command: want a list"),
    (S + 'command = [""]\n', ":2: services.stub.command: want a list"),
    (S + 'command = ["a", 3]\n', ":2: services.stub.command: want a list"),
    (S + 'command = ["a\\u0000b"]\n', ":2: services.stub.command: want a list"),
    (S + C + "bridge = 1\n", ':3: services.stub.bridge: want "guarded", "mcp-proxy" or false'),
    (S + C + "env = 3\n", ":3: services.stub.env: want strings"),
    (S + C + "env = { A = 1 }\n", ":3: services.stub.env: want strings"),
    (S + C + 'env = { "A=B" = "1" }\n', ":3: services.stub.env: a variable's name"),
    (S + C + 'env = { "" = "1" }\n', ":3: services.stub.env: a variable's name"),
    (S + C + 'cwd = "here"\n', ":3: services.stub.cwd: want an absolute path"),
    (S + C + "start_timeout = 0\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = nan\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = true\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = 1979-05-27\n", ":3: services.stub.start_timeout: want seconds"),
    (f"start_timeout = {'9' * 5000}\n", "config.toml: "),
    ('[services."a b"]\n' + C, ": services.a b: a service's name"),
    ('[services."\\u001b[2J"]\n' + C, "a service's name"),
    (S + C + "[services.other]\n" + C, ": services.other.bind: 127.0.0.1:7878 is the bind of stub"),
    (
        "[services.a-b]\n" + C + "[services.a_b]\n" + C + 'bind = "127.0.0.1:1"\n',
        ":3: services.a_b: shares its variable",
    ),
    ("x = \n", "config.toml:1: "),
    ("a = 1\na = 2\n", "config.toml:2: "),
    ("x = " + "[" * 5000 + "\n", "config.toml: "),
    ("\x00", "config.toml:1: "),
    ("\udcff = 1\n", "config.toml: "),
]


@pytest.mark.parametrize(("text", "words"), CONFIGS, ids=lambda a: repr(a)[:40])
def test_a_bad_config_is_refused_naming_file_key_and_line(
    world: World, text: str, words: str
) -> None:
    world.config.write_bytes(text.encode(errors="surrogateescape"))
    refused_at_once(world, world.run(world.bare()), 2, str(world.config), words)
    refused_at_once(world, world.run(world.argv()), 2, str(world.config), words)


def test_a_config_that_cannot_be_read_is_refused(world: World) -> None:
    world.config.mkdir()
    refused_at_once(world, world.run(world.bare()), 2, str(world.config), "Is a directory")


@pytest.mark.parametrize(("value", "words"), [("rel.toml", "absolute"), ("/none.toml", "no such")])
def test_a_config_that_was_named_must_be_there(world: World, value: str, words: str) -> None:
    world.env["LLMENV_CONFIG"] = value
    refused_at_once(world, world.run(world.bare()), 2, value, words)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('services.a.command = ["x"]\nservices.a.bnd = 3', ":2: services.a.bnd: unknown key"),
        ('[services.a]\ncommand = ["x${FOO"]', ":2: services.a.command: a ${ begins"),
        ('[services.a]\ncommand = ["x"]\nenv = { A = "${C D}" }', ":3: services.a.env: a ${"),
        ('[services.a]\ncommand = ["x"]\ncwd = "${}/x"', ":3: services.a.cwd: want an absolute"),
        (
            '[services.a]\ncommand = ["x"]\n[services.mcp]\ncommand = ["x"]\nbind = "127.0.0.1:9"',
            ":3: services.mcp: LLMENV_MCP_URL is the first service's",
        ),
    ],
)
def test_a_wrong_config_is_told_with_its_line(world: World, line: str, told: str) -> None:
    world.config.write_text(line + "\n")
    done = world.run(world.bare())
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.usefixtures("configured")
def test_autostart_is_true_or_false(world: World) -> None:
    add(world, "asked", "autostart = 1")
    done = world.run(world.bare())
    assert done.returncode == 2
    assert "services.asked.autostart: want true or false" in done.stderr
