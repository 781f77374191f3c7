{## What `llmenv install` has ~/.bashrc source: the hook, for this host, and code that renews it. ##}
# llmenv {{ version }}
if [[ $- == *i* && -z ${LLMENV_DISABLE-} ]]; then
    if [[ ${HOSTNAME-} != {{ host }} && -z ${__llmenv_static-} ]]; then
        # Another host with the same home, or a new name: what is below need not be right here. Its
        # first shell has a file made for it.
        __llmenv_static={{ static }}@${HOSTNAME-}
        if [[ -r ${__llmenv_static} ]]; then
            # shellcheck source=/dev/null
            \builtin . "${__llmenv_static}"
        elif [[ -x {{ python }} ]]; then
            \builtin eval "$(
                {{ python }} -E -P -m llmenv_hooks.install \
                    bash "${__llmenv_static}" {{ state }} {{ config }} </dev/null 2>/dev/null
            )"
        fi
        \builtin unset -v __llmenv_static
    else
        # Older than what it was made from: have it written anew, for the next shell.
        if [[ -x {{ python }} && (
{%- for file in needed -%}
! -e {{ file }} ||
            {%+ endfor %}
{%- for file in sources -%}
{{ file }} -nt {{ static }}{% if not loop.last %} ||
            {%+ endif %}
{%- endfor %}) ]]; then
            # In a substitution it is no job of this shell. The trap is for the moment until it has
            # left this terminal.
            \builtin : "$(
                \builtin trap '' HUP INT
                {{ python }} -E -P -m llmenv_hooks.install \
                    bash {{ static }} {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &
            )"
        fi
{% include "hook.bash" %}
    fi
fi
