"""What is wrong in a config is said with its line first, and with the word that was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packed import ensure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[services.a]\ncommand = ["x]\n', ":2: Illegal character"),
        ('[services.a]\ncomand = ["x"]\n', ":2: services.a.comand: unknown key; did you mean comm"),
        ("[services.a]\nzzz = 1\n", ":2: services.a.zzz: unknown key; want one of command, "),
        ("a = 1\na = 2\n", ":2: Cannot overwrite a value (column 6)"),
        ("[services.a", ": Expected "),
    ],
    ids=["quote", "slip", "unknown", "twice", "end"],
)
def test_it_is_said_where(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(ensure.UsageError) as raised:
        ensure.load_config(str(config))
    assert f"{config}{said}" in str(raised.value)


def test_an_open_quote_is_asked_about(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('server_host = "nas\n')
    with pytest.raises(ensure.UsageError, match="is a quote or a bracket open there"):
        ensure.load_config(str(config))
