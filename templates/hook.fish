{## Put this into ~/.config/fish/config.fish:  llmenv hook fish | source

Every {{ value }} is quoted as it is inserted, so it stands as a whole word, never inside quotes;
{{ code | safe }} is inserted as it is. ##}
{## Is it still before the time in __llmenv_due or __llmenv_next, which was set so many seconds ahead?
A clock can be set back, and then it is time to ask again. ##}
{% macro before(what, seconds) %}
builtin test $__llmenv_now -lt $__llmenv_{{ what }} \
            -a $__llmenv_now -ge (builtin math $__llmenv_{{ what }} - {{ seconds }})
{%- endmacro %}
if status is-interactive; and test -z "$LLMENV_DISABLE"
{% for name, value in exports %}
    set -gx {{ name }} {{ value }}
{% endfor %}

    # At each prompt: builtin tests alone while all is well. fish keeps $status around it.
    function __llmenv_hook --on-event fish_prompt
{% if not services %}
        # Nothing is to be kept alive here, but the config may change.
        builtin test "c$LLMENV_CONFIG" = "c$__llmenv_config" -a {{ here }} -nt {{ config }} -a -e {{ config }}
        or __llmenv_wake (builtin path mtime -R /)
{% elif proc %}
        # The first link leads to the time of the last look, by way of what the daemon holds open, and
        # nowhere once the daemon is dead, or this hook is no longer the right one. The terminal,
        # written to for this prompt, is the clock that costs least. One test is faster than several.
        builtin test $__llmenv_first {{ alive }} -nt {{ config }} \
            -a {{ services[0].proof }} -nt $__llmenv_clock
{% if services[1:] %}
        and not builtin path is -v{% for service in services[1:] %} {{ service.alive[0] }}{% endfor %}

{% endif %}
        or __llmenv_look
{% else %}
        # Without /proc no builtin can ask for a process: the helper looks every few seconds.
        set -l __llmenv_now (builtin path mtime -R /)
        {{ before("due", interval) | safe }}
        and builtin test {{ here }} -nt {{ config }} -a "c$LLMENV_CONFIG" = "c$__llmenv_config"
        or __llmenv_wake $__llmenv_now
{% endif %}
    end

{% if services and proc %}
    # Is this hook's config the one that is wanted? Then no prompt compares them until LLMENV_CONFIG is
    # set: after that the next one looks, since no file is newer than itself.
    function __llmenv_is_wanted
        builtin test "c$LLMENV_CONFIG" = "c$__llmenv_config"
        and set -g __llmenv_clock $__llmenv_terminal
    end

    function __llmenv_hear --on-variable LLMENV_CONFIG
        set -g __llmenv_clock {{ services[0].proof }}
    end

    # All of the look: also for a daemon that holds nothing open but its log, or has this host's own
    # files, and by this shell's own clock, which nobody sets back. To fish 3.6 two missing files are
    # the same one.
    function __llmenv_look
        builtin read -d ' ' -l __llmenv_now __llmenv_rest </proc/uptime
        builtin test $__llmenv_now -lt $__llmenv_due
        and builtin test {{ life }} -nt {{ config }}
        and __llmenv_is_wanted
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
    function __llmenv_wake --argument-names __llmenv_now
        test -z "$LLMENV_DISABLE"
        or return 0
        set -l __llmenv_wanted $LLMENV_CONFIG
        test -n "$__llmenv_wanted"
        or set __llmenv_wanted {{ default }}
        set -l __llmenv_newer {{ newer }}(builtin string replace -a / % -- $__llmenv_wanted)
        set -l __llmenv_edition -
        if builtin test $__llmenv_wanted = {{ config }}
            set -g __llmenv_config $LLMENV_CONFIG
            set __llmenv_edition {{ edition }}
        end
        if __llmenv_is_newer $__llmenv_wanted $__llmenv_newer $__llmenv_edition
{% if exports %}
            set -eg{% for name, value in exports %} {{ name }}{% endfor %}

{% endif %}
            set -l __llmenv_before $__llmenv_told
            builtin source $__llmenv_newer
            set -g __llmenv_told $__llmenv_before # the next prompt goes on
            return 0
        end
{% if not services %}
        # On a host that runs none, and where the config did not change, there is nothing to do.
        test $__llmenv_edition = - -o -n "$__llmenv_linked" -a ! {{ here }} -nt {{ config }}
        or return 0
{% endif %}
        # An interpreter and the file that it runs may go while this shell is open.
        set -l __llmenv_python
        for __llmenv_file in{% for file in pythons %} {{ file }}{% endfor %}

            builtin test -z "$__llmenv_python" -a -x $__llmenv_file
            and set __llmenv_python $__llmenv_file
        end
        set -l __llmenv_helper
        for __llmenv_file in{% for file in helpers %} {{ file }}{% endfor %}

            builtin test -z "$__llmenv_helper" -a -r $__llmenv_file
            and set __llmenv_helper $__llmenv_file
        end
        if builtin test -z "$__llmenv_python" -o -z "$__llmenv_helper"
            builtin test -e {{ uninstalled }}
            or __llmenv_tell {{ gone }}
            return 0
        end
        set -l __llmenv_message
        for __llmenv_file in{% for file in notes %} {{ file }}{% endfor %}

            # Looked at first: fish has its say about a redirection that fails.
            if builtin test -f $__llmenv_file -a -r $__llmenv_file -a -O $__llmenv_file
                builtin read -d \n __llmenv_message <$__llmenv_file
                __llmenv_tell (builtin string replace -ra '[[:cntrl:]]' '?' -- "$__llmenv_message")
            end
        end
        test -n "$__llmenv_message"
        or set -g __llmenv_told
        # One in two seconds.
        {{ before("next", "2") | safe }}
        and return 0
        set -g __llmenv_next (builtin math $__llmenv_now + 2)
        set -g __llmenv_due (builtin math $__llmenv_now + {{ interval }})
        test -z "$LLMENV_DEBUG"
        or builtin printf 'llmenv: asks %s, which tells %s\n' $__llmenv_helper {{ trace }} >&2
        # Started by sh it is no job of this shell, and $last_pid stays as it was. The trap is for
        # the moment until it has left this terminal.
        /bin/sh -c 'trap "" HUP INT; "$0" "$@" </dev/null >/dev/null 2>&1 &' \
            $__llmenv_python -I -S -c $__llmenv_run $__llmenv_helper \
            --hook {{ state }} $__llmenv_wanted {{ default }} \
            fish $__llmenv_newer $__llmenv_edition {{ python }}
    end

    # Has the helper had a hook rendered since this one was, for the config that is wanted? Not before
    # it has been asked, or the file may be from before. What the state directory holds is looked for.
    function __llmenv_is_newer --argument-names __llmenv_wanted __llmenv_newer __llmenv_edition
        builtin test $__llmenv_next -gt 0 -o $__llmenv_edition = -
        and builtin test -f $__llmenv_newer -a -O $__llmenv_newer -a -r $__llmenv_newer
        and not builtin test $__llmenv_wanted -nt $__llmenv_newer
        and builtin test $__llmenv_edition = - -o ! -e {{ here }}
        or return 1
        builtin read -d \n -l __llmenv_line <$__llmenv_newer
        set __llmenv_line (builtin string replace '# llmenv ' '' -- $__llmenv_line)
        builtin string match -q 'edition-*' -- $__llmenv_line
        and builtin test $__llmenv_line != $__llmenv_edition -a -e {{ state }}/$__llmenv_line
    end

    # How Python runs the helper. Nobody sees that process, so what goes wrong in it is written down.
    set -g __llmenv_run {{ run }}

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
    set -g __llmenv_config /
    builtin test "$LLMENV_CONFIG" = {{ config }}{% if default == config %} -o -z "$LLMENV_CONFIG"{% endif %}

    and set -g __llmenv_config $LLMENV_CONFIG
{% if not services %}
    set -g __llmenv_linked
    builtin test -e {{ here }}
    and set -g __llmenv_linked yes
{% elif proc %}
    # By its name, unless that is another file's here: by its descriptor a look takes longer.
    set -g __llmenv_terminal (builtin path resolve /proc/self/fd/0)
    builtin test "$__llmenv_terminal" -ef /proc/self/fd/0
    or set -g __llmenv_terminal /proc/self/fd/0
    __llmenv_hear
    __llmenv_is_wanted
    # fish 4 evaluates twice what comes first in a test: there that is a word, and no file.
    set -g __llmenv_first
    builtin string match -q '3.*' -- $version
    or set -g __llmenv_first -n yes -a
{% endif %}
end
