"""The config: written, checked, shown; its schema and examples; what help a terminal gets."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import stat
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema
import pexpect
import pytest
from daemons import PYTHON, STUB, World, add, need, wait_until

from llmenv_hooks import ensure, settings
from llmenv_hooks.client import AGENTS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCHEMA: dict[str, Any] = json.loads(settings.SCHEMA.read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
BIN = Path(sys.executable).parent
SGR = re.compile(r"\x1b\[[0-9;]*m")

# `llmenv`, for which the default address is the world's, since 7878 may be in use.
LLMENV = """
import sys
from llmenv_hooks import ensure
ensure.DEFAULT_BIND = sys.argv.pop(1)
from llmenv_hooks.__main__ import main
main()
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        (made.root / "bin").mkdir()
        made.env["PATH"] = f"{made.root}/bin:/usr/bin:/bin"
        yield made


def argv(world: World, *words: str) -> list[str]:
    return [PYTHON, "-c", LLMENV, world.bind, *words]


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run(argv(world, *words))


def on_a_terminal(world: World, *words: str, **env: str) -> pexpect.spawn[str]:
    """Start `llmenv` on a pty; it is ended with the test."""
    command, *arguments = argv(world, *words)
    terminal = {"TERM": "xterm-256color", **world.env, **env}
    return pexpect.spawn(
        command, arguments, env=terminal, encoding="utf-8", timeout=20, dimensions=(24, 400)
    )


