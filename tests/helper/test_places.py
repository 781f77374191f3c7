"""Where the config and the state are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs.unix
import pytest
from outcomes import refused_at_once
from packed import ensure

if TYPE_CHECKING:
    from daemons import (
        World,
    )


@pytest.mark.parametrize("value", [None, "", "/x/y", "/with space/and\nnewline", "/", "/x/../y/"])
def test_config_path_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LLMENV_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
    theirs = platformdirs.unix.Unix("llmenv").user_config_path / "config.toml"
    assert ensure.config_path() == str(theirs) or Path(ensure.config_path()) == theirs


def test_llmenv_config_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMENV_CONFIG", "/some/where.toml")
    assert ensure.config_path() == "/some/where.toml"
    monkeypatch.setenv("LLMENV_CONFIG", "relative.toml")
    with pytest.raises(ensure.UsageError, match="absolute"):
        ensure.config_path()


@pytest.mark.parametrize("home", ["", "relative", None])
def test_no_place_for_the_state_is_one_line(world: World, tmp_path: Path, home: str | None) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        world.env.pop(name)
        if home is not None:
            world.env[name] = home
    empty = tmp_path / "empty"
    empty.mkdir()
    refused_at_once(world, world.run(world.argv(), cwd=empty), 1, "XDG_STATE_HOME", "HOME")
    world.env.pop("XDG_CONFIG_HOME")
    refused_at_once(world, world.run(world.argv(), cwd=empty), 1, "HOME")
    assert list(empty.iterdir()) == []
