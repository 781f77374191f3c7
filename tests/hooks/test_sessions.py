"""The hook in sessions as people have them: interrupts, jobs, shells in shells, real terminals."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import (
    STUB,
    World,
    kill,
    missing,
    need,
    need_root,
    processes_with,
    wait_until,
)
from packed import ENSURE
from shells import (
    AT_ONCE,
    DUE,
    EACH,
    PROMPTS,
    SHELLS,
    Shell,
    children,
    counted,
    hook_text,
    path,
    prompts_until,
    revives,
    shows,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- signals and jobs ----------------------------------------------------------------


# All that a user hears whose XDG_STATE_HOME is another's.
ANOTHERS = re.compile(r"\n?llmenv: cannot write to .*; set XDG_STATE_HOME to a directory of yours")


@EACH
@pytest.mark.parametrize("dead", [False, True])
def test_an_interrupt_during_a_command(world: World, name: str, dead: bool) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        shell.child.sendline("sh -c 'echo $((40+2)); exec sleep 300'")
        shell.child.expect_exact("42\r\n")
        if dead:
            kill(world.check())
        shell.child.sendintr()
        status, seen = shell.next_prompt()
        assert status == 130
        assert seen.replace("^C", "").strip() == ""
        if dead:
            wait_until(lambda: shell.run()[1] == "" and len(world.told("starts")) == 2)
            wait_until(world.proved)
        assert shell.run("echo alive")[1] == "alive"


@EACH
def test_a_job_that_is_stopped_and_goes_on(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        shell.child.sendline("sleep 301")
        (sleeper,) = wait_until(lambda: children(shell.pid, "sleep"))
        shell.child.send("\x1a")
        _, seen = shell.next_prompt()
        assert "sleep 301" in seen
        revives(shell, world)  # ... while it is stopped
        listed = shell.run("jobs")[1]
        assert len(re.findall("sleep", listed)) == 1
        shell.child.sendline("fg")
        wait_until(lambda: state(sleeper) == "S")
        os.kill(sleeper, signal.SIGTERM)
        shell.next_prompt()
        assert "sleep" not in shell.run("jobs")[1]


# With the shell's own line editor, which is left out elsewhere.
EDITED: dict[str, dict[str, str]] = {
    "bash": {"after": "set -o emacs"},
    "zsh": {"prompt": PROMPTS["zsh"].replace("no_zle ", "")},
    "fish": {},
}
IS_EDITED = {"bash": "bind -q self-insert >/dev/null", "zsh": "[[ -o zle ]]", "fish": "true"}


@EACH
def test_a_dumb_terminal(world: World, name: str) -> None:
    with Shell(name, world, **EDITED[name]) as shell:  # type: ignore[arg-type]
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        assert shows(shell, "TERM") == "dumb"
        assert shell.run(IS_EDITED[name]) == (0, "")
        revives(shell, world)
        assert shell.run("echo one") == (0, "one")
        assert shell.run() == (0, "")


@EACH
@pytest.mark.parametrize("dead", [False, True])
def test_an_interrupt_at_the_prompt(world: World, name: str, dead: bool) -> None:
    with Shell(name, world, **EDITED[name]) as shell:  # type: ignore[arg-type]
        wait_until(world.proved)
        if dead:
            kill(world.check())
        shell.child.send("half")
        shell.child.expect_exact("half")
        wait_until(lambda: state(shell.pid) == "S")
        shell.child.sendintr()
        if name != "fish":  # which shows the same prompt again
            assert "llmenv" not in shell.next_prompt()[1]
        if dead:
            wait_until(lambda: "llmenv" not in shell.run()[1] and len(world.told("starts")) == 2)
            wait_until(world.proved)
        # fish 3.6 loses an interrupt that comes within milliseconds of a key: half is a command.
        seen = [shell.run("echo alive")[1] for _ in range(2 if name == "fish" else 1)]
        assert seen[-1].splitlines()[-1] == "alive"


# --- shells in shells ----------------------------------------------------------------


@contextmanager
def inside(shell: Shell, line: str, leave: str = "exit") -> Iterator[str]:
    """Start another shell with *line*, and leave it; yield what it prints before its prompt."""
    outer, shell.count = shell.count, 0
    shell.child.sendline(line)
    yield shell.next_prompt()[1].partition("\n")[2].strip()
    shell.child.sendline(leave)
    shell.count = outer
    shell.next_prompt()


def again(shell: Shell) -> str:
    """Return the command line that *shell* was started with."""
    return shlex.join(os.fsdecode(word) for word in shell.child.args or ())


@EACH
def test_a_nested_shell(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        with inside(shell, again(shell)) as said:
            assert said == ""
            assert shell.run("echo inner")[1].splitlines()[-1] == "inner"
            revives(shell, world)
        assert shell.run("echo outer")[1] == "outer"
        revives(shell, world)


KINDS = [*((name, name) for name in SHELLS), ("bash", "zsh"), ("zsh", "fish")]
KINDS += [("fish", "bash"), ("fish", "zsh")]


@pytest.mark.parametrize(("name", "other"), KINDS)
def test_a_shell_that_replaces_another(world: World, name: str, other: str) -> None:
    with Shell(other, world) as model:
        zdotdir = shlex.quote(f"ZDOTDIR={model.hook.parent}")
    with Shell(name, world) as shell:
        wait_until(world.proved)
        shell.count = 0
        shell.child.sendline(f"exec env {zdotdir} {again(model)}")
        assert shell.next_prompt()[1].partition("\n")[2].strip() == ""
        revives(shell, world)
        assert shell.run() == (0, "")


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_subshell(world: World, name: str) -> None:
    """In it ours does not even look, though the daemon is dead and the helper due."""
    with Shell(name, world, hook=counted(world, name)) as shell:
        wait_until(world.proved)
        assert shell.run(AT_ONCE[name]) == (0, "")
        fired = int(shows(shell, "__fired")) + 1
        kill(world.check())
        assert shell.run("(cd /; echo in $__fired; false | exit 4)") == (4, f"in {fired}")
        seen = shell.run("(sleep 0.01 &) ; echo $(cd /; true; echo out $__fired)")[1]
        assert seen == f"out {fired + 1}"
        prompts_until(shell, world.proved)
        revives(shell, world)


@EACH
def test_script(world: World, name: str) -> None:
    """It puts a terminal of its own into the terminal, and records what is shown."""
    need("script")
    record = world.root / "record"
    with Shell(name, world) as shell:
        wait_until(world.proved)
        line = f"script -q -c {shlex.quote(again(shell))} '{record}'"
        with inside(shell, line) as said:
            assert said == ""
            assert shell.run("echo recorded")[1].splitlines()[-1] == "recorded"
            revives(shell, world)
    assert "llmenv" not in re.sub(r".*(--rcfile|source '|script).*", "", record.read_text())


def at_home(world: World) -> None:
    """Move *world* to where HOME alone says that it is."""
    del world.env["XDG_STATE_HOME"], world.env["XDG_CONFIG_HOME"]
    world.state = world.home / ".local" / "state" / "llmenv"
    world.config = world.home / ".config" / "llmenv" / "config.toml"
    world.config.parent.mkdir(parents=True)
    world.write_config()


@EACH
def test_another_home(world: World, tmp_path: Path, name: str) -> None:
    """What `su` makes: a shell with another HOME has its own service, of its own state.

    HOME alone decides, and the URL that the first shell has exported is in the way.
    """
    llmenv = f"'{sys.executable}' -m llmenv_hooks hook {name}"
    line = f"{llmenv} | source" if name == "fish" else f'eval "$({llmenv})"'
    with World(tmp_path / "other") as other:
        at_home(world)
        at_home(other)
        with Shell(name, other, hook="", after=line) as model:
            wait_until(other.proved)
            kill(other.check())
        with Shell(name, world) as shell:
            wait_until(world.proved)
            assert shows(shell, "LLMENV_MCP_URL") == f"http://{world.bind}/mcp"
            set_ = shlex.join([f"HOME={other.home}", f"ZDOTDIR={model.hook.parent}"])
            with inside(shell, f"env {set_} {again(model)}") as said:
                assert said == ""
                assert shows(shell, "LLMENV_MCP_URL") == f"http://{other.bind}/mcp"
                wait_until(lambda: shell.run() == (0, "") and len(other.daemons()) == 1)
                wait_until(other.proved)
            assert shows(shell, "LLMENV_MCP_URL") == f"http://{world.bind}/mcp"
            world.check()
            revives(shell, world)


@EACH
@pytest.mark.parametrize("options", [[], ["-m"]])
def test_su_to_somebody_else(name: str, options: list[str]) -> None:
    """Whose state may not be looked at, nothing is heard of and nothing changed.

    HOME is the other user's, but with `-m`; XDG_STATE_HOME and the like stay, and so does the code.
    """
    need_root()
    need("su")
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as directory,
        World(Path(directory) / "w") as world,
    ):
        os.chmod(directory, 0o755)
        world.write_config()
        helper = shutil.copy(ENSURE, world.root)
        text = hook_text(world, name, helper=Path(helper))
        hook = text.replace(sys.executable, python_for_everybody(world))
        with Shell(name, world, hook=hook) as shell:
            wait_until(world.proved)
            daemon = world.check()
            wait_until(lambda: not processes_with(f"--hook\0{world.state}"))
            before = listed(world)
            program, *arguments = shlex.split(again(shell))
            become = shlex.join(["su", *options, "-s", program, "nobody", "--", *arguments])
            seen = []
            for disabled in ("1", ""):  # fish has something to say about a home that is not there
                with inside(shell, f"env LLMENV_DISABLE={disabled} {become}") as said:
                    seen.append([said, *(undrawn(shell.run()[1]) for _ in range(3))])
                    assert ANOTHERS.sub("", shell.run("id -un")[1]) == "nobody"
                    assert (shows(shell, "HOME") == str(world.home)) == bool(options)
            assert seen[0] == [ANOTHERS.sub("", one) for one in seen[1]]
            wait_until(lambda: not processes_with(f"--hook\0{world.state}"))
            assert listed(world) == before
            assert world.check() == daemon
            revives(shell, world)


@EACH
def test_su_to_somebody_with_a_home(name: str) -> None:
    """With `-m`, since nobody's own is not there; and the URL that root has exported stays."""
    need_root()
    need("su")
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as directory,
        World(Path(directory) / "w") as world,
        World(Path(directory) / "other") as other,
    ):
        os.chmod(directory, 0o755)
        at_home(world)
        at_home(other)
        python = python_for_everybody(world)
        stub, helper = (Path(shutil.copy(file, other.root)) for file in (STUB, ENSURE))
        config = other.config.read_text().replace(str(STUB), str(stub))
        other.config.write_text(config.replace(sys.executable, python))
        hook = hook_text(other, name, helper=helper).replace(sys.executable, python)
        with Shell(name, other, hook=hook, environment={"LLMENV_DISABLE": "1"}) as model:
            program, *arguments = shlex.split(again(model))
        other.give_to_nobody()
        with Shell(name, world) as shell:
            wait_until(world.proved)
            daemon = world.check()
            wait_until(lambda: not processes_with(f"--hook\0{world.state}"))
            before = listed(world)
            assert shows(shell, "LLMENV_MCP_URL") == f"http://{world.bind}/mcp"
            set_ = ["-u", "XDG_DATA_HOME", "-u", "HISTFILE", f"HOME={other.home}"]
            set_.append(f"ZDOTDIR={model.hook.parent}")
            su = ["su", "-m", "-s", program, "nobody", "--", *arguments]
            with inside(shell, shlex.join(["env", *set_, *su])) as said:
                assert said == ""
                assert shell.run("id -un")[1] == "nobody"
                assert shows(shell, "LLMENV_MCP_URL") == f"http://{other.bind}/mcp"
                wait_until(other.proved)
                assert Path(f"/proc/{other.check()}").stat().st_uid == 65534
                revives(shell, other)
            assert listed(world) == before
            assert world.check() == daemon
            revives(shell, world)


