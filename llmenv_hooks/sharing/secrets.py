"""What in a server's command and environment may be a secret, and how the rest is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmenv_hooks.helper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HIDDEN = "…"
_NAME = re.compile(
    r"key|token|secret|passw|pwd|auth|credential|private|cookie|session|bearer|dsn|signature",
    re.IGNORECASE,
)
# As tokens look; a header that has one; or a password in an URL (RFC 3986, "userinfo").
_VALUE = re.compile(
    r"(?:\b|_)(?:sk|pk|rk|gh[opsu]|github_pat|glpat|xox\w|eyJ|AIza|ntn|lin_api)[\w-]{12,}"
    r"|(?=[\w+.-]*\d)(?=[\w+.-]*[a-z])(?=[\w+.-]*[A-Z])[\w+.-]{24,}|[0-9a-f]{32,}"
    r"|(?i:bearer|basic) [\w+/=.-]{8,}|://[^/@\s]*:[^/@\s]+@"
)
_VARIABLE = re.compile(r"\$\{\w+\}")


def is_secret(name: str, value: str) -> bool:
    """Say whether *value*, of a variable or an option called *name*, may be a secret.

    One that is taken from the environment by its name is not.
    """
    written = _VARIABLE.sub("", value)
    return bool(written) and bool(_NAME.search(name) or _VALUE.search(written))


def secrets_in(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return what may be secret of *command* and *env*: the names of variables and options."""
    found = [name for name, value in env.items() if is_secret(name, value)]
    for option, word in zip(("", *command), command, strict=False):
        name, value = _pair(option, word)
        if value and is_secret(name, value):
            found.append(name or "an argument")
    return found


def shown(command: Sequence[str], limit: int = 200) -> str:
    """Return *command* as one line without what may be secret in it."""
    words = []
    for option, word in zip(("", *command), command, strict=False):
        name, value = _pair(option, word)
        hides = bool(value) and is_secret(name, value)
        words.append(word[: len(word) - len(value)] + HIDDEN if hides else word)
    return printable(" ".join(words), limit)


def _pair(before: str, word: str) -> tuple[str, str]:
    """Return the name and the value that *word* has, which comes after the word *before*."""
    name, equals, value = word.partition("=")
    if equals and "/" not in name:
        return name.lstrip("-"), value
    if word.startswith("-"):
        return "", ""
    return (before.lstrip("-"), word) if before.startswith("--") else ("", word)
