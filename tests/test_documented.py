"""Every command that the README and docs/ show is run, or by the test that is named here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from commands.support import install
from daemons import World, need
from stdio_agent import add_memory

from llmenv_hooks.commands import app
from llmenv_hooks.commands.hello import tools_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```|((?:^    [^\n]*\n)+)", re.MULTILINE | re.DOTALL)
PROGRAMS = {"llmenv", "eval", "pipx", "uv", "python3", "ssh", "sock", "mkdir", "make"}
# Those that are not run here: by the test that does it.
ELSEWHERE = {
    r"pipx install '\./llmenv_hooks-\S+'": "test_a_fresh_account_sees_what_the_picture_shows",
    r"pipx install --force .*": "test_uv_pip_and_an_upgrade_by_pipx_install_it",
    r"uv tool install .*": "test_uv_pip_and_an_upgrade_by_pipx_install_it",
    r"python3 -m venv ~/\.venvs/llmenv && .*": "test_uv_pip_and_an_upgrade_by_pipx_install_it",
    r"llmenv unit systemd memory --.*": "test_a_real_systemd_keeps_a_service",
    r"llmenv setup": "test_it_asks_three_things_and_shows_what_it_writes",
    r"llmenv unit \w+ \w+ --(write|remove)": "test_a_real_systemd_keeps_a_service",
    r"llmenv share memory --dry-run": "test_what_would_be_done_is_shown_and_not_done",
    r"llmenv share memory github": "test_an_agent_comes_to_it_later",
    r"llmenv share --undo": "test_what_ended_half_way_can_be_undone",
    # Another machine, by its socket.
    r"sock=.*|mkdir -p -m 700 .*|ssh -fN .*": "test_a_socket_that_ssh_has_brought_is_used",
}


def commands(page: Path) -> list[str]:
    """Return the commands in the blocks of *page*, without the words behind them."""
    blocks = ["".join(filter(None, found)) for found in BLOCK.findall(page.read_text())]
    lines = [re.sub(r"\s{2,}#.*", "", line).strip() for line in "".join(blocks).split("\n")]
    return [line for line in lines if re.split(r"[ =]", line)[0] in PROGRAMS]


def test_every_command_in_a_sentence_exists() -> None:
    whole = typer.main.get_command(app.app)
    spans = {
        span for page in PAGES for span in re.findall(r"`llmenv ([a-z][^`]*)`", page.read_text())
    }
    assert len(spans) > 20
    for span in spans:
        command: Any = whole
        for word in re.split(r"[ |]", span):
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
            elif re.fullmatch(r"--[a-z].*", word):
                options = {option for each in command.params for option in each.opts} | {"--help"}
                assert word in options, span
        assert command is not whole, span


def test_a_socket_that_ssh_has_brought_is_used(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link stands for what ssh brings, which would want a second machine."""
    need("ssh")
    sock, place, tunnel, ask = commands(ROOT / "docs" / "beyond-one-machine.md")
    add_memory(world)
    install(world)
    assert world.run(["llmenv", "start"]).returncode == 0
    config = tmp_path / "config.toml"
    config.write_text(f'server_host = "nas"\n{world.config.read_text()}')
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    for name, value in {**world.env, "HOME": tmp_path, "LLMENV_CONFIG": config}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("XDG_STATE_HOME")
    brought = f"ln -s {world.state}/memory.sock ~/$sock"
    asks_ssh = tunnel.replace("ssh", "ssh -G", 1)
    line = f"{sock}; {place} && {asks_ssh} >/dev/null && {brought} && exec {ask}"
    assert tools_of(["sh", "-c", line], 60) != []


def test_what_is_run_elsewhere_is_run() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    shown = [line for page in PAGES for line in commands(page)]
    assert len(shown) > 30
    for pattern, test in ELSEWHERE.items():
        assert any(re.fullmatch(pattern, line) for line in shown), pattern
        assert f"def {test}(" in tests


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_work(world: World, page: Path) -> None:
    need("npx")
    add_memory(world)
    install(world)
    world.env |= {"SHELL": "/bin/bash", "EDITOR": "true"}
    (world.home / ".claude.json").write_text("{}")
    assert world.run(["llmenv", "setup", "--yes"]).returncode == 0
    for line in commands(page):
        if not any(re.fullmatch(pattern, line) for pattern in ELSEWHERE):
            done = world.run(["bash", "-c", line])
            assert done.returncode == 0, done
