"""The requests we send to GitHub and the answers we rely on, as small JSON Schemas.

The fake is held to them with every call, and they are held to GitHub's published description by test_github_openapi.py.
Requests are closed: a field GitHub does not know would be ignored in silence. Answers are open: GitHub adds fields.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
SHA: Schema = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def either(*values: str) -> Schema:
    return {"enum": list(values)}


def sent(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def given(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


OBJECT = given(sha=SHA)
PERSON = given(name=TEXT, email=TEXT, date=DATE)
REPOSITORY = given(
    id=WHOLE, node_id=TEXT, name=TEXT, owner=given(login=TEXT), html_url=TEXT, clone_url=TEXT,
    default_branch=TEXT, description={"type": ["string", "null"]}, archived=FLAG, topics=listed(TEXT),
)  # fmt: skip
COMMIT = given(sha=SHA, commit=given(message=TEXT, author=PERSON, tree=OBJECT), parents=listed(OBJECT))
GIT_COMMIT = given(sha=SHA, message=TEXT, author=PERSON, tree=OBJECT, parents=listed(OBJECT))
FILE = given(
    filename=TEXT, status=either("added", "removed", "modified", "renamed"), additions=WHOLE, deletions=WHOLE
)
TREE = given(sha=SHA, truncated=FLAG, tree=listed(given(path=TEXT, mode=TEXT, type=TEXT, sha=SHA)))
MODE = either("100644", "100755")
TREE_ENTRY = {
    "oneOf": [
        sent({"path": TEXT, "mode": MODE, "type": either("blob"), "content": TEXT}),
        sent({"path": TEXT, "mode": MODE, "type": either("blob"), "sha": SHA}),
    ]
}
BYPASS = sent(
    {
        "actor_id": WHOLE,
        "actor_type": either("Integration", "RepositoryRole"),
        "bypass_mode": either("always"),
    }
)
RULE = {
    "oneOf": [sent({"type": either(one)}) for one in ("creation", "update", "deletion", "non_fast_forward")]
}
RULESET = sent(
    {
        "name": TEXT,
        "target": either("branch"),
        "enforcement": either("active"),
        "bypass_actors": listed(BYPASS),
        "conditions": sent({"ref_name": sent({"include": listed(TEXT), "exclude": listed(TEXT)})}),
        "rules": listed(RULE),
    }
)
SOME_RULESET = given(id=WHOLE, name=TEXT, source=TEXT, enforcement=TEXT)
INSTALLATION = given(id=WHOLE, permissions={"type": "object"}, repository_selection=either("all", "selected"))
ENVIRONMENT = given(id=WHOLE, name=TEXT)
DEPLOYMENT = given(id=WHOLE, sha=SHA, environment=TEXT, task=TEXT, payload={"type": ["object", "string"]})
STATE = either("queued", "in_progress", "success", "failure", "error", "inactive")
STATUS = given(id=WHOLE, state=STATE, description=TEXT, log_url=TEXT, environment_url=TEXT)
UPDATE = sent(
    {"name": {"type": "string", "pattern": "^refs/(heads|tags)/"}, "beforeOid": SHA, "afterOid": SHA}
)
GRAPHQL = sent(
    {
        "query": TEXT,
        "variables": sent({"input": sent({"repositoryId": TEXT, "refUpdates": listed(UPDATE)})}),
    }
)
REFUSAL = given(message=TEXT)
NOTHING: Schema = {"type": "null"}
REPO = "/repos/{owner}/{repo}"

CALLS: dict[str, tuple[Schema, dict[int, Schema]]] = {
    "GET /user": (NOTHING, {200: given(login=TEXT)}),
    "GET /orgs/{org}": (NOTHING, {200: given(login=TEXT)}),
    "GET /orgs/{org}/installation": (NOTHING, {200: INSTALLATION}),
    "GET /app/installations/{installation_id}": (NOTHING, {200: INSTALLATION}),
    "POST /app/installations/{installation_id}/access_tokens": (NOTHING, {201: given(token=TEXT, expires_at=DATE)}),
    "POST /orgs/{org}/repos": (
        sent(
            {
                "name": TEXT,
                "description": {"type": "string", "maxLength": 350},
                "visibility": either("private", "internal", "public"),
                "auto_init": FLAG,
            }
        ),
        {201: REPOSITORY},
    ),
    "GET /orgs/{org}/repos": (NOTHING, {200: listed(REPOSITORY)}),
    f"GET {REPO}": (NOTHING, {200: REPOSITORY}),
    f"PATCH {REPO}": (sent({}, name=TEXT, archived=FLAG), {200: REPOSITORY}),
    f"DELETE {REPO}": (NOTHING, {204: NOTHING}),
    f"PUT {REPO}/topics": (sent({"names": listed(TEXT)}), {200: given(names=listed(TEXT))}),
    f"POST {REPO}/branches/{{branch}}/rename": (sent({"new_name": TEXT}), {201: given(name=TEXT)}),
    "GET /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}": (NOTHING, {200: given(role_name=TEXT)}),
    "PUT /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}": (sent({"permission": TEXT}), {204: NOTHING}),
    f"GET {REPO}/rulesets": (NOTHING, {200: listed(SOME_RULESET)}),
    f"POST {REPO}/rulesets": (RULESET, {201: SOME_RULESET}),
    f"GET {REPO}/rulesets/{{ruleset_id}}": (NOTHING, {200: SOME_RULESET}),
    f"PUT {REPO}/rulesets/{{ruleset_id}}": (RULESET, {200: SOME_RULESET}),
    f"GET {REPO}/environments/{{environment_name}}": (NOTHING, {200: ENVIRONMENT}),
    f"PUT {REPO}/environments/{{environment_name}}": (sent({}), {200: ENVIRONMENT}),
    f"GET {REPO}/git/ref/{{ref}}": (NOTHING, {200: given(ref=TEXT, object=given(sha=SHA, type=TEXT))}),
    f"GET {REPO}/git/tags/{{tag_sha}}": (NOTHING, {200: given(object=given(sha=SHA, type=TEXT))}),
    f"GET {REPO}/git/commits/{{commit_sha}}": (NOTHING, {200: GIT_COMMIT}),
    f"POST {REPO}/git/commits": (sent({"message": TEXT, "tree": SHA, "parents": listed(SHA)}), {201: GIT_COMMIT}),
    f"POST {REPO}/git/blobs": (sent({"content": TEXT, "encoding": either("base64")}), {201: OBJECT}),
    f"POST {REPO}/git/trees": (sent({"tree": listed(TREE_ENTRY)}, base_tree=SHA), {201: TREE}),
    f"GET {REPO}/git/trees/{{tree_sha}}": (NOTHING, {200: TREE}),
    f"GET {REPO}/commits": (NOTHING, {200: listed(COMMIT)}),
    f"GET {REPO}/commits/{{commit_sha}}/branches-where-head": (NOTHING, {200: listed(given(name=TEXT))}),
    f"GET {REPO}/commits/{{ref}}": (NOTHING, {200: COMMIT}),
    f"GET {REPO}/compare/{{basehead}}": (
        NOTHING,
        {
            200: given(
                status=either("ahead", "behind", "identical", "diverged"),
                total_commits=WHOLE,
                commits=listed(COMMIT),
            )
        },
    ),
    "POST /graphql": (GRAPHQL, {200: given(data={"type": "object"})}),
    f"GET {REPO}/deployments": (NOTHING, {200: listed(DEPLOYMENT)}),
    f"POST {REPO}/deployments": (
        sent(
            {
                "ref": TEXT,
                "environment": TEXT,
                "task": either("deploy"),
                "auto_merge": {"const": False},
                "required_contexts": {"type": "array", "maxItems": 0},
                "payload": given(request_id=TEXT),
            }
        ),
        {201: DEPLOYMENT},
    ),
    f"GET {REPO}/deployments/{{deployment_id}}/statuses": (NOTHING, {200: listed(STATUS)}),
    f"POST {REPO}/deployments/{{deployment_id}}/statuses": (
        sent(
            {"state": STATE, "auto_inactive": FLAG},
            description={"type": "string", "maxLength": 140}, log_url=TEXT, environment_url=TEXT,
        ),
        {201: STATUS},
    ),
}  # fmt: skip
"""Method and path as GitHub's description has them -> request, answers."""

_WIDE = {"branch", "ref", "basehead"}
"""Parameters that may hold slashes."""


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    for index in range(1, len(parts), 2):
        parts[index] = ".+" if parts[index] in _WIDE else "[^/]+"
    return re.compile("".join(parts))


_PATTERNS = [(key.split(" ", 1)[0], _pattern(key.split(" ", 1)[1]), key) for key in CALLS]


def call_of(method: str, path: str) -> str:
    """The entry of `CALLS`; repositories by id and the GraphQL of Enterprise Server are the same calls."""
    plain = re.sub(r"^/repositories/(\d+)", r"/repos/by-id/\1", path.removeprefix("/api/v3"))
    plain = plain.replace("/api/graphql", "/graphql")
    return next(key for verb, pattern, key in _PATTERNS if verb == method and pattern.fullmatch(plain))


def check(method: str, path: str, body: Any, *, status: int, answer: Any) -> None:
    """Raises jsonschema.ValidationError, StopIteration for a call that is not listed."""
    request, answers = CALLS[call_of(method, path)]
    Draft202012Validator(request).validate(body)
    Draft202012Validator(answers[status] if status < 300 else REFUSAL).validate(answer)
