"""What `llmenv share` is about to do: said before it is done, and refused where it must not be."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.sharing.copies import shown_bytes
from llmenv_hooks.sharing.secrets import secrets_in, shown

if TYPE_CHECKING:
    from llmenv_hooks.commands.sharesurvey import Candidate
    from llmenv_hooks.helper.configs import Config


def plan_of(one: Candidate, processes: dict[int, list[str]]) -> str:
    """Return before and after of sharing *one*, in lines; *processes* are those that run."""
    copies = one.copies(processes)
    runs = ""
    if number := len(copies.pids):
        many = number > 1
        take = f"{'copies run and take' if many else 'copy runs and takes'}"
        runs = f"; {number} {take} {shown_bytes(copies.bytes)}"
    agents = ", ".join(own.where for own in one.owns)
    lines = [
        f"{one.name}: {shown(one.meant.command)}",
        f"  before: started by each of {agents}{runs}",
        f"  after: started once, as the service {one.name}; each agent starts:"
        f" llmenv connect {one.name}",
    ]
    if one.meant.env:
        lines.append(f"  with {', '.join(map(printable, one.meant.env))} in its environment")
    if one.doubt:
        lines.append(f"  although {one.doubt}")
    return "".join(f"{line}\n" for line in lines)


def refuse_to_lose_the_default(config: Config) -> None:
    """See that the service of a time without a config does not end by having one.

    Raises:
        Problem: it runs, and no config names it; nothing was done.
    """
    for service in config.services:
        if service.is_default and inspect(service, state_dir()).state == "running":
            raise Problem(
                f"the default service runs, and would end once {printable(config.path)} names"
                " others; first put it there: llmenv init; nothing was done"
            )


def refuse_open_secrets(chosen: list[Candidate], config: Config) -> None:
    """See that what may be secret of those that are *chosen* comes into no file others can read.

    Raises:
        Problem: the config is another user's, or others can read it; nothing was done.
    """
    secret = {
        one.name: found
        for one in chosen
        if not one.joins and (found := secrets_in(one.meant.command, one.meant.env))
    }
    if not secret:
        return
    try:
        seen = os.stat(config.path)
    except FileNotFoundError:
        return  # it will be made, for this user alone
    except OSError as error:
        raise Problem(f"cannot look at {printable(config.path)}: {error.strerror}") from None
    mode = stat.S_IMODE(seen.st_mode)
    if seen.st_uid == os.geteuid() and not mode & 0o077:
        return
    name, found = next(iter(secret.items()))
    what = f"{', '.join(map(printable, found))} of {name} may be a secret, and"
    path = printable(config.path)
    if seen.st_uid != os.geteuid():
        raise Problem(f"{what} {path} is another user's; nothing was done")
    raise Problem(f"{what} others can read {path}: chmod 600 {path}; nothing was done")
