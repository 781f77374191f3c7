"""The hook leaves the session as it was: statuses, jobs, settings, names, descriptors."""

from __future__ import annotations

import os
import re
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pexpect
import pytest
from daemons import (
    World,
    kill,
    need,
    wait_until,
)
from shells import (
    AT_ONCE,
    DUE,
    EACH,
    ONE_MINUTE,
    PROC,
    Shell,
    children,
    held,
    helpers,
    hook_text,
    prompts_until,
    shows,
    state,
    until,
)

STATUSES = {
    "bash": ("(exit 3)", "false | true | (exit 4)", 'echo "<${PIPESTATUS[*]}>"'),
    "zsh": ("(exit 3)", "false | true | (exit 4)", 'echo "<$pipestatus>"'),
    "fish": ("sh -c 'exit 3'", "false | true | sh -c 'exit 4'", 'echo "<$pipestatus>"'),
}


@EACH
@pytest.mark.parametrize("dead", [False, True])
def test_statuses_survive(world: World, name: str, dead: bool) -> None:
    """`$?` and the statuses of a pipeline, alive and while it is being started."""
    if dead:
        world.write_config("gate")
    with Shell(name, world) as shell:
        wait_until(lambda: world.told("starts"))
        one, pipe, show = STATUSES[name]
        assert shell.run(one)[0] == 3
        assert shell.run(pipe)[0] == 4
        assert "<1 0 4>" in shell.run(show)[1]
        if name != "fish":
            shell.run("echo one two")
            assert shell.run('echo "<$_>"')[1].endswith("<two>")
        world.tell("go")


@EACH
def test_jobs_stay_the_users_own(world: World, name: str) -> None:
    """No phantom jobs, `$!` stays, the user's job stays in the list."""
    world.write_config("die=1")
    with Shell(name, world) as shell:
        last = "echo $last_pid" if name == "fish" else "echo $!"
        shell.run("sleep 300 &")
        mine = shell.run(last)[1].split()[-1]
        try:
            wait_until(lambda: world.told("starts"))
            until(shell, "llmenv: stub:")
            assert shell.run(last)[1] == mine
            listed = shell.run("jobs")[1]
            assert "sleep" in listed
            assert "ensure" not in listed
            assert len([line for line in listed.splitlines() if "sleep" in line]) == 1
        finally:
            kill(int(mine))


# What somebody has set.  In zsh, EXIT's trap is not run where both DEBUG and ZERR have one too.
_ZSH = "setopt nounset no_clobber null_glob ksh_arrays err_return; umask 027; alias ll='ls -l'\n"


SET = [
    (
        "bash",
        "set -uC; set -o vi; shopt -s nullglob failglob extglob; umask 027; alias ll='ls -l'\n"
        "__debug=0; trap ': $((++__debug))' DEBUG; trap 'echo ERR' ERR; trap 'echo INT' INT\n"
        "trap ': chld' CHLD; trap 'echo BYE' EXIT\n",
    ),
    (
        "zsh",
        f"{_ZSH}trap 'echo INT' INT; trap ': chld' CHLD; trap 'echo BYE' EXIT\n"
        "__debug=0; trap ': $((++__debug))' DEBUG\n",
    ),
    ("zsh", f"{_ZSH}trap 'echo ERR' ZERR; trap 'echo BYE' EXIT\n"),
    (
        "fish",
        "umask 027; alias ll 'ls -l'\n"
        "trap 'echo INT' INT; trap ': usr1' USR1; trap 'echo BYE' EXIT\n",
    ),
]


SHOW = {
    "bash": "set +o; shopt; trap -p; alias; umask; ulimit -a; declare -p IFS",
    "zsh": "setopt; unsetopt; trap; alias; umask; ulimit -a; typeset -p IFS",
    "fish": "trap; alias; umask; ulimit -a; status is-interactive-job-control; echo $status",
}


@pytest.mark.parametrize(("name", "setting"), SET, ids=["bash", "zsh-debug", "zsh-zerr", "fish"])
def test_all_that_was_set_stays(world: World, name: str, helper: Path, setting: str) -> None:
    """Options, traps, aliases, limits and umask, whatever the prompts have to do."""
    shown = []
    for hook in ("", hook_text(world, name, helper=helper)):
        with Shell(name, world, hook=hook, before=setting) as shell:
            shown.append([what_is_set(shell)])
            with held(world):
                shell.run(AT_ONCE[name])
                shown[-1].append(what_is_set(shell))
            world.path("fail").write_text("stub: reason\nv1 data .\n")
            seen = shell.run(DUE.get(name, AT_ONCE[name]))[1]
            assert seen == ("llmenv: stub: reason" if hook else "")
            shown[-1].append(what_is_set(shell))
            world.path("fail").unlink()
            assert shell.run("false") == (1, "ERR" if "ERR" in setting else "")
            if "DEBUG" in setting:
                before = int(shows(shell, "__debug"))
                shell.run("true")
                assert int(shows(shell, "__debug")) >= before + 2
            shell.child.sendline("exit")
            shell.child.expect(pexpect.EOF)
            assert str(shell.child.before).count("BYE") == 1
    assert len(world.told("calls")) == 2
    assert shown[1] == shown[0]


