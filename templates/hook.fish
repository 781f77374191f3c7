{## Put this into ~/.config/fish/config.fish:  llmenv hook fish | source

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes. ##}
if status is-interactive; and test -z "$LLMENV_DISABLE"
{% for name, value in exports %}
    set -gx {{ name }} {{ value }}
{% endfor %}
{% if services %}

    # At each prompt: builtin tests alone while all is well. fish keeps $status around it.
    function __llmenv_hook --on-event fish_prompt
{% if proc %}
        # The first link leads to the time of the last look, by way of what the daemon holds open, and
        # nowhere once it is dead. The terminal, written to for this prompt, is the clock that
        # costs least. One test is faster than several.
        builtin test {{ services[0].alive[0] }} -nt {{ config }} -a {{ services[0].proof }} -nt $__llmenv_terminal
{% if services[1:] %}
        and not builtin path is -v{% for service in services[1:] %} {{ service.alive[0] }}{% endfor %}

{% endif %}
        or __llmenv_look
{% else %}
        # Without /proc no builtin can ask for a process: the helper looks every few seconds.
        set -l __llmenv_now (builtin path mtime -R /)
        builtin test $__llmenv_now -lt $__llmenv_due -a $__llmenv_now -ge (builtin math $__llmenv_due - {{ interval }})
        or __llmenv_wake $__llmenv_now
{% endif %}
    end

{% if proc %}
    # All of the look: also for a daemon that holds nothing open but its log, or has this host's own
    # files, and by this shell's own clock. To fish 3.6 two missing files are the same one.
    function __llmenv_look
        builtin read -d ' ' -l __llmenv_now __llmenv_rest </proc/uptime
        builtin test $__llmenv_now -lt $__llmenv_due -a {{ services[0].life }} -nt {{ config }}
{% for service in services %}
        and begin
{% for link in service.alive %}
            {%+ if not loop.first %}or {% endif %}builtin test -e {{ link }}
{% endfor %}
{% for link, log in service.outputs %}
            or builtin test -e {{ link }} -a {{ link }} -ef {{ log }}
{% endfor %}
        end
{% endfor %}
        or __llmenv_wake $__llmenv_now
    end

{% endif %}
    # Something is not well, or it is time for the deep check: say what failed, start the helper.
    function __llmenv_wake
        test -z "$LLMENV_DISABLE"
        or return 0
        if not builtin test -x {{ python }} -a -r {{ ensure }}
            __llmenv_tell {{ gone }}
            return 0
        end
        set -l __llmenv_line
        for __llmenv_file in {{ config_fail }}{% for service in services %} {{ service.fail }}{% endfor %}

            # Looked at first: fish has its say about a redirection that fails.
            if builtin test -f $__llmenv_file -a -r $__llmenv_file
                builtin read -d \n __llmenv_line <$__llmenv_file
                __llmenv_tell (builtin string replace -ra '[[:cntrl:]]' '?' -- "$__llmenv_line")
            end
        end
        test -n "$__llmenv_line"
        or set -g __llmenv_told
        builtin test $argv[1] -lt $__llmenv_next -a $argv[1] -ge (builtin math $__llmenv_next - 2)
        and return 0
        set -g __llmenv_next (builtin math $argv[1] + 2)
        set -g __llmenv_due (builtin math $argv[1] + {{ interval }})
        # Started by sh it is no job of this shell, and $last_pid stays as it was. The trap is for
        # the moment until it has left this terminal.
        /bin/sh -c 'trap "" HUP INT; "$0" "$@" </dev/null >/dev/null 2>&1 &' {{ python }} -I -S -c {{ run }} {{ ensure }} --hook {{ state }} {{ config }}
    end

    # Print a message, if this shell has not said it before.
    function __llmenv_tell
        test -n "$argv[1]"
        and not builtin contains -- $argv[1] $__llmenv_told
        or return 0
        set -ga __llmenv_told $argv[1]
        builtin printf 'llmenv: %s\n' $argv[1] >&2
    end

    set -g __llmenv_due 0
    set -g __llmenv_next 0
    set -g __llmenv_told
{% if proc %}
    # By its name, unless that is another file's here: by its descriptor a look takes longer.
    set -g __llmenv_terminal (builtin path resolve /proc/self/fd/0)
    builtin test "$__llmenv_terminal" -ef /proc/self/fd/0
    or set -g __llmenv_terminal /proc/self/fd/0
{% endif %}
{% endif %}
end
