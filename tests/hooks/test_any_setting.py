"""The matrix: the hook works under any option that a shell has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import (
    World,
    add,
    wait_until,
)
from shells import (
    AT_ONCE,
    DUE,
    Shell,
    held,
    hook_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def known(*names: str) -> str:
    """Define in fish *names*, which its own functions may call too: bad for ours alone."""
    ours = 'string match -q "in function \'__llmenv*" -- (status stack-trace); and echo bad'
    return " ".join(f"function {name}; {ours}; builtin {name} $argv; end;" for name in names)


SETTINGS = {
    "bash": [
        "set -u",
        "set -e",
        "set -eu",
        "set -f",
        "set -C",
        "set -E; trap 'echo ERR' ERR",
        "set -o posix",
        "shopt -s nullglob failglob extglob",
        "IFS=0123456789/",
        "set -b",
        "set +m",
        "set -o functrace; trap ': debug' DEBUG",
        "readonly rc=1 pid=1 file=1 line=1 IFS_=1",
        "alias read=false local=false return=false printf=false builtin=false export=false",
        "read() { echo bad; }; printf() { echo bad; }; kill() { echo bad; }; test() { echo bad; }",
        "SECONDS=999999",
        "unset SECONDS",
        "export BASH_COMPAT=3.2",
        "set -a; set -T; shopt -s extdebug",
        "shopt -s localvar_inherit nocasematch nocaseglob dotglob",
        "shopt -u sourcepath; set -o ignoreeof",
        "alias kill=false test=false trap=false unset=false :=false",
        "local() { echo bad; }; return() { echo bad; }; trap() { echo bad; }",
        "readonly REPLY=1 __rc=1 status=1 flags=1 state=1 config=1 python=1",
        "trap 'echo BYE >&2' EXIT",
        "trap 'echo BYE >&2' EXIT; set -ET; trap 'echo ERR >&2' ERR",
        "set -o vi",
        "readonly IFS",
    ],
    "zsh": [
        "setopt nounset",
        "setopt ksh_arrays",
        "setopt sh_word_split",
        "setopt warn_create_global",
        "setopt noclobber",
        "setopt err_return",
        "setopt glob_subst",
        "setopt null_glob",
        "setopt posix_builtins",
        "setopt warn_nested_var",
        "setopt no_aliases",
        "setopt auto_name_dirs",
        "setopt err_exit",
        "setopt no_monitor no_notify",
        "setopt posix_identifiers no_multibyte",
        "setopt csh_null_glob extended_glob rc_quotes interactive_comments",
        "IFS=0123456789/",
        "alias read=false local=false return=false builtin=false export=false print=false",
        "alias -g p=q -- -r=-x -ef=-nt -o=bad 0=1 2=1 then=bad zsh=bad emulate=bad '[['=bad",
        "alias -g test=bad kill=bad trap=bad printf=bad",
        "SECONDS=999999",
        "unset SECONDS",
        "setopt no_unset; unset SECONDS",
        "emulate ksh; setopt prompt_subst",
        "setopt ignore_braces",
        "setopt print_exit_value",
        "setopt octal_zeroes c_bases",
        "setopt no_function_argzero debug_before_cmd; trap ': zerr' ZERR; trap ': debug' DEBUG",
        "typeset -F SECONDS",
        "read() { echo bad }; print() { echo bad }; kill() { echo bad }",
        "test() { echo bad }; trap() { echo bad }; setopt() { echo bad }; printf() { echo bad }",
        "alias kill=false test=false trap=false typeset=false setopt=false printf=false",
        "readonly REPLY=1 rc=1 pid=1 file=1 line=1 now=1 python=1 config=1",
        "setopt posix_traps; trap 'echo BYE >&2' EXIT",
        "trap 'echo BYE >&2' EXIT; TRAPZERR() { echo ERR >&2 }",
        "bindkey -v; RPROMPT='right %?'",
        "set -f",
        "local() { echo bad }; return() { echo bad }",
        "readonly IFS",
    ],
    "fish": [
        "set -g IFS 0123456789/",
        "function kill; echo bad; end; function path; echo bad; end",
        known("printf", "contains", "math"),
        "function sh; echo bad; end",
        "function type; echo bad; end; function cat; echo bad; end; function date; echo bad; end",
        "set -g fish_private_mode 1",
        "set -g __llmenv_line 1; set -g __llmenv_file 2; set -g __llmenv_now 3",
        "trap 'echo BYE >&2' EXIT",
    ],
}


CASES = [
    (name, when, setting)
    for name, settings in SETTINGS.items()
    for setting in settings
    for when in ("before", "after")
]


# Before it, the hook would have no place; see `test_a_place_that_is_readonly_is_told`.
CASES += [
    ("bash", "after", "readonly PROMPT_COMMAND"),
    ("zsh", "after", "readonly precmd_functions"),
]


@pytest.mark.parametrize(
    ("name", "when", "setting"), CASES, ids=[f"{n}-{w}-{s[:30]}" for n, w, s in CASES]
)
def test_it_works_under_any_setting(
    world: World, helper: Path, name: str, when: str, setting: str
) -> None:
    """Both paths work, neither says a word."""
    add(world, "other")  # fish looks at the second service by another builtin
    text = hook_text(world, name, helper=helper)
    with Shell(name, world, hook=text, **{when: setting}) as shell:  # type: ignore[arg-type]
        assert shell.startup.strip() == ""
        wait_until(lambda: len(world.told("calls")) == 1)
        with held(world), held(world, "other"):
            assert shell.run(AT_ONCE[name]) == (0, "")
            assert shell.run("echo still")[1] == "still"
            assert shell.run() == (0, "")
            assert len(world.told("calls")) == 1
        assert shell.run(DUE.get(name, "")) == (0, "")
        wait_until(lambda: len(world.told("calls")) == 2)
        # A `read` that splits by IFS drops what ends a line, if that is its only delimiter.
        world.path("fail").write_text("stub: reason /\nv1 data .\n")
        assert shell.run(DUE.get(name, ""))[1].splitlines() == ["llmenv: stub: reason /"]
        assert shell.run(DUE.get(name, "")) == (0, "")
