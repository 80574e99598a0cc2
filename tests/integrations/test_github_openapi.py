"""Our idea of GitHub held against GitHub's own description, where that is at hand.

`npm install @octokit/openapi`, then GITHUB_OPENAPI=node_modules/@octokit/openapi/generated/api.github.com.json. Without it these
tests are skipped: 13 MB do not belong into this repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from github_shapes import CALLS, call_of

PLACE = os.environ.get("GITHUB_OPENAPI", "")
pytestmark = pytest.mark.skipif(not PLACE, reason="GITHUB_OPENAPI names no description of GitHub")
PUBLISHED = sorted(key for key in CALLS if key != "POST /graphql")
ENTERPRISE_ONLY = {"internal"}
"""Visibility that github.com knows for organisations of an enterprise; its description leaves it out."""


@cache
def description() -> Any:
    return json.loads(Path(PLACE).read_text())


def resolved(schema: Any) -> Any:
    while "$ref" in schema:
        found = description()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def alternatives(schema: Any) -> Iterator[Any]:
    """The object schemas that may stand here; `allOf` is one object of several parts."""
    schema = resolved(schema)
    for key in ("oneOf", "anyOf"):
        for one in schema.get(key, []):
            yield from alternatives(one)
    if "allOf" in schema:
        parts = [resolved(one) for one in schema["allOf"]]
        yield {
            "properties": {
                name: value for part in parts for name, value in part.get("properties", {}).items()
            },
            "required": [name for part in parts for name in part.get("required", [])],
        }
    elif "oneOf" not in schema and "anyOf" not in schema:
        yield schema


def operation(key: str) -> Any:
    method, path = key.split(" ", 1)
    return description()["paths"][path][method.lower()]


def lacking(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """What we send or rely on that GitHub's description does not know in any of its alternatives."""
    known = list(alternatives(theirs))
    if ours.get("type") == "array":
        items = [one["items"] for one in known if "items" in one]
        if "items" not in ours:
            return [] if items else [place]
        return [] if any(not lacking(ours["items"], one) for one in items) else [f"{place}[]"]
    if "oneOf" in ours:
        return [gap for one in ours["oneOf"] for gap in lacking(one, theirs, place)]
    if "enum" in ours:
        allowed = [value for one in known for value in one.get("enum", [])]
        unknown = [value for value in ours["enum"] if allowed and value not in {*allowed, *ENTERPRISE_ONLY}]
        return [f"{place}={value}" for value in unknown]
    gaps: list[list[str]] = []
    for one in known:
        offered = one.get("properties", {})
        gap = []
        for name, schema in ours.get("properties", {}).items():
            if name in offered:
                gap += lacking(schema, offered[name], f"{place}.{name}")
            elif not one.get("additionalProperties"):
                gap.append(f"{place}.{name}")
        gaps.append(gap)
    return min(gaps, key=len, default=[])


@pytest.mark.parametrize("key", PUBLISHED)
def test_every_request_is_one_that_github_describes(key: str) -> None:
    request, _ = CALLS[key]
    if request.get("type") == "null":
        return
    published = operation(key)["requestBody"]["content"]["application/json"]["schema"]
    assert lacking(request, published) == []
    needed = min((set(one.get("required", [])) for one in alternatives(published)), key=len)
    assert needed <= set(request["properties"])


@pytest.mark.parametrize("key", PUBLISHED)
def test_every_field_we_rely_on_is_one_that_github_describes(key: str) -> None:
    _, answers = CALLS[key]
    for status, answer in answers.items():
        published = operation(key)["responses"][str(status)]
        if answer.get("type") == "null":
            assert "content" not in published
            continue
        assert lacking(answer, next(iter(published["content"].values()))["schema"]) == []


def test_repositories_by_id_and_enterprise_s_graphql_are_the_same_calls() -> None:
    assert call_of("GET", "/repositories/7/git/ref/heads/a/b") == "GET /repos/{owner}/{repo}/git/ref/{ref}"
    assert call_of("POST", "/api/graphql") == "POST /graphql"
