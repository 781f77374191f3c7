"""What one rendering of the hook is made of: paths, variables, services, the code for Python."""

from __future__ import annotations

import os

from llmenv_hooks import onefile
from llmenv_hooks.helper.background import CONFIG_FAIL, HELPER_FAIL
from llmenv_hooks.helper.checksums import checksum
from llmenv_hooks.helper.complaints import complaint_paths
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.editions import HOOK_FAIL, as_of, config_content, edition, make_edition
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import remove_file
from llmenv_hooks.helper.places import config_path, hostname, instances
from llmenv_hooks.helper.processes import has_proc
from llmenv_hooks.helper.services import FIRST_URL, GUARDED, Service, variable
from llmenv_hooks.helper.trace import HELPER_LOG

# What a shell with a proof of life asks the helper for at most; without /proc it must ask more.
INTERVAL_S = 60
INTERVAL_WITHOUT_PROC_S = 10

# What each hook has Python run, among the templates.
RUN = "run.py"
# While it is in the state directory, a shell that finds the helper gone need not tell.
UNINSTALLED = "uninstalled"


def exports(config: Config) -> list[tuple[str, str]]:
    """Return what shells get of the environment: (variable, URL), that of the first twice.

    A service that has its bridge's socket alone has none.
    """
    urls = [(variable(one.name), config.url(one)) for one in config.services if one.has_url]
    return list(dict([(FIRST_URL, url) for _, url in urls[:1]] + urls).items())


class HookValues:
    """What one rendering of the hook is made of; the arguments are as for `edition_and_hook`."""

    def __init__(
        self,
        shell: str,
        state: str,
        config: str,
        *,
        default: str | None = None,
        helpers: list[str] | None = None,
        proc: bool | None = None,
    ) -> None:
        from llmenv_hooks.interpreters import interpreters

        content = config_content(config)  # read before it is parsed, so as to be no newer
        self.shell = shell
        self.state = state
        self.config = load_config(config)
        self.default = default or _default_config(config)
        self.helpers = helpers or onefile.helpers()
        remove_file(os.path.join(state, UNINSTALLED))
        self.pythons = interpreters()
        self.proc = has_proc() if proc is None else proc
        self.edition = edition(config, content, os.path.basename(self.helpers[0]))
        self.newer = self._newer()

    def is_right(self) -> None:
        """Where nothing is kept alive, make the edition: no background run will be asked for it."""
        if not self.config.kept_alive:
            make_edition(os.path.join(self.state, self.edition), as_of(self.config.path))

    def of_no_machine(self) -> None:
        """Take the paths of this machine out."""
        content = config_content(self.config.path)
        self.config = Config(self.config.services, None, "/CONFIG")
        self.default, self.pythons, self.newer = "/CONFIG", ["/PYTHON"], "/DATA/hook"
        self.edition = edition("/CONFIG", content, "ENSURE")

    def _newer(self) -> str:
        """Return what the path of a newer hook begins with; that of its config follows.

        The state and the host are in it too: others may have the same home.
        """
        try:
            place = onefile.directory()
        except Problem:
            place = os.path.dirname(self.helpers[0])
        return os.path.join(place, f"hook.{self.shell}-{checksum([self.state, hostname()])}")

    def values(self) -> dict[str, object]:
        """Return what the templates need to know."""
        each = ", ".join(map(printable, self.pythons))
        kept = self.config.kept_alive
        notes = [os.path.join(self.state, name) for name in (CONFIG_FAIL, HELPER_FAIL, HOOK_FAIL)]
        notes += [note for one in kept for note in _notes(one, self.state)]
        here = os.path.join(self.state, self.edition)
        first = f"{here}/state/{kept[0].name}" if kept else here
        return {
            "pythons": self.pythons,
            "python": self.pythons[0],
            "helpers": self.helpers,
            "run": run(),
            "state": self.state,
            "config": self.config.path,
            "default": self.default,
            "edition": self.edition,
            "here": here,
            # By way of the edition: one look tells that it is the right one, and that all is well.
            "alive": f"{first}.alive" if kept else here,
            "life": f"{first}.life" if kept else here,
            "newer": self.newer,
            "uninstalled": os.path.join(self.state, UNINSTALLED),
            "trace": os.path.join(self.state, HELPER_LOG),
            "notes": [*notes, *complaint_paths(self.state)],
            "gone": f"{printable(self.helpers[0])}, or each Python to run it with ({each}),"
            " is gone, or not yours to run; reinstall llmenv-hooks or remove its line from your"
            " rc file",
            "exports": exports(self.config),
            "services": [_paths(one, self.state) for one in kept],
            "interval": str(INTERVAL_S if self.proc else INTERVAL_WITHOUT_PROC_S),
            "proc": self.proc,
        }


def _default_config(config: str) -> str:
    """Return the config of a shell without LLMENV_CONFIG: *config*, where there is no place."""
    try:
        return config_path(named="")
    except Problem:
        return config


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


def run() -> str:
    """Return what a hook gives Python to run: `templates/run.py` without its comment."""
    with open(in_templates(RUN)) as file:
        code = file.read().partition("\n\n")[2]
    return "\n".join(filter(None, code.splitlines()))


def in_templates(name: str) -> str:
    """Return the path of the template, or of `run.py`, called *name*."""
    return os.path.join(templates(), name)


def templates() -> str:
    """Return where the templates are: in a wheel's package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    packaged = os.path.join(package, "templates")
    return packaged if os.path.isdir(packaged) else os.path.join(package, "..", "templates")
