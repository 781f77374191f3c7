"""What gets installed: a wheel in an empty environment, and the checkout in the one at hand."""

from __future__ import annotations

import fcntl
import html
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import picture
import pytest
from stdio_agent import add_memory

from llmenv_hooks import render
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.version import __version__

if TYPE_CHECKING:
    from daemons import World

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin directory of an environment that has only our wheel and its needs.

    All workers of a run share it: to build and install takes twenty seconds.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    binaries = shared / "wheel" / "venv" / "bin"
    with (shared / "wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (binaries / "llmenv").exists():
            install_wheel(shared / "wheel")
    return binaries


def install_wheel(place: Path) -> None:
    """Build our wheel in *place*, and install it in a new environment beside it."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"llmenv_hooks/templates/hook.{shell}" for shell in render.QUOTE} <= set(names)
    carried = {"config.schema.json", "templates/config.toml", "examples/memory_server.py"}
    assert {f"llmenv_hooks/{name}" for name in carried} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]
    venv.create(place / "venv", with_pip=True)
    python = str(place / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], check=True)


@pytest.mark.parametrize("shell", sorted(render.QUOTE))
def test_a_wheel_renders_every_hook(installed: Path, tmp_path: Path, shell: str) -> None:
    done = subprocess.run(
        [str(installed / "llmenv"), "hook", shell],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "__llmenv_hook" in done.stdout
    assert str(installed / "python") in done.stdout
    assert str(ROOT) not in done.stdout


def test_init_from_a_wheel_says_what_the_example_server_needs(
    installed: Path, tmp_path: Path
) -> None:
    python = installed / "python"
    (site,) = installed.parent.glob("lib/*/site-packages")
    metadata = site / "mcp-0.dist-info" / "METADATA"  # as good as installed, as far as init looks
    for sdk, wanted in ((None, 1), ("1.30.0", 1), ("2.3.0", 0)):
        if sdk:
            metadata.parent.mkdir(exist_ok=True)
            metadata.write_text(f"Metadata-Version: 2.1\nName: mcp\nVersion: {sdk}\n")
        done = subprocess.run(
            [str(installed / "llmenv"), "init", "--yes"],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == wanted, done
        if wanted:
            assert f"{python} -m pip install 'mcp>=2.3'" in done.stderr
    (service,) = load_config(str(tmp_path / ".config/llmenv/config.toml")).services
    assert service.command == [str(python), str(site / "llmenv_hooks/examples/memory_server.py")]


def test_a_wheel_brings_llmenv_ensure(installed: Path) -> None:
    done = subprocess.run(
        [str(installed / "llmenv-ensure"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"llmenv-ensure {__version__}\n"


def test_an_editable_install_reads_the_checkouts_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "LLMENV_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    for shell in render.QUOTE:
        assert "__llmenv_hook" in render.hook(shell)
    assert Path(render.templates()).resolve() == ROOT / "templates"


# Prints what is installed that the words do not name, nor what those bring.
ELSE = """
import re, sys
from importlib.metadata import distributions
brings = {d.name.lower().replace("_", "-"): d.requires or [] for d in distributions()}
named, due = set(), sys.argv[1:]
while due:
    name = re.match(r"[\\w.-]+", due.pop())[0].lower().replace("_", "-")
    if name in brings and name not in named:
        named.add(name)
        due += [each for each in brings[name] if "extra ==" not in each]
print(*sorted({*brings} - named))
"""


def test_it_brings_no_more_than_it_needs(installed: Path) -> None:
    ours = "llmenv-hooks pip setuptools typer jinja2 platformdirs rich tomlkit shellingham".split()
    metadata = next(installed.parent.glob("lib/*/site-packages/llmenv_hooks-*.dist-info/METADATA"))
    needs = re.findall(
        r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata.read_text(), re.MULTILINE
    )
    assert {*needs} <= {*ours, "markupsafe"}  # which jinja2 brings
    python = [str(installed / "python"), "-I", "-c", ELSE, *ours]
    found = subprocess.run(python, capture_output=True, text=True, check=True).stdout.split()
    assert found in ([], ["mcp"])  # which a test here makes up


def test_without_extras_it_is_enough_for_a_server_of_ones_own(
    installed: Path, world: World
) -> None:
    add_memory(world)
    done = world.run([str(installed / "llmenv"), "setup", "--yes"])
    assert done.returncode == 0, done
    assert "an agent sees memory with" in done.stdout


def test_uv_pip_and_an_upgrade_by_pipx_install_it(installed: Path, world: World) -> None:
    """As the README says it, in this order; what another has installed is no obstacle."""
    (world.home / (wheel := next(installed.parents[1].glob("*.whl"))).name).symlink_to(wheel)
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    world.env |= {name: value for name, value in os.environ.items() if picture.NETWORK.match(name)}
    lines = re.findall(r"^    ((?:pipx|uv tool|python3 -m venv) .*)$", README, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        done = world.run(["bash", "-c", f"cd && {line}"])
        assert done.returncode == 0, (done.stdout, done.stderr)
        place = ".venvs/llmenv/bin" if "venv" in line else ".local/bin"
        said = world.run([str(world.home / place / "llmenv"), "--version"])
        assert __version__ in said.stdout, (line, said)
        for tool in (["pipx"], ["uv", "tool"]):
            if line.startswith(tool[0]):
                assert world.run([*tool, "uninstall", "llmenv-hooks"]).returncode == 0


def seen(svg: str) -> str:
    """Return the text of *svg* without blanks."""
    return re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", svg)).replace("\N{NBSP}", ""))


def test_a_fresh_account_sees_what_the_picture_shows(installed: Path, tmp_path: Path) -> None:
    (tmp_path / picture.WHEEL).symlink_to(installed.parents[1] / picture.WHEEL)
    shown = picture.record(tmp_path)
    pipx, set_up, stored, killed, found, status = (said for _, said in shown)
    assert "These apps are now available" in pipx
    assert "an agent sees memory with 4 tools: store, search, list, forget" in set_up
    assert "Claude Code, /home/ada/.claude.json" in set_up
    assert killed == ""
    assert stored == found
    assert '"text": "We deploy on Fridays."' in found
    assert "memory: 0 agents, 2 calls" in status
    kept = seen(picture.PICTURE.read_text())
    assert all(seen(f"$ {html.escape(step)}") in kept for step, _ in shown), "make picture"
    assert "<svg" in picture.picture(shown)
