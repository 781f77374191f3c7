"""Renders the hook code that a shell evaluates, from `templates/`."""

from __future__ import annotations

import os

from llmenv_hooks import onefile
from llmenv_hooks.helper.configfiles import CONFIG_PARSED, load_config
from llmenv_hooks.helper.errors import UsageError, printable
from llmenv_hooks.helper.places import config_path, hostname, state_dir
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.hookvalues import RUN, HookValues, exports, in_templates
from llmenv_hooks.hookvalues import templates as templates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import jinja2

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@+:,./-")


def _quote_posix(value: str) -> str:
    """Return *value* as one word of bash or zsh.

    `shlex.quote` does the same, but imports re, and leaves alone a leading =, which zsh expands.
    """
    if value and _SAFE.issuperset(value):
        return value
    return "'" + value.replace("'", "'\"'\"'") + "'"


def _quote_fish(value: str) -> str:
    """Return *value* as one word of fish, where a backslash escapes inside single quotes too."""
    if value and _SAFE.issuperset(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


QUOTE: dict[str, Callable[[str], str]] = {
    "bash": _quote_posix,
    "zsh": _quote_posix,
    "fish": _quote_fish,
}


def checked(shell: str) -> str:
    """Return *shell* when there is a hook for it.

    Raises:
        UsageError: there is none.
    """
    if shell not in QUOTE:
        known = ", ".join(QUOTE)
        raise UsageError(f"no hook for {printable(shell, 40)!r}; there is: {known}")
    return shell


def export(shell: str) -> str:
    """Return the assignments of the URLs in the language of *shell*.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    quote = QUOTE[checked(shell)]
    word = "set -gx {} {}\n" if shell == "fish" else "export {}={}\n"
    return "".join(word.format(name, quote(url)) for name, url in exports(load_config()))


def hook(shell: str, *, proc: bool | None = None, helpers: list[str] | None = None) -> str:
    """Return the hook code of *shell*; *proc* says whether it may rely on /proc, default: if there.

    It calls the first of *helpers* that is there, default: the one file, of which a copy is kept.

    Raises:
        UsageError: an unknown shell, or a wrong config.
        Problem: no place for the state.
    """
    made = HookValues(checked(shell), state_dir(), config_path(), helpers=helpers, proc=proc)
    made.is_right()
    return _template(f"hook.{shell}").render(made.values())


def edition_and_hook(shell: str, *, state: str, config: str, default: str) -> tuple[str, str]:
    """Return the name of an edition, and the hook code of *shell* for the config at *config*.

    *default* is the config of a shell in which LLMENV_CONFIG is not set.  Else it is as `hook`.
    """
    made = HookValues(checked(shell), state, config, default=default)
    return made.edition, _template(f"hook.{shell}").render(made.values())


def golden(shell: str) -> str:
    """Return the hook code of *shell* with nothing of this machine in it, to compare elsewhere.

    Paths stand as /PYTHON, /ENSURE, /STATE and /CONFIG, the host as HOST, and services run here.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    made = HookValues(checked(shell), "/STATE", config_path(), helpers=["/ENSURE"], proc=True)
    made.of_no_machine()
    text = _template(f"hook.{shell}").render(made.values())
    return text.replace(f"@{hostname()}.", "@HOST.")


def static(
    shell: str, path: str, state: str, config: str, *, helpers: list[str] | None = None
) -> str:
    """Return what *path* is to hold for an rc file to source: the hook, and code that renews it.

    It has *path* written anew when the package or the *config* is no longer what it is now.  What
    it calls is as for `hook`.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    made = HookValues(checked(shell), state, config, helpers=helpers)
    made.is_right()
    needed = [file for file in [made.helpers[0], *_metadata(), config] if os.path.exists(file)]
    return _template(f"static.{shell}").render(
        made.values(),
        version=__version__,
        static=path,
        host=os.uname().nodename,
        needed=needed,
        sources=sources(shell, state, config),
    )


def sources(shell: str, state: str, config: str) -> list[str]:
    """Return the files that make a rendering of *shell*'s hook old when they change.

    What *state* keeps of the config is written when that holds something else, whatever its date.
    """
    parsed = os.path.join(state, CONFIG_PARSED)
    return [config, parsed, *made_of(shell), in_templates(f"static.{shell}")]


def made_of(shell: str) -> list[str]:
    """Return the files of this package that `hook(shell)` is made of."""
    here = os.path.dirname(os.path.abspath(__file__))
    names = ("render.py", "hookvalues.py", "onefile.py", "interpreters.py")
    code = [os.path.join(here, name) for name in names]
    return [*onefile.sources(), *code, in_templates(RUN), in_templates(f"hook.{shell}")]


def _metadata() -> list[str]:
    """Return a file that an upgrade or downgrade of the package removes, if there is one.

    Its directory is named after the version.  The times of the package's files would not do: some
    installers keep those that the files had in the wheel or in a cache.
    """
    import importlib.metadata

    try:
        files = importlib.metadata.files("llmenv-hooks") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [str(file.locate()) for file in files if file.name == "METADATA"]


def _template(name: str) -> jinja2.Template:
    import jinja2
    from markupsafe import Markup

    quote = QUOTE[name.rpartition(".")[2]]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        # Every value is quoted, as the shell wants it, but for code, which has the filter `safe`.
        finalize=lambda value: value if isinstance(value, Markup) else quote(value),
        comment_start_string="{##",  # `{#` opens `${#array}` too
        comment_end_string="##}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote  # for a block, which `finalize` leaves alone
    return environment.get_template(name)
