"""Renders the hook code that a shell evaluates, and keeps the last rendering of each shell."""

from __future__ import annotations

import os
import stat
import sys

from llmenv_hooks.helper.background import CONFIG_FAIL
from llmenv_hooks.helper.configfiles import CONFIG_PARSED, load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.directories import only_ours, refuse_anothers
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import config_path, hostname, state_dir, xdg_directory
from llmenv_hooks.helper.places import instances as instances_
from llmenv_hooks.helper.processes import has_proc
from llmenv_hooks.helper.services import FIRST_URL, Service, open_to_others, variable
from llmenv_hooks.helper.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import jinja2

# How the hook runs ensure.py, whose path comes next: as a module, since of modules Python keeps the
# bytecode, and of scripts it does not.
RUN = (
    "import sys; where, _, name = sys.argv.pop(1).rpartition('/'); sys.path.append(where);"
    " __import__(name.removesuffix('.py')).entry()"
)
# What a shell with a proof of life asks the helper for at most; without /proc it must ask more.
INTERVAL_S = 60
INTERVAL_WITHOUT_PROC_S = 10

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


def hook(shell: str, *, proc: bool | None = None) -> str:
    """Return the hook code of *shell*; *proc* says whether it may rely on /proc, default: if there.

    Raises:
        UsageError: an unknown shell, or a wrong config.
        Problem: no place for the state.
    """
    config = load_config()
    proc = has_proc() if proc is None else proc
    values = _values(config, state_dir(), sys.executable, _ensure_path(), proc)
    return _template(f"hook.{checked(shell)}").render(values)


def golden(shell: str) -> str:
    """Return the hook code of *shell* with nothing of this machine in it, to compare elsewhere.

    Paths stand as /PYTHON, /ENSURE, /STATE and /CONFIG, the host as HOST, and services run here.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    config = Config(load_config().services, None, "/CONFIG")
    values = _values(config, "/STATE", "/PYTHON", "/ENSURE", proc=True)
    text = _template(f"hook.{checked(shell)}").render(values)
    return text.replace(f"@{hostname()}.", "@HOST.")


def static(shell: str, path: str, state: str, config: str) -> str:
    """Return what *path* is to hold for an rc file to source: the hook, and code that renews it.

    It has *path* written anew when the package or the *config* is no longer what it is now.

    Raises:
        UsageError: an unknown shell, or a wrong config.
    """
    known = load_config(config)
    needed = [file for file in [_ensure_path(), *_metadata(), config] if os.path.exists(file)]
    return _template(f"static.{checked(shell)}").render(
        _values(known, state, sys.executable, _ensure_path(), has_proc()),
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
    names = (f"{kind}.{shell}" for kind in ("hook", "static"))
    code = [_ensure_path(), os.path.abspath(__file__)]
    parsed = os.path.join(state, CONFIG_PARSED)
    return [config, parsed, *code, *(os.path.join(templates(), name) for name in names)]


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

    quote = QUOTE[name.rpartition(".")[2]]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # `finalize` quotes every value, as the shell wants it
        finalize=quote,
        comment_start_string="{##",  # `{#` opens `${#array}` too
        comment_end_string="##}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote  # for a block, which `finalize` leaves alone
    return environment.get_template(name)


def _values(config: Config, state: str, python: str, helper: str, proc: bool) -> dict[str, object]:
    """Return what the templates need to know."""
    missing = f"{printable(python)} or {printable(helper)}"
    return {
        "python": python,
        "run": RUN,
        "ensure": helper,
        "state": state,
        "config": config.path,
        "config_fail": os.path.join(state, CONFIG_FAIL),
        "gone": f"{missing} is gone, or not yours to run;"
        " reinstall llmenv-hooks or remove its line from your rc file",
        "exports": exports(config),
        "services": [_paths(one, state) for one in config.kept_alive],
        "interval": str(INTERVAL_S if proc else INTERVAL_WITHOUT_PROC_S),
        "proc": proc,
    }


def _paths(service: Service, state: str) -> dict[str, object]:
    """Return what a hook looks at for one service: its files, and those that prove it alive.

    Each of *alive* proves it by leading somewhere, each pair of *outputs* by being the same file.
    """
    instances = instances_(service.name, state)
    files = instances[0]
    return {
        "alive": [one.alive for one in instances],
        "outputs": [(one.output, one.log) for one in instances],
        "pid": files.pid,
        "life": files.life,
        "proof": files.proof,
        "fail": files.fail,
    }


def _ensure_path() -> str:
    return os.path.abspath(ensure.__file__)


def templates() -> str:
    """Return where the templates are: in a wheel's package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    packaged = os.path.join(package, "templates")
    return packaged if os.path.isdir(packaged) else os.path.join(package, "..", "templates")


# --- the last rendering ---------------------------------------------------------------------------


def cached_hook(shell: str) -> bytes:
    """Return `hook(shell)` as bytes, from the cache when nothing that goes into it has changed.

    This runs at every shell start, so a hit imports neither jinja2 nor the config's parser.  A
    service that other machines can reach is warned about on stderr, at a miss alone.

    Raises:
        UsageError: an unknown shell, or a wrong config.
        Problem: no place for the state.
    """
    key = os.fsencode(_key(checked(shell)))
    path = _cache_path(shell)
    cached = _read(path) if path else None
    if cached is not None and cached.startswith(key):
        return cached[len(key) :]
    code = os.fsencode(hook(shell))
    if path:
        _write(path, key + code)
    for service in load_config().kept_alive:
        warning = open_to_others(service)
        if warning:  # once, since from here on it comes from the cache
            print(f"llmenv: {service.name}: {warning}", file=sys.stderr)
    return code


def _key(shell: str) -> str:
    """Return all that a rendering depends on, ending in a NUL, which no path can hold."""
    config = config_path()
    template = os.path.join(templates(), f"hook.{shell}")
    parts = [__version__, shell, sys.executable, _ensure_path(), state_dir(), config]
    parts += [os.uname().nodename, os.environ.get("LLMENV_CONFIG", ""), str(has_proc())]
    parts += [_stamp(config), _stamp(template), _stamp(__file__), _stamp(_ensure_path())]
    return "\n".join(parts) + "\0"


def _stamp(path: str) -> str:
    try:
        seen = os.stat(path)
    except OSError:
        return "-"
    return f"{seen.st_mtime_ns} {seen.st_size} {seen.st_ino}"


def _cache_path(shell: str) -> str | None:
    """Return the cache file of *shell*, or None where it cannot be trusted.

    What it holds gets evaluated, so nobody else may be able to write there.
    """
    try:
        # platformdirs would say the same, after an import that takes longer than all the rest.
        directory = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
        refuse_anothers(directory)
        os.makedirs(directory, 0o700, exist_ok=True)
        return os.path.join(directory, f"hook.{shell}") if _only_ours(os.lstat(directory)) else None
    except (OSError, Problem):
        return None


def _only_ours(seen: os.stat_result) -> bool:
    kind = stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode)
    return kind and only_ours(seen)


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read() if _only_ours(os.fstat(fd)) else None
    except OSError:
        return None


def _write(path: str, content: bytes) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(content)
        os.rename(temporary, path)
    except OSError:
        # Only the next shell's start is slower for it.
        try:
            os.unlink(temporary)
        except OSError:
            return
