{## Put this into ~/.bashrc:  eval "$(llmenv hook bash)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes.
bash 3.2 is the oldest that reads this.  No comment comes before the first line of code: an eval
left unquoted joins all lines, and must then fail aloud, not turn into one silent comment. ##}
if [[ $- == *i* && -z ${LLMENV_DISABLE-} ]]; then
{% for name, value in exports %}
    \export {{ name }}={{ value }}
{% endfor %}
{% if services %}

    # At each prompt: builtin tests alone while all is well.
    __llmenv_hook() {
        \builtin local __llmenv_rc="$?"
        {
            # Both ways round, since people set SECONDS to time something.
            [[ ${SECONDS:-0} -lt ${__llmenv_due} && ${SECONDS:-0} -ge ${__llmenv_due}-{{ interval }} ]] &&
                [[ ! {{ config }} -nt {{ services[0].life }} ]] &&
{% for service in services %}
{% if proc %}
                # The daemon holds this file open: the link leads to its own descriptor.
                [[ {% for link, file in service.proofs %}{{ link }} -ef {{ file }}{% if not loop.last %} || {% endif %}{% endfor %} ]]{% else %}
                __llmenv_lives {{ service.pid }} {{ service.proofs[0][0] }} {{ service.life }}{% endif %}{% if not loop.last %} &&{% endif %}

{% endfor %}
        } || __llmenv_wake
        # A failing prompt command would end a shell that runs under `set -e`.
        [[ $- == *e* ]] || \builtin return "${__llmenv_rc}"
    }
{% if not proc %}

    # Without /proc: is the pid in file $1 alive, or the service stopped on purpose ($2 is $3)?
    __llmenv_lives() {
        [[ $2 -ef $3 ]] && \builtin return 0
        \builtin local __llmenv_pid=''
        [[ -r $1 ]] && IFS='' \builtin read -r __llmenv_pid <"$1"
        [[ -n ${__llmenv_pid} && ${__llmenv_pid} != *[!0-9]* ]] &&
            \builtin kill -0 "${__llmenv_pid}" 2>/dev/null
    }
{% endif %}

    # Something is not well, or it is time for the deep check: say what failed, start the helper.
    __llmenv_wake() {
        if [[ -n ${LLMENV_DISABLE-} ]]; then
            \builtin return 0
        fi
        if [[ ! -x {{ python }} || ! -r {{ ensure }} ]]; then
            __llmenv_tell {{ gone }}
            \builtin return 0
        fi
        \builtin local __llmenv_file __llmenv_line __llmenv_any=''
        for __llmenv_file in {{ config_fail }}{% for service in services %} {{ service.fail }}{% endfor %}; do
            if [[ -f ${__llmenv_file} ]]; then
                __llmenv_any=yes
                __llmenv_line=''
                { IFS='' \builtin read -r __llmenv_line <"${__llmenv_file}"; } 2>/dev/null || \builtin :
                __llmenv_tell "${__llmenv_line}"
            fi
        done
        [[ -n ${__llmenv_any} ]] || __llmenv_told=''
        if [[ ${SECONDS:-0} -lt ${__llmenv_next} && ${SECONDS:-0} -ge ${__llmenv_next}-2 ]]; then
            \builtin return 0
        fi
        __llmenv_next=$((${SECONDS:-0} + 2))
        __llmenv_due=$((${SECONDS:-0} + {{ interval }}))
        # In a command substitution the helper is no job of this shell, and `$!` stays as it was.
        __llmenv_line="$({{ python }} -I -S {{ ensure }} --hook {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &)" || \builtin :
    }

    # Say each thing once.
    __llmenv_tell() {
        if [[ -n $1 && ${__llmenv_told} != *"<$1>"* ]]; then
            __llmenv_told+="<$1>"
            \builtin printf 'llmenv: %s\n' "$1" >&2 || \builtin :
        fi
    }

    __llmenv_due=0 __llmenv_next=0 __llmenv_told=''

    # Last, as a line or an element of its own: what others have there stays as it is.
    __llmenv_install() {
        \builtin local IFS=$' \t\n'
        if [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
            [[ " ${precmd_functions[*]-} " == *' __llmenv_hook '* ]] || precmd_functions+=(__llmenv_hook)
        elif [[ $'\n'" ${PROMPT_COMMAND[*]-} "$'\n' == *[[:space:]]__llmenv_hook[[:space:]]* ]]; then
            \builtin return 0
        elif [[ "$(\builtin declare -p PROMPT_COMMAND 2>/dev/null)" == 'declare -a'* ]]; then
            PROMPT_COMMAND+=(__llmenv_hook)
        else
            # shellcheck disable=SC2128,SC2178 # a string here
            PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND}"$'\n'"}__llmenv_hook"
        fi
    }
    __llmenv_install
    \builtin unset -f __llmenv_install
{% endif %}
fi
