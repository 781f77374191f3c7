"""An agent's file: our servers written, updated and removed, and the rest left as it was."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from agents.support import FORMS, SHAPES, URLS, expected, others, parsed, read, texts

from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.support import Home


def cases() -> Iterator[Any]:
    """Yield each agent with each text, also in CRLF, and with a byte order mark."""
    for name in FORMS:
        yield pytest.param(name, None, id=f"{name}-missing")
        for case, text in texts(name).items():
            yield pytest.param(name, text.encode(), id=f"{name}-{case}")
            if "\n" in text:
                yield pytest.param(
                    name, text.replace("\n", "\r\n").encode(), id=f"{name}-{case}-crlf"
                )
        for case in ("empty", "comments"):
            marked = b"\xef\xbb\xbf" + texts(name)[case].encode()
            yield pytest.param(name, marked, id=f"{name}-{case}-bom")


@pytest.mark.parametrize(("name", "before"), list(cases()))
def test_written_updated_and_removed(home: Home, name: str, before: bytes | None) -> None:
    path = home.put(name, before)
    out = home(name, "write")
    assert f"wrote {path}" in out
    assert f"+++ {path}" in out
    written = path.read_bytes()
    servers = parsed(name, written)[SHAPES[name][0][0]]
    assert {key: servers[key] for key in URLS} == expected(name)
    assert others(name, written) == others(name, before)
    if before is None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert home(name) == written.decode()
    else:
        rest = iter(written)
        kept = re.sub(rb"^(mcpServers|extensions): (\[\]|\{\})", rb"\1:", before, flags=re.M)
        assert all(byte in rest for byte in kept), "something was inserted, and no more"
        for comment in re.findall(rb"(?://|# )[^\r\n]*|/\*.*?\*/", before):
            assert comment in written
        backup = home.backup(name)
        assert backup.read_bytes() == before
        assert f" (backup: {backup})" in out
        newlines = b"\r\n" if b"\r\n" in before else b"\n"
        assert set(re.findall(rb"\r?\n", written)) <= {newlines}

    stamp = path.stat().st_ino
    assert home(name, "write") == f"{path} is up to date; nothing was changed\n"
    assert path.stat().st_ino == stamp

    home.port(17001)
    home(name, "write")
    assert path.read_bytes() == written.replace(b"127.0.0.1:7878/", b"127.0.0.1:17001/")
    assert read(home.backup(name)) == before

    out = home(name, "remove")
    assert read(path) == before
    assert (f"removed {path}" if before is None else f"wrote {path}") in out
    assert not home.backup(name).exists()
    assert "(backup" not in out
    assert not list(home.root.rglob("*backup"))
    if before is not None or not path.exists():
        assert home(name, "remove") == f"{path} has nothing of ours; nothing was changed\n"


@pytest.mark.parametrize("name", FORMS)
def test_a_link_stays_and_a_mode_is_kept(home: Home, name: str) -> None:
    real = home.root / "dotfiles" / "real"
    real.parent.mkdir()
    path = home.put(name, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(real)
    home(name, "write")
    assert path.is_symlink()
    assert parsed(name, real.read_bytes())[SHAPES[name][0][0]] == expected(name)
    home(name, "remove")
    assert path.is_symlink()
    assert not real.exists()
    real.write_bytes(b"")
    real.chmod(0o640)
    home(name, "write")
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    home(name, "remove")
    assert real.read_bytes() == b""


@pytest.mark.parametrize("name", FORMS)
def test_a_read_only_file_is_left_alone(home: Home, name: str) -> None:
    path = home.put(name, b"")
    path.chmod(0o444)
    with pytest.raises(Problem, match=f"^cannot write {path}: it is read-only$"):
        home(name, "write")
    assert path.read_bytes() == b""


def test_a_backup_is_kept_until_the_file_is_as_it_was(home: Home) -> None:
    before = b'{"a": "secret"}'
    path = home.put("cursor", before)
    own = path.with_name("mcp.json.llmenv-backup")
    own.write_bytes(b"# not ours")
    home("cursor", "write")
    path.write_bytes(path.read_bytes().replace(b'"a": "secret"', b'"b": 2'))
    home.port(17001)
    assert f"(backup: {home.backup('cursor')})" in home("cursor", "write")
    assert home.backup("cursor").read_bytes() == before
    assert home.backup("cursor").stat().st_mode & 0o777 == 0o600
    assert f"(backup: {home.backup('cursor')})" in home("cursor", "remove")
    assert home.backup("cursor").read_bytes() == before
    home("cursor", "write")  # what the user has is now another
    assert home.backup("cursor").read_bytes() == b'{"b": 2}'
    assert "(backup" not in home("cursor", "remove")
    assert not home.backup("cursor").exists()
    assert own.read_bytes() == b"# not ours"


@pytest.mark.parametrize("where", ["", "relative"])
def test_without_a_home_nothing_is_written(
    home: Home, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(home.root)
    monkeypatch.setenv("HOME", where)
    for name in (*FORMS, None):
        with pytest.raises(Problem, match=r"HOME is no absolute path; set HOME$"):
            home(name, "write")
    assert os.listdir(home.root) == ["config.toml"]