def undrawn(output: str) -> str:
    """Return *output* without prompts, which fish draws anew now and then."""
    return re.sub(r"\[\d+:\d+\]@> ", "", output)


def python_for_everybody(world: World) -> str:
    """Return a Python that any user may run: that of the tests may be in root's home."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        asked = world.run(
            ["su", "-s", "/bin/sh", "nobody", "-c", f"'{python}' -c 'import tomllib'"]
        )
        if asked.returncode == 0:
            return python
    missing("no Python 3.11 that another user may run")


def listed(world: World) -> list[tuple[str, int, int]]:
    """Return what there is of the user's, when it was changed, and whose it is."""
    tops = (world.state, world.config.parent, world.home)
    every = [(path, path.lstat()) for top in tops for path in sorted(top.rglob("*"))]
    return [(str(path), stat.st_mtime_ns, stat.st_uid) for path, stat in every]


# --- real terminals ------------------------------------------------------------------


class Pane:
    """A shell in a real tmux."""

    def __init__(self, world: World, argv: list[str], size: tuple[int, int]) -> None:
        need("tmux")
        self.world = world
        self.directory = tempfile.TemporaryDirectory(dir="/tmp")  # a socket's path must be short
        columns, lines = map(str, size)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines, *argv)

    def tmux(self, *words: str) -> str:
        done = self.world.run(["tmux", "-u", "-S", f"{self.directory.name}/socket", *words])
        assert done.returncode == 0, done
        return done.stdout

    def text(self) -> str:
        """Return all that was shown, as one would scroll back through it."""
        return self.tmux("capture-pane", "-p", "-S", "-").rstrip()

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def pid(self) -> int:
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def close(self) -> None:
        self.tmux("kill-server")
        self.directory.cleanup()


