"""A restricted shell, `bash -r` or `zsh -r`: it can start no helper, and is told no error of ours."""

from __future__ import annotations

import pytest
from daemons import World
from shells import AT_ONCE, Shell, shows


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize("how", ["option", "rc"])
def test_a_restricted_shell_has_the_urls_and_no_error(world: World, name: str, how: str) -> None:
    arguments, after = ((), {"bash": "set -r", "zsh": "setopt restricted"}[name])
    if how == "option":
        arguments, after = (("-r",), "")
    with Shell(name, world, after=after, arguments=arguments) as shell:
        assert shell.startup.strip() == ""
        for line in ("", AT_ONCE[name], ""):
            assert shell.run(line) == (0, "")
        assert shows(shell, "LLMENV_MCP_URL") == f"http://{world.bind}/mcp"
        assert "restricted" in shell.run("/bin/true")[1]
    assert not world.told("starts")
