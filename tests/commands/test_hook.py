"""`llmenv hook` and `export`: what they print, and the cache of the hook."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv

if TYPE_CHECKING:
    from daemons import World


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "export {}={}"), ("zsh", "export {}={}"), ("fish", "set -gx {} {}")],
)
def test_export_is_in_the_language_of_the_shell(world: World, shell: str, line: str) -> None:
    url = f"http://{world.bind}/mcp"
    names = ("LLMENV_MCP_URL", "LLMENV_STUB_URL")
    assert llmenv(world, "export", shell).stdout.splitlines() == [
        line.format(name, url) for name in names
    ]


def test_a_hook_from_the_cache_imports_little(world: World) -> None:
    first = llmenv(world, "hook", "zsh")
    again = world.run([sys.executable, "-X", "importtime", "-m", "llmenv_hooks", "hook", "zsh"])
    assert again.stdout == first.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "llmenv_hooks.render" in imported
    assert not imported & {"typer", "jinja2", "rich", "tomllib", "platformdirs", "subprocess"}


def test_a_changed_config_is_rendered_anew(world: World) -> None:
    first = llmenv(world, "hook", "bash").stdout
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    assert "other.life" not in first
    assert "other.life" in llmenv(world, "hook", "bash").stdout


def test_a_cache_that_others_can_write_is_not_used(world: World) -> None:
    """What it holds is evaluated by the user's shell."""
    first = llmenv(world, "hook", "bash").stdout
    cached = world.root / "cache" / "llmenv" / "hook.bash"
    planted = cached.read_bytes().replace(first.encode(), b"echo planted\n")
    cached.write_bytes(planted)
    assert llmenv(world, "hook", "bash").stdout == "echo planted\n"  # the key is still right
    cached.chmod(0o622)
    assert llmenv(world, "hook", "bash").stdout == first
    cached.unlink()
    cached.parent.chmod(0o777)
    assert llmenv(world, "hook", "bash").stdout == first
    assert not cached.exists()
