"""The `llmenv` command, run as a person runs it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import World, alive, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

REFERENCE = Path(__file__).parent.parent / "docs" / "commands.md"
COMMANDS = (
    *("hook", "export", "status", "start", "stop", "restart", "logs", "init", "client"),
    *("install", "uninstall", "doctor", "check"),
    *("config", "config check", "config show", "config path"),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        made.write_config()
        made.env["XDG_CACHE_HOME"] = str(made.root / "cache")
        yield made


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run([sys.executable, "-m", "llmenv_hooks", *words])


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert one clear line on stderr and this exit status."""
    assert done.returncode == status, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("llmenv: ")
    for word in words:
        assert word in line


def test_start_status_stop(world: World) -> None:
    done = llmenv(world, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["state"]) == (1, "down")
    done = llmenv(world, "start")
    assert done.returncode == 0
    assert done.stdout == f"stub spawned pid={world.check()}\n"
    done = llmenv(world, "status", "--json")
    (row,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert row.pop("uptime") >= 0
    assert row == {
        "service": "stub",
        "state": "running",
        "pid": world.check(),
        "address": world.bind,
        "url": f"http://{world.bind}/mcp",
        "log": str(world.path("log")),
        "detail": "",
    }
    table = llmenv(world, "status").stdout
    for word in ("service", "uptime", "stub", "running", world.bind, str(world.path("log"))):
        assert word in table
    assert llmenv(world, "stop", "stub").stdout == "stub stopped\n"
    assert llmenv(world, "stop").stdout == "stub was not running\n"
    assert not world.daemons()


def test_a_stopped_service_stays_stopped_until_it_is_started(world: World) -> None:
    llmenv(world, "start")
    llmenv(world, "stop")
    assert world.run(world.hook_argv()).returncode == 1
    done = world.run(world.bare())
    assert done.returncode == 1
    assert "stub was stopped; llmenv start stub" in done.stderr
    assert not world.daemons()
    done = llmenv(world, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["state"]) == (0, "stopped")
    assert llmenv(world, "start").returncode == 0
    world.check(starts=2)


def test_restart_is_another_process(world: World) -> None:
    llmenv(world, "start")
    first = world.check()
    assert llmenv(world, "restart").returncode == 0
    assert world.check(starts=2) != first
    assert not alive(first)


def test_one_that_fails_does_not_keep_the_other(world: World) -> None:
    good = world.config.read_text()
    world.config.write_text(
        '[services.bad]\ncommand = ["/nowhere/at-all"]\nbind = "127.0.0.1:9"\nbridge = false\n'
        + good
    )
    done = llmenv(world, "start")
    refused(done, 1, "bad: /nowhere/at-all is not an executable file")
    assert "stub spawned" in done.stdout
    rows = {row["service"]: row for row in json.loads(llmenv(world, "status", "--json").stdout)}
    assert rows["bad"]["state"] == "failed"
    assert "/nowhere/at-all" in rows["bad"]["detail"]


def test_logs(world: World) -> None:
    refused(llmenv(world, "logs"), 1, "stub has not written anything yet")
    world.state.mkdir(parents=True, mode=0o700)
    world.path("log.1").write_text("old one\nold two\n")
    world.path("log").write_text("new \x1b[31mred\x07\n")
    assert llmenv(world, "logs").stdout == "old one\nold two\nnew ?[31mred?\n"
    assert llmenv(world, "logs", "-n", "2").stdout == "old two\nnew ?[31mred?\n"


def test_logs_follow_a_log_that_is_cut(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    log = world.path("log")
    log.write_text("first line\n")
    following = world.begin([sys.executable, "-u", "-m", "llmenv_hooks", "logs", "-f"])
    assert following.stdout is not None
    assert following.stdout.readline() == "first line\n"
    with log.open("a") as file:
        file.write("second line\n")
    assert following.stdout.readline() == "second line\n"
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write("third\n")
    assert following.stdout.readline() == "third\n"
    following.send_signal(2)
    assert following.wait(10) == 130


@pytest.mark.parametrize("command", ["start", "stop", "restart", "logs"])
def test_an_unknown_service_is_refused(world: World, command: str) -> None:
    refused(llmenv(world, command, "nope\x1b"), 2, "no service 'nope?'; there is: stub")


@pytest.mark.parametrize("command", ["hook", "export"])
def test_what_is_evaluated_fails_aloud(world: World, command: str) -> None:
    done = llmenv(world, command, "tcsh")
    refused(done, 2, "no hook for 'tcsh'; there is: bash, zsh, fish")
    assert done.stdout == "false\n"


@pytest.mark.parametrize(
    "words", [["status"], ["start"], ["check"], ["export", "bash"], ["hook", "zsh"]]
)
def test_a_wrong_config_is_refused(world: World, words: list[str]) -> None:
    world.config.write_text('[services.stub]\nbind = "localhost:1"\ncommand = ["x"]\n')
    refused(llmenv(world, *words), 2, f"{world.config}:2: services.stub.bind: bad address")


@pytest.mark.parametrize(
    "words", [["nope"], ["status", "--nope"], ["logs", "-n", "x"], ["hook"], ["start", "a", "b"]]
)
def test_wrong_usage_is_refused(world: World, words: list[str]) -> None:
    done = llmenv(world, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Usage:" in done.stderr


def test_on_another_host_nothing_is_started(world: World) -> None:
    world.config.write_text('server_host = "far-away"\n' + world.config.read_text())
    refused(llmenv(world, "start"), 1, "services run on far-away")
    done = llmenv(world, "status")
    assert done.returncode == 0
    assert f"http://far-away:{world.port}/mcp" in done.stdout


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "export {}={}"), ("zsh", "export {}={}"), ("fish", "set -gx {} {}")],
)
def test_export(world: World, shell: str, line: str) -> None:
    url = f"http://{world.bind}/mcp"
    names = ("LLMENV_MCP_URL", "LLMENV_STUB_URL")
    assert llmenv(world, "export", shell).stdout.splitlines() == [
        line.format(name, url) for name in names
    ]


