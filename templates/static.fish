{## What `llmenv install` has fish source: the hook, for this host, and code that renews it. ##}
# llmenv {{ version }}
if status is-interactive; and test -z "$LLMENV_DISABLE"
    if test "$hostname" != {{ host }}; and not set -q __llmenv_static
        # Another host with the same home, or a new name: what is below need not be right here. Its
        # first shell has a file made for it.
        set -l __llmenv_static {{ static }}@$hostname
        if builtin test -r $__llmenv_static
            builtin source $__llmenv_static
        else if builtin test -x {{ python }}
            {{ python }} -E -P -m llmenv_hooks.install \
                fish $__llmenv_static {{ state }} {{ config }} </dev/null 2>/dev/null | builtin source
        end
    else
        # Older than what it was made from: have it written anew, for the next shell.
        if builtin test -x {{ python }}; and begin
{% for file in needed %}
                {%+ if not loop.first %}or {% endif %}builtin test ! -e {{ file }}
{% endfor %}
{% for file in sources %}
                or builtin test {{ file }} -nt {{ static }}
{% endfor %}
            end
            # Started by sh it is no job of this shell. The trap is for the moment until it has
            # left this terminal.
            /bin/sh -c 'trap "" HUP INT; "$0" "$@" </dev/null >/dev/null 2>&1 &' \
                {{ python }} -E -P -m llmenv_hooks.install fish {{ static }} {{ state }} {{ config }}
        end
{% include "hook.fish" %}
    end
end
