"""What people type who know other tools: the command that it is here, or the words that answer it.

The one table of both.  A word is here because somebody tried it.
"""

from __future__ import annotations

# Words for a command that has another name here.
ALIASES = {
    "list": "status",
    "ls": "status",
    "ps": "status",
    "up": "start",
    "down": "stop",
    "log": "logs",
    "agent": "client",
    "agents": "client",
    "clients": "client",
    "rm": "remove",
    "completions": "completion",
}

_EDIT = "llmenv config edit"
_HOOK = 'llmenv install, or in the rc file: eval "$(llmenv hook bash)"'
_EXPORT = 'in this shell: eval "$(llmenv export bash)"'
_UPGRADE = "install the new version over this one, as this one was; the hook renews itself"
_CONFIG = "name it by the environment: LLMENV_CONFIG=/PATH llmenv status"
_SILENT = "its exit status tells: llmenv status >/dev/null"
_DEBUG = "LLMENV_DEBUG=1 has the hook say what it does; for a report: llmenv debug"

# Words that are no command, or no option, and what does what they ask for.  Two words stand for
# the second behind the first.
HINTS = {
    "env": _EXPORT,
    "shellenv": _EXPORT,
    "activate": _HOOK,
    "init bash": _HOOK,
    "init zsh": _HOOK.replace("bash", "zsh"),
    "init fish": "llmenv install, or in config.fish: llmenv hook fish | source",
    "edit": _EDIT,
    "config set": _EDIT,
    "config list": "llmenv config show",
    "enable": f"llmenv start NAME; without autostart = false it starts by itself: {_EDIT}",
    "disable": f"llmenv stop NAME; autostart = false keeps it from starting by itself: {_EDIT}",
    "reload": "an edited config is taken up by itself; to start anew: llmenv restart",
    "update": _UPGRADE,
    "upgrade": _UPGRADE,
    "self": _UPGRADE,
    "kill": "llmenv stop NAME",
    "clean": "llmenv prune",
    "purge": "llmenv prune",
    "ping": "llmenv status NAME, or llmenv doctor, which says hello to it",
    "tools": "ask it as an agent would, at the address of: llmenv url NAME",
    "exec": "speak to a service on stdin and stdout: llmenv connect NAME",
    "run": "llmenv start NAME, or to speak to it on stdin and stdout: llmenv connect NAME",
    "--config": _CONFIG,
    "-c": _CONFIG,
    "--verbose": _DEBUG,
    "--debug": _DEBUG,
    "-v": "llmenv --version; " + _DEBUG,
    "--quiet": _SILENT,
    "-q": _SILENT,
    "-j": "llmenv status --json",
    "--install-completion": "llmenv completion SHELL prints the script",
    "unshare": "llmenv share --undo",
    "--purge": "llmenv uninstall, then llmenv prune",
    "--all": "llmenv setup gives it to every agent that it finds",
    "--dry-run": "without --write it is only printed",
    "--force": "move the config away first; llmenv config path says where it is",
}


def hint(typed: list[str]) -> str:
    """Return what answers the words *typed* behind `llmenv`, which were refused; "" for nothing."""
    words = [word for word in typed if not word.startswith("-")]
    options = [word.partition("=")[0] for word in typed if word.startswith("-")]
    tried = [" ".join(words[:2]), *words[:1], *options]
    return next((HINTS[one] for one in tried if one in HINTS), "")
