"""`llmenv doctor`, for all well and for each thing that can be wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv, program
from daemons import kill, wait_until

from llmenv_hooks.commands.rcblock import BEGIN, END
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.pty_shell import SHELLS

if TYPE_CHECKING:
    from daemons import World

BIN = Path(sys.executable).parent
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {"protocolVersion": "2025-06-18", "serverInfo": {"name": "stub\x1b[2J server"}},
}


@pytest.fixture
def world(world: World) -> World:
    """A world whose stub answers as an MCP server does."""
    world.tell("answer", json.dumps(HELLO))
    return world


def as_if(python: Path) -> list[str]:
    """Return the `llmenv` that takes itself to run by *python*."""
    code = f"import sys; sys.executable = {str(python)!r}\n"
    return [sys.executable, "-c", f"{code}from llmenv_hooks.__main__ import main; main()"]


def doctor(world: World, status: int) -> dict[str, dict[str, str]]:
    """Run it; return its findings by their check."""
    done = llmenv(world, "doctor", "--json")
    assert (done.returncode, done.stderr) == (status, ""), done
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


def verdicts(findings: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in findings.items() if one["verdict"] != "ok"}


def test_all_is_well(world: World) -> None:
    assert llmenv(world, "install", "bash").returncode == 0
    assert llmenv(world, "start").returncode == 0
    before = {path: path.lstat() for path in world.root.rglob("*")}
    found = doctor(world, 0)
    assert verdicts(found) == {}
    assert list(found) == [
        *("package", "state directory", "hook", "interpreter", "config", "server_host"),
        "this shell",
        *("command", "address", "state", "pidfile", "identity", "lock", "round trip"),
        "agents",
    ]
    pid = world.check()
    assert found["interpreter"]["found"] == f"bash: {sys.executable}"
    assert found["server_host"]["found"] == "not set: this host"
    assert found["state"]["found"] == f"running, pid {pid}"
    assert found["pidfile"]["found"] == f"{world.path('pid')}: {pid}"
    assert found["identity"]["found"].startswith(f"pid {pid} of user {os.getuid()}, on")
    assert found["identity"]["found"].endswith(f"{world.bind}: lives")
    assert found["lock"]["found"] == "free"
    assert f"http://{world.bind}/mcp: stub" in found["round trip"]["found"]
    after = {path: path.lstat() for path in world.root.rglob("*")}
    assert {path: seen.st_mtime_ns for path, seen in before.items()} == {
        path: seen.st_mtime_ns for path, seen in after.items()
    }, "it changes nothing"


def test_the_table_fits_80_columns_and_is_harmless(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    done = llmenv(world, "doctor")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.replace("\n", "").isprintable()
    assert "-> llmenv install" in done.stdout


def test_a_wrong_config_ends_what_depends_on_it(world: World) -> None:
    world.config.write_text("[services.stub]\nport = 1\n")
    found = doctor(world, 1)
    assert found["config"]["verdict"] == "fail"
    assert f"{world.config}:2: " in found["config"]["found"]
    assert "command" not in found


def test_a_home_without_a_place_is_a_finding(world: World) -> None:
    del world.env["XDG_STATE_HOME"]
    world.env["HOME"] = ""
    assert verdicts(doctor(world, 1))["state directory"] == "fail"


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_state_directory_that_others_can_write(world: World, mode: int) -> None:
    world.state.mkdir(parents=True)
    world.state.chmod(mode)
    found = doctor(world, 1)["state directory"]
    assert (found["verdict"], found["todo"]) == ("fail", f"chmod 700 {world.state}")


def test_a_state_directory_that_is_none_or_of_another_user(world: World) -> None:
    world.state.parent.mkdir(parents=True)
    world.state.write_text("")
    assert "is no directory" in doctor(world, 1)["state directory"]["found"]
    if os.geteuid() == 0:
        world.state.unlink()
        world.state.mkdir()
        os.chown(world.state, 65534, 65534)
        assert "of user 65534" in doctor(world, 1)["state directory"]["found"]


def test_it_finds_the_hook_in_rc_files(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    assert doctor(world, 0)["hook"]["todo"] == "llmenv install"
    (world.home / ".zshrc").write_text('# eval "$(llmenv hook zsh)"\n')
    assert doctor(world, 0)["hook"]["verdict"] == "warn", "a comment is no hook"
    assert llmenv(world, "install", "fish").returncode == 0
    static = world.root / "data" / "llmenv" / "hook.fish"
    assert doctor(world, 0)["hook"]["verdict"] == "ok"
    static.unlink()
    found = doctor(world, 1)["hook"]
    assert (found["verdict"], found["todo"]) == ("fail", "llmenv install fish")
    assert BEGIN.decode() in (world.root / "config/fish/conf.d/llmenv.fish").read_text()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_says_which_version_an_old_hook_is_of(world: World, shell: str) -> None:
    assert llmenv(world, "install", shell).returncode == 0
    static = world.root / "data" / "llmenv" / f"hook.{shell}"
    now = f"# llmenv {__version__}\n"
    code = static.read_text()
    assert code.startswith(now)
    for text, said in (
        (code.replace(now, "# llmenv 0.0.9\n"), "is of llmenv 0.0.9"),
        (code.replace(now, ""), "is of llmenv (no version)"),
        (code + "\n", f"is of llmenv {__version__}, but of another config or Python"),
    ):
        static.write_text(text)
        found = doctor(world, 1)
        assert (found["hook"]["verdict"], found["hook"]["todo"]) == (
            "warn",
            f"llmenv install {shell}",
        )
        assert found["hook"]["found"].endswith(f": the file it sources {said}")
        assert found["interpreter"]["verdict"] == "ok"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_interpreter_that_is_gone(world: World, shell: str) -> None:
    """The one that the installed hook will call, whatever runs the doctor."""
    assert llmenv(world, "start").returncode == 0
    python = world.root / "a 'b' \"c\" \\d $e -x\nf" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert world.run([*as_if(python), "install", shell]).returncode == 0
    assert doctor(world, 0)["interpreter"]["found"] == f"{shell}: {python}"
    python.unlink()
    found = doctor(world, 1)["interpreter"]
    assert (found["verdict"], found["todo"]) == ("fail", f"llmenv install {shell}")
    assert found["found"] == f"{shell}: {python} is gone"
    static = world.root / "data" / "llmenv" / f"hook.{shell}"
    for cut in ("", "# llmenv 0.1.0\n[[ ! -x '/usr"):
        static.write_text(cut)
        assert doctor(world, 1)["interpreter"]["verdict"] == "fail"


@pytest.mark.parametrize(
    ("line", "verdict", "said"),
    [
        ('eval "$(llmenv hook zsh)"', "ok", "{bin}/llmenv"),
        ('eval "$(~/bin/llmenv hook zsh)"', "ok", "{home}/bin/llmenv"),
        ("source <($HOME/bin/llmenv hook zsh)", "ok", "{home}/bin/llmenv"),
        ('eval "$(llmenv hook zsh)"', "fail", "llmenv, which is not on PATH"),
        ('eval "$(~/old/llmenv hook zsh)"', "fail", "{home}/old/llmenv, which is not on PATH"),
    ],
)
def test_what_an_eval_runs_has_to_be_found(
    world: World, line: str, verdict: str, said: str
) -> None:
    (world.home / ".zshrc").write_text(f"{line}\n")
    (world.home / "bin").mkdir()
    (world.home / "bin" / "llmenv").symlink_to(BIN / "llmenv")
    world.env["PATH"] = "/usr/bin:/bin" if verdict == "fail" else f"{BIN}:/usr/bin:/bin"
    assert llmenv(world, "start").returncode == 0
    found = doctor(world, 1 if verdict == "fail" else 0)
    assert found["hook"]["found"].startswith(f"zsh: {world.home}/.zshrc, by llmenv hook")
    assert found["interpreter"]["verdict"] == verdict
    runs = said.format(bin=BIN, home=world.home)
    assert found["interpreter"]["found"] == f"zsh: {world.home}/.zshrc runs {runs}"


@pytest.mark.parametrize("half", [BEGIN, END])
def test_half_a_block_is_named(world: World, half: bytes) -> None:
    (world.home / ".bashrc").write_bytes(b"alias a=b\n" + half + b"\n")
    found = doctor(world, 1)["hook"]
    assert (found["verdict"], found["todo"]) == ("fail", "mend it; then: llmenv install bash")
    assert found["found"].startswith(f"bash: {world.home}/.bashrc:2: half a block of llmenv's;")


def test_a_missing_command_and_a_missing_bridge(world: World) -> None:
    world.env["PATH"] = "/nowhere"
    world.config.write_text(
        f'[services.a]\ncommand = ["icm", "serve"]\nbind = "{world.bind}"\nbridge = false\n'
    )
    found = doctor(world, 1)
    assert found["command"]["verdict"] == "fail"
    assert "icm is not" in found["command"]["found"]
    assert "mcp-proxy" not in found, "nothing is bridged"
    world.config.write_text(world.config.read_text().replace("false", "true"))
    assert "mcp-proxy" in doctor(world, 1)


def test_an_open_address(world: World) -> None:
    world.config.write_text(world.config.read_text().replace("127.0.0.1", "0.0.0.0"))
    found = doctor(world, 1)["address"]
    assert (found["verdict"], "nobody is asked" in found["found"]) == ("warn", True)


def test_a_stranger_on_the_port_is_named(world: World) -> None:
    with socket.create_server(("127.0.0.1", world.port)):
        found = doctor(world, 1)
    assert found["state"]["verdict"] == "fail"
    assert f"pid {os.getpid()}" in found["state"]["found"]
    assert found["round trip"]["verdict"] == "warn"
    assert "no answer within" in found["round trip"]["found"]


def test_down_failed_and_stopped(world: World) -> None:
    found = doctor(world, 1)["state"]
    assert (found["verdict"], found["todo"]) == ("fail", "llmenv start stub")
    world.write_config("die=3")
    assert llmenv(world, "start").returncode == 1
    found = doctor(world, 1)["state"]
    assert found["found"].startswith("failed: it exited with status 3")
    assert "no ?[31mluck? today" in found["found"]
    assert llmenv(world, "stop").returncode == 0
    assert "stopped" in doctor(world, 0)["state"]["found"]
    with world.config.open("a") as file:
        file.write("autostart = false\n")
    world.path("alive").unlink()
    assert doctor(world, 0)["state"]["verdict"] == "ok", "nobody has asked for it"


def test_the_last_failure_has_its_log(world: World) -> None:
    world.write_config("die=3")
    assert llmenv(world, "start").returncode == 1
    with socket.create_server(("127.0.0.1", world.port)):
        found = doctor(world, 1)
    assert found["state"]["found"].startswith("taken: ")
    last = found["last failure"]
    assert (last["verdict"], last["todo"]) == ("warn", "llmenv logs stub")
    said = f'it exited with status 3 before it listened on {world.bind}; it said: "one line | no '
    assert last["found"].startswith(said), "the service's name is in the row already"
    assert last["found"].endswith(" s ago, 1 in a row)")


def test_one_that_starts_and_who_holds_its_lock(world: World) -> None:
    world.write_config("gate")
    starter = world.begin(world.bare("--timeout", "20"))
    wait_until(lambda: world.told("starts"))
    (pid,) = world.daemons()
    found = doctor(world, 0)
    assert found["state"]["verdict"] == "warn"
    assert found["state"]["found"].startswith(f"starting, pid {pid}: no answer")
    assert found["lock"]["found"].startswith(f"pid {starter.pid} holds {world.path('pid.lock')}")
    assert found["pidfile"]["found"] == f"{world.path('pid')}: none"
    assert found["identity"]["found"].startswith(f"pid {pid} ")
    world.tell("go")
    assert starter.wait(20) == 0


def test_what_a_killed_run_and_a_killed_daemon_leave(world: World) -> None:
    kill(world.up())
    world.path("pid.lock").write_text("1 1\n")
    found = doctor(world, 1)
    assert "free; " in found["lock"]["found"]
    assert found["identity"]["found"].endswith(": is dead")
    (held := world.path("pid.lock")).write_text(f"{os.getpid()}\n")
    assert f"pid {os.getpid()} holds {held}" in doctor(world, 1)["lock"]["found"]


def test_uvx_where_there_is_no_mcp_proxy(world: World) -> None:
    (world.root / "bin").mkdir()
    python = world.root / "bin" / "python"
    python.symlink_to(sys.executable)  # one without mcp-proxy beside it
    uvx = world.root / "bin" / "uvx"
    uvx.symlink_to("/bin/true")
    world.env["PATH"] = f"{uvx.parent}:/usr/bin:/bin"
    world.config.write_text(world.config.read_text().replace("bridge = false", ""))
    done = world.run([*as_if(python), "doctor", "--json"])
    (found,) = (one for one in json.loads(done.stdout) if one["check"] == "mcp-proxy")
    assert (found["verdict"], found["found"]) == ("ok", f"{uvx} mcp-proxy")


def test_a_suspended_daemon_and_a_garbage_pidfile(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    pid = world.check()
    world.path("pid").write_text("garbage\n")
    assert doctor(world, 0)["pidfile"]["verdict"] == "warn"
    kill(pid, signal.SIGSTOP)
    assert doctor(world, 0)["round trip"]["verdict"] == "warn"
    kill(pid, signal.SIGCONT)


def test_a_bridge_whose_child_is_gone(world: World) -> None:
    assert llmenv(world, "start").returncode == 0
    # The stub plays mcp-proxy, which answers a tool call with an error when its child is gone.
    world.tell("answer", json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000}}))
    world.config.write_text(world.config.read_text().replace("bridge = false", "bridge = true"))
    record = world.path("life").read_text()
    (service,) = load_config(str(world.config)).services
    digest = record.split()[-2]
    world.path("life").write_text(record.replace(digest, service.digest))
    found = doctor(world, 1)
    assert found["state"]["verdict"] == "fail"
    assert found["state"]["todo"] == "llmenv restart stub"
    assert found["round trip"]["verdict"] == "fail"


def test_another_host_is_only_asked_through_its_url(world: World) -> None:
    world.config.write_text('server_host = "no-such-host.invalid"\n' + world.config.read_text())
    found = doctor(world, 0)
    assert "another host" in found["server_host"]["found"]
    assert found["round trip"]["verdict"] == "warn"
    assert "state" not in found
    assert not world.daemons()


@pytest.mark.parametrize("bridge", ["false", '"mcp-proxy"', '"guarded"'])
def test_a_script_whose_interpreter_is_gone(world: World, bridge: str) -> None:
    for name in ("mcp-proxy", "server"):
        program(world, name, "")
        (world.root / "bin" / name).write_text(f"#!{world.root}/gone/python\n")
    world.config.write_text(
        f'[services.stub]\ncommand = ["server"]\nbind = "{world.bind}"\nbridge = {bridge}\n'
    )
    found = doctor(world, 1)
    for check, name in (("command", "server"), ("mcp-proxy", "mcp-proxy")):
        if check == "command" or "mcp-proxy" in bridge:
            assert found[check]["verdict"] == "fail"
            script = world.root / "bin" / name
            names = f"cannot run {script}: its first line names {world.root}/gone/python:"
            assert names in found[check]["found"]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_that_agents_would_ask(world: World, variable: str) -> None:
    assert llmenv(world, "start").returncode == 0
    world.env |= {variable: "http://127.0.0.1:9", "no_proxy": "example.org,.127.0.0.1.example.org"}
    found = doctor(world, 0)
    assert found["proxy"]["verdict"] == "warn"
    assert "no_proxy does not have 127.0.0.1" in found["proxy"]["found"]
    assert "no_proxy=127.0.0.1,localhost" in found["proxy"]["todo"]
    assert found["round trip"]["verdict"] == "ok", "what we ask, we ask directly"
    for passed_by in ("127.0.0.1", "localhost, 127.0.0.1", "*"):
        world.env["no_proxy"] = passed_by
        assert "proxy" not in doctor(world, 0)
    del world.env["no_proxy"]
    world.env["NO_PROXY"] = "127.0.0.1"
    assert "proxy" not in doctor(world, 0)
    del world.env[variable]
    world.env["https_proxy"] = "http://127.0.0.1:9"
    del world.env["NO_PROXY"]
    assert "proxy" not in doctor(world, 0), "that is for https alone"
