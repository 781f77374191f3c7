"""Every command that the README and docs/ show is run, or by the test that is named here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from commands.support import install
from daemons import World, need
from stdio_agent import add_memory

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
    r"python3 -m venv ~/\.llmenv && .*": "test_uv_pip_and_an_upgrade_by_pipx_install_it",
    r"llmenv setup": "test_it_asks_three_things_and_shows_what_it_writes",
    # Another machine, by its socket.
    r"sock=.*|mkdir -p -m 700 .*|ssh -fN .*": "test_a_socket_that_ssh_has_brought_is_used",
}


def commands(page: Path) -> list[str]:
    """Return the commands in the blocks of *page*, without the words behind them."""
    blocks = ["".join(filter(None, found)) for found in BLOCK.findall(page.read_text())]
    lines = [re.sub(r"\s{2,}#.*", "", line).strip() for line in "".join(blocks).split("\n")]
    return [line for line in lines if re.split(r"[ =]", line)[0] in PROGRAMS]


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
