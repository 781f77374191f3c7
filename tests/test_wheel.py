"""What gets installed: a wheel in an empty environment, and the checkout in the one at hand."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from llmenv_hooks import render
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.version import __version__

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("wheel")  # one worker, which installs it once


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin directory of a new environment that has only our wheel and its needs."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"llmenv_hooks/templates/hook.{shell}" for shell in render.QUOTE} <= set(names)
    carried = {"config.schema.json", "templates/config.toml", "examples/memory_server.py"}
    assert {f"llmenv_hooks/{name}" for name in carried} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]
    venv.create(place / "venv", with_pip=True)
    binaries = place / "venv" / "bin"
    pip = [str(binaries / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], check=True)
    return binaries


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
