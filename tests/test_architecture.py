"""What docs/architecture.md and CONTRIBUTING.md promise about the house itself: imports, sizes, names, links, commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from bot.__main__ import main as bot_main
from bot.registry import load_commands

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "commands", "integrations", "playground")
MODULE_LINES, FUNCTION_LINES = 400, 60
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
GENERATED = {"requirements.lock", "docs/platform.schema.json", "LICENSE"}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no telling what belongs to it", allow_module_level=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


TRACKED = tracked()
MODULES = [name for name in TRACKED if name.endswith(".py") and name.split("/")[0] in PACKAGES]
PYTHON = [name for name in TRACKED if name.endswith(".py") and "/template/" not in name]
DOCUMENTS = [name for name in TRACKED if name.endswith(".md") and "golden_paths/" not in name]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def is_text(name: str) -> bool:
    return b"\0" not in (ROOT / name).read_bytes()[:8000]


# ---------------------------------------------------------------- which way imports go


def test_every_import_goes_down(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts of .importlinter, one for each sentence of the architecture."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=".importlinter", no_cache=True) == 0, capsys.readouterr().out


def test_importing_any_module_has_no_effect() -> None:
    """No output, no file, no thread, no event loop: a fresh process imports everything there is."""
    names = [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in MODULES]
    wanted = [name for name in names if "migrations" not in name and not name.endswith("__main__")]
    program = (
        "import importlib, sys, threading\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    before = sorted(ROOT.iterdir())
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(ROOT.iterdir()) == before


# ---------------------------------------------------------------- modules


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_its_duty_and_stays_small(name: str) -> None:
    text = read(name)
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with its duty and what it must not do"
    assert len(text.splitlines()) <= MODULE_LINES
    assert Path(name).stem.lstrip("_") not in VAGUE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("name", PYTHON)
def test_nothing_is_left_to_be_done_later(name: str) -> None:
    marks = [f"{word}\\b" for word in ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")]
    assert re.search("|".join(marks), read(name)) is None


def test_tests_are_no_package() -> None:
    """An __init__.py there would shadow the real packages of the same names."""
    assert [name for name in TRACKED if name.startswith("tests/") and name.endswith("__init__.py")] == []


def test_every_command_and_backend_has_a_test_of_its_name() -> None:
    for package in ("commands", "integrations"):
        files = [Path(name) for name in MODULES if Path(name).parent == Path(package)]
        missing = [
            file.stem
            for file in files
            if not file.stem.startswith("_")
            and not (ROOT / "tests" / package / f"test_{file.stem}.py").exists()
        ]
        assert missing == [], f"tests/{package}/"


def test_nothing_of_ours_is_patched() -> None:
    """Fakes stand at the transport."""
    patching = re.compile(
        r"\b(?:mock|mocker)\.patch|from unittest import mock|unittest\.mock|monkeypatch\.setattr"
    )
    tests = [name for name in PYTHON if name.startswith("tests/") and name != "tests/test_architecture.py"]
    assert [name for name in tests if patching.search(read(name))] == []


# ---------------------------------------------------------------- what must not be in the repository


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of somebody's machine", r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+)/[\w.]"),
        ("a registry or index of packages", r"https?://[\w.-]*(?:pypi|npm|registry|artifact|nexus|index)[\w.-]*\.[a-z]+/"),
        ("a token", r"xox[abp]-\d{6,}|xapp-1-[A-Z0-9]{6,}-|gh[ps]_[A-Za-z0-9]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[\w+/]{40}"),
    ],
)  # fmt: skip
def test_no_tracked_file_holds(what: str, pattern: str) -> None:
    search = re.compile(pattern)
    found = [
        f"{name}: {match.group()}"
        for name in TRACKED
        if name != "tests/test_architecture.py" and is_text(name) and (match := search.search(read(name)))
    ]
    assert found == [], what


def test_no_secret_has_a_file() -> None:
    assert [name for name in TRACKED if re.search(r"(?:^|/)\.env|\.pem$|\.key$|credentials", name)] == []


# ---------------------------------------------------------------- documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_a_document_leads_to_something(name: str) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", read(name), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_a_document_names_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", read(name), flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_verb_of_the_command_line_a_document_names_exists(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in set(re.findall(r"python -m bot ([a-z][a-z ]*)", read(name))):
        verbs = line.split()[:2] if line.startswith("audit") else line.split()[:1]
        with pytest.raises(SystemExit) as left:
            bot_main([*verbs, "--help"])
        assert left.value.code == 0, verbs
        capsys.readouterr()


def test_the_readme_is_there() -> None:
    """pyproject.toml shows it to everybody who looks at the package."""
    assert (ROOT / "README.md").is_file()


def test_slash_commands_in_documents_are_verbs() -> None:
    verbs = set(load_commands())
    for name in DOCUMENTS:
        for verb in re.findall(r"[`(]/platform ([a-z][a-z-]+)", read(name)):
            assert verb in verbs or verb == "owner", f"{name}: /platform {verb}"
