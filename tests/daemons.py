"""What the tests of the life cycle share: a world of its own for each test, and its processes."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

import pytest
from packed import CRASH, ENSURE, RUN, did_its_part, ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from llmenv_hooks.helper.places import Files

STUB = Path(__file__).with_name("stub.py")
PYTHON = sys.executable
DEADLINE_S = 20.0

T = TypeVar("T")


def default_signals() -> None:
    """Take SIGHUP, SIGINT and SIGQUIT as by default, for us and for all that we start.

    A job of a script or of nohup ignores them, and so would every shell and daemon of the tests.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def missing(what: str) -> NoReturn:
    """End the test for want of a tool: skipped on a desk, failed in CI, which must have it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true")
    pytest.skip(what)


def need(*tools: str) -> None:
    """See that the programs *tools* are on PATH."""
    for tool in tools:
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed")


def need_root() -> None:
    """See that we are root, who alone can be another user."""
    if os.geteuid():
        missing("not root")


def nobody(argv: Sequence[str]) -> list[str]:
    """Return a command line that runs *argv* as the user 65534.

    It can still read whatever it likes: our Python may be in root's own home.
    """
    need_root()
    need("setpriv")
    keep = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    keep.append("--securebits=+no_setuid_fixup")  # access(2) too
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *keep, *argv]


def wait_until(condition: Callable[[], T], deadline: float = DEADLINE_S) -> T:
    """Return the first true value of *condition*, asked again and again for *deadline* seconds."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {condition}"
        time.sleep(0.005)
    return value


def _ports() -> Iterator[int]:
    """Yield ports to try, each worker of pytest's from a share of its own: no two tests meet.

    Below the range from which the kernel takes the ports of outgoing connections, so that no
    connection of a test that runs beside this one has it when it is needed.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = range(10001 + worker, 32001, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    # `random` is seeded by hypothesis.
    yield from itertools.cycle(secrets.SystemRandom().sample(share, len(share)))


PORTS, PORTS_LOCK = _ports(), threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on, and that no other test is given."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with PORTS_LOCK:
            port = next(PORTS)
        with socket.socket(family) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port


def start_time(pid: int) -> str | None:
    """Return a word that tells this process from a later one with its pid; None: it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZXx" else fields[19].decode()


def alive(pid: int) -> bool:
    """True while *pid* is neither gone nor a zombie."""
    return start_time(pid) is not None


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal *pid*, and on SIGKILL wait until it is dead, with all of its threads."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, number)
        if number == signal.SIGKILL:
            # Its state in /proc is that of its first thread, which may be dead long before.
            ended, _, _ = select.select([handle], [], [], DEADLINE_S)
            assert ended, f"pid {pid} does not die"
            wait_until(lambda: not alive(pid))
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def stopped(pid: int) -> bool:
    """True while *pid* is suspended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a command; return its status and what it said."""
    out, err = child.communicate(timeout=DEADLINE_S * 2)
    did_its_part(child.returncode, err)
    return child.returncode, out, err


