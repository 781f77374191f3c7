"""What is so in bash alone: PROMPT_COMMAND and its other users, DEBUG and ERR, bash 3.2."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from daemons import (
    World,
    kill,
    wait_until,
)
from shells import (
    Shell,
    hook_text,
    shows,
)

ROOT = Path(__file__).parent.parent.parent


PROMPT_COMMANDS = {
    "string": "PROMPT_COMMAND='__mine'",
    "string-semicolon": "PROMPT_COMMAND='__mine ; '",
    "string-comment": "PROMPT_COMMAND='__mine # mine'",
    "array": "PROMPT_COMMAND=(__mine)",
    "array-empty-first": "PROMPT_COMMAND=('' __mine)",
    "exported": "export PROMPT_COMMAND=__mine",
}


@pytest.mark.parametrize("kind", PROMPT_COMMANDS)
def test_bash_prompt_command_of_others_goes_on(world: World, kind: str) -> None:
    """Each shape of PROMPT_COMMAND, and another tool that appends later."""
    mine = "__mine() { __ran=$((__ran+1)); }; __ran=0\n"
    before = mine + PROMPT_COMMANDS[kind]
    with Shell("bash", world, before=before, twice=True) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        if kind != "array-empty-first":
            shell.run('PROMPT_COMMAND="${PROMPT_COMMAND}; true"')
        ran = int(shell.run("echo $__ran")[1])
        assert int(shell.run("echo $__ran")[1]) == ran + 1
        assert shell.run("declare -p PROMPT_COMMAND")[1].count("__llmenv_hook") == 1
        assert shell.run("(exit 5)")[0] == 5


@pytest.mark.parametrize("exported", [False, True])
def test_a_bash_that_has_no_hook_has_no_trouble(world: World, exported: bool) -> None:
    """A child without the rc file may get what is in PROMPT_COMMAND, but not what that needs."""
    before = "export PROMPT_COMMAND" if exported else ""
    with Shell("bash", world, before=before) as shell:
        wait_until(world.proved)
        kill(world.check())
        shell.count = 0
        shell.child.sendline(f"{PLAIN} bash --norc --noediting -i")
        assert shell.next_prompt()[1].partition("\n")[2].strip() == ""
        assert bool(shows(shell, "PROMPT_COMMAND")) == exported
        assert shell.run("(exit 3)") == (3, "")
        assert shell.run("set -u") == (0, "")
        assert shell.run("false") == (1, "")
    assert len(world.told("starts")) == 1


# The prompt of `Shell`, for one that reads no rc file.
PLAIN = "PS1='[$((__n=__n+1)):$?]@> ' __n=0"


LATER = {
    "string": ("", "PROMPT_COMMAND+=$'\\n''__seen=\"$?\"'", "3"),
    "array": (
        "PROMPT_COMMAND=(:)",
        "PROMPT_COMMAND+=('__seen=\"$? ${PIPESTATUS[*]}\"')",
        "3 1 0 3",
    ),
}


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("setting", ["", "trap 'echo ERR' ERR; set -E"])
def test_a_later_hook_sees_the_status(world: World, helper: Path, kind: str, setting: str) -> None:
    before, after, seen = LATER[kind]
    text = hook_text(world, "bash", helper=helper)
    with Shell("bash", world, hook=text, before=before + "\n" + setting, after=after) as shell:
        shell.run("echo")
        # The user's trap runs once, for the user's command, and not for ours.
        assert shell.run("false") == (1, "ERR" if setting else "")
        shell.run("false | true | (exit 3)")
        assert shell.run('echo "<$__seen>"')[1] == f"<{seen}>"


def test_a_failure_under_set_e_leaves_the_session(world: World, helper: Path) -> None:
    with Shell(
        "bash", world, hook=hook_text(world, "bash", helper=helper), after="set -e"
    ) as shell:
        shell.run("false && true")
        assert shell.run("echo alive")[1] == "alive"


def test_bash_preexec_finds_us_in_its_array(world: World) -> None:
    fake = "bash_preexec_imported=defined; precmd_functions=(); \n"
    drive = "PROMPT_COMMAND='for __f in \"${precmd_functions[@]}\"; do $__f; done'"
    with Shell("bash", world, before=fake + drive, twice=True) as shell:
        assert shell.run('echo "<${precmd_functions[*]}>"')[1] == "<__llmenv_hook>"
        wait_until(world.proved)


PREEXEC = """
bash_preexec_imported=defined
__bp_precmd() { local f; for f in "${precmd_functions[@]}"; do "$f"; done; }
__bp_own='__bp_precmd'
PROMPT_COMMAND="__bp_precmd${PROMPT_COMMAND:+$'\\n'$PROMPT_COMMAND}"
"""


@pytest.mark.parametrize(
    "change",
    [
        'PROMPT_COMMAND="$PROMPT_COMMAND; true"',
        'PROMPT_COMMAND="true;$PROMPT_COMMAND"',
        'PROMPT_COMMAND=(true "${PROMPT_COMMAND[@]}")',
        PREEXEC,
    ],
)
def test_others_may_change_what_we_registered(world: World, helper: Path, change: str) -> None:
    """And our line is read again afterwards: still one hook, and no error."""
    with Shell("bash", world, hook=hook_text(world, "bash", helper=helper), after=change) as shell:
        assert shell.run(f"source '{shell.hook}'") == (0, "")
        listed = shell.run('echo "${PROMPT_COMMAND[*]} ${precmd_functions[*]}"')[1]
        assert listed.count("__llmenv_hook") == 1
        wait_until(lambda: world.told("calls"))


def test_a_prompt_command_that_runs_itself_works_as_before(world: World, helper: Path) -> None:
    said = []
    for hook in ("", hook_text(world, "bash", helper=helper)):
        before = "PROMPT_COMMAND='true;${PROMPT_COMMAND}'"
        with Shell("bash", world, hook=hook, before=before) as shell:
            said.append([shell.run("echo alive"), shell.run("(exit 3)")])
    assert said[0] == said[1]
    wait_until(lambda: world.told("calls"))


_DECLARE = r"(declare|local|typeset) -\w*"


_SUBSTITUTED = r"\$\((?!\()[^()]*"


# What bash 3.2, macOS's, does not know: since when, an example, and how it is found.
NEWER = [
    ("4.0", "declare -A map", f"{_DECLARE}A"),
    ("4.0", "declare -l name", f"{_DECLARE}[luc]"),
    ("4.0", "{1..9..2}", r"\{\w+\.\.\w+\.\."),
    ("4.0", "$(case x in x) ;; esac)", rf"{_SUBSTITUTED}\bcase\b"),
    ("4.0", "$(: # it's)", rf"{_SUBSTITUTED}(^|\s)#.*['\"`]"),
    ("4.0", "${x,,}", r"\$\{\w+(\[[^]]*\])?[,^]"),
    ("4.0", "&>>", "&>>"),
    ("4.0", "|&", r"\|&"),
    ("4.0", ";;&", ";&"),
    ("4.0", "mapfile", "mapfile|readarray"),
    ("4.0", "coproc", "coproc"),
    ("4.0", "read -t 0.1", r"read [^;]*-t *\d*\."),
    ("4.0", "read -t 0", r"read [^;]*-t *0"),
    ("4.0", "read -i text", r"read [^;]*-[iN]\b"),
    ("4.0", "BASHPID", "BASHPID"),
    ("4.0", "globstar", "globstar|dirspell|autocd"),
    ("4.0", "compopt", "compopt"),
    ("4.0", "readonly -A map", r"readonly -\w*A"),
    ("4.0", "${x~}", r"\$\{\w+(\[[^]]*\])?~"),
    ("4.0", "{01..10}", r"\{(-?0\d+\.\.|-?\d+\.\.-?0\d)"),
    ("4.1", "exec {fd}>file", r"\{\w+\}[<>]"),
    ("4.1", "BASH_XTRACEFD", "BASH_XTRACEFD"),
    ("4.1", "printf -v 'a[1]'", r"printf -v \S*\["),
    ("4.1", "complete -D", r"complete -\w*[DE]"),
    ("4.2", "declare -g", f"{_DECLARE}g"),
    ("4.2", "[[ -v x ]]", r"\[ .*-v "),
    ("4.2", "test -v x", r"\btest .*-v "),
    ("4.2", "printf '%(%s)T'", r"%\("),
    ("4.2", "${x:0:-1}", r"\$\{\w+:[^}]*: *-"),
    ("4.2", "$'\\u20ac'", r"\\u[0-9a-f]"),
    ("4.2", "lastpipe", "lastpipe"),
    ("4.2", "FUNCNEST", "FUNCNEST"),
    ("4.3", "${a[-1]}", r"\[-\d"),
    ("4.3", "declare -n", f"{_DECLARE}n"),
    ("4.3", "[[ -R x ]]", r"\[ .*-R "),
    ("4.3", "wait -n", "wait -n"),
    ("4.4", "${x@Q}", r"@\w\}"),
    ("4.4", 'set -u; "${empty[@]}"', r"\$\{\w+\[[@*]\]\}"),
    ("4.4", "local -", r"local -(\s|$)"),
    ("4.4", "PS0", r"\bPS0"),
    ("4.4", "shopt -s inherit_errexit", "inherit_errexit"),
    ("5.0", "EPOCHSECONDS", "EPOCH|BASH_ARGV0"),
    ("5.1", "SRANDOM", "SRANDOM|wait -p"),
    ("5.1", "local -I x", f"{_DECLARE}I"),
    ("5.3", "${ command; }", r"\$\{[ |]"),
]


def test_the_shells_are_as_bash_3_2_where_that_is_asked(world: World) -> None:
    with Shell("bash", world, hook="") as shell:
        assert shows(shell, "BASH_COMPAT") == os.environ.get("BASH_COMPAT", "")


@pytest.mark.parametrize("proc", [True, False])
def test_bash_3_2_knows_all_that_the_hook_uses(world: World, proc: bool) -> None:
    text = hook_text(world, "bash", proc=proc, helper=world.root / "helper")
    text += (ROOT / "templates" / "static.bash").read_text()
    older, guarded = re.subn(
        r"if \(\(BASH_VERSINFO\[0\] \* 100 \+ BASH_VERSINFO\[1\] >= \d+\)\); then\n.*\n *else",
        "",
        text,
    )
    assert guarded == 1
    documented = (ROOT / "docs" / "prompt.md").read_text()
    for since, example, pattern in NEWER:
        assert re.search(pattern, example)
        assert f"| {since} | `{example.replace('|', chr(92) + '|')}` |" in documented
        found = re.search(pattern, older, re.MULTILINE)
        assert not found, f"bash {since}: {found}"
