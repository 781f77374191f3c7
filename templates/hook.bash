{## Put this into ~/.bashrc:  eval "$(llmenv hook bash)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes.
bash 3.2 is the oldest that reads this.  No comment comes before the first line of code: an eval
left unquoted joins all lines, and must then fail aloud, not turn into one silent comment. ##}
if [[ $- == *i* && -z ${LLMENV_DISABLE-} ]]; then
    # shellcheck disable=SC2034
    \builtin export{% for name, value in exports %} {{ name }}={{ value }}{% endfor %}

{% if services %}

    # What each prompt runs. It is text, and one condition, since to call a function takes bash
    # longer than these tests. The quotient is 0 for {{ interval }} s after the last start of the helper, and
    # before it too, for those who set SECONDS to time something. The link leads to the time of the
    # last look, by way of what the daemon holds open, and nowhere once it is dead. A child that has
    # only this, exported, is left alone.
    __llmenv_before="${__llmenv_prompt-}"
    # shellcheck disable=SC2016
    __llmenv_prompt={% filter quote %}[[ "(__llmenv_status=$?){% if proc %} | (${SECONDS:-0} - ${__llmenv_asked:-0}) / {{ interval }}" -eq 0 && {{ services[0].alive[0] }} -nt {{ config }}{% for service in services[1:] %} && -e {{ service.alive[0] }}{% endfor %}{% else %}" -lt 0{% endif %} ]] || { [[ -z ${__llmenv_asked-} ]] || __llmenv_hook "${__llmenv_status}" && :; }{% endfilter %}


    # All of the look{% if proc %}: also after a command that failed, and for a daemon that holds only
    # its log, or has this host's own files{% endif %}. The status, $1, is for what comes next.
    __llmenv_hook() {
        {%+ if not proc %}{ {% endif %}[[ $(((${SECONDS:-0} - __llmenv_asked) / {{ interval }})) -eq 0 && {{ services[0].life }} -nt {{ config }}{% if not proc %} ]]{% endif %}{% for service in services %}{% if proc %} &&
            ({% for link in service.alive %}-e {{ link }} || {% endfor %}{% for link, log in service.outputs %}{{ link }} -ef {{ log }}{% if not loop.last %} || {% endif %}{% endfor %}){% else %} &&
            __llmenv_lives {{ service.pid }} {{ service.alive[0] }} {{ service.life }}{% endif %}{% endfor %}{% if proc %} ]]{% else %}; }{% endif %} || __llmenv_wake
        \builtin return "${1-0}"
    }
{% if not proc %}

    # Without /proc: is the pid in file $1 alive, or the service stopped on purpose ($2 is $3)?
    __llmenv_lives() {
        [[ $2 -ef $3 ]] && \builtin return 0
        \builtin local __llmenv_pid=''
        [[ -r $1 ]] && { IFS='' \builtin read -r __llmenv_pid <"$1"; } 2>/dev/null
        [[ -n ${__llmenv_pid} && ${__llmenv_pid} != *[!0-9]* ]] &&
            \builtin kill -0 "${__llmenv_pid}" 2>/dev/null
    }
{% endif %}

    # Something is not well, or it is time for the deep check: say what failed, start the helper.
    __llmenv_wake() {
        [[ -z ${LLMENV_DISABLE-} ]] || \builtin return 0
        \builtin local __llmenv_file __llmenv_line='' __llmenv_say=''
        # Under `set -x` this says no more than its first and last lines.
        {
            if [[ ! -x {{ python }} || ! -r {{ ensure }} ]]; then
                __llmenv_tell {{ gone }}
            else
                for __llmenv_file in {{ config_fail }}{% for service in services %} {{ service.fail }}{% endfor %}; do
                    if [[ -f ${__llmenv_file} && -r ${__llmenv_file} ]]; then
                        IFS='' \builtin read -r __llmenv_line <"${__llmenv_file}" || \builtin :
                        __llmenv_tell "${__llmenv_line//[[:cntrl:]]/?}"
                    fi
                done
                [[ -n ${__llmenv_line} ]] || __llmenv_told=''
                # One in two seconds. Without SECONDS there is no telling how long ago the last was.
                if [[ -z ${SECONDS-} || $(((SECONDS - __llmenv_asked) / 2)) -ne 0 ]]; then
                    __llmenv_asked=${SECONDS:-0}
                    # In a substitution it is no job of this shell, and `$!` stays as it was. The
                    # trap is for the moment until it has left this terminal.
                    __llmenv_line="$(
                        \builtin trap '' HUP INT
                        {{ python }} -I -S -c {{ run }} {{ ensure }} --hook {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &
                    )" || \builtin :
                fi
            fi
        } 2>/dev/null
        [[ -z ${__llmenv_say} ]] || \builtin printf '%s' "${__llmenv_say}" >&2 || \builtin :
    }

    # Have a message printed, if this shell has not said it before.
    __llmenv_tell() {
        if [[ -n $1 && ${__llmenv_told} != *"<$1>"* ]]; then
            __llmenv_told+="<$1>"
            __llmenv_say+="llmenv: $1"$'\n'
        fi
    }

    __llmenv_asked=-{{ interval }} __llmenv_told=''

    # Last, as a line or an element of its own, so that what others have there stays as it is.
    # `&& :` hands its status on to the next line, and keeps it from `set -e` and an ERR trap.
    __llmenv_install() {
        \builtin local __llmenv_all __llmenv_line=$'\n' __llmenv_flags
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
            __llmenv_flags="${PROMPT_COMMAND[*]@a}"
        else
            __llmenv_flags="$(\builtin declare -p PROMPT_COMMAND 2>/dev/null)" || \builtin :
            __llmenv_flags="${__llmenv_flags#declare -}"
            __llmenv_flags="${__llmenv_flags%%[ =]*}"
            # Of an array this bash runs the first element alone, which is what its name means.
            __llmenv_flags="${__llmenv_flags//a/}"
        fi
        # starship keeps the PROMPT_COMMAND that it found in a variable of its own.
        \builtin printf -v __llmenv_all ' %s ' "${PROMPT_COMMAND[@]-}" "${precmd_functions[@]-}" "${STARSHIP_PROMPT_COMMAND-}"
        if [[ ${__llmenv_all} == *[[:space:]\;]__llmenv_hook[[:space:]\;]* ]]; then
            # Read again, and maybe with other services: each place where it was has the new text.
            for __llmenv_line in "${!PROMPT_COMMAND[@]}"; do
                __llmenv_all="${PROMPT_COMMAND[__llmenv_line]}"
                if [[ -n ${__llmenv_before} && ${__llmenv_all} == *"${__llmenv_before}"* ]]; then
                    __llmenv_all="${__llmenv_all%%"${__llmenv_before}"*}${__llmenv_prompt}${__llmenv_all#*"${__llmenv_before}"}"
                    if [[ ${__llmenv_line} == 0 ]]; then
                        # shellcheck disable=SC2178
                        PROMPT_COMMAND="${__llmenv_all}"
                    else
                        PROMPT_COMMAND[__llmenv_line]="${__llmenv_all}"
                    fi
                fi
            done
        elif [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
            precmd_functions+=(__llmenv_hook)
        elif [[ ${__llmenv_flags} == *r* ]]; then
            \builtin printf 'llmenv: no hook in this shell: PROMPT_COMMAND is readonly\n' >&2
        elif [[ ${__llmenv_flags} == *a* ]]; then
            PROMPT_COMMAND+=("${__llmenv_prompt}")
        else
            # shellcheck disable=SC2128,SC2178
            PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND}${__llmenv_line}}${__llmenv_prompt}"
        fi
    }
    __llmenv_install
    \builtin unset -f __llmenv_install
{% endif %}
fi
