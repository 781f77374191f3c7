"""What `llmenv doctor` looks at of the agents: whether their files have the services right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmenv_hooks.commands.agentfiles import agent_files, outdated_files
from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.configs import Config


def agents(config: Config) -> Iterator[Finding]:
    """Yield each file that has an old address of a service or none, or that cannot be read.

    Raises:
        Problem: there is no home.
    """
    wrong = [Finding("agents", "warn", what, todo) for what, todo in outdated_files(config)]
    users = []
    for file in agent_files(config, False):
        try:
            if file.has_ours():
                users.append(file.name)
        except Problem as problem:
            found = str(problem).removesuffix("; nothing was changed")
            wrong.append(Finding("agents", "warn", found, "mend it; its agent cannot read it too"))
    yield from wrong
    if not wrong:
        have = f"{', '.join(users)}: as they should be" if users else "none has our servers"
        yield Finding("agents", "ok", have, "" if users else "llmenv client AGENT --write")
