"""The config's file: found, read, and kept as it was last parsed (`config.parsed`)."""

from __future__ import annotations

import marshal
import os
from codecs import BOM_UTF8

from llmenv_hooks.helper.checksums import checksum_of
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.configtables import Checker
from llmenv_hooks.helper.directories import ours_alone
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.files import open_ours, replace_file
from llmenv_hooks.helper.places import config_path
from llmenv_hooks.helper.services import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


CONFIG_PARSED = "config.parsed"


def load_config(path: str | None = None, state: str = "") -> Config:
    """Read and check the config at *path*, default `config_path()`; no file: the default service.

    The directory *state*, where there is one, is to keep what tomllib made of it.

    Raises:
        UsageError: a file that was named is missing, unreadable, or wrong; the message names the
            file, and the key and line where they are known.
    """
    path = path or config_path()
    try:
        with open(path, "rb") as file:
            raw = file.read()
            changed = os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        if path == os.environ.get("LLMENV_CONFIG"):
            raise UsageError(f"{printable(path)}: no such config") from None
        return Config([Service(config=path)], None, path)
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot read: {error.strerror}") from None
    try:
        text = raw.removeprefix(BOM_UTF8).decode()
        table = _parsed(raw, text, state)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{printable(path)}{_placed(str(error))}") from None
    return Checker(path, text, str(changed)).config(table)


def _placed(what: str) -> str:
    """Return *what* tomllib said is wrong, with its line in front, as for all other errors."""
    said, _, place = what.rstrip(")").rpartition(" (at ")
    line, _, column = place.removeprefix("line ").partition(", column ")
    if not (line.isdigit() and column.isdigit()):
        return f": {printable(what)}"  # at the end of the document, or no UTF-8
    open_quote = "; is a quote or a bracket open there?" if "Illegal character" in said else ""
    return f":{line}: {printable(said)} (column {column}){open_quote}"


def _parsed(raw: bytes, text: str, state: str) -> dict[str, Any]:
    """Return the table that *text*, which is *raw* decoded, holds in TOML.

    The last one is kept in *state*, unless that is "": to import tomllib takes longer than all the
    rest of a look.

    Raises:
        ValueError, RecursionError: it is no TOML.
    """
    cache = os.path.join(state, CONFIG_PARSED) if ours_alone(state) else ""
    kept = _cached_config(cache)
    if kept and kept[0] == raw:
        return kept[1]
    import tomllib

    table = tomllib.loads(text)
    if cache:
        _cache_config(cache, (raw, table))
    return table


def _cached_config(path: str) -> tuple[bytes, dict[str, Any]] | None:
    """Return what `_cache_config` put into *path*, whole and by this user, or None."""
    kept: tuple[bytes, dict[str, Any]] | None = None
    try:
        fd = open_ours(path, os.O_RDONLY)
        try:
            written, data = os.read(fd, 8), os.read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        if written == checksum_of(data).encode():
            kept = marshal.loads(data)
    except (Problem, OSError, ValueError, EOFError, TypeError):
        return None  # there is none, or another Python wrote it
    return kept


def _cache_config(path: str, what: tuple[bytes, dict[str, Any]]) -> None:
    try:
        data = marshal.dumps(what)
        replace_file(path, checksum_of(data).encode() + data)
    except (OSError, ValueError):
        return  # only the next look is slower for it
