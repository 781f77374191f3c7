"""`llmenv connect`: what an agent runs; `__main__` answers it, but for its help."""

from typing import Annotated

import typer

from llmenv_hooks.commands.parameters import service_argument
from llmenv_hooks.connect.connector import connect


def connect_agent(name: Annotated[str, service_argument()]) -> None:
    """Connect an agent to a service: the command that an agent runs.

    It starts the service if that is down, and brings it back when it dies. One that was
    stopped stays so, and the agent is told.
    """
    raise typer.Exit(connect(name))