@contextmanager
def pane(world: World, name: str, rc: str, size: tuple[int, int]) -> Iterator[Pane]:
    home = world.root / f"pane-{len(list(world.root.glob('pane-*')))}"
    home.mkdir()
    file = home / {"bash": "rc", "zsh": ".zshrc", "fish": "fish/config.fish"}[name]
    file.parent.mkdir(exist_ok=True)
    file.write_text(rc)
    argv = {
        "bash": ["bash", "--noprofile", "--rcfile", str(file)],
        "zsh": ["env", f"ZDOTDIR={home}", "zsh", "-d"],
        "fish": ["env", f"XDG_CONFIG_HOME={home}", "fish", "--private"],
    }[name]
    settings = ["LC_ALL=C.UTF-8", f"HISTFILE={home}/history", f"PATH={path(world)}"]
    made = Pane(world, ["env", *settings, *argv], size)
    try:
        yield made
    finally:
        made.close()


# Two lines, a right prompt, vi keys: what a terminal has to redraw.
DRAWN = {
    "bash": "set -o vi; PS1='[top of it]\\nready> '",
    "zsh": "bindkey -v; setopt prompt_subst; PROMPT=$'[top of it]\\nready> '; RPROMPT='right-%?'",
    # As fish 3 has it; fish 4 leaves the prompt that there is.
    "fish": "fish_vi_key_bindings; bind -M insert \\cc cancel-commandline;"
    " function fish_mode_prompt; end; function fish_greeting; end;"
    "function fish_prompt; echo '[top]'; echo -n 'ready> '; end;"
    "function fish_right_prompt; echo right-$status; end",
}