def ended(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    """Wait for *child*; return its status and what it wrote since the last `expect`."""
    child.expect(pexpect.EOF)
    child.close()
    assert isinstance(child.before, str)
    return child.exitstatus, child.before


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert one clear line on stderr and this exit status."""
    assert done.returncode == status, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("llmenv: ")
    for word in words:
        assert word in line


def install(world: World, name: str, script: str) -> None:
    """Put a program *name* on the PATH of the world."""
    program = world.root / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def written(world: World) -> ensure.Service:
    """Return the service of the config, which has to be as `init` leaves it."""
    text = world.config.read_text()
    VALIDATOR.validate(tomllib.loads(text))
    assert stat.S_IMODE(world.config.stat().st_mode) == 0o600
    assert text.startswith(f"#:schema {settings.SCHEMA.as_uri()}\n#")
    (service,) = ensure.load_config(str(world.config)).services
    assert service.name == "memory"
    return service


# --- init -----------------------------------------------------------------------------------


def test_init_takes_icm_where_there_is_one(world: World) -> None:
    install(world, "icm", "")
    done = llmenv(world, "init", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {world.config}: memory on {world.bind}\n" in done.stdout
    assert "`llmenv start`" in done.stdout.splitlines()[-1]
    service = written(world)
    assert (service.command, service.bind) == (["icm", "serve"], world.bind)


def test_what_init_offers_in_comments_works_too(world: World) -> None:
    install(world, "icm", "")
    llmenv(world, "init", "--yes")
    setting = re.compile(r"# (\[|[a-z_]+ = )")
    lines = world.config.read_text().splitlines()
    shown = "\n".join(line[2:] if setting.match(line) else line for line in lines)
    table = tomllib.loads(shown)
    VALIDATOR.validate(table)
    offered = {key for values in table["services"].values() for key in values}
    assert offered >= set(ensure._Checker.SERVICE_KEYS)


def test_init_leaves_a_config_alone(world: World) -> None:
    for content in ("", "broken ["):
        world.config.write_text(content)
        refused(llmenv(world, "init", "--yes"), 1, f"{world.config} is there already")
        assert world.config.read_text() == content
    world.config.unlink()
    world.config.mkdir()
    refused(llmenv(world, "init", "--yes"), 1, str(world.config))


def test_init_writes_through_a_dangling_link(world: World) -> None:
    """As a manager of dotfiles leaves it before the file is there."""
    install(world, "icm", "")
    target = world.root / "dotfiles" / "llmenv é.toml"
    world.config.symlink_to(target)
    assert llmenv(world, "init", "--yes").returncode == 0
    assert world.config.is_symlink()
    assert 'command = ["icm", "serve"]' in target.read_text()


def test_init_without_a_terminal_does_not_wait(world: World) -> None:
    refused(llmenv(world, "init"), 2, "no terminal", "llmenv init --yes")
    assert not world.config.exists()


def test_init_where_the_config_cannot_be(world: World) -> None:
    world.env["LLMENV_CONFIG"] = "/proc/nowhere/config.toml"
    refused(llmenv(world, "init", "--yes"), 1, "/proc/nowhere/config.toml")


def test_init_looks_for_a_free_port_and_says_who_has_the_usual_one(world: World) -> None:
    install(world, "icm", "")
    with socket.create_server(("127.0.0.1", world.port)):
        done = llmenv(world, "init", "--yes")
    assert f"port {world.port} is taken by pid {os.getpid()} (" in done.stdout
    service = written(world)
    assert service.port > world.port
    assert f"memory on {service.bind}" in done.stdout


def test_init_keeps_the_port_of_the_very_service(world: World) -> None:
    """The one that runs without a config: it is adopted, not doubled."""
    install(world, "icm", "")
    world.begin(world.stub("mcp-proxy", "icm", "serve", str(world.port)))
    wait_until(lambda: world.told("listening"))
    assert "taken" not in llmenv(world, "init", "--yes").stdout
    assert written(world).bind == world.bind


def test_init_with_the_example_server_and_on(world: World) -> None:
    done = llmenv(world, "init", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    service = written(world)
    assert service.command == [sys.executable, str(EXAMPLES / "memory_server.py")]
    done = llmenv(world, "start")
    assert done.stdout.startswith("memory spawned pid="), done
    assert ensure.deep_check(service) == "ok"
    assert llmenv(world, "stop").stdout == "memory stopped\n"


def test_init_takes_a_path_as_it_is(world: World) -> None:
    """Also where the interpreter's has in it what is a variable in the config."""
    odd = world.root / "${HOME}"
    odd.symlink_to(Path(sys.executable).parent)
    python = odd / Path(sys.executable).name
    wanted = ["-c", f"import sys; sys.executable = {str(python)!r}\n{LLMENV}", world.bind]
    assert world.run([PYTHON, *wanted, "init", "--yes"]).returncode == 0
    assert ensure.expanded(written(world)).command[0] == str(python)


def test_init_says_what_is_missing_for_a_start(world: World) -> None:
    install(world, "icm", "")
    python = world.root / "bin" / "python"
    python.symlink_to(sys.executable)  # one without mcp-proxy beside it
    wanted = ["-c", f"import sys; sys.executable = {str(python)!r}\n{LLMENV}", world.bind]
    done = world.run([PYTHON, *wanted, "init", "--yes"])
    refused(done, 0, "before it can start", "neither mcp-proxy nor uvx")
    written(world)


def test_init_asks_for_one_thing(world: World) -> None:
    child = on_a_terminal(world, "init")
    child.expect("icm is not on PATH. Use the example memory server .*Y/n]: ")
    child.sendline("")
    status, said = ended(child)
    assert status == 0
    assert f"wrote {world.config}" in said
    assert written(world).command[-1].endswith("memory_server.py")


@pytest.mark.parametrize(
    ("entered", "command"),
    [
        ("npx -y 'my server' \"a\\\\b\"", ["npx", "-y", "my server", "a\\b"]),
        ("${HOME}/mémoire", ["${HOME}/mémoire"]),
    ],
)
def test_init_takes_a_command_of_the_users(world: World, entered: str, command: list[str]) -> None:
    child = on_a_terminal(world, "init", LC_ALL="C.UTF-8")
    child.expect("Y/n]: ")
    child.sendline("n")
    child.expect("command of your MCP server .*: ")
    child.sendline(entered)
    assert ended(child)[0] == 0
    assert tomllib.loads(world.config.read_text())["services"]["memory"]["command"] == command


@pytest.mark.parametrize(
    ("entered", "said"),
    [("npx 'x", "No closing quotation"), ("  ", "no command"), ("\4", "llmenv: aborted")],
)
def test_init_writes_nothing_when_it_gets_no_answer(world: World, entered: str, said: str) -> None:
    child = on_a_terminal(world, "init")
    child.expect("Y/n]: ")
    child.sendline("n")
    child.expect("command of your MCP server .*: ")
    child.send(entered if entered == "\4" else f"{entered}\n")
    status, text = ended(child)
    assert status == 1
    assert said in text
    assert "Traceback" not in text
    assert not world.config.exists()


# --- config check, show, path ---------------------------------------------------------------


def test_check(world: World) -> None:
    done = llmenv(world, "config", "check")
    assert done.returncode == 0
    assert done.stdout == f"{world.config}: no such file, so the default holds: mcp-proxy\n"
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
    assert ensure.Config([], named, "").here is here


def known(config: ensure.Config) -> list[object]:
    """Return all of *config* but where it comes from and when."""
    return [config.server_host, *({**vars(one), "stamp": ""} for one in config.services)]


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
    assert known(ensure.load_config(str(shown))) == known(ensure.load_config(str(world.config)))
    tables = tomllib.loads(done.stdout)
    VALIDATOR.validate(tables)
    for values in tables["services"].values():
        assert set(values) == set(ensure._Checker.SERVICE_KEYS)


def test_path(world: World) -> None:
    assert llmenv(world, "config", "path").stdout == f"{world.config}\n"
    world.env["LLMENV_CONFIG"] = os.fsdecode(b"/home/\xff/my config.toml")
    done = world.run(argv(world, "config", "path"), errors="surrogateescape")
    assert done.stdout == f"{world.env['LLMENV_CONFIG']}\n"


# --- the schema -----------------------------------------------------------------------------

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
        ensure.load_config(str(path))
        loads = True
    except ensure.UsageError:
        loads = False
    assert (loads, VALIDATOR.is_valid(tomllib.loads(content))) == (good, good)


def test_the_schema_is_one_and_has_every_key_and_default() -> None:
    jsonschema.Draft7Validator.check_schema(VALIDATOR.schema)
    keys = SCHEMA["definitions"]["service"]["properties"]
    assert set(keys) == {*ensure._Checker.SERVICE_KEYS, "autostart"}
    assert all(key["description"] for key in keys.values())
    default = ensure.Service()
    for name in set(keys) - {"command", "autostart"}:
        assert keys[name]["default"] == getattr(default, name)


# --- the examples ---------------------------------------------------------------------------


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(example: Path) -> None:
    VALIDATOR.validate(tomllib.loads(example.read_text()))
    assert ensure.load_config(str(example)).services


def test_the_example_of_a_tunnel(world: World) -> None:
    """With an ssh that listens where -L says and closes what it does not know, as the real one."""
    ssh = [PYTHON, "-I", "-S", str(STUB), str(world.oracle)]
    install(
        world,
        "ssh",
        f"printf '%s\\n' \"$@\" >'{world.oracle}/ssh'\n"
        'while [ "$1" != -L ]; do shift; done\n'
        f'exec {shlex.join(ssh)} "${{2%:*:*}}" close-fds\n',
    )
    text = (EXAMPLES / "client-tunnel.toml").read_text()
    world.config.write_text(text.replace("127.0.0.1:7879", world.bind))
    done = llmenv(world, "start")
    (pid,) = world.daemons()
    assert (done.stdout, done.stderr) == (f"tunnel spawned pid={pid}\n", "")
    (row,) = json.loads(llmenv(world, "status", "--json").stdout)
    assert (row["state"], row["pid"]) == ("running", pid)
    server = ensure.load_config(str(EXAMPLES / "server-host.toml"))
    options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=30"]
    assert (world.oracle / "ssh").read_text().split() == [
        "-N",
        *(word for option in options for word in ("-o", option)),
        *("-L", f"{world.bind}:{server.services[0].bind}", server.server_host),
    ]
    assert llmenv(world, "start").stdout == f"tunnel already-running pid={pid}\n"
    url = f"http://{world.bind}/mcp"
    assert f"export LLMENV_MCP_URL={url}" in llmenv(world, "export", "bash").stdout
    assert llmenv(world, "stop").stdout == "tunnel stopped\n"
    assert not world.daemons()


# --- completion, help, colours, progress ----------------------------------------------------

SHELLS = {"bash": "bash -i", "zsh": "zsh -d -i", "fish": "fish -i"}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(world: World, shell: str) -> None:
    """Put where the README says; a name that is not completed is an unknown one."""
    need(shell)
    world.write_config()
    world.env["LLMENV_CONFIG"] = str(world.config)
    del world.env["XDG_CONFIG_HOME"]
    world.env["PATH"] = f"{BIN}:{world.env['PATH']}"
    row = rf"^\| {shell} \| `(.+?)` \| (?:`(.+?)`)?"
    found = re.search(row, (ROOT / "README.md").read_text(), re.M)
    assert found
    once, line = found.groups()
    done = world.run([shell, "-c", once])
    assert (done.returncode, done.stderr) == (0, "")
    if line:
        (world.home / f".{shell}rc").write_text(f"{line}\n")
    child = pexpect.spawn(
        SHELLS[shell],
        env={**world.env, "TERM": "dumb", "LC_ALL": "C.UTF-8", "fish_features": "no-query-term"},
        cwd=str(world.home),
        encoding="utf-8",
        timeout=20,
    )
    child.sendline("echo load''ed")
    child.expect("loaded")
    child.send("llmenv stop st\t\r")
    child.expect("stub was not running")
    child.send(f"llmenv export {shell[:2]}\t\r")
    child.expect(f"LLMENV_MCP_URL[= ]http://{world.bind}/mcp")
    child.close(force=True)


def completed(world: World, line: str) -> list[str]:
    """Return what the completion script is told for the last word of *line*."""
    world.env |= {
        "_LLMENV_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    done = world.run([str(BIN / "llmenv")])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("llmenv conf", ["config"]),
        ("llmenv config ", ["check", "show", "path"]),
        ("llmenv --show-completion ", ["bash", "zsh", "fish"]),
        *(
            (f"llmenv {command} ", ["bash", "zsh", "fish"])
            for command in ("hook", "export", "install", "uninstall", "check", "check bash")
        ),
        ("llmenv install z", ["zsh"]),
        *(
            (f"llmenv {command} ", ["stub"])
            for command in ("start", "stop", "restart", "logs", "logs -f")
        ),
        ("llmenv start x", []),
        ("llmenv client ", list(AGENTS)),
        ("llmenv client --write c", ["claude", "codex", "cursor", "continue"]),
    ],
)
def test_what_is_completed(world: World, line: str, words: list[str]) -> None:
    world.write_config()
    assert completed(world, line) == words


