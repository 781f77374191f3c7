"""The helper's places, by hand, and those of the commands, by platformdirs, are the same."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from platformdirs.unix import Unix

from llmenv_hooks import places
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.places import xdg_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The variable, what the helper takes without it, and what platformdirs says.
PLACES: dict[str, tuple[str, Callable[[], str]]] = {
    "XDG_STATE_HOME": (".local/state", lambda: Unix("llmenv").user_state_dir),
    "XDG_CONFIG_HOME": (".config", lambda: Unix("llmenv").user_config_dir),
    "XDG_CACHE_HOME": (".cache", lambda: Unix("llmenv").user_cache_dir),
    "XDG_DATA_HOME": (".local/share", lambda: Unix("llmenv").user_data_dir),
}
VALUES = (None, "", " ", "relative", "./here", "~/x", "/elsewhere", "/else where/", "/é\n$x")


def put(monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize("value", VALUES)
def test_the_helper_and_platformdirs_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None
) -> None:
    fallback, by_platformdirs = PLACES[variable]
    monkeypatch.setenv("HOME", str(tmp_path))
    put(monkeypatch, variable, value)
    assert xdg_directory(variable, fallback, "it") == by_platformdirs()


@pytest.mark.parametrize(("value", "home"), list(itertools.product(VALUES, VALUES)))
def test_the_commands_have_the_helpers_rule_also_without_a_home(
    monkeypatch: pytest.MonkeyPatch, value: str | None, home: str | None
) -> None:
    """Here platformdirs alone would ask the database of accounts."""
    put(monkeypatch, "XDG_DATA_HOME", value)
    put(monkeypatch, "XDG_CONFIG_HOME", value)
    put(monkeypatch, "HOME", home)
    try:
        data = xdg_directory("XDG_DATA_HOME", ".local/share", "it")
    except Problem:
        for place in (places.data_directory, places.config_home):
            with pytest.raises(Problem, match=r"set HOME$"):
                place()
    else:
        assert places.data_directory() == data
        config = xdg_directory("XDG_CONFIG_HOME", ".config", "it")
        assert f"{places.config_home().rstrip('/')}/llmenv" == config
