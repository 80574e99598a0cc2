"""What the fake GitHub does for calls about the App, the organisation and its repositories."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fake_github_state import ORGANISATION, Refusal, Repo, route

if TYPE_CHECKING:
    from fake_github import FakeGitHub

REPO = r"/(?:repos/([^/]+)|(repositories))/([^/]+)"
Answer = tuple[Any, ...]


def repository(fake: FakeGitHub, owner: str | None, by_id: str | None, name: str, request: Any) -> Repo:
    tail = re.sub(r"^/(repos/[^/]+|repositories)/[^/]+", "", request.url.path)
    if request.url.query:
        tail += "?" + request.url.query.decode()
    return fake.find(owner or by_id or "", name, tail=tail, method=request.method)


def shown(repo: Repo) -> dict[str, Any]:
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name,
        "full_name": f"{repo.owner}/{repo.name}",
        "owner": {"login": repo.owner, "id": 1},
        "private": repo.visibility != "public",
        "visibility": repo.visibility,
        "html_url": f"https://github.com/{repo.owner}/{repo.name}",
        "clone_url": f"{repo.clone_base}/{repo.owner}/{repo.name}.git",
        "description": repo.description,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "topics": repo.topics,
    }


# ---------------------------------------------------------------- who we are


@route("GET", r"/orgs/([^/]+)/installation")
def find_installation(fake: FakeGitHub, organisation: str, **_: Any) -> Answer:
    if organisation != ORGANISATION or not fake.installation:
        raise Refusal(404, "Not Found")
    return 200, fake.installation


@route("GET", r"/app/installations/(\d+)")
def get_installation(fake: FakeGitHub, number: str, **_: Any) -> Answer:
    if not fake.installation or int(number) != fake.installation["id"]:
        raise Refusal(404, "Not Found")
    return 200, fake.installation


@route("POST", r"/app/installations/(\d+)/access_tokens")
def mint(fake: FakeGitHub, _number: str, **_: Any) -> Answer:
    token = f"ghs_77_{fake.state.new_id()}"
    expires = fake.clock.now() + timedelta(hours=1)
    fake.state.tokens[token] = expires
    return 201, {"token": token, "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


@route("GET", r"/user")
def user(fake: FakeGitHub, **_: Any) -> Answer:
    return (
        200,
        {"login": "platform-bot", "id": 9},
        {"x-oauth-scopes": fake.scopes} if fake.scopes is not None else {},
    )


@route("GET", r"/orgs/([^/]+)")
def organisation(_fake: FakeGitHub, name: str, **_: Any) -> Answer:
    if name != ORGANISATION:
        raise Refusal(404, "Not Found")
    return 200, {"login": name, "id": 1}


# ---------------------------------------------------------------- repositories


@route("POST", r"/orgs/([^/]+)/repos")
def create(fake: FakeGitHub, organisation: str, *, body: Any, **_: Any) -> Answer:
    if organisation != ORGANISATION:
        raise Refusal(404, "Not Found")
    description = body.get("description", "")
    if len(description) > 350 or re.search(r"[\x00-\x1f\x7f]", description):
        raise Refusal(
            422,
            "Repository creation failed.",
            errors=[{"message": "description is too long or has control characters"}],
        )
    if body["name"].lower() in {one.lower() for one in fake.state.repos}:
        errors = [
            {
                "resource": "Repository",
                "code": "custom",
                "field": "name",
                "message": "name already exists on this account",
            }
        ]
        raise Refusal(422, "Repository creation failed.", errors=errors)
    repo = fake.add_repo(body["name"], description=description, readme=body["auto_init"])
    repo.visibility = body["visibility"]
    return 201, shown(repo)


@route("GET", r"/orgs/([^/]+)/repos")
def list_all(fake: FakeGitHub, organisation: str, *, request: Any, query: Any, **_: Any) -> Answer:
    if organisation != ORGANISATION:
        raise Refusal(404, "Not Found")
    visible = [one for one in fake.state.repos.values() if one.name not in fake.state.invisible]
    return fake.paged([shown(one) for one in visible], request, query)


@route("GET", REPO)
def get(fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, **_: Any) -> Answer:
    return 200, shown(repository(fake, owner, by_id, name, request))


@route("PATCH", REPO)
def change(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if "name" in body:
        fake.state.former[repo.name.lower()] = repo.id
        del fake.state.repos[repo.name]
        repo.name = body["name"]
        fake.state.repos[repo.name] = repo
    repo.archived = body.get("archived", repo.archived)
    return 200, shown(repo)


@route("DELETE", REPO)
def delete(fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, **_: Any) -> Answer:
    del fake.state.repos[repository(fake, owner, by_id, name, request).name]
    return 204, None


@route("PUT", REPO + r"/topics")
def topics(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    repo.topics = body["names"]
    return 200, {"names": repo.topics}


@route("POST", REPO + r"/branches/(.+)/rename")
def rename(
    fake: FakeGitHub, owner: str, by_id: str, name: str, branch: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if (sha := fake.refs(repo).pop(f"refs/heads/{branch}", None)) is None:
        raise Refusal(404, "Branch not found")
    repo.refs[f"refs/heads/{body['new_name']}"] = sha
    repo.default_branch = body["new_name"]
    return 201, {"name": body["new_name"], "commit": {"sha": sha, "url": ""}, "protected": False}


@route("GET", r"/orgs/[^/]+/teams/([^/]+)/repos/([^/]+)/([^/]+)")
def team_access(fake: FakeGitHub, team: str, owner: str, name: str, *, request: Any, **_: Any) -> Answer:
    repo = fake.find(owner, name, tail="", method="GET")
    if team not in repo.teams:
        raise Refusal(404, "Not Found")
    assert request.headers["accept"] == "application/vnd.github.v3.repository+json"
    return 200, {
        **shown(repo),
        "role_name": {"push": "write", "pull": "read"}.get(repo.teams[team], repo.teams[team]),
    }


@route("PUT", r"/orgs/[^/]+/teams/([^/]+)/repos/([^/]+)/([^/]+)")
def grant(fake: FakeGitHub, team: str, owner: str, name: str, *, body: Any, **_: Any) -> Answer:
    repo = fake.find(owner, name, tail="", method="PUT")
    if team not in fake.state.teams:
        raise Refusal(404, "Not Found")
    repo.teams[team] = body["permission"]
    return 204, None


@route("GET", REPO + r"/rulesets")
def rulesets(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, query: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    listed = [
        {key: one[key] for key in ("id", "name", "source", "source_type", "enforcement")}
        for one in repo.rulesets
    ]
    return fake.paged(listed, request, query)


@route("POST", REPO + r"/rulesets")
def add_ruleset(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    made = {
        "id": fake.state.new_id(),
        "source": f"{repo.owner}/{repo.name}",
        "source_type": "Repository",
        **body,
    }
    repo.rulesets.append(made)
    return 201, made


@route("GET", REPO + r"/rulesets/(\d+)")
def get_ruleset(
    fake: FakeGitHub, owner: str, by_id: str, name: str, number: str, *, request: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    return 200, next(one for one in repo.rulesets if one["id"] == int(number))


@route("PUT", REPO + r"/rulesets/(\d+)")
def put_ruleset(
    fake: FakeGitHub, owner: str, by_id: str, name: str, number: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    one = next(one for one in repo.rulesets if one["id"] == int(number))
    one.update(body)
    return 200, one


@route("GET", REPO + r"/environments/([^/]+)")
def get_environment(
    fake: FakeGitHub, owner: str, by_id: str, name: str, environment: str, *, request: Any, **_: Any
) -> Answer:
    if environment not in repository(fake, owner, by_id, name, request).environments:
        raise Refusal(404, "Not Found")
    return 200, environment_shown(environment)


@route("PUT", REPO + r"/environments/([^/]+)")
def put_environment(
    fake: FakeGitHub, owner: str, by_id: str, name: str, environment: str, *, request: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if environment not in repo.environments:
        repo.environments.append(environment)
    return 200, environment_shown(environment)


def environment_shown(name: str) -> dict[str, Any]:
    date = "2026-11-21T09:00:00Z"
    return {
        "id": 1,
        "node_id": "E",
        "name": name,
        "url": "",
        "html_url": "",
        "created_at": date,
        "updated_at": date,
    }
