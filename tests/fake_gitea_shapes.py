"""The requests we send to Gitea and the answers we rely on, as small JSON Schemas.

The fake is held to them with every call, and they are held to Gitea's own description by test_gitea_openapi.py. Requests are
closed: a field Gitea does not know would be ignored in silence. Answers are open: Gitea adds fields.
"""

from __future__ import annotations

import re
from typing import Any

from github_shapes import DATE, FLAG, SHA, TEXT, WHOLE, Schema, either, given, listed, sent
from jsonschema import Draft202012Validator

NOTHING: Schema = {"type": "null"}
ORGANISATION = "/orgs/{org}"
REPO = "/repos/{owner}/{repo}"

REPOSITORY = given(
    id=WHOLE, name=TEXT, owner=given(login=TEXT), html_url=TEXT, clone_url=TEXT, default_branch=TEXT,
    description=TEXT, archived=FLAG, topics={"type": ["array", "null"], "items": TEXT},
)  # fmt: skip
META = given(sha=SHA)
SIGNATURE = given(name=TEXT, email=TEXT, date=DATE)
COMMIT = given(sha=SHA, commit=given(message=TEXT, author=SIGNATURE, tree=META))
REFERENCE = given(ref=TEXT, object=given(sha=SHA, type=TEXT))
TREE = given(
    tree={"type": ["array", "null"], "items": given(path=TEXT, mode=TEXT, type=TEXT, sha=SHA)}, truncated=FLAG
)
NAMES = listed(TEXT)
RULE_FIELDS: dict[str, Schema] = {
    "enable_push": FLAG, "enable_push_whitelist": FLAG, "push_whitelist_usernames": NAMES,
    "push_whitelist_teams": NAMES, "push_whitelist_deploy_keys": FLAG, "enable_merge_whitelist": FLAG,
    "merge_whitelist_usernames": NAMES, "merge_whitelist_teams": NAMES, "unprotected_file_patterns": TEXT,
    "enable_force_push": FLAG, "block_admin_merge_override": FLAG,
}  # fmt: skip
RULE = given(rule_name=TEXT, enable_push=FLAG)

CALLS: dict[str, tuple[Schema, dict[int, Schema]]] = {
    "GET /version": (NOTHING, {200: given(version=TEXT)}),
    "GET /user": (NOTHING, {200: given(login=TEXT, email=TEXT)}),
    f"GET {ORGANISATION}": (NOTHING, {200: given(name=TEXT, repo_admin_change_team_access=FLAG)}),
    "GET /users/{username}/orgs/{org}/permissions": (
        NOTHING,
        {200: given(can_create_repository=FLAG, is_owner=FLAG)},
    ),
    f"POST {ORGANISATION}/repos": (
        sent(
            {"name": TEXT},
            description=TEXT, private=FLAG, default_branch=TEXT, auto_init=FLAG, object_format_name=either("sha1"),
        ),
        {201: REPOSITORY},
    ),
    f"GET {ORGANISATION}/repos": (NOTHING, {200: listed(REPOSITORY)}),
    f"GET {REPO}": (NOTHING, {200: REPOSITORY}),
    f"PATCH {REPO}": (sent({}, name=TEXT, archived=FLAG), {200: REPOSITORY}),
    f"DELETE {REPO}": (NOTHING, {204: NOTHING}),
    f"PUT {REPO}/topics/{{topic}}": (NOTHING, {204: NOTHING}),
    f"GET {REPO}/teams/{{team}}": (NOTHING, {200: given(name=TEXT, permission=TEXT)}),
    f"PUT {REPO}/teams/{{team}}": (NOTHING, {204: NOTHING}),
    f"GET {REPO}/branch_protections": (NOTHING, {200: listed(RULE)}),
    f"POST {REPO}/branch_protections": (sent({"rule_name": TEXT}, **RULE_FIELDS), {201: RULE}),
    f"PATCH {REPO}/branch_protections/{{name}}": (sent({}, **RULE_FIELDS), {200: RULE}),
    f"GET {REPO}/git/refs/{{ref}}": (NOTHING, {200: {"oneOf": [REFERENCE, listed(REFERENCE)]}}),
    f"GET {REPO}/git/tags/{{sha}}": (NOTHING, {200: given(object=given(sha=SHA, type=TEXT))}),
    f"GET {REPO}/git/commits/{{sha}}": (NOTHING, {200: COMMIT}),
    f"GET {REPO}/git/trees/{{sha}}": (NOTHING, {200: TREE}),
    f"GET {REPO}/commits": (NOTHING, {200: listed(COMMIT)}),
}  # fmt: skip
"""Method and path as Gitea's description has them -> request, answers."""

QUERIES: dict[str, set[str]] = {
    f"GET {ORGANISATION}/repos": {"page", "limit"},
    f"GET {REPO}/git/commits/{{sha}}": {"stat", "verification", "files"},
    f"GET {REPO}/git/trees/{{sha}}": {"recursive", "page", "per_page"},
    f"GET {REPO}/commits": {"sha", "not", "stat", "verification", "files", "page", "limit"},
}
"""What may stand behind the question mark; Gitea ignores what it does not know."""

REFUSAL = given(message=TEXT)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    for index in range(1, len(parts), 2):
        parts[index] = "(.+)" if parts[index] == "ref" else "([^/]+)"
    return re.compile("".join(parts))


_PATTERNS = [(key.split(" ", 1)[0], _pattern(key.split(" ", 1)[1]), key) for key in CALLS]


def call_of(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The entry of `CALLS` and its parameters, still quoted. `path` is quoted, and below /api/v1."""
    found = ((key, match.groups()) for verb, pattern, key in _PATTERNS if verb == method and (match := pattern.fullmatch(path)))  # fmt: skip
    return next(found)


def check(key: str, body: Any, *, query: set[str], status: int, answer: Any) -> None:
    """Raises jsonschema.ValidationError."""
    request, answers = CALLS[key]
    assert query <= QUERIES.get(key, set())
    Draft202012Validator(request).validate(body)
    if 300 <= status < 400:
        return
    Draft202012Validator(answers[status] if status < 300 else REFUSAL).validate(answer)
