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
{% if services %}

{% if proc %}
    # At each prompt: one condition while all is well. zsh itself keeps $?, $pipestatus and $_ around
    # it. The first link leads to the time of the last look, by way of what the daemon holds open, and
    # nowhere once the daemon is dead.
    __llmenv_hook() {
        [[ {{ recent(interval) | safe }} &&
            {{ services[0].alive[0] }} -nt {{ config }}
{%- for service in services[1:] %} &&
            -e {{ service.alive[0] }}
{%- endfor %} ]] || __llmenv_look
    }

    # All of the look: also for a daemon that holds only its log, or has this host's own files. To
    # zsh, unlike bash and fish, nothing is newer than a config that is not there.
    __llmenv_look() {
        [[ {{ recent(interval) | safe }} &&
            ({{ services[0].life }} -nt {{ config }} || ! -e {{ config }})
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
        {
            [[ {{ recent(interval) | safe }} &&
                ({{ services[0].life }} -nt {{ config }} || ! -e {{ config }}) ]]
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
        builtin local __llmenv_python="" __llmenv_helper=""
        # An interpreter and the file that it runs may go while this shell is open.
        for __llmenv_file in{% for file in pythons %} {{ file }}{% endfor %}; do
            [[ -n $__llmenv_python || ! -x $__llmenv_file ]] || __llmenv_python=$__llmenv_file
        done
        for __llmenv_file in{% for file in helpers %} {{ file }}{% endfor %}; do
            [[ -n $__llmenv_helper || ! -r $__llmenv_file ]] || __llmenv_helper=$__llmenv_file
        done
        if [[ -z $__llmenv_python || -z $__llmenv_helper ]]; then
            __llmenv_tell {{ gone }}
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
            $__llmenv_python -I -S -c $__llmenv_run $__llmenv_helper --hook {{ state }} {{ config }} \
                </dev/null >/dev/null 2>&1 &
        )"
    }

    # How Python runs the helper. Nobody sees that process, so what goes wrong in it is written down.
    builtin typeset -g __llmenv_run={{ run }}

    # Print a message, if this shell has not said it before.
    __llmenv_tell() {
        if [[ -n $1 ]] && (( ! ${__llmenv_told[(Ie)$1]} )); then
            __llmenv_told+=("$1")
            builtin print -r -u 2 -- "llmenv: $1"
        fi
    }

    builtin typeset -gF __llmenv_asked=-{{ interval }}
    builtin typeset -ga __llmenv_told precmd_functions
    __llmenv_told=()
    if [[ ${(t)precmd_functions} == *readonly* ]]; then
        builtin print -r -u 2 -- "llmenv: no hook in this shell: precmd_functions is readonly"
    else
        precmd_functions=("${(@)precmd_functions:#__llmenv_hook}" __llmenv_hook)
    fi
{% endif %}
fi
{% endfilter %}

