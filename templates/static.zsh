{## What `llmenv install` has ~/.zshrc source: the hook, for this host, and code that renews it. ##}
# llmenv {{ version }}
\builtin \emulate \zsh \-o \no_aliases \-o \no_bg_nice \-o \no_xtrace \-c {% filter quote %}

if [[ -o interactive && -z ${LLMENV_DISABLE-} ]]; then
    if [[ ${HOST-} != {{ host }} && -z ${__llmenv_static-} ]]; then
        # Another host with the same home, or a new name: what is below need not be right here. Its
        # first shell has a file made for it.
        __llmenv_static={{ static }}@${HOST-}
        if [[ -r $__llmenv_static ]]; then
            builtin . $__llmenv_static
        elif [[ -x {{ python }} ]]; then
            builtin eval "$(
                {{ python }} -E -P -m llmenv_hooks.install \
                    zsh $__llmenv_static {{ state }} {{ config }} </dev/null 2>/dev/null
            )"
        fi
        builtin unset __llmenv_static
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
            # In a substitution it is no job of this shell. The trap, which with posix_traps
            # reaches it, is for the moment until it has left this terminal.
            builtin : "$(
                builtin setopt posix_traps
                builtin trap "" HUP INT
                {{ python }} -E -P -m llmenv_hooks.install \
                    zsh {{ static }} {{ state }} {{ config }} </dev/null >/dev/null 2>&1 &
            )"
        fi
{% include "hook.zsh" %}
    fi
fi
{% endfilter %}