def processes_with(marker: str, files: Sequence[str] = ("cmdline",)) -> list[int]:
    """Return the live processes, but this one, with *marker* in one of their *files* in /proc."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):  # it is gone, or another user's
            texts = (Path(f"/proc/{pid}/{file}").read_bytes() for file in files)
            if pid != os.getpid() and any(os.fsencode(marker) in text for text in texts):
                found.append(pid)
    return found


def holders(path: Path) -> list[int]:
    """Return the processes that have *path* open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it may be gone
            if any(_same(link, path) for link in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(int(pid))
    return found


def _same(link: Path, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(link, path)
    return False


# Does something to itself, as a caller of `llmenv-ensure` may have, and becomes the next command.
FIRST = "import os, signal, sys; exec(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


def first(statements: str, argv: Sequence[str]) -> list[str]:
    """Return a command line that executes Python *statements* and then becomes *argv*."""
    return [PYTHON, "-I", "-S", "-c", FIRST, statements, *argv]


class World:
    """A home, a state directory and a port of its own, and one service, `stub`, on it.

    Every process that a test starts here has the path of the world among its arguments; by that
    they are found and ended when the world is left.
    """

    def __init__(self, root: Path, bind: str | None = None) -> None:
        self.root = root
        self.home = root / "home"
        self.oracle = root / "oracle"
        self.helper = ENSURE
        self.bind = bind or f"127.0.0.1:{free_port()}"
        self.state = root / "state" / "llmenv"
        self.config = root / "config" / "llmenv" / "config.toml"
        for directory in (self.home, self.oracle, self.config.parent):
            directory.mkdir(parents=True)
        self.env = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "XDG_STATE_HOME": str(root / "state"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_RUNTIME_DIR": str(root / "run"),
            # `make test` runs the hook's tests once more with this set, as bash 3.2 takes things.
            **{name: value for name, value in os.environ.items() if name == "BASH_COMPAT"},
        }
        self.children: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self.children:
            child.kill()
            child.communicate()
        # By the environment too: a part of `connect` that starts a service goes on when that is
        # killed, and is named by neither word nor parent.
        while left := processes_with(f"{self.root}/", ("cmdline", "environ")):
            for pid in left:
                kill(pid)
        for state in (self.state, self.home / ".local/state/llmenv"):
            ensure.withdraw_complaint(str(state))  # it lies outside

    # --- what is run ---

    @property
    def port(self) -> int:
        return int(self.bind.rpartition(":")[2])

    def stub(self, *modes: str) -> list[str]:
        """Return the argv of the stub daemon."""
        return [PYTHON, "-I", "-S", str(STUB), str(self.oracle), self.bind, *modes]

    def service(self, *modes: str, start_timeout: float = 60.0) -> ensure.Service:
        """Return the service as `llmenv-ensure` sees it with the arguments of `argv`."""
        return ensure.Service(
            "stub", self.stub(*modes), self.bind, bridge=False, start_timeout=start_timeout
        )

    def arguments(self, *options: str, modes: Sequence[str] = ()) -> list[str]:
        """Return the arguments of an `llmenv-ensure` for the stub daemon."""
        named = ["--service", "stub", "--bind", self.bind, "--no-bridge"]
        return [*named, *options, "--", *self.stub(*modes)]

    def argv(self, *options: str, modes: Sequence[str] = ()) -> list[str]:
        """Return the command line of an `llmenv-ensure` with these arguments."""
        return self.bare(*self.arguments(*options, modes=modes))

    def bare(self, *arguments: str) -> list[str]:
        """Return the command line of an `llmenv-ensure` with these arguments alone."""
        return [*RUN, str(self.helper), *arguments]

    def crash_argv(
        self,
        function: str,
        when: str,
        nth: int = 1,
        number: int = signal.SIGKILL,
        modes: Sequence[str] = (),
        *,
        may_miss: bool = False,
    ) -> list[str]:
        """Return `argv`, to be hit by a signal at the *nth* call of *function*.

        *when* is `before` or `after` it, or `child-before` or `child-after` for the process that
        is to become the daemon.  *function* is the helper's, or else of the module os.  It is an
        error if the call never comes, unless it *may_miss*.
        """
        crash = [PYTHON, "-I", "-S", "-c", CRASH, str(ENSURE), function, when]
        hit = map(str, (nth, int(number), int(may_miss)))
        return [*crash, *hit, *self.arguments(modes=modes)]

    def write_config(self, *modes: str, start_timeout: float = 60.0) -> None:
        """Put the stub into the config, as [services.stub]."""
        command = json.dumps(self.stub(*modes), ensure_ascii=False)
        self.config.write_text(
            f'[services.stub]\ncommand = {command}\nbind = "{self.bind}"\nbridge = false\n'
            f"start_timeout = {start_timeout}\n"
        )

    def hook_argv(self) -> list[str]:
        """Return the command line by which the prompt hook asks."""
        return self.bare("--hook", str(self.state), str(self.config))

    def run(self, argv: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        """Run *argv* to its end and return what it said."""
        child = self.begin(argv, **options)
        status, out, err = finish(child)
        return subprocess.CompletedProcess(child.args, status, out, err)

    def unshare(self, *options: str) -> list[str]:
        """Return the words that run a command in new namespaces."""
        need("unshare")
        prefix = ["unshare", "-r", *options]
        if self.run([*prefix, "true"]).returncode:
            missing(f"no unshare {' '.join(options)} here")
        return prefix

    def container(self, *options: str) -> list[str]:
        """Return the words that run a command in new namespaces, with loopback up."""
        prefix = self.unshare("-f", *options)
        loopback = (
            "import fcntl, socket, struct;"
            "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 0x41))"
        )
        return [*prefix, *(first(loopback, []) if "-n" in options else [])]

    def give_to_nobody(self) -> None:
        """Make all of this world the user 65534's."""
        need_root()
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)

    def begin(self, argv: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """Start *argv*; it is ended with the world."""
        settings: dict[str, object] = {
            "env": self.env,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "errors": "replace",
        }
        child: subprocess.Popen[str] = subprocess.Popen(argv, **{**settings, **options})  # type: ignore[call-overload]
        self.children.append(child)
        return child

    def ensure(self, *options: str, modes: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run one `llmenv-ensure` to its end."""
        return self.run(self.argv(*options, modes=modes))

    def up(self, *modes: str) -> int:
        """Bring the daemon up and return its pid."""
        done = self.ensure(modes=modes)
        assert (done.returncode, done.stderr) == (0, ""), done
        return int(done.stdout.rpartition("pid=")[2])

    # --- what is seen ---

    def path(self, suffix: str) -> Path:
        """Return the path of the service's file *suffix*, e.g. `pid.lock`."""
        return self.state / f"stub.{suffix}"

    @property
    def files(self) -> Files:
        return ensure.instances("stub", str(self.state))[0]

    def told(self, name: str) -> list[int]:
        """Return the pids in a file of the oracle."""
        try:
            return [int(line) for line in (self.oracle / name).read_text().split()]
        except FileNotFoundError:
            return []

    def tell(self, name: str, text: str = "") -> None:
        """Write a file of the oracle."""
        (self.oracle / name).write_text(text)

    def daemons(self) -> list[int]:
        """Return the stub daemons that live."""
        return [pid for pid in self.told("starts") if alive(pid)]

    def pidfile(self) -> int | None:
        """Return the pid in the pidfile, or None."""
        try:
            return int(self.path("pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def proved(self) -> bool:
        """True when one of the links proves life as a shell sees it."""
        if "WITHOUT_PROC" in os.environ:
            return self.pidfile() in self.daemons()  # there a shell asks by the pidfile
        for link, file in (("alive", "life"), ("output", "log")):
            if os.path.exists(self.path(link)):
                return os.path.samefile(self.path(link), self.path(file))
        return False

    def check(self, starts: int | None = 1) -> int:
        """Assert that one daemon serves, is rightly published, and nothing lies about; its pid."""
        (pid,) = self.daemons()
        assert starts is None or len(self.told("starts")) == starts
        assert not self.told("bindfail")
        assert self.pidfile() == pid
        assert self.proved()
        kinds = ("pid", "life", "proof", "alive", "output", "log", "log.1")
        ours = {f"stub.{kind}" for kind in kinds}
        # A background run publishes a moment before it lets go of its lock.
        wait_until(lambda: {path.name for path in self.state.glob("stub.*")} <= ours)
        return pid


def add(world: World, name: str, *lines: str, modes: str = "") -> Path:
    """Add the service *name*, a stub with an oracle of its own, to the config; that oracle."""
    oracle = world.root / name
    oracle.mkdir()
    bind = f"127.0.0.1:{free_port()}"
    words = [PYTHON, "-I", "-S", str(STUB), str(oracle), bind, *modes.split()]
    text = f"[services.{name}]\ncommand = {words!r}\nbind = '{bind}'\nbridge = false\n"
    with world.config.open("a") as file:
        file.write(text + "\n".join(lines) + "\n")
    return oracle


# Listens on an address as a user, and hangs up on whoever connects.
LISTEN = """
import os, socket, sys
os.setuid(int(sys.argv[3]))
listener = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(50)
print("up", flush=True)
while True:
    listener.accept()[0].close()
"""


def take_port(world: World, host: str = "127.0.0.1", uid: int | None = None) -> int:
    """Start something else that listens on the world's port; return its pid."""
    words = [PYTHON, "-I", "-S", "-c", LISTEN, host, str(world.port), str(uid or os.getuid())]
    child = world.begin([*words, f"{world.root}/"])
    assert child.stdout
    assert child.stdout.readline() == "up\n"
    return child.pid


def starting(world: World, *modes: str) -> None:
    """Leave a daemon that has not bound its port."""
    assert world.ensure("--timeout", "0.3", modes=modes).returncode == 75
    forks = sum(mode in ("fork", "wrap", "uvx") for mode in modes)
    wait_until(lambda: len(world.told("starts")) > forks)


def record(pid: int, start: str, service: ensure.Service, boot: str | None = None) -> bytes:
    """Return a record that says that *pid* is *service*'s daemon."""
    realm = ensure.realm()
    where = (boot or realm[0], realm[1], realm[2])
    return ensure.Identity(pid, start, where, os.getuid(), service.bind, service.digest).encode()


def listening(oracle: Path) -> bool:
    """True once the stub daemon with that oracle has bound its port."""
    return (oracle / "listening").exists()


def starts(oracle: Path, least: int = 1) -> list[int]:
    """Return the pids of the stubs with that oracle, or none while they are fewer than *least*."""
    pids = [int(word) for word in (oracle / "starts").read_text().split()]
    return pids if len(pids) >= least else []