def what_is_set(shell: Shell) -> str:
    file = shell.hook.with_name("set")
    block = "begin; {}; end >'{}'" if shell.name == "fish" else "{{ {}; }} >|'{}'"
    shell.run(block.format(SHOW[shell.name], file))
    return file.read_text()


NAMES = {
    "bash": "compgen -A function; compgen -v",
    "zsh": "print -l ${(ok)functions} ${(ok)parameters}",
    "fish": "functions --all --names; set --names",
}


@EACH
def test_every_name_is_ours(world: World, name: str, helper: Path) -> None:
    """Agents' snapshots keep public functions and drop what they call."""
    listed = []
    for hook in ("", hook_text(world, name, helper=helper)):
        with Shell(name, world, hook=hook, before="set -g COLUMNS 400" * (name == "fish")) as shell:
            shell.run()
            shell.run()
            listed.append(set(re.split(r"[\s,]+", shell.run(NAMES[name])[1])))
    new = {word for word in listed[1] - listed[0] if not word.isdigit()}
    ours = ("__llmenv_", "LLMENV_")
    allowed = {"precmd_functions", "PROMPT_COMMAND", "PIPESTATUS", "BASH_REMATCH"}
    assert any(word.startswith("__llmenv_") for word in new)
    assert {word for word in new if not word.startswith(ours)} <= allowed


@EACH
def test_a_nested_shell_has_a_hook_of_its_own(world: World, name: str, helper: Path) -> None:
    """No mark in the environment tells it that somebody else is hooked already."""
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        exported = shell.run("env")[1]
        assert "__llmenv" not in exported
        assert "PROMPT_COMMAND" not in exported


@EACH
def test_non_interactive_is_silent_and_does_nothing(world: World, name: str, helper: Path) -> None:
    """Also where the hook gets into every shell, under `set -u`."""
    hook = world.root / "hook"
    hook.write_text(hook_text(world, name, helper=helper))
    strict = {"bash": ["-u", "-e"], "zsh": ["-u", "-e", "-f"], "fish": ["--no-config"]}[name]
    need(name)
    shown = {"bash": "declare -F", "zsh": "print -l ${(k)functions}", "fish": "functions -a -n"}
    code = (
        f"source '{hook}'; and echo fine; {shown[name]}"
        if name == "fish"
        else (f". '{hook}' && echo fine; {shown[name]}")
    )
    done = world.run([name, *strict, "-c", code])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fine")
    assert "llmenv" not in done.stdout
    assert not world.told("calls")


@EACH
def test_llmenv_disable(world: World, name: str, helper: Path) -> None:
    text = hook_text(world, name, helper=helper)
    world.env["LLMENV_DISABLE"] = "1"
    with Shell(name, world, hook=text) as shell:
        shell.run()
        assert "<>" in shell.run('echo "<$LLMENV_MCP_URL>"')[1]
    del world.env["LLMENV_DISABLE"]
    assert not world.told("calls")
    late = "set -gx LLMENV_DISABLE 1" if name == "fish" else "export LLMENV_DISABLE=1"
    with Shell(name, world, hook=text, after=late) as shell:
        shell.run()
    assert not world.told("calls")


# Each calls our hook again from another tool's, and then looks at what it was given.
AGAIN = {
    "bash": '__again() { (exit "$1"); eval "$__llmenv_prompt"; __later=$?; return "$1"; }\n'
    "PROMPT_COMMAND+=$'\\n__again \"$?\"'",
    "zsh": "__again() { __llmenv_hook; }; __look() { __later=$? }\n"
    "precmd_functions+=(__again __look)",
    "fish": "function __again --on-event fish_prompt; __llmenv_hook; end\n"
    "function __look --on-event fish_prompt; set -g __later $status; end",
}


@EACH
@pytest.mark.parametrize("lives", [False, True])
def test_a_hook_that_another_hook_calls_keeps_the_status(
    world: World, helper: Path, name: str, lives: bool
) -> None:
    text = hook_text(world, name, helper=helper)
    one, pipe, show = STATUSES[name]
    with (
        held(world) if lives else nullcontext(),
        Shell(name, world, hook=text, after=AGAIN[name]) as shell,
    ):
        assert shell.run(one) == (3, "")
        assert shows(shell, "__later") == "3"
        assert shell.run(pipe) == (4, "")
        if name != "bash":
            assert "<1 0 4>" in shell.run(show)[1]


