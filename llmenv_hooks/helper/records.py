"""All that is recorded in a state directory, whether or not the config still has it."""

from __future__ import annotations

import os

from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.identity import Identity, read_record
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.proofs import config_of
from llmenv_hooks.helper.realms import lives_here
from llmenv_hooks.helper.services import GUARDED, NO_BRIDGE, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def left_over(config: Config, state: str) -> list[Service]:
    """Return what runs here by its record in *state*, though *config* does not have it."""
    known = {service.name for service in config.services if not service.url}
    return [
        Service(
            files.service,
            bind=record.bind,
            bridge=NO_BRIDGE if record.bind else GUARDED,
            config=config_of(files),
        )
        for files, record in living(state)
        if files.service not in known
    ]


def is_anothers(owner: str, config: Config) -> bool:
    """True when *owner*, for which a daemon was started, is another config that is still there."""
    return owner not in ("", config.path) and os.path.exists(owner)


def living(state: str) -> Iterator[tuple[Files, Identity]]:
    """Yield what is recorded in the directory *state* and seen to live here, with its record."""
    for files in recorded(state):
        record = read_record(files.life)
        if record and lives_here(files):
            yield files, record


def recorded(state: str) -> list[Files]:
    """Return the files of whatever has been started in the directory *state*, in their order."""
    try:
        names = sorted(os.listdir(state))
    except OSError:
        return []
    stems = [name.removesuffix(".life") for name in names if name.endswith(".life")]
    return [Files(os.path.join(state, f"{stem}.pid")) for stem in stems]


def started_as(bind: str, files: Files) -> str:
    """Say which service beside *files*, of another name, has *bind*; "" when none has."""
    for other, record in living(files.directory):
        if other.service != files.service and record.bind == bind != "":
            return f"started as {other.service}; llmenv stop {other.service}"
    return ""
