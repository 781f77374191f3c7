"""Writes the config, unless it would be none, and puts a service into it or takes it out."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from llmenv_hooks import userfile
from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.agents.toml import TOML
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_config(path: str, old: bytes | None, new: str | None) -> None:
    """Put *new* into the place of *old* at *path*; None stands for no file.

    Raises:
        UsageError: it is no config.
        Problem: it is no TOML, or cannot be written; nothing was changed.
    """
    if new is not None:
        try:
            Checker(path, new, "").config(tomllib.loads(new))
        except tomllib.TOMLDecodeError as error:
            raise Problem(f"{printable(path)}: {error}; nothing was changed") from None
    userfile.replace(path, old, None if new is None else new.encode(), mode=0o600)


def put_service(path: str, name: str, table: Mapping[str, Any]) -> None:
    """Append the service *name*, with the keys of *table*, to the config at *path*.

    Raises:
        UsageError, Problem: as `write_config`.
    """
    old = userfile.load(path)
    text = None if old is None else old.decode()
    try:
        write_config(path, old, TOML.put(text, ("services", name), dict(table)))
    except Unreadable as error:
        raise Problem(f"{printable(path)}{error.place}: {printable(str(error))}") from None


def drop_service(path: str, name: str) -> bool:
    """Take the service *name* out of the config at *path*, as `put_service` has put it there.

    The file goes too if there was none.  False when the service is not in it.

    Raises:
        UsageError, Problem: as `write_config`.
    """
    old = userfile.load(path)
    text = (old or b"").decode()
    try:
        if name not in TOML.read(text).get("services", {}):
            return False
        write_config(path, old, TOML.drop(text, ("services", name)))
    except Unreadable as error:
        raise Problem(f"{printable(path)}{error.place}: {printable(str(error))}") from None
    return True
