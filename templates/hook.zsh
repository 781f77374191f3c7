{## Put this into ~/.zshrc:  eval "$(llmenv hook zsh)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes.
All of it is one quoted string for `emulate -c`: nothing less keeps the user's global aliases out,
and the functions it defines have zsh's own options whenever they run. ##}
\builtin \emulate \zsh \-o \no_aliases \-o \no_bg_nice \-o \no_xtrace \-c {% filter quote %}

if [[ -o interactive && -z ${LLMENV_DISABLE-} ]]; then
{% for name, value in exports %}
    builtin export {{ name }}={{ value }}
{% endfor %}
{% if services %}

    # At each prompt: conditions alone while all is well.
    # zsh itself keeps $?, $pipestatus and $_ around it.
    __llmenv_hook() {
        # Both ways round, since people set SECONDS to time something.
        (( ${SECONDS:-0} < __llmenv_due && ${SECONDS:-0} >= __llmenv_due - {{ interval }} )) &&
            [[ ! {{ config }} -nt {{ services[0].life }} ]] &&
{% for service in services %}
{% if proc %}
            # The daemon holds this file open: the link leads to its own descriptor.
            [[ {% for link, file in service.proofs %}{{ link }} -ef {{ file }}{% if not loop.last %} || {% endif %}{% endfor %} ]]{% else %}
            __llmenv_lives {{ service.pid }} {{ service.proofs[0][0] }} {{ service.life }}{% endif %}{% if loop.last %} ||{% else %} &&{% endif %}

{% endfor %}
            __llmenv_wake
    }
{% if not proc %}

    # Without /proc: is the pid in file $1 alive, or the service stopped on purpose ($2 is $3)?
    __llmenv_lives() {
        [[ $2 -ef $3 ]] && builtin return 0
        builtin local __llmenv_pid=""
        [[ -r $1 ]] && __llmenv_pid=$(<$1)
        [[ -n $__llmenv_pid && $__llmenv_pid != *[^0-9]* ]] && builtin kill -0 $__llmenv_pid 2>/dev/null
    }
{% endif %}

    # Something is not well, or it is time for the deep check: say what failed, start the helper.
    __llmenv_wake() {
        [[ -z ${LLMENV_DISABLE-} ]] || builtin return 0
        if [[ ! -x {{ python }} || ! -r {{ ensure }} ]]; then
            __llmenv_tell {{ gone }}
            builtin return 0
        fi
        builtin local __llmenv_file __llmenv_line=""
        for __llmenv_file in {{ config_fail }}{% for service in services %} {{ service.fail }}{% endfor %}; do
            if [[ -f $__llmenv_file && -r $__llmenv_file ]]; then
                IFS="" builtin read -r __llmenv_line <$__llmenv_file
                __llmenv_tell $__llmenv_line
            fi
        done
        [[ -n $__llmenv_line ]] || __llmenv_told=()
        # Without SECONDS there is no telling how long ago the last one was.
        if [[ -n ${SECONDS-} && $SECONDS -lt $__llmenv_next && $SECONDS -ge $__llmenv_next-2 ]]; then
            builtin return 0
        fi
        __llmenv_next=$(( ${SECONDS:-0} + 2 ))
        __llmenv_due=$(( ${SECONDS:-0} + {{ interval }} ))
        # In a substitution it is no job of this shell, and $! stays as it was. The trap, which with
        # posix_traps reaches it, is for the moment until it has left this terminal.
        __llmenv_line="$(
            builtin setopt posix_traps
            builtin trap "" HUP INT
            {{ python }} -I -S {{ ensure }} --hook {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &
        )"
    }

    # Print a message, if this shell has not said it before.
    __llmenv_tell() {
        if [[ -n $1 ]] && (( ! ${__llmenv_told[(Ie)$1]} )); then
            __llmenv_told+=("$1")
            builtin print -r -u 2 -- "llmenv: $1"
        fi
    }

    builtin typeset -gF __llmenv_due=0 __llmenv_next=0
    builtin typeset -ga __llmenv_told precmd_functions
    __llmenv_told=()
    precmd_functions=("${(@)precmd_functions:#__llmenv_hook}" __llmenv_hook)
{% endif %}
fi
{% endfilter %}

