"""A restricted shell, `bash -r` or `zsh -r`: it starts no helper, and no error of ours is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shells import AT_ONCE, Shell, shows

if TYPE_CHECKING:
    from daemons import World


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize("how", ["option", "rc"])
def test_a_restricted_shell_has_the_urls_and_no_error(world: World, name: str, how: str) -> None:
    arguments = ("-r",) if how == "option" else ()
    after = {"bash": "set -r", "zsh": "setopt restricted"}[name] if how == "rc" else ""
    with Shell(name, world, after=after, arguments=arguments) as shell:
        assert shell.startup.strip() == ""
        for line in ("", AT_ONCE[name], ""):
            assert shell.run(line) == (0, "")
        assert shows(shell, "LLMENV_MCP_URL") == f"http://{world.bind}/mcp"
        assert "restricted" in shell.run("/bin/true")[1]
    assert not world.told("starts")