def test_completion_with_a_broken_config_is_silent(world: World) -> None:
    world.config.write_text("broken [")
    assert completed(world, "llmenv stop ") == []


def test_completion_of_an_unknown_shell(world: World) -> None:
    refused(llmenv(world, "--show-completion", "tcsh"), 2, "tcsh", "bash, zsh, fish")


@pytest.mark.parametrize(
    "words",
    ["--help", "status", "doctor", "client", "config show", "nonsense", "stop nonsense"],
)
def test_no_color_on_a_terminal(world: World, words: str) -> None:
    world.write_config()
    said = ended(on_a_terminal(world, *words.split(), NO_COLOR="1"))[1]
    assert said
    assert "\x1b" not in said


@pytest.mark.parametrize("words", ["status", "doctor", "client"])
def test_a_table_on_a_terminal_has_bold_titles(world: World, words: str) -> None:
    world.write_config()
    assert "\x1b[1m" in ended(on_a_terminal(world, words))[1]


@pytest.mark.parametrize("color", [False, True])
def test_a_slow_start_shows_a_progress_line(world: World, color: bool) -> None:
    world.write_config("gate")
    child = on_a_terminal(world, "start", **({} if color else {"NO_COLOR": "1"}))
    child.expect("starting stub, see")
    assert not world.told("listening")
    before = child.before
    world.tell("go")
    status, said = ended(child)
    assert status == 0
    assert f"stub spawned pid={world.check()}" in said
    assert bool(SGR.search(f"{before}{said}")) == color


def test_no_progress_line_without_a_terminal(world: World) -> None:
    world.write_config("gate")
    starting = world.begin(argv(world, "start"))
    wait_until(lambda: world.told("starts"))
    world.tell("go")
    out, err = starting.communicate(timeout=20)
    assert (out, err) == (f"stub spawned pid={world.check()}\n", "")


def test_the_progress_line_shows_a_path_as_it_is(world: World) -> None:
    """Also one that reads like rich's markup, or that a terminal would obey."""
    world.env["XDG_STATE_HOME"] = f"{world.root}/a[/b]c[red]"
    world.write_config("gate")
    child = on_a_terminal(world, "start")
    child.expect_exact("/a[/b]c[red]/llmenv/stub.log")
    world.tell("go")
    assert ended(child)[0] == 0


def test_the_progress_line_is_one_for_all_that_start(world: World) -> None:
    world.write_config("gate")
    add(world, "second")
    child = on_a_terminal(world, "start")
    child.expect(r"starting stub, second, see \S+/\*.log")
    child.expect("second spawned pid=")
    child.expect("starting stub, see")
    world.tell("go")
    status, said = ended(child)
    assert status == 0
    assert "stub spawned pid=" in said
