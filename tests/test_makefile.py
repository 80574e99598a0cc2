"""`make`: what each target would do, and the sentence for a machine that lacks something. Nothing is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def make(folder: Path, *arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed")
    return subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": path, "LC_ALL": "C", "HOME": str(folder)},
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone, as far as make looks at it: no environment yet."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def stub(folder: Path, name: str, text: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(checkout: Path, target: str) -> None:
    planned = make(checkout, "-n", target)
    assert planned.returncode == 0, planned.stderr


def test_make_alone_says_what_can_be_made(checkout: Path) -> None:
    said = make(checkout)
    assert said.returncode == 0
    listed = [line.split()[0] for line in said.stdout.splitlines()]
    assert listed == TARGETS
    assert all(len(line.split()) > 2 for line in said.stdout.splitlines()), "each with what it does"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("run",), "python -m playground.try_out --port 8080"),
        (("run", "PORT=9090"), "python -m playground.try_out --port 9090"),
        (("test",), "python -m pytest -n 2 tests"),
        (("test", "TESTS=tests/bot/test_policy.py"), "python -m pytest -n 2 tests/bot/test_policy.py"),
        (("manifest",), "python -m bot manifest > manifest.yml"),
        (("schema",), "python -m bot schema > docs/platform.schema.json"),
    ],
)
def test_a_target_does_what_the_documents_say(
    checkout: Path, arguments: tuple[str, ...], command: str
) -> None:
    assert command in make(checkout, "-n", *arguments).stdout


@pytest.mark.parametrize("needed", ["ruff format --check", "ruff check", "mypy", "lint-imports", " test"])
def test_check_is_what_continuous_integration_runs(checkout: Path, needed: str) -> None:
    assert needed in make(checkout, "-n", "check").stdout


def test_an_old_python_is_named_with_the_way_out(checkout: Path) -> None:
    old = stub(checkout, "old-python", 'case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    refused = make(checkout, f"PYTHON={old}", "run")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == (
        f"platform-bot needs Python 3.11 or newer; '{old}' is Python 3.9.2. Try: make PYTHON=python3.11 run"
    )
    assert not (checkout / ".venv").exists(), "nothing was begun"


def test_a_machine_without_git_is_told_so(checkout: Path) -> None:
    """A PATH that holds only what make's own lines need."""
    tools = checkout / "tools"
    tools.mkdir()
    shell = shutil.which("sh")
    assert shell is not None
    (tools / "sh").symlink_to(shell)
    python = stub(checkout, "new-python", "exit 0")
    refused = make(checkout, f"PYTHON={python}", "setup", path=str(tools))
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == "platform-bot needs git: install it, then run make again."


def test_an_environment_that_is_up_to_date_is_not_touched(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".installed").touch()
    assert "pip" not in make(checkout, "-n", "setup").stdout
    (checkout / ".venv" / ".installed").unlink()
    assert "uv pip sync" in make(checkout, "-n", "setup").stdout


def test_packages_come_from_the_lock_file_by_their_hashes(checkout: Path) -> None:
    assert "--require-hashes requirements.lock" in make(checkout, "-n", "setup").stdout
