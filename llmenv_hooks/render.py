"""Renders the hook code that a shell evaluates, from `templates/`."""

from __future__ import annotations

import os

from llmenv_hooks import onefile
from llmenv_hooks.helper.background import CONFIG_FAIL
from llmenv_hooks.helper.complaints import complaint_paths
from llmenv_hooks.helper.configfiles import CONFIG_PARSED, load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import UsageError, printable
from llmenv_hooks.helper.places import hostname, instances, state_dir
from llmenv_hooks.helper.processes import has_proc
from llmenv_hooks.helper.services import FIRST_URL, GUARDED, Service, variable
from llmenv_hooks.helper.trace import HELPER_LOG
from llmenv_hooks.helper.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import jinja2

# What a shell with a proof of life asks the helper for at most; without /proc it must ask more.
INTERVAL_S = 60
INTERVAL_WITHOUT_PROC_S = 10

# Where `templates/run.py`, which each hook has Python run, says what failed.
HELPER_FAIL = "helper.fail"
_RUN = "run.py"

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


def exports(config: Config) -> list[tuple[str, str]]:
    """Return what shells get of the environment: (variable, URL), the first service's twice."""
    urls = [(variable(one.name), config.url(one)) for one in config.services]
    return list(dict([(FIRST_URL, url) for _, url in urls[:1]] + urls).items())


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
    from llmenv_hooks.interpreters import interpreters

    config = load_config()
    proc = has_proc() if proc is None else proc
    template, state = _template(f"hook.{checked(shell)}"), state_dir()
    helpers = helpers or onefile.helpers()
    return template.render(_values(config, state, interpreters(), helpers, proc))


def golden(shell: str) -> str:
    """Return the hook code of *shell* with nothing of this machine in it, to compare elsewhere.

    Paths stand as /PYTHON, /ENSURE, /STATE and /CONFIG, the host as HOST, and services run here.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    config = Config(load_config().services, None, "/CONFIG")
    values = _values(config, "/STATE", ["/PYTHON"], ["/ENSURE"], proc=True)
    text = _template(f"hook.{checked(shell)}").render(values)
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
    from llmenv_hooks.interpreters import interpreters

    known = load_config(config)
    template = _template(f"static.{checked(shell)}")
    pythons, helpers = interpreters(), helpers or onefile.helpers()
    needed = [file for file in [helpers[0], *_metadata(), config] if os.path.exists(file)]
    return template.render(
        _values(known, state, pythons, helpers, has_proc()),
        python=pythons[0],
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
    return [config, parsed, *made_of(shell), _in_templates(f"static.{shell}")]


def made_of(shell: str) -> list[str]:
    """Return the files of this package that `hook(shell)` is made of."""
    here = os.path.dirname(os.path.abspath(__file__))
    code = [os.path.join(here, name) for name in ("render.py", "onefile.py", "interpreters.py")]
    return [*onefile.sources(), *code, _in_templates(_RUN), _in_templates(f"hook.{shell}")]


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


def run() -> str:
    """Return what a hook gives Python to run: `templates/run.py` without its comment."""
    with open(_in_templates(_RUN)) as file:
        code = file.read().partition("\n\n")[2]
    return "\n".join(filter(None, code.splitlines()))


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


def _values(
    config: Config, state: str, pythons: list[str], helpers: list[str], proc: bool
) -> dict[str, object]:
    """Return what the templates need to know."""
    each = ", ".join(map(printable, pythons))
    notes = [os.path.join(state, name) for name in (CONFIG_FAIL, HELPER_FAIL)]
    services = [_paths(one, state) for one in config.kept_alive]
    notes += [note for one in config.kept_alive for note in _notes(one, state)]
    return {
        "pythons": pythons,
        "helpers": helpers,
        "run": run(),
        "state": state,
        "config": config.path,
        "trace": os.path.join(state, HELPER_LOG),
        "notes": [*notes, *complaint_paths(state)],
        "gone": f"{printable(helpers[0])}, or each Python to run it with ({each}), is"
        " gone, or not yours to run; reinstall llmenv-hooks or remove its line from your rc file",
        "exports": exports(config),
        "services": services,
        "interval": str(INTERVAL_S if proc else INTERVAL_WITHOUT_PROC_S),
        "proc": proc,
    }


def _paths(service: Service, state: str) -> dict[str, object]:
    """Return what a hook looks at for one service: its files, and those that prove it alive.

    Each of *alive* proves it by leading somewhere, each pair of *outputs* by being the same file.
    """
    places = instances(service.name, state)
    files = places[0]
    return {
        "alive": [one.alive for one in places],
        "outputs": [(one.output, one.log) for one in places],
        "pid": files.pid,
        "life": files.life,
        "proof": files.proof,
    }


def _notes(service: Service, state: str) -> list[str]:
    """Return the files that may hold a message about one service."""
    files = instances(service.name, state)[0]
    return [files.fail, files.child] if service.bridge == GUARDED else [files.fail]


def _in_templates(name: str) -> str:
    return os.path.join(templates(), name)


def templates() -> str:
    """Return where the templates are: in a wheel's package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    packaged = os.path.join(package, "templates")
    return packaged if os.path.isdir(packaged) else os.path.join(package, "..", "templates")
