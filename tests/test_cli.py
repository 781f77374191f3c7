"""The `llmenv` command, run as a person runs it."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from daemons import PYTHON, World, alive, free_port, wait_until

from llmenv_hooks import cli

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "commands.md"


def words_of(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of *command* and of all below it."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from words_of(below, *words, name)


COMMANDS = list(words_of(typer.main.get_command(cli.app)))


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
    ("words", "said"),
    [
        ("nope\x1b", "No such command 'nope.+'; see llmenv --help"),
        ("status --nope", "No such option: --nope; see llmenv status --help"),
        ("logs -n x", "'-n'.* integer; see llmenv logs --help"),
        ("hook", "Missing argument 'SHELL'; see llmenv hook --help"),
        ("start a b", r"unexpected extra argument.*; see llmenv start --help"),
        ("config nope", "No such command 'nope'; see llmenv config --help"),
        ("--show-completion", "requires an argument; see llmenv --help"),
    ],
)
def test_wrong_usage_is_refused(world: World, words: str, said: str) -> None:
    done = llmenv(world, *words.split())
    refused(done, 2)
    assert re.search(f"^llmenv: .*{said}$", done.stderr)
    assert done.stderr.rstrip("\n").isprintable()
    assert done.stdout == ("false\n" if words == "hook" else "")


@pytest.mark.parametrize("words", [(), ("config",), ("hook",), ("config", "show")], ids=" ".join)
def test_help_is_asked_for_by_h_too(world: World, words: tuple[str, ...]) -> None:
    done = llmenv(world, *words, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == llmenv(world, *words, "--help").stdout
    if words in ((), ("config",)):  # a group, with no command named
        assert done.stdout == llmenv(world, *words).stdout


@pytest.mark.parametrize(
    "words",
    [
        *("hook bash", "hook zsh", "export fish", "status", "status --json", "start", "doctor"),
        *("client", "config path", "--help", "--version"),
    ],
)
def test_what_cannot_be_written_is_told(world: World, words: str) -> None:
    """Nothing follows that a shell would evaluate, nor what Python says when it ends."""
    command = f"'{PYTHON}' -m llmenv_hooks {words}"
    for redirected in (">/dev/full", ">&-"):
        done = world.run(["bash", "-c", f"{command} {redirected}"])
        refused(done, 1, "llmenv: cannot write to standard output: ")


def test_what_is_told_never_goes_to_stdout(world: World) -> None:
    """Where stderr is closed, Python prints to stdout in its place."""
    done = world.run(["bash", "-c", f"'{PYTHON}' -m llmenv_hooks hook tcsh 2>&-"])
    assert (done.returncode, done.stdout) == (2, "false\n")
    world.tell("answer", "{}")
    done = world.run(["bash", "-c", f"'{PYTHON}' -m llmenv_hooks client zed 2>&-"])
    assert "goes into" not in done.stdout


def test_a_bad_state_file_of_one_service_leaves_the_others(world: World) -> None:
    bind = f"127.0.0.1:{free_port()}"
    with world.config.open("a") as file:
        file.write(f'[services.b]\ncommand = ["b"]\nbind = "{bind}"\nbridge = false\n')
        file.write("autostart = false\n")
    assert llmenv(world, "start").returncode == 0
    (world.state / "b.life").mkdir()
    done = llmenv(world, "status")
    assert (done.returncode, done.stderr) == (1, "")
    _, stub, other, detail = done.stdout.splitlines()
    assert stub.split()[:3] == ["stub", "running", str(world.check())]
    assert other.split()[:4] == ["b", "unknown", "-", bind]
    assert detail.startswith(f"b: {world.state}/b.life is not a regular file")


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
    for words in COMMANDS:
        text = llmenv(world, *words, "--help").stdout
        title = " ".join(("llmenv", *words))
        parts.append(f"## {title}\n\n```\n{re.sub(r' +$', '', text, flags=re.M).strip()}\n```\n")
    text = world.run(world.bare("--help")).stdout.strip()
    parts.append(f"## llmenv-ensure\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def test_the_reference_is_current_and_reads_well_in_80_columns(world: World) -> None:
    text = reference(world)
    if os.environ.get("UPDATE"):
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(text)
    assert REFERENCE.read_text() == text, "run: UPDATE=1 .venv/bin/pytest tests/test_cli.py"
    lines = text.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    cut = [line for line in lines if line.endswith("...") and "Usage:" not in line]
    assert cut == []
    assert re.findall(r"<.*>|\{.*\}", text) == [], "SHELL <list[str]>, {SHELL}"


def test_what_the_package_imports_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["check"]
    names = {re.split(r"[^\w-]", one)[0].lower() for one in declared}
    imported = set()
    for path in (ROOT / "llmenv_hooks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"llmenv_hooks"}
    distributions = packages_distributions()
    assert "typer" in foreign
    assert {distributions[name][0].lower() for name in foreign} <= names


# A typer that has moved what is private to it.
MOVED = """
import sys, typer, typer._completion_classes, typer._completion_shared
del typer._completion_classes.completion_init, typer._completion_shared.get_completion_script
from llmenv_hooks.__main__ import main
main()
"""


def test_a_typer_that_has_moved_what_is_private_breaks_completion_alone(world: World) -> None:
    done = world.run([PYTHON, "-c", MOVED, "status", "--json"])
    assert (done.stderr, json.loads(done.stdout)[0]["state"]) == ("", "down")
    assert "ImportError" in world.run([PYTHON, "-c", MOVED, "--show-completion", "zsh"]).stderr


def test_status_sees_a_service_that_is_starting(world: World) -> None:
    world.write_config("gate")
    starting = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    (row,) = json.loads(llmenv(world, "status", "--json").stdout)
    assert row["state"] == "starting"
    world.tell("go")
    assert starting.wait(20) == 0
