{## Put this into ~/.zshrc:  eval "$(llmenv hook zsh)"

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes;
{{ code | safe }} is inserted as it is.  All of it is one quoted string for `emulate -c`: nothing
less keeps the user's global aliases out, and the functions it defines have zsh's own options
whenever they run. ##}
{## Was the helper started less than so many seconds ago, or will it be?  SECONDS can be set back, and
then it is time to ask again. ##}
{% macro recent(seconds) %}
SECONDS-__llmenv_asked -lt {{ seconds }} && SECONDS-__llmenv_asked -gt -{{ seconds }}
{%- endmacro %}
\builtin \emulate \zsh \-o \no_aliases \-o \no_bg_nice \-o \no_xtrace \-c {% filter quote %}

if [[ -o interactive && -z ${LLMENV_DISABLE-} ]]; then
{% for name, value in exports %}
    builtin export {{ name }}={{ value }}
{% endfor %}

{% if not services %}
    # At each prompt. Nothing is to be kept alive here, but the config may change.
    __llmenv_hook() {
        # A restricted zsh has an error for each program that has a path, and for `>/dev/null`.
        [[ ! -o restricted ]] || builtin return 0
        [[ ${LLMENV_CONFIG-} == "$__llmenv_config" && {{ here }} -nt {{ config }} ]] || __llmenv_wake
    }
{% elif proc %}
    # At each prompt: one condition while all is well. zsh itself keeps $?, $pipestatus and $_ around
    # it. The first link leads to the time of the last look, by way of what the daemon holds open, and
    # nowhere once the daemon is dead, or this hook is no longer the right one.
    __llmenv_hook() {
        [[ {{ recent(interval) | safe }} &&
            ${LLMENV_CONFIG-} == "$__llmenv_config" &&
            {{ alive }} -nt {{ config }}
{%- for service in services[1:] %} &&
            -e {{ service.alive[0] }}
{%- endfor %} ]] || __llmenv_look
    }

    # All of the look: also for a daemon that holds only its log, or has this host's own files. To
    # zsh, unlike bash and fish, nothing is newer than a config that is not there.
    __llmenv_look() {
        # A restricted zsh has an error for each program that has a path, and for `>/dev/null`.
        [[ ! -o restricted ]] || builtin return 0
        [[ {{ recent(interval) | safe }} &&
            ${LLMENV_CONFIG-} == "$__llmenv_config" &&
            ({{ life }} -nt {{ config }} || ! -e {{ config }} && -e {{ life }})
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
    }
{% else %}
    # At each prompt: builtins alone while all is well. zsh itself keeps $?, $pipestatus and $_ around
    # them. To zsh, unlike bash and fish, nothing is newer than a config that is not there.
    __llmenv_hook() {
        # A restricted zsh has an error for each program that has a path, and for `>/dev/null`.
        [[ ! -o restricted ]] || builtin return 0
        {
            [[ {{ recent(interval) | safe }} &&
                ${LLMENV_CONFIG-} == "$__llmenv_config" &&
                ({{ life }} -nt {{ config }} || ! -e {{ config }} && -e {{ life }}) ]]
{%- for service in services %} &&
                __llmenv_lives {{ service.pid }} {{ service.alive[0] }} {{ service.life }}
{%- endfor %}

        } || __llmenv_wake
    }

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
        builtin local __llmenv_file __llmenv_message="" __llmenv_ignored
        builtin local __llmenv_python="" __llmenv_helper="" __llmenv_unsaid=""
        builtin local __llmenv_wanted=${LLMENV_CONFIG-} __llmenv_edition=- __llmenv_newer
        builtin local -a __llmenv_before
        [[ -n $__llmenv_wanted ]] || __llmenv_wanted={{ default }}
        __llmenv_newer={{ newer }}"${__llmenv_wanted//\//%}"
        if [[ $__llmenv_wanted == {{ config }} ]]; then
            __llmenv_config=${LLMENV_CONFIG-}
            __llmenv_edition={{ edition }}
        fi
        if __llmenv_is_newer; then
{% if exports %}
            builtin unset{% for name, value in exports %} {{ name }}{% endfor %}

{% endif %}
            __llmenv_before=("${__llmenv_told[@]}")
            builtin . $__llmenv_newer
            __llmenv_told=("${__llmenv_before[@]}") # the next prompt goes on
            builtin return 0
        fi
{% if not services %}
        # On a host that runs none, and where the config did not change, there is nothing to do.
        [[ $__llmenv_edition == - || -n $__llmenv_linked && ! {{ here }} -nt {{ config }} ]] ||
            builtin return 0
{% endif %}
        # An instant prompt, as powerlevel10k has it, is on the screen until the first real one, and
        # complains of what is printed until then. So it is the second that tells.
        builtin local __llmenv_first=$__llmenv_new
        __llmenv_new=""
        # An interpreter and the file that it runs may go while this shell is open.
        for __llmenv_file in{% for file in pythons %} {{ file }}{% endfor %}; do
            [[ -n $__llmenv_python || ! -x $__llmenv_file ]] || __llmenv_python=$__llmenv_file
        done
        for __llmenv_file in{% for file in helpers %} {{ file }}{% endfor %}; do
            [[ -n $__llmenv_helper || ! -r $__llmenv_file ]] || __llmenv_helper=$__llmenv_file
        done
        if [[ -z $__llmenv_python || -z $__llmenv_helper ]]; then
            [[ -e {{ uninstalled }} ]] || __llmenv_tell {{ gone }}
            builtin return 0
        fi
        for __llmenv_file in{% for file in notes %} {{ file }}{% endfor %}; do
            if [[ -f $__llmenv_file && -r $__llmenv_file && -O $__llmenv_file ]]; then
                __llmenv_message="$(<$__llmenv_file)"
                __llmenv_tell "${${__llmenv_message%%$'\n'*}//[[:cntrl:]]/?}"
            fi
        done
        [[ -n $__llmenv_message ]] || __llmenv_told=()
        # One in two seconds. Without SECONDS there is no telling how long ago the last was.
        if [[ -n ${SECONDS-} && {{ recent("2") | safe }} ]]; then
            builtin return 0
        fi
        __llmenv_asked=${SECONDS:-0}
        [[ -z ${LLMENV_DEBUG-} ]] ||
            builtin print -r -u 2 -- "llmenv: asks $__llmenv_helper, which tells "{{ trace }}
        # In a substitution it is no job of this shell, and $! stays as it was. The trap, which with
        # posix_traps reaches it, is for the moment until it has left this terminal.
        __llmenv_ignored="$(
            builtin setopt posix_traps
            builtin trap "" HUP INT
            $__llmenv_python -I -S -c $__llmenv_run $__llmenv_helper \
                --hook {{ state }} $__llmenv_wanted {{ default }} \
                zsh $__llmenv_newer $__llmenv_edition {{ python }} </dev/null >/dev/null 2>&1 &
        )"
        [[ -z $__llmenv_unsaid ]] || __llmenv_asked=$((__llmenv_asked - {{ interval }}))
    }

    # Has the helper had a hook rendered since this one was, for the config that is wanted? Not before
    # it has been asked, or the file may be from before. What the state directory holds is looked for.
    __llmenv_is_newer() {
        builtin local __llmenv_line
        [[ $__llmenv_asked -ne -{{ interval }} || $__llmenv_edition == - ]] &&
            [[ -f $__llmenv_newer && -O $__llmenv_newer && -r $__llmenv_newer ]] &&
            [[ ! $__llmenv_wanted -nt $__llmenv_newer ]] &&
            [[ $__llmenv_edition == - || ! -e {{ here }} ]] || builtin return 1
        __llmenv_line="$(<$__llmenv_newer)"
        __llmenv_line=${${__llmenv_line%%$'\n'*}#"# llmenv "}
        [[ $__llmenv_line == edition-* && $__llmenv_line != $__llmenv_edition ]] &&
            [[ -e {{ state }}/$__llmenv_line ]]
    }

    # How Python runs the helper. Nobody sees that process, so what goes wrong in it is written down.
    builtin typeset -g __llmenv_run={{ run }}

    # Print a message, if this shell has not said it before.
    __llmenv_tell() {
        if [[ -n $1 ]] && (( ! ${__llmenv_told[(Ie)$1]} )); then
            if [[ -n $__llmenv_first ]]; then
                __llmenv_unsaid=yes
                builtin return 0
            fi
            __llmenv_told+=("$1")
            builtin print -r -u 2 -- "llmenv: $1"
        fi
    }

    [[ -n ${__llmenv_asked-} ]] || builtin typeset -g __llmenv_new=yes
    builtin typeset -gF __llmenv_asked=-{{ interval }}
    builtin typeset -g __llmenv_config=/
{% if not services %}
    builtin typeset -g __llmenv_linked=""
    [[ ! -e {{ here }} ]] || __llmenv_linked=yes
{% endif %}
    builtin typeset -ga __llmenv_told precmd_functions
    __llmenv_told=()
    if [[ ${(t)precmd_functions} == *readonly* ]]; then
        builtin print -r -u 2 -- "llmenv: no hook in this shell: precmd_functions is readonly"
    else
        precmd_functions=("${(@)precmd_functions:#__llmenv_hook}" __llmenv_hook)
    fi
fi
{% endfilter %}

