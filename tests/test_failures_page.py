"""docs/backends/failures.md held to the tests it names and to the backends that ship: a matrix with a hole is no matrix."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from bot.registry import backend_modules

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "backends" / "failures.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)))
ROWS = {
    row[0].strip("` "): row[1:]
    for row in re.findall(r"^\| (`\w+`) \|(.*)\|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
}
ON_THIS_MACHINE = {"copier_paths", "local_catalog", "local_git", "local_postgres", "local_processes"}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert name in names_in(file)


def test_every_backend_of_a_company_has_its_row() -> None:
    assert set(ROWS) == set(backend_modules()) - ON_THIS_MACHINE


@pytest.mark.parametrize("backend", ROWS)
def test_no_cell_is_empty(backend: str) -> None:
    for cell in ROWS[backend]:
        assert "::test_" in cell or cell.strip() in {"reads only", "dry runs only"}


def test_the_table_of_those_who_meet_nobody_has_every_backend() -> None:
    """Its keys are read, not imported: a module of tests is none to import from."""
    tree = ast.parse((TESTS / "integrations" / "test_nobody_there.py").read_text(encoding="utf-8"))
    tables = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in {"ASKED", "UNKNOWN"}
    ]
    keys = {
        key.value
        for table in tables
        if isinstance(table, ast.Dict)
        for key in table.keys
        if isinstance(key, ast.Constant)
    }
    assert set(ROWS) <= keys
