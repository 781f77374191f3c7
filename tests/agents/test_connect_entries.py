"""Entries that start `llmenv connect`: their form, and how they change into URLs and back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from agents.support import (
    CONFIG,
    FORMS,
    SHAPES,
    URLS,
    by_connect,
    expected,
    others,
    parsed,
    read,
    texts,
)

from llmenv_hooks.agents import launcher
from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.client import client
from llmenv_hooks.commands.install import uninstall
from llmenv_hooks.helper.errors import Problem, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from agents.support import Home

RESTART = "an agent that is running takes it up when it is restarted\n"


@pytest.fixture
def home(home: Home) -> Home:
    home.http = False
    return home


def servers(home: Home, name: str) -> Any:
    return parsed(name, read(home.path(name))).get(SHAPES[name][0][0], {})


@pytest.mark.parametrize("name", FORMS)
def test_in_any_file_an_entry_is_written_turned_and_removed(home: Home, name: str) -> None:
    for case, text in {"missing": None, **texts(name)}.items():
        before = None if text is None else text.encode()
        path = home.put(name, before)
        assert home(name, "write").endswith(RESTART), case
        written = path.read_bytes()
        assert {key: servers(home, name)[key] for key in URLS} == home.commands(name)
        assert others(name, written) == others(name, before)
        if before is None:
            assert home(name) == written.decode()
        assert home(name, "write") == f"{path} is up to date; nothing was changed\n"
        assert home(None, "write").startswith("no agent that has our servers has an old address")

        home(name, "write", "http")
        assert {key: servers(home, name)[key] for key in URLS} == expected(name)
        home.port(17001)
        home(None, "write")
        assert {key: servers(home, name)[key] for key in URLS} == expected(name, 17001)
        home.port(7878)
        home(name, "write")
        assert path.read_bytes() == written, case

        home(name, "remove")
        assert read(path) == before, case
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", FORMS)
def test_a_path_that_is_gone_is_replaced_and_what_is_beside_it_stays(home: Home, name: str) -> None:
    path = home.put(name, None)
    home(name, "write")
    written = path.read_bytes()
    gone = written.replace(os.fsencode(home.program), b"/gone/llmenv")
    path.write_bytes(gone)
    assert "old path" in home(None)
    home(None, "write")
    assert path.read_bytes() == written

    # What still runs is left as it is, unless the agent is named.
    other = home.root / "other" / "llmenv"
    other.parent.mkdir(exist_ok=True)
    other.symlink_to(home.program)
    path.write_bytes(written.replace(os.fsencode(home.program), os.fsencode(other)))
    assert "nothing was changed" in home(None, "write")
    home(name, "write")
    assert path.read_bytes() == written


@pytest.mark.parametrize("name", ["claude", "codex", "opencode"])
def test_an_old_command_gets_the_path_and_keeps_what_the_user_added(home: Home, name: str) -> None:
    more = {"startup_timeout_sec": "9"}
    entry = by_connect(name, "/gone/llmenv")["memory"] | more
    if name == "codex":
        lines = "".join(f"{key} = {json.dumps(value)} # mine\n" for key, value in entry.items())
        path = home.put(name, f"[mcp_servers.memory]\n{lines}".encode())
    else:
        path = home.put(name, json.dumps({SHAPES[name][0][0]: {"memory": entry}}).encode())
    home(name, "write")
    assert servers(home, name)["memory"] == home.commands(name)["memory"] | more
    home(name, "write", "http")  # which would lose what is the user's
    assert servers(home, name)["memory"] == home.commands(name)["memory"] | more
    assert name != "codex" or path.read_text().count(" # mine\n") == len(entry)
    with pytest.raises(Problem, match=r"memory in it is not as llmenv writes it \(startup_time"):
        home(name, "remove")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["connect", "http"])
def test_a_new_service_is_added_where_others_of_ours_are(home: Home, name: str, kind: str) -> None:
    home.config.write_text(CONFIG.partition("[services.tunnel]")[0])
    home(name, "write", *(["http"] if kind == "http" else []))
    assert set(servers(home, name)) == {"memory"}
    without = home.put("gemini" if name == "claude" else "claude", b'{"mcpServers": {}}')
    home.config.write_text(CONFIG)
    assert "memory: yes" in home(None)
    out = home(None, "write")
    assert out.endswith(RESTART)
    assert out.count("wrote ") == 1
    assert servers(home, name) == (expected(name) if kind == "http" else home.commands(name))
    assert without.read_bytes() == b'{"mcpServers": {}}'


@pytest.mark.parametrize("name", FORMS)
def test_an_entry_of_a_service_that_is_gone_is_replaced(home: Home, name: str) -> None:
    home(name, "write")
    home.config.write_text(CONFIG.replace("services.memory", "services.brain"))
    home(None, "write")
    assert set(servers(home, name)) == {"brain", "tunnel"}
    home.config.write_text(CONFIG)
    home(name, "remove")
    assert read(home.path(name)) in ({None, b"\n"} if name == "codex" else {None})


@pytest.mark.parametrize(
    "argv",
    [
        ["icm", "serve"],
        ["llmenv", "connect", "other"],
        ["/x/llmenv2", "connect", "memory"],
        ["python3", "mine.py", "--connect", "memory"],
        ["llmenv", "connect", "memory", "more"],
    ],
)
def test_a_command_of_somebody_else_is_left_alone(home: Home, argv: list[str]) -> None:
    entry = {"command": argv[0], "args": argv[1:]}
    before = json.dumps({"mcpServers": {"memory": entry}}).encode()
    path = home.put("cursor", before)
    with pytest.raises(Problem, match="memory in it is another server"):
        home("cursor", "write")
    assert "has nothing of ours" in home("cursor", "remove")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [name for name in FORMS if AGENTS[name].project])
def test_in_a_project_it_is_the_name_alone(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home.root / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    home(name, "write", "project")
    path = home.root / AGENTS[name].path(True)
    found = parsed(name, path.read_bytes())[SHAPES[name][0][0]]
    assert found == by_connect(name, "llmenv")
    assert str(home.root).encode() not in path.read_bytes()
    home(name, "remove", "project")
    assert not path.exists()


def test_headers_go_through_connect_alone(home: Home) -> None:
    team = '[services.team]\nurl = "https://example.com/x"\nheaders = { A = "${TOKEN}" }\n'
    home.config.write_text(team)
    with pytest.raises(UsageError, match=r"^team has headers, which only `llmenv connect` sends"):
        home("cursor", "write", "http")
    home("cursor", "write")
    assert servers(home, "cursor")["team"]["args"] == ["connect", "team"]
    home.config.write_text(CONFIG)
    home("cursor", "write", "http")
    home.config.write_text(CONFIG + team)
    home(None, "write")
    assert servers(home, "cursor")["team"]["args"] == ["connect", "team"]
    assert servers(home, "cursor")["memory"] == expected("cursor")["memory"]


def test_an_url_elsewhere_is_ours_where_it_is_to_the_letter(home: Home) -> None:
    home.config.write_text('[services.team]\nurl = "https://example.com/x"\n')
    home("cursor", "write", "http")
    assert servers(home, "cursor") == {"team": {"url": "https://example.com/x"}}
    home("cursor", "remove")
    assert not home.path("cursor").exists()


def test_http_wants_an_agent(home: Home) -> None:
    with pytest.raises(UsageError, match=r"^which agent\?"):
        client(http=True)
    assert not home.path("claude").exists()


# --- the command itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "directory",
    ["Cellar/llmenv/1.2.3/bin", ".cache/uv/archive-v0/x/bin", "store/" + "a1" * 16 + "-l/bin"],
)
def test_a_path_that_an_upgrade_takes_away_is_not_written(
    home: Home, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = home.root / directory / "python3"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    python.with_name("llmenv").write_text("#!/bin/sh\n")
    python.with_name("llmenv").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    home("cursor", "write")
    entry = servers(home, "cursor")["memory"]
    one_file = home.root / ".local/share/llmenv/llmenv-ensure.py"
    assert entry["args"] == ["-I", "-S", str(one_file), "--connect", "memory"]
    assert directory not in entry["command"]
    assert one_file.read_bytes().startswith(b"# llmenv-ensure ")
    uninstall(None)
    assert one_file.exists()
    shutil.rmtree(one_file.parent)
    assert "old path" in home(None)
    home(None, "write")
    assert one_file.exists()
    home("cursor", "remove")
    assert not home.path("cursor").exists()
    uninstall(None)
    assert not one_file.exists()


def test_a_temporary_directory_does_not_stay(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert launcher.stays(str(home.program))
    monkeypatch.setattr(tempfile, "tempdir", str(home.program.parents[1]))
    assert not launcher.stays(str(home.program))


def test_the_first_llmenv_on_path_that_is_this_one_is_taken(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Path = home.root / "other" / "llmenv"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:relative:{home.program.parent}")
    assert launcher.user_command("memory") == [str(home.program), "connect", "memory"]
