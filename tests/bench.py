"""What our hook costs at a prompt: real shells on a pty, beside no hook at all and direnv's.

`make bench` runs it.  Every round sends one empty line to each shell in turn and waits for its
prompt, so that all variants see the same drift of the machine.  "added" is the median of what a
variant took more than the same shell without a hook in the same round.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daemons import free_port

MARK = b"<prompt>"
ROUNDS = 400
SHELLS = ("bash", "zsh", "fish")
LISTENER = (
    "import socket\n"
    "s = socket.create_server(('127.0.0.1', PORT))\n"
    "while True: s.accept()[0].close()\n"
)


class Prompt:
    """An interactive shell on a pty, with *hook* evaluated in it; *home* is a new directory."""

    def __init__(self, shell: str, hook: str, home: Path) -> None:
        home.mkdir(parents=True)
        code = home / "hook"
        code.write_text(hook)
        mark = MARK.decode()
        if shell == "bash":
            (home / "rc").write_text(f"PS1='{mark}'\n. '{code}'\n")
            argv = ["bash", "--noprofile", "--rcfile", str(home / "rc"), "--noediting", "-i"]
        elif shell == "zsh":
            rc = f"PROMPT='{mark}'\nunsetopt prompt_sp prompt_cr zle\n. '{code}'\n"
            (home / ".zshrc").write_text(rc)
            argv = ["zsh", "-d", "-i"]
        else:
            rc = f"function fish_prompt; echo -n '{mark}'; end; source '{code}'"
            argv = ["fish", "--no-config", "--init-command", rc, "-i"]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, _environment(home))
        self.seen = b""
        self.wait()

    def wait(self) -> None:
        """Return when the next prompt has been drawn."""
        while MARK not in self.seen:
            if not select.select([self.fd], [], [], 30)[0]:
                raise SystemExit(f"bench: no prompt in 30 s; last seen: {self.seen[-200:]!r}")
            self.seen += os.read(self.fd, 65536)
        # What fish still draws after its mark belongs to this prompt, not to the next.
        while select.select([self.fd], [], [], 0.002)[0]:
            os.read(self.fd, 65536)
        self.seen = b""

    def time(self) -> float:
        """Return the microseconds from an empty line to the next prompt's mark."""
        began = time.perf_counter()
        os.write(self.fd, b"\n")
        while MARK not in self.seen:
            self.seen += os.read(self.fd, 65536)
        took = time.perf_counter() - began
        self.wait()
        return took * 1e6

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def _environment(home: Path) -> dict[str, str]:
    places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "CACHE")}
    return {
        "HOME": str(home),
        "ZDOTDIR": str(home),
        "PATH": os.environ["PATH"],
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "fish_features": "no-query-term",
        **places,
    }


def _hooks(shell: str, variables: dict[str, str]) -> dict[str, str]:
    """Return what each variant evaluates; a peer that is missing is left out, and said to be."""
    environment = {**os.environ, **variables}
    commands = {"llmenv": [sys.executable, "-m", "llmenv_hooks", "hook", shell]}
    if shutil.which("direnv"):
        commands["direnv"] = ["direnv", "hook", shell]
    hooks = {"nothing": ""}
    for name, argv in commands.items():
        hooks[name] = subprocess.run(
            argv, env=environment, check=True, capture_output=True, text=True
        ).stdout
    return hooks


def measure(shell: str, hooks: dict[str, str], home: Path) -> dict[str, list[float]]:
    """Return for each variant the microseconds of every round."""
    prompts = {name: Prompt(shell, hook, home / shell / name) for name, hook in hooks.items()}
    took: dict[str, list[float]] = {name: [] for name in hooks}
    for number in range(ROUNDS + 20):
        for name, prompt in prompts.items():
            figure = prompt.time()
            if number >= 20:  # the first prompts start things in the background
                took[name].append(figure)
    for prompt in prompts.values():
        prompt.close()
    return took


def _row(shell: str, name: str, took: list[float], base: list[float]) -> float:
    added = statistics.median(mine - bare for mine, bare in zip(took, base, strict=True))
    p95 = statistics.quantiles(took, n=20)[-1]
    print(f"{shell:5} {name:8} {statistics.median(took):9.0f} {p95:9.0f} {added:9.0f}", flush=True)
    return added


def main() -> None:
    """Measure and print a table, in microseconds, with the ratio of what the peers add."""
    if not shutil.which("direnv"):
        print("direnv is missing (Debian: apt-get install direnv): no comparison")
    with tempfile.TemporaryDirectory(prefix="llmenv-bench-") as place:
        home = Path(place)
        port = free_port()
        (home / "daemon.py").write_text(LISTENER.replace("PORT", str(port)))
        (home / "config.toml").write_text(
            f"[services.bench]\ncommand = ['{sys.executable}', '{home}/daemon.py']\n"
            f'bind = "127.0.0.1:{port}"\nbridge = false\n'
        )
        variables = {
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "LLMENV_CONFIG": str(home / "config.toml"),
        }
        llmenv = [sys.executable, "-m", "llmenv_hooks"]
        environment = {**os.environ, **variables}
        subprocess.run([*llmenv, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            print(f"{'shell':5} {'hook':8} {'median us':>9} {'p95 us':>9} {'added us':>9}")
            for shell in filter(shutil.which, SHELLS):
                took = measure(shell, _hooks(shell, variables), home)
                added = {name: _row(shell, name, took[name], took["nothing"]) for name in took}
                if "direnv" in added:
                    ratio = added["direnv"] / max(added["llmenv"], 1.0)
                    print(f"{shell:5} direnv adds {ratio:.0f} times what llmenv adds")
        finally:
            subprocess.run(
                [*llmenv, "stop"], env=environment, check=True, stdout=subprocess.DEVNULL
            )


if __name__ == "__main__":
    main()