@EACH
@pytest.mark.parametrize("size", [(80, 30), (5, 30)])
def test_the_screen_is_as_without_the_hook(world: World, name: str, size: tuple[int, int]) -> None:
    """In tmux: with a prompt of two lines, one at the right, vi keys, also in 5 columns."""
    with_hook = screen(world, name, hook_text(world, name), size)
    assert with_hook == screen(world, name, "", size)
    assert with_hook.count("[top") == 6


def screen(world: World, name: str, hook: str, size: tuple[int, int]) -> str:
    """Return what a few commands leave on a screen; with a hook it has its daemon to revive."""
    with pane(world, name, f"{hook}\n{DRAWN[name]}\n", size) as terminal:
        prompts(terminal, 1)
        terminal.type("half")
        wait_until(lambda: "half" in terminal.text().replace("\n", ""))
        wait_until(lambda: state(terminal.pid()) == "S")  # readline loses one between two reads
        terminal.type("C-c")
        while name == "fish" and marks(terminal) < 2:
            terminal.type("C-c")  # fish 3.6 loses one that comes within milliseconds of a key
        prompts(terminal, 2)
        if hook:
            wait_until(world.proved)
            kill(world.check())
        for count, line in enumerate(("false", "echo x", "", "true"), 3):
            terminal.type(*([line] if line else []), "Enter")
            prompts(terminal, count)
        wait_until(lambda: terminal.text() == terminal.text())
        text = terminal.text()
        if hook:
            wait_until(lambda: revived(terminal, world))
        return text


def marks(terminal: Pane) -> int:
    """Return how many prompts were drawn; the last one to its end."""
    before, _, last = terminal.text().rpartition("[top")
    return before.count("[top") + ("dy>" in last.replace("\n", ""))  # fish cuts what is too long


def prompts(terminal: Pane, count: int) -> None:
    """Wait until *count* prompts were drawn."""
    try:
        wait_until(lambda: marks(terminal) == count)
    except AssertionError:
        raise AssertionError(f"{count} prompts wanted:\n{terminal.text()}") from None


def revived(terminal: Pane, world: World) -> bool:
    terminal.type("Enter")
    return len(world.told("starts")) >= 2 and world.proved()


@EACH
@pytest.mark.parametrize("dead", [False, True])
def test_the_end_of_a_background_job_is_told(world: World, name: str, dead: bool) -> None:
    """Also by a prompt that starts the helper: what it silences is its own noise alone."""
    with pane(world, name, f"{hook_text(world, name)}\n{DRAWN[name]}\n", (80, 30)) as terminal:
        wait_until(world.proved)
        prompts(terminal, 1)
        terminal.type("sleep 302 &", "Enter")
        (job,) = wait_until(lambda: children(terminal.pid(), "sleep"))
        prompts(terminal, 2)
        terminal.type(AT_ONCE[name], "Enter")
        prompts(terminal, 3)
        ended = [world.check(), job] if dead else [job]
        for pid in ended:
            os.kill(pid, signal.SIGKILL)
        # Reaped too: of a job that is not, the shell does not know; and a zombie can be signalled.
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ended))

        def told() -> bool:
            terminal.type("Enter")
            return bool(re.search(r"(?i)(kill.*sleep 302|sleep 302.*kill)", terminal.text()))

        terminal.type(DUE.get(name, ""), "Enter")
        if dead:  # the first prompt after the end is the one that starts the helper
            wait_until(lambda: len(world.told("starts")) == 2)
        wait_until(told)
        if dead:
            wait_until(lambda: revived(terminal, world))
        seen = terminal.text()
        for typed in (DUE.get(name, ""), AT_ONCE[name]):
            seen = seen.replace(typed, "")
        assert "llmenv" not in seen
