{## Put this into ~/.bashrc:  eval "$(llmenv hook bash)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes;
{{ code | safe }} is inserted as it is.  bash 3.2 is the oldest that reads this.  No comment comes
before the first line of code: an eval left unquoted joins all lines, and must then fail aloud, not
turn into one silent comment. ##}
{## The quotient is 0 for so many seconds after the last start of the helper, and for as many before
it: SECONDS can be set back, and then it is time to ask again. ##}
{% macro since(seconds) %}(${SECONDS:-0} - ${__llmenv_asked:-0}) / {{ seconds }}{% endmacro %}
if [[ $- == *i* && -z ${LLMENV_DISABLE-} ]]; then
    # shellcheck disable=SC2034
    \builtin export
{%- for name, value in exports %} {{ name }}={{ value }}{% endfor %}

{% if services %}

    # What each prompt runs. It is text, since to call a function takes bash longer than these tests.
{% if proc %}
    # The sum keeps $? for the look. It is 0 if the last command succeeded and the helper was started
    # less than {{ interval }} s ago. The first link leads to the time of the last look, by way of what the daemon
    # holds open, and nowhere once the daemon is dead.
{% endif %}
    # A child shell may inherit PROMPT_COMMAND without our functions: then this does nothing.
    __llmenv_before="${__llmenv_prompt-}"
    # shellcheck disable=SC2016
    __llmenv_prompt={% filter quote %}
{% if proc %}
[[ "(__llmenv_status=$?) | {{ since(interval) | safe }}" -eq 0 &&
    {{ services[0].alive[0] }} -nt {{ config }}
{%- for service in services[1:] %} &&
    -e {{ service.alive[0] }}
{%- endfor %} ]] || {
{% else %}
[[ "(__llmenv_status=$?)" -lt 0 ]] || {
{% endif %}
    [[ -z ${__llmenv_asked-} ]] || __llmenv_hook "${__llmenv_status}" && :
}
{%- endfilter %}


{% if proc %}
    # All of the look: also after a command that failed, and for a daemon that holds only its log, or
    # has this host's own files. The status, $1, is for what comes next.
    __llmenv_hook() {
        [[ $(({{ since(interval) | safe }})) -eq 0 &&
            {{ services[0].life }} -nt {{ config }}
{%- for service in services %} &&
            (
{%- for link in service.alive -%}
-e {{ link }} ||
            {%+ endfor %}
{%- for link, log in service.outputs -%}
{{ link }} -ef {{ log }}{% if not loop.last %} ||
            {%+ endif %}
{%- endfor %})
{%- endfor %} ]] || __llmenv_wake
        \builtin return "${1-0}"
    }
{% else %}
    # All of the look. The status, $1, is for what comes next.
    __llmenv_hook() {
        {
            [[ $(({{ since(interval) | safe }})) -eq 0 && {{ services[0].life }} -nt {{ config }} ]]
{%- for service in services %} &&
                __llmenv_lives {{ service.pid }} {{ service.alive[0] }} {{ service.life }}
{%- endfor %}

        } || __llmenv_wake
        \builtin return "${1-0}"
    }

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
        \builtin local __llmenv_file __llmenv_message='' __llmenv_say=''
        \builtin local __llmenv_python='' __llmenv_helper='' __llmenv_ignored
        # Under `set -x` this says no more than its first and last lines.
        {
            # An interpreter and the file that it runs may go while this shell is open.
            for __llmenv_file in{% for file in pythons %} {{ file }}{% endfor %}; do
                [[ -n ${__llmenv_python} || ! -x ${__llmenv_file} ]] || __llmenv_python="${__llmenv_file}"
            done
            for __llmenv_file in{% for file in helpers %} {{ file }}{% endfor %}; do
                [[ -n ${__llmenv_helper} || ! -r ${__llmenv_file} ]] || __llmenv_helper="${__llmenv_file}"
            done
            if [[ -z ${__llmenv_python} || -z ${__llmenv_helper} ]]; then
                __llmenv_tell {{ gone }}
            else
                for __llmenv_file in{% for file in notes %} {{ file }}{% endfor %}; do
                    if [[ -f ${__llmenv_file} && -r ${__llmenv_file} && -O ${__llmenv_file} ]]; then
                        IFS='' \builtin read -r __llmenv_message <"${__llmenv_file}" || \builtin :
                        __llmenv_tell "${__llmenv_message//[[:cntrl:]]/?}"
                    fi
                done
                [[ -n ${__llmenv_message} ]] || __llmenv_told=''
                # One in two seconds. Without SECONDS there is no telling how long ago the last was.
                if [[ -z ${SECONDS-} || $(({{ since("2") | safe }})) -ne 0 ]]; then
                    __llmenv_asked=${SECONDS:-0}
                    [[ -z ${LLMENV_DEBUG-} ]] ||
                        __llmenv_say+="llmenv: asks ${__llmenv_helper}, which tells "{{ trace }}$'\n'
                    # In a substitution it is no job of this shell, and `$!` stays as it was. The
                    # trap is for the moment until it has left this terminal.
                    # shellcheck disable=SC2034
                    __llmenv_ignored="$(
                        \builtin trap '' HUP INT
                        "${__llmenv_python}" -I -S -c "${__llmenv_run}" "${__llmenv_helper}" \
                            --hook {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &
                    )" || \builtin :
                fi
            fi
        } 2>/dev/null
        [[ -z ${__llmenv_say} ]] || \builtin printf '%s' "${__llmenv_say}" >&2 || \builtin :
    }

    # How Python runs the helper. Nobody sees that process, so what goes wrong in it is written down.
    __llmenv_run={{ run }}

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
        \builtin local __llmenv_registered __llmenv_flags __llmenv_newline=$'\n'
        \builtin local __llmenv_index __llmenv_entry __llmenv_head __llmenv_tail
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
            __llmenv_flags="${PROMPT_COMMAND[*]@a}"
        else
            __llmenv_flags="$(\builtin declare -p PROMPT_COMMAND 2>/dev/null)" || \builtin :
            __llmenv_flags="${__llmenv_flags#declare -}"
            __llmenv_flags="${__llmenv_flags%%[ =]*}"
            # This bash runs element 0 only, which is what the array's name means.
            __llmenv_flags="${__llmenv_flags//a/}"
        fi
        # starship keeps the PROMPT_COMMAND that it found in a variable of its own.
        \builtin printf -v __llmenv_registered ' %s ' \
            "${PROMPT_COMMAND[@]-}" "${precmd_functions[@]-}" "${STARSHIP_PROMPT_COMMAND-}"
        if [[ ${__llmenv_registered} == *[[:space:]\;]__llmenv_hook[[:space:]\;]* ]]; then
            # Read again, and maybe with other services: each place where it was has the new text.
            for __llmenv_index in "${!PROMPT_COMMAND[@]}"; do
                __llmenv_entry="${PROMPT_COMMAND[__llmenv_index]}"
                if [[ -n ${__llmenv_before} && ${__llmenv_entry} == *"${__llmenv_before}"* ]]; then
                    __llmenv_head="${__llmenv_entry%%"${__llmenv_before}"*}"
                    __llmenv_tail="${__llmenv_entry#*"${__llmenv_before}"}"
                    __llmenv_entry="${__llmenv_head}${__llmenv_prompt}${__llmenv_tail}"
                    if [[ ${__llmenv_index} == 0 ]]; then
                        # shellcheck disable=SC2178
                        PROMPT_COMMAND="${__llmenv_entry}"
                    else
                        PROMPT_COMMAND[__llmenv_index]="${__llmenv_entry}"
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
            PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND}${__llmenv_newline}}${__llmenv_prompt}"
        fi
    }
    __llmenv_install
    \builtin unset -f __llmenv_install
{% endif %}
fi
