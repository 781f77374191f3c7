"""`llmenv setup` and `--undo`, in a home of its own."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands.support import ended, install, on_a_terminal, refused
from daemons import DEADLINE_S, PYTHON, World, nobody

if TYPE_CHECKING:
    from collections.abc import Iterator

# `llmenv`, for which the default address is the world's, since 7878 may be in use.
LLMENV = """
import sys
from llmenv_hooks.commands import init
init.DEFAULT_BIND = sys.argv.pop(1)
from llmenv_hooks.__main__ import main
main()
"""
SECRET = "s3cret"
CLAUDE = f'{{"mcpServers": {{"x": {{"command": "y", "env": {{"TOKEN": "{SECRET}"}}}}}}, "n": 1}}'
CODEX = f'# mine\n[mcp_servers.x]\ncommand = "y"\nenv = {{ TOKEN = "{SECRET}" }}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which nothing is but an empty home, and where bash is the shell."""
    with World(tmp_path / "world") as made:
        made.env = {"HOME": str(made.home), "PATH": "/usr/bin:/bin", "SHELL": "/bin/bash"}
        install(made)
        try:
            yield made
        finally:
            made.run([PYTHON, "-m", "llmenv_hooks", "stop"])


def setup(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run([PYTHON, "-c", LLMENV, world.bind, "setup", *words])


def contents(home: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of all that is in *home*, but for the state directory."""
    state = home / ".local" / "state"
    return {
        str(path.relative_to(home)): (
            stat.S_IMODE(path.lstat().st_mode),
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in home.rglob("*")
        if path != state.parent and path != state and state not in path.parents
    }


def call(world: World, argv: list[str], tool: str, **arguments: object) -> str:
    """Return what *tool* answers to an agent that starts *argv*."""
    client = {"name": "an agent", "version": "1"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}},
    ]
    agent = world.begin(argv, stdin=subprocess.PIPE)
    assert agent.stdin
    assert agent.stdout
    for message in messages:
        agent.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        agent.stdin.flush()
        if "id" in message:
            answer = json.loads(agent.stdout.readline())
            assert answer["id"] == message["id"]
    agent.communicate(timeout=DEADLINE_S)
    assert agent.returncode == 0
    world.children.remove(agent)
    return str(answer["result"]["content"][0]["text"])


def entry(path: Path) -> list[str]:
    """Return the argv of the service in Claude Code's file."""
    found = json.loads(path.read_text())["mcpServers"]["memory"]
    assert found["type"] == "stdio"
    return [found["command"], *found["args"]]


def fill(home: Path) -> None:
    """Put files of a user's into *home*, in the ways in which editors leave them."""
    files = {
        ".bashrc": "export A=1",
        ".profile": "[ -r ~/.bashrc ] && . ~/.bashrc\n",
        ".claude.json": CLAUDE,
        ".codex/config.toml": CODEX,
        ".gemini/settings.json": "",
        ".config/opencode/opencode.json": "{\r\n  // mine\r\n}\r\n",
        ".config/fish/config.fish": "set -x A 1\n",
        ".cache/other": "x",
    }
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def test_an_empty_home_is_set_up_and_is_empty_again(world: World) -> None:
    done = setup(world, "--yes")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "an agent sees memory with 4 tools: store, search, list, forget\n" in done.stdout
    assert "no agent was found on this machine; see llmenv client\n" in done.stdout
    assert b"llmenv/hook.bash" in (world.home / ".bashrc").read_bytes()
    # A shell that is opened now knows the service.
    shell = world.run(["bash", "-ic", "echo $LLMENV_MEMORY_URL"])
    assert shell.stdout == f"http://{world.bind}/mcp\n"
    again = setup(world, "--yes")
    assert again.returncode == 0, again
    assert "memory runs already" in again.stdout
    done = setup(world, "--undo")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "memory stopped\n" in done.stdout
    assert contents(world.home) == {}
    assert setup(world, "--undo").returncode == 0


@pytest.mark.parametrize("uid", ["ours", "nobody"])
def test_a_home_in_use_gets_a_working_agent_and_is_as_it_was(world: World, uid: str) -> None:
    fill(world.home)
    argv = [PYTHON, "-c", LLMENV, world.bind, "setup"]
    if uid == "nobody":
        world.give_to_nobody()
        argv = nobody(argv)
    before = contents(world.home)
    done = world.run([*argv, "--yes"])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert SECRET not in done.stdout
    claude = world.home / ".claude.json"
    connect = entry(claude)
    assert connect[1:] == ["connect", "memory"]
    connect = nobody(connect) if uid == "nobody" else connect
    said = call(world, connect, "store", topic="t", text="to be kept")
    assert "to be kept" in said
    assert "to be kept" in call(world, connect, "list")
    changed = {name for name, what in contents(world.home).items() if before.get(name) != what}
    assert changed >= {
        ".bashrc",
        ".config/fish/conf.d/llmenv.fish",
        ".claude.json",
        ".codex/config.toml",
        ".gemini/settings.json",
        ".config/opencode/opencode.json",
    } - ({".config/fish/conf.d/llmenv.fish"} if not Path("/usr/bin/fish").exists() else set())
    done = world.run([*argv, "--undo"])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert contents(world.home) == before
    # What was stored is the user's.
    store = world.home / ".local/state/llmenv/backup" / str(world.home)[1:]
    assert b"to be kept" in b"".join(
        path.read_bytes() for path in (store / ".local/share/llmenv").iterdir()
    )


def test_what_was_stored_before_an_earlier_undo_is_kept_too(world: World) -> None:
    fill(world.home)
    for text in ("the first", "the second"):
        assert setup(world, "--yes").returncode == 0
        assert text in call(world, entry(world.home / ".claude.json"), "store", text=text)
        done = setup(world, "--undo")
        assert (done.returncode, done.stderr) == (0, ""), done
    kept = (world.home / ".local/state/llmenv/backup").rglob("memory.db*")
    stored = {path.name: path.read_bytes() for path in kept}
    assert {"memory.db", "memory.db.2"} <= set(stored)
    assert all(text in b"".join(stored.values()) for text in (b"the first", b"the second"))
    # And what is set up by hand after that has not been stopped by anybody.
    done = world.run([PYTHON, "-c", LLMENV, world.bind, "init", "--yes"])
    assert (done.returncode, "was stopped" in done.stdout) == (0, False)


def test_undo_names_what_it_leaves_of_a_person_who_did_it_by_hand(world: World) -> None:
    fill(world.home)
    assert world.run([PYTHON, "-c", LLMENV, world.bind, "init", "--yes"]).returncode == 0
    hook = world.run([PYTHON, "-c", LLMENV, world.bind, "hook", "bash"])
    assert hook.returncode == 0
    rc = world.home / ".bashrc"
    rc.write_text('export A=1\neval "$(llmenv hook bash)"\n')
    stored = world.home / ".local/share/llmenv/memory.db"
    stored.write_text("memories")
    done = setup(world, "--undo")
    assert f"{rc}:2 runs `llmenv hook`; take it out" in done.stdout
    assert f"left: {stored}, what the example server has stored" in done.stdout
    assert [path.name for path in stored.parent.iterdir()] == ["memory.db"]


def test_a_question_is_seen_in_a_pipe(world: World) -> None:
    """What is printed may go through `less` or `tail`, while somebody is there to answer."""
    words = [PYTHON, "-c", LLMENV, world.bind, "setup", "--dry-run"]
    child = on_a_terminal(world, ["sh", "-c", f"{shlex.join(words)} | cat >/dev/null"])
    child.expect("Use the example memory server .*: ")
    child.sendintr()
    ended(child)


def test_a_dry_run_writes_nothing_and_hides_what_is_not_ours(world: World) -> None:
    fill(world.home)
    before = contents(world.home)
    done = setup(world, "--dry-run")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert f"{world.home}/.config/llmenv/config.toml:\n  memory: " in done.stdout
    assert f"a block in {world.home}/.bashrc that sources " in done.stdout
    assert '"args": ["connect", "memory"]' in done.stdout
    assert SECRET not in done.stdout
    assert contents(world.home) == before
    assert not (world.home / ".local").exists()


def test_a_service_that_does_not_start_stops_it_before_shells_and_agents(world: World) -> None:
    fill(world.home)
    config = world.home / ".config/llmenv/config.toml"
    config.parent.mkdir()
    config.write_text(
        f'[services.memory]\ncommand = ["/bin/false"]\nbind = "{world.bind}"\nbridge = false\n'
    )
    before = contents(world.home)
    done = setup(world, "--yes")
    assert done.returncode == 1
    assert "memory" in done.stderr
    assert done.stderr.endswith("when that is mended, run llmenv setup again\n")
    assert contents(world.home) == before
    assert setup(world, "--undo").returncode == 0
    assert contents(world.home) == before


def test_a_broken_file_of_one_agent_is_named_and_the_others_are_written(world: World) -> None:
    fill(world.home)
    (world.home / ".gemini/settings.json").write_text("{")
    before = contents(world.home)
    done = setup(world, "--yes")
    assert done.returncode == 0, done
    assert f"llmenv: {world.home}/.gemini/settings.json:1:2: " in done.stderr
    assert entry(world.home / ".claude.json")[1:] == ["connect", "memory"]
    done = setup(world, "--undo")
    assert done.returncode == 1  # it cannot say whether something of ours is in there
    (world.home / ".gemini/settings.json").write_text("{}")
    assert setup(world, "--undo").returncode == 0
    (world.home / ".gemini/settings.json").write_text("{")
    assert contents(world.home) == before


def test_a_config_that_was_edited_stays(world: World) -> None:
    assert setup(world, "--yes").returncode == 0
    config = world.home / ".config/llmenv/config.toml"
    config.write_text(config.read_text() + "# mine\n")
    done = setup(world, "--undo")
    assert done.returncode == 0, done
    assert f"{config} is not as setup has written it, and stays\n" in done.stdout
    assert {name for name in contents(world.home) if not name.startswith(".config")} == set()
    assert config.exists()


def test_it_asks_three_things_and_shows_what_it_writes(world: World) -> None:
    fill(world.home)
    argv = [PYTHON, "-c", LLMENV, world.bind, "setup"]
    child = on_a_terminal(world, argv)
    child.expect(r"Use the example memory server .*Y/n\]: ")
    child.sendline("")
    child.expect(r"Which shells keep it running\? \(bash, zsh, fish, none\) \[bash.*\]: ")
    child.sendline("none")
    question = r"Which agents use it\? \(.*\) \[claude codex gemini opencode\]: "
    child.expect(question)
    child.sendline("claude courser")
    child.expect("no 'courser'; there is: claude, .*" + question)
    child.sendline("Claude, cursor")
    child.expect(r"Claude Code, .*connect.*Write that, and start it\? \[Y/n\]: ")
    assert isinstance(child.before, str)
    child.sendline("")
    status, said = ended(child)
    assert status == 0, said
    assert "an agent sees memory with 4 tools" in said
    assert entry(world.home / ".claude.json")[1:] == ["connect", "memory"]
    assert "connect" in (world.home / ".cursor/mcp.json").read_text()
    assert (world.home / ".codex/config.toml").read_text() == CODEX
    assert (world.home / ".bashrc").read_text() == "export A=1"


def test_no_is_an_answer(world: World) -> None:
    child = on_a_terminal(world, [PYTHON, "-c", LLMENV, world.bind, "setup"])
    for answer in ("", "y", "none", "n"):
        child.expect(r"\]: ")
        child.sendline(answer)
    status, said = ended(child)
    assert status == 1
    assert "llmenv: nothing was written" in said
    assert contents(world.home) == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no terminal to ask on; llmenv setup --yes"),
        (["--undo", "--dry-run"], "--undo and --dry-run exclude each other"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: list[str], says: str) -> None:
    refused(setup(world, *words), 2, says)
    assert contents(world.home) == {}
