"""What TAB completes, by the scripts of `llmenv --show-completion`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest
from commands.support import llmenv, refused
from daemons import need

from llmenv_hooks.agents.table import AGENTS

if TYPE_CHECKING:
    from daemons import World

ROOT = Path(__file__).parents[2]


BIN = Path(sys.executable).parent


SHELLS = {"bash": "bash -i", "zsh": "zsh -d -i", "fish": "fish -i"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_is_completed_in_a_real_shell(world: World, shell: str) -> None:
    """Put where docs/shells.md says; a name that is not completed is an unknown one."""
    need(shell)
    world.write_config()
    world.env["LLMENV_CONFIG"] = str(world.config)
    del world.env["XDG_CONFIG_HOME"]
    world.env["PATH"] = f"{BIN}:{world.env['PATH']}"
    row = rf"^\| {shell} \| `(.+?)` \| (?:`(.+?)`)?"
    found = re.search(row, (ROOT / "docs" / "shells.md").read_text(), re.M)
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
        ("llmenv config ", ["check", "show", "path", "edit", "get"]),
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
        ("llmenv client --write co", ["codex", "copilot", "continue"]),
    ],
)
def test_what_is_completed(world: World, line: str, words: list[str]) -> None:
    world.write_config()
    assert completed(world, line) == words


def test_completion_with_a_broken_config_is_silent(world: World) -> None:
    world.config.write_text("broken [")
    assert completed(world, "llmenv stop ") == []


def test_completion_of_an_unknown_shell_is_refused(world: World) -> None:
    refused(llmenv(world, "--show-completion", "tcsh"), 2, "tcsh", "bash, zsh, fish")
