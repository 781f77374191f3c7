{## Put this into ~/.bashrc:  eval "$(llmenv hook bash)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes;
{{ code | safe }} is inserted as it is.  bash 3.2 is the oldest that reads this.  No comment comes
before the first line of code: an eval left unquoted joins all lines, and must then fail aloud, not
turn into one silent comment. ##}
{## The quotient is 0 for so many seconds after the last start of the helper, and for as many before
it: SECONDS can be set back, and then it is time to ask again. ##}
{% macro since(seconds) %}(${SECONDS:-0} - ${__llmenv_asked:-0}) / {{ seconds }}{% endmacro %}
if [[ $- == *i* && -z ${LLMENV_DISABLE-} ]]; then
{% if exports %}
    # shellcheck disable=SC2034
    \builtin export
{%- for name, value in exports %} {{ name }}={{ value }}{% endfor %}


{% endif %}
    # What each prompt runs. It is text, since to call a function takes bash longer than these tests.
{% if services and proc %}
    # The sum keeps $? for the look. It is 0 if the last command succeeded and the helper was started
    # less than {{ interval }} s ago. The first link leads to the time of the last look, by way of what the daemon
    # holds open, and nowhere once the daemon is dead, or this hook is no longer the right one.
{% endif %}
    # A child shell may inherit PROMPT_COMMAND without our functions: then this does nothing.
    __llmenv_before="${__llmenv_prompt-}"
    # shellcheck disable=SC2016
    __llmenv_prompt={% filter quote %}
{% if services and proc %}
[[ "(__llmenv_status=$?) | {{ since(interval) | safe }}" -eq 0 &&
    ${LLMENV_CONFIG-} == "${__llmenv_config-}" &&
    {{ alive }} -nt {{ config }}
{%- for service in services[1:] %} &&
    -e {{ service.alive[0] }}
{%- endfor %} ]] || {
{% else %}
[[ "(__llmenv_status=$?)" -lt 0 ]] || {
{% endif %}
    [[ -z ${__llmenv_asked-} ]] ||
        ${__llmenv_first+"${__llmenv_first}"} ${__llmenv_first+"$(\builtin trap -p DEBUG)"} \
            __llmenv_hook "${__llmenv_status}" && :
}
{%- endfilter %}


{% if not services %}
    # Nothing is to be kept alive here, but the config may change. The status, $1, is for what comes
    # next.
    __llmenv_hook() {
        # A restricted bash has an error for each program that has a path, and for `2>/dev/null`.
        [[ $- != *r* ]] || \builtin return "${1-0}"
        [[ ${LLMENV_CONFIG-} == "${__llmenv_config}" && -e {{ config }} && {{ here }} -nt {{ config }} ]] ||
            __llmenv_wake
        \builtin return "${1-0}"
    }
{% elif proc %}
    # All of the look: also after a command that failed, and for a daemon that holds only its log, or
    # has this host's own files. The status, $1, is for what comes next.
    __llmenv_hook() {
        # A restricted bash has an error for each program that has a path, and for `2>/dev/null`.
        [[ $- != *r* ]] || \builtin return "${1-0}"
        [[ $(({{ since(interval) | safe }})) -eq 0 &&
            ${LLMENV_CONFIG-} == "${__llmenv_config}" &&
            {{ life }} -nt {{ config }}
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
        # A restricted bash has an error for each program that has a path, and for `2>/dev/null`.
        [[ $- != *r* ]] || \builtin return "${1-0}"
        {
            [[ $(({{ since(interval) | safe }})) -eq 0 &&
                ${LLMENV_CONFIG-} == "${__llmenv_config}" &&
                {{ life }} -nt {{ config }} ]]
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
        \builtin local __llmenv_file __llmenv_message='' __llmenv_say='' __llmenv_python='' __llmenv_helper='' \
            __llmenv_wanted="${LLMENV_CONFIG-}" __llmenv_edition=- __llmenv_newer __llmenv_before_it __llmenv_ignored
        # Under `set -x` this says no more than its first and last lines.
        {
            [[ -n ${__llmenv_wanted} ]] || __llmenv_wanted={{ default }}
            __llmenv_newer={{ newer }}"${__llmenv_wanted//\//%}"
            if [[ ${__llmenv_wanted} == {{ config }} ]]; then
                __llmenv_config="${LLMENV_CONFIG-}"
                __llmenv_edition={{ edition }}
            fi
            if __llmenv_is_newer; then
{% if exports %}
                \builtin unset -v{% for name, value in exports %} {{ name }}{% endfor %}

{% endif %}
                __llmenv_before_it="${__llmenv_told}"
                # shellcheck source=/dev/null
                \builtin . "${__llmenv_newer}"
                __llmenv_told="${__llmenv_before_it}" # the next prompt goes on
                \builtin return 0
            fi
{% if not services %}
            # On a host that runs none, and where the config did not change, there is nothing to do.
            [[ ${__llmenv_edition} == - || -n ${__llmenv_linked} && ! {{ here }} -nt {{ config }} ]] ||
                \builtin return 0
{% endif %}
            # An interpreter and the file that it runs may go while this shell is open.
            for __llmenv_file in{% for file in pythons %} {{ file }}{% endfor %}; do
                [[ -n ${__llmenv_python} || ! -x ${__llmenv_file} ]] || __llmenv_python="${__llmenv_file}"
            done
            for __llmenv_file in{% for file in helpers %} {{ file }}{% endfor %}; do
                [[ -n ${__llmenv_helper} || ! -r ${__llmenv_file} ]] || __llmenv_helper="${__llmenv_file}"
            done
            if [[ -z ${__llmenv_python} || -z ${__llmenv_helper} ]]; then
                [[ -e {{ uninstalled }} ]] || __llmenv_tell {{ gone }}
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
                            --hook {{ state }} "${__llmenv_wanted}" {{ default }} \
                            bash "${__llmenv_newer}" "${__llmenv_edition}" {{ python }} \
                            </dev/null >/dev/null 2>&1 &
                    )" || \builtin :
                fi
            fi
        } 2>/dev/null
        [[ -z ${__llmenv_say} ]] || \builtin printf '%s' "${__llmenv_say}" >&2 || \builtin :
    }

    # Has the helper had a hook rendered since this one was, for the config that is wanted? Not before
    # it has been asked, or the file may be from before. What the state directory holds is looked for.
    __llmenv_is_newer() {
        \builtin local __llmenv_line=''
        [[ ${__llmenv_asked} != -{{ interval }} || ${__llmenv_edition} == - ]] &&
            [[ -f ${__llmenv_newer} && -O ${__llmenv_newer} && -r ${__llmenv_newer} ]] &&
            [[ ! ${__llmenv_wanted} -nt ${__llmenv_newer} ]] &&
            [[ ${__llmenv_edition} == - || ! -e {{ here }} ]] || \builtin return 1
        IFS='' \builtin read -r __llmenv_line <"${__llmenv_newer}" || \builtin return 1
        __llmenv_line="${__llmenv_line#'# llmenv '}"
        [[ ${__llmenv_line} == edition-* && ${__llmenv_line} != "${__llmenv_edition}" ]] &&
            [[ -e {{ state }}/${__llmenv_line} ]]
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

    __llmenv_asked=-{{ interval }} __llmenv_told='' __llmenv_config=/
{% if not services %}
    __llmenv_linked=''
    [[ ! -e {{ here }} ]] || __llmenv_linked=yes
{% endif %}

    # Last, as a line of its own, so that what others have there stays as it is. `&& :` hands its
    # status on to the next line, and keeps it from `set -e` and an ERR trap. In an array it is the
    # last line of element 0: that one alone is what VS Code and starship take to where their DEBUG
    # traps do not see it, and what they leave behind they report as the user's.
    __llmenv_install() {
        \builtin local __llmenv_registered __llmenv_flags __llmenv_newline=$'\n'
        \builtin local __llmenv_index
        if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
            __llmenv_flags="${PROMPT_COMMAND[*]@a}"
        else
            __llmenv_flags="$(\builtin declare -p PROMPT_COMMAND 2>/dev/null)" || \builtin :
            __llmenv_flags="${__llmenv_flags#declare -}"
            __llmenv_flags="${__llmenv_flags%%[ =]*}"
        fi
        # Both keep the PROMPT_COMMAND that they found in a variable of their own.
        \builtin printf -v __llmenv_registered ' %s ' \
            "${PROMPT_COMMAND[@]-}" "${precmd_functions[@]-}" \
            "${STARSHIP_PROMPT_COMMAND-}" "${__vsc_original_prompt_command-}"
        if [[ ${__llmenv_registered} == *[[:space:]\;]__llmenv_hook[[:space:]\;]* ]]; then
            # Read again, and maybe with other services: each place where it was has the new text.
            for __llmenv_index in "${!PROMPT_COMMAND[@]}"; do
                # Element 0 is meant by the name alone, which leaves a string one.
                __llmenv_index="[${__llmenv_index}]"
                __llmenv_replace "PROMPT_COMMAND${__llmenv_index#'[0]'}"
            done
            __llmenv_replace STARSHIP_PROMPT_COMMAND
            __llmenv_replace __vsc_original_prompt_command
        elif [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
            precmd_functions+=(__llmenv_hook)
        elif [[ ${__llmenv_flags} == *r* ]]; then
            \builtin printf 'llmenv: no hook in this shell: PROMPT_COMMAND is readonly\n' >&2
        elif [[ ${PROMPT_COMMAND-} == __vsc_prompt_cmd ]]; then
            # shellcheck disable=SC2034
            __vsc_original_prompt_command="${__llmenv_prompt}"
            # shellcheck disable=SC2178
            PROMPT_COMMAND=__vsc_prompt_cmd_original
        elif [[ ${PROMPT_COMMAND-} == __vsc_prompt_cmd_original ]]; then
            __vsc_original_prompt_command+="${__llmenv_newline}${__llmenv_prompt}"
        else
            # shellcheck disable=SC2128,SC2178
            PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND}${__llmenv_newline}}${__llmenv_prompt}"
            __llmenv_first=__llmenv_go_first
        fi
    }

    # Run once, by the first prompt, before the function $2. A tool that has a DEBUG trap, $1, may take
    # the first command after its own line for the user's: then our text goes before all lines. In a
    # function or a file that is sourced no trap is to be seen.
    __llmenv_go_first() {
        \builtin unset -v __llmenv_first
        \builtin local __llmenv_ours=$'\n'"${__llmenv_prompt}" __llmenv_flags __llmenv_theirs
        if [[ -n $1 && ${PROMPT_COMMAND-} == *"${__llmenv_ours}"* ]]; then
            __llmenv_flags="$(\builtin declare -p PROMPT_COMMAND)" || \builtin :
            __llmenv_flags="${__llmenv_flags#declare}"
            __llmenv_theirs="${PROMPT_COMMAND%%"${__llmenv_ours}"*}${PROMPT_COMMAND#*"${__llmenv_ours}"}"
            # shellcheck disable=SC2178
            [[ ${__llmenv_flags%% PROMPT_COMMAND*} == *r* ]] ||
                PROMPT_COMMAND="${__llmenv_prompt}"$'\n'"${__llmenv_theirs}"
        fi
        "$2" "$3"
    }

    # Put the new text where variable $1 has the one from before.
    __llmenv_replace() {
        \builtin local __llmenv_entry="${!1-}" __llmenv_tail
        [[ -n ${__llmenv_before} && ${__llmenv_entry} == *"${__llmenv_before}"* ]] || \builtin return 0
        __llmenv_tail="${__llmenv_entry#*"${__llmenv_before}"}"
        __llmenv_entry="${__llmenv_entry%%"${__llmenv_before}"*}${__llmenv_prompt}${__llmenv_tail}"
        \builtin eval "$1=\${__llmenv_entry}"
    }
    __llmenv_install
    \builtin unset -f __llmenv_install __llmenv_replace
fi