@EACH
@pytest.mark.parametrize("line", ["read __x", "echo $(cat)"])
def test_interrupting_what_reads_leaves_the_session(world: World, name: str, line: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        if name == "fish":
            line = line.replace("$", "")
        shell.child.sendline(f"printf 're%s' ady; {line}")
        # Shells lose an interrupt that comes before they wait.
        shell.child.expect_exact("read> " if (name, line) == ("fish", "read __x") else "ready")
        if "cat" in line:
            wait_until(lambda: children(shell.pid, "cat"))
        wait_until(lambda: state(shell.pid) == "S")
        shell.child.sendintr()
        shell.next_prompt()
        assert shell.run("echo alive")[1] == "alive"


@pytest.mark.parametrize(
    ("name", "code"), [("bash", "eval $(cat '{}')"), ("fish", "eval (cat '{}')")]
)
def test_an_unquoted_eval_fails_aloud(world: World, name: str, code: str) -> None:
    hook = world.root / "hook"
    hook.write_text(hook_text(world, name))
    need(name)
    bare = "--norc" if name == "bash" else "--no-config"
    done = world.run([name, bare, "-ic", f"{code.format(hook)}; echo after"])
    assert "syntax error" in done.stderr or "Missing end" in done.stderr


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("bash", """eval "$(cat '{}')\""""),
        ("bash", """set -o posix; eval "$(cat '{}')\""""),
        ("bash", "source <(cat '{}')"),
        ("zsh", """eval "$(cat '{}')\""""),
        ("zsh", "source <(cat '{}')"),
        ("fish", "cat '{}' | source"),
        ("fish", "eval (cat '{}' | string collect)"),
    ],
)
def test_every_way_to_read_it_works(world: World, helper: Path, name: str, line: str) -> None:
    text = hook_text(world, name, helper=helper)
    with Shell(name, world, hook="") as shell:
        code = world.root / "code"
        code.write_text(text)
        assert shell.run(line.format(code)) == (0, "")
        wait_until(lambda: world.told("calls"))


def test_the_helper_is_not_niced(world: World, tmp_path: Path) -> None:
    helper = tmp_path / "nice.py"
    helper.write_text(
        f"import os\nopen({str(world.oracle / 'calls')!r}, 'w').write(str(os.nice(0)))\n"
    )
    with Shell("zsh", world, hook=hook_text(world, "zsh", helper=helper)):
        assert wait_until(lambda: (world.oracle / "calls").exists() and True)
        wait_until(lambda: (world.oracle / "calls").read_text())
    assert world.told("calls") == [os.nice(0)]


@EACH
def test_a_trace_is_not_drowned(world: World, name: str, helper: Path) -> None:
    """`set -x` shows a few lines of ours at a prompt, whatever we do there."""
    on = "set -g fish_trace 1" if name == "fish" else "set -x"
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        wait_until(lambda: world.told("calls"))
        shell.run(on)
        dead = shell.run(DUE.get(name, AT_ONCE[name]))[1].splitlines()
        wait_until(lambda: len(world.told("calls")) == 2)
        with held(world):
            alive = shell.run()[1].splitlines()
        assert len(dead) <= (16 if name == "bash" else 1 + (name in DUE)), dead
        assert len(alive) <= ((8 if PROC else 16) if name == "bash" else 0), alive


@EACH
def test_the_helper_keeps_nothing_of_the_shells(world: World, name: str) -> None:
    opened = "exec 7>&1" if name != "fish" else ""
    world.write_config("gate")
    with Shell(name, world, before=opened) as shell:
        wait_until(lambda: world.told("starts"))
        (pid,) = helpers(world)
        files = {}
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it is at work
                files[link.name] = os.readlink(link)
        assert [files.pop(number) for number in "012"] == ["/dev/null"] * 3
        own = (str(world.state), "socket:")
        assert not [target for target in files.values() if not target.startswith(own)]
        assert os.getsid(pid) != os.getsid(shell.pid)
        world.tell("go")
        wait_until(world.proved)


@EACH
def test_a_substitution_ends_though_a_daemon_was_started_in_it(world: World, name: str) -> None:
    """Nor by a hook in it, nor by a command, does the daemon get its pipe."""
    llmenv = f"'{sys.executable}' -m llmenv_hooks start"
    with Shell(name, world) as shell:
        wait_until(world.proved)
        kill(world.check())
        form = 'echo "<"({}; echo)">"' if name == "fish" else 'echo "<$({})>"'
        assert shell.run(form.format(f"{ONE_MINUTE[name]}; __llmenv_wake 0")) == (0, "<>")
        wait_until(lambda: len(world.told("starts")) == 2 and not helpers(world))
        kill(world.check(starts=2))
        assert "started" in shell.run(form.format(llmenv))[1]
        world.check(starts=3)


NASTY = [
    "a b",
    "quote'",
    'double"',
    "dollar$HOME",
    "back`tick`",
    "new\nline",
    "back\\slash",
    "ümläut",
    "semi;colon",
    "glob*?[x]",
    "<told>",
    "~tilde",
    "percent%",
    "#hash",
]


@EACH
def test_any_path_works(tmp_path: Path, name: str) -> None:
    """Blanks, quotes, dollar, backquotes, newlines in the state directory."""
    with World(tmp_path / "w") as world:
        world.write_config()
        place = tmp_path / " ".join(NASTY)
        world.env["XDG_STATE_HOME"] = str(place)
        world.state = place / "llmenv"
        with Shell(name, world) as shell:
            assert shell.startup.strip() == ""
            wait_until(world.proved)
            kill(world.check())
            prompts_until(shell, lambda: len(world.told("starts")) == 2)
            wait_until(world.proved)
        assert not (tmp_path / "w" / "x").exists()
