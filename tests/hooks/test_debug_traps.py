"""The hook beside what follows the user's commands by a DEBUG trap: none of ours is taken for one.

`VSCODE` is what decides in the bash integration of VS Code, `shellIntegration-bash.sh`: its flag,
its trap, and what it does to PROMPT_COMMAND.
"""

from __future__ import annotations

import pytest
from daemons import World, wait_until
from shells import Shell, counted, fires_once_a_prompt, revives

VSCODE = """
__vsc_in_command_execution=1 __vsc_current_command=''
__vsc_precmd() {
    [[ -z $__vsc_current_command ]] || printf 'D;%s\\n' "$__vsc_status" >>~/told
    __vsc_current_command='' __vsc_in_command_execution=0
}
__vsc_preexec() {
    __vsc_current_command=$BASH_COMMAND
    [[ $BASH_COMMAND != __vsc_prompt* ]] || __vsc_current_command=''
    printf 'E;%s\\n' "$__vsc_current_command" >>~/told
}
__vsc_preexec_only() {
    [[ $__vsc_in_command_execution == 0 ]] || return 0
    __vsc_in_command_execution=1
    __vsc_preexec
}
trap '__vsc_preexec_only "$_"' DEBUG
__vsc_restore_exit_code() { return "$1"; }
__vsc_prompt_cmd_original() {
    __vsc_status=$?
    local cmd
    __vsc_restore_exit_code "$__vsc_status"
    for cmd in "${__vsc_original_prompt_command[@]}"; do eval "${cmd:-}"; done
    __vsc_precmd
}
__vsc_prompt_cmd() {
    __vsc_status=$?
    __vsc_precmd
}
__vsc_original_prompt_command=${PROMPT_COMMAND:-}
if [[ -n $__vsc_original_prompt_command ]]; then
    PROMPT_COMMAND=__vsc_prompt_cmd_original
else
    PROMPT_COMMAND=__vsc_prompt_cmd
fi
"""
# One that waits for the next command after its own line, which it puts last, and no longer.
READY = """
__told() { [[ -z $__ready ]] || printf 'E;%s\\n' "$BASH_COMMAND" >>~/told; __ready=''; }
trap __told DEBUG
"""
TRAPS = {
    "vscode": VSCODE,
    "line": READY + "PROMPT_COMMAND+=$'\\n__ready=on'",
    "element": READY + "PROMPT_COMMAND+=(__ready=on)",
}

OTHERS = {
    "none": "",
    "string": "PROMPT_COMMAND='__ran=$?'",
    "array": "PROMPT_COMMAND=('__ran=$?')",
    "two": "PROMPT_COMMAND=('__ran=$?' :)",
}


LINES = ["true", "sh -c 'exit 5'", "false"]


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize(
    ("kind", "order"),
    [(kind, order) for kind in TRAPS for order in ("before", "after")],
)
def test_no_command_of_ours_is_taken_for_the_users(
    world: World, kind: str, order: str, others: str
) -> None:
    """It stands before their last line, or in the list that theirs runs; no status gets lost.

    Where the trap was there before, it goes there at the first prompt.
    """
    rc = {"before": OTHERS[others], "after": ""}
    rc[order] += f"\n{TRAPS[kind]}"
    with Shell("bash", world, hook="", **rc) as shell:  # type: ignore[arg-type]
        without = told(world, shell, kind)
    with Shell("bash", world, hook=counted(world, "bash"), twice=True, **rc) as shell:  # type: ignore[arg-type]
        wait_until(world.proved)
        fires_once_a_prompt(shell)
        assert told(world, shell, kind) == without
        revives(shell, world)
        assert shell.run(f"source '{shell.hook}'") == (0, "")
        fires_once_a_prompt(shell)
        assert told(world, shell, kind) == without


def told(world: World, shell: Shell, kind: str) -> list[str]:
    """Return what is told of some lines, each with its status.

    For an empty line the others than VS Code tell what PROMPT_COMMAND begins with.
    """
    log = world.home / "told"
    shell.run()
    log.write_text("")
    for line in [*LINES, "", "true"] if kind == "vscode" else LINES:
        shell.run(line)
    return log.read_text().splitlines()