def test_a_hook_from_the_cache_imports_little(world: World) -> None:
    first = llmenv(world, "hook", "zsh")
    again = world.run([sys.executable, "-X", "importtime", "-m", "llmenv_hooks", "hook", "zsh"])
    assert again.stdout == first.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "llmenv_hooks.render" in imported
    assert not imported & {"typer", "jinja2", "rich", "tomllib", "platformdirs", "subprocess"}


def test_a_changed_config_is_rendered_anew(world: World) -> None:
    first = llmenv(world, "hook", "bash").stdout
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    assert "other.life" not in first
    assert "other.life" in llmenv(world, "hook", "bash").stdout


def test_a_cache_that_others_can_write_is_not_used(world: World) -> None:
    """What it holds is evaluated by the user's shell."""
    first = llmenv(world, "hook", "bash").stdout
    cached = world.root / "cache" / "llmenv" / "hook.bash"
    planted = cached.read_bytes().replace(first.encode(), b"echo planted\n")
    cached.write_bytes(planted)
    assert llmenv(world, "hook", "bash").stdout == "echo planted\n"  # the key is still right
    cached.chmod(0o622)
    assert llmenv(world, "hook", "bash").stdout == first
    cached.unlink()
    cached.parent.chmod(0o777)
    assert llmenv(world, "hook", "bash").stdout == first
    assert not cached.exists()


def test_a_reader_that_leaves_gets_no_traceback(world: World) -> None:
    done = world.run(["bash", "-c", f"'{sys.executable}' -m llmenv_hooks hook bash | true"])
    assert "Traceback" not in done.stderr


def reference(world: World) -> str:
    """Return the reference page as the program describes itself."""
    world.env |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    parts = ["# Commands\n\nGenerated from `--help`; `UPDATE=1 make test` writes it anew.\n"]
    for words in ((), *(command.split() for command in COMMANDS)):
        text = llmenv(world, *words, "--help").stdout
        title = " ".join(("llmenv", *words))
        parts.append(f"## {title}\n\n```\n{re.sub(r' +$', '', text, flags=re.M).strip()}\n```\n")
    text = world.run(world.bare("--help")).stdout.strip()
    parts.append(f"## llmenv-ensure\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def test_the_reference_is_current(world: World) -> None:
    text = reference(world)
    assert all(len(line) <= 100 for line in text.splitlines())
    if os.environ.get("UPDATE"):
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(text)
    assert REFERENCE.read_text() == text, "run: UPDATE=1 .venv/bin/pytest tests/test_cli.py"


def test_status_sees_a_service_that_is_starting(world: World) -> None:
    world.write_config("gate")
    starting = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    (row,) = json.loads(llmenv(world, "status", "--json").stdout)
    assert row["state"] == "starting"
    world.tell("go")
    assert starting.wait(20) == 0
