"""What the fake GitHub does for each call the backend makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fake_github_state import ABSENT, ORGANISATION, Refusal, Repo

if TYPE_CHECKING:
    from fake_github import FakeGitHub

Handler = Callable[..., tuple[Any, ...]]
ROUTES: list[tuple[str, str, Handler]] = []


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return keep


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
        "clone_url": f"https://github.com/{repo.owner}/{repo.name}.git",
        "description": repo.description,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "topics": repo.topics,
    }


def commit_shown(repo: Repo, sha: str) -> dict[str, Any]:
    commit = repo.objects.commits[sha]
    name, email = commit["author"]
    author = {"name": name, "email": email, "date": commit["date"]}
    details = {"message": commit["message"], "author": author, "tree": {"sha": commit["tree"]}}
    return {"sha": sha, "commit": details, "parents": [{"sha": parent} for parent in commit["parents"]]}


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


# ---------------------------------------------------------------- git


@route("GET", REPO + r"/git/ref/(.+)")
def get_ref(
    fake: FakeGitHub, owner: str, by_id: str, name: str, ref: str, *, request: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if (sha := fake.refs(repo).get(f"refs/{ref}")) is None:
        raise Refusal(404, "Not Found")
    kind = "commit" if sha in repo.objects.commits else "tag" if sha in repo.objects.tags else "blob"
    return 200, {
        "ref": f"refs/{ref}",
        "node_id": "REF",
        "url": "",
        "object": {"sha": sha, "type": kind, "url": ""},
    }


@route("GET", REPO + r"/git/tags/(\w+)")
def get_tag(
    fake: FakeGitHub, owner: str, by_id: str, name: str, sha: str, *, request: Any, **_: Any
) -> Answer:
    return 200, repository(fake, owner, by_id, name, request).objects.tags[sha]


@route("GET", REPO + r"/git/commits/(\w+)")
def get_git_commit(
    fake: FakeGitHub, owner: str, by_id: str, name: str, sha: str, *, request: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if sha not in repo.objects.commits:
        raise Refusal(404, "Not Found")
    flat = commit_shown(repo, sha)
    return 200, {"sha": sha, **flat["commit"], "parents": flat["parents"]}


@route("POST", REPO + r"/git/commits")
def add_commit(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    fake.refs(repo)
    if body["tree"] not in repo.objects.trees:
        raise Refusal(422, "Tree SHA does not exist")
    author = ("acme-platform[bot]", "bot@users.noreply.github.com")
    sha = repo.objects.put_commit(
        body["tree"], body["parents"], body["message"], author=author, date=fake.date()
    )
    flat = commit_shown(repo, sha)
    return 201, {"sha": sha, **flat["commit"], "parents": flat["parents"]}


@route("POST", REPO + r"/git/blobs")
def add_blob(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    fake.refs(repo)
    return 201, {"sha": fake.store_blob(repo, body), "url": ""}


@route("POST", REPO + r"/git/trees")
def add_tree(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    fake.refs(repo)
    tree = dict(repo.objects.trees[body["base_tree"]]) if "base_tree" in body else {}
    for entry in body["tree"]:
        tree[entry["path"]] = (entry["mode"], entry.get("sha") or fake.store_blob(repo, entry))
    return 201, tree_shown(repo, repo.objects.put_tree(tree))


@route("GET", REPO + r"/git/trees/(\w+)")
def get_tree(
    fake: FakeGitHub, owner: str, by_id: str, name: str, sha: str, *, request: Any, **_: Any
) -> Answer:
    return 200, tree_shown(repository(fake, owner, by_id, name, request), sha)


def tree_shown(repo: Repo, sha: str) -> dict[str, Any]:
    entries = repo.objects.trees[sha].items()
    listed = [
        {"path": path, "mode": mode, "type": "blob", "sha": blob} for path, (mode, blob) in sorted(entries)
    ]
    return {"sha": sha, "url": "", "truncated": False, "tree": listed}


@route("GET", REPO + r"/commits")
def list_commits(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, query: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    found = repo.objects.ancestors(fake.resolve(repo, query.get("sha", repo.default_branch)))
    return fake.paged([commit_shown(repo, sha) for sha in found], request, query)


@route("GET", REPO + r"/commits/(\w+)/branches-where-head")
def heads(fake: FakeGitHub, owner: str, by_id: str, name: str, sha: str, *, request: Any, **_: Any) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    names = [
        ref.removeprefix("refs/heads/")
        for ref, at in repo.refs.items()
        if at == sha and ref.startswith("refs/heads/")
    ]
    return 200, [{"name": one, "commit": {"sha": sha, "url": ""}, "protected": False} for one in names]


@route("GET", REPO + r"/commits/(.+)")
def get_commit(
    fake: FakeGitHub, owner: str, by_id: str, name: str, revision: str, *, request: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    return 200, commit_shown(repo, fake.resolve(repo, revision))


@route("GET", REPO + r"/compare/(.+)\.\.\.(.+)")
def compare(
    fake: FakeGitHub,
    owner: str,
    by_id: str,
    name: str,
    base: str,
    head: str,
    *,
    request: Any,
    query: Any,
    **_: Any,
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    older, newer = fake.resolve(repo, base), fake.resolve(repo, head)
    mine, theirs = repo.objects.ancestors(newer), repo.objects.ancestors(older)
    ahead, behind = [one for one in mine if one not in theirs], [one for one in theirs if one not in mine]
    merge_base = next(one for one in mine if one in theirs)
    commits = list(reversed(ahead))
    page = int(query.get("page", 0))
    files = repo.objects.files_between(
        repo.objects.commits[merge_base]["tree"], repo.objects.commits[newer]["tree"]
    )
    if page:
        size = int(query.get("per_page", 30))
        commits = commits[(page - 1) * size : page * size]
    status = ("diverged" if behind else "ahead") if ahead else ("behind" if behind else "identical")
    answer = {
        "status": status, "ahead_by": len(ahead), "behind_by": len(behind), "total_commits": len(ahead),
        "commits": [commit_shown(repo, sha) for sha in commits[-250:]],
    }  # fmt: skip
    return 200, answer if page > 1 else {**answer, "files": files[:300]}


@route("POST", r"(?:/api)?/graphql")
def graphql(fake: FakeGitHub, *, body: Any, **_: Any) -> Answer:
    wanted = body["variables"]["input"]
    repo = next(one for one in fake.state.repos.values() if f"R_{one.id}" == wanted["repositoryId"])
    fake.refs(repo)
    for update in wanted["refUpdates"]:
        ref, before, after = update["name"], update["beforeOid"], update["afterOid"]
        reason = None
        if repo.refs.get(ref, ABSENT) != before:
            reason = f"expected {ref} to point to {before} but it does not"
        elif after not in repo.objects.commits:
            reason = f"{after} is not a commit of the repository"
        elif before != ABSENT and before not in repo.objects.ancestors(after):
            reason = f"{ref}: update is not a fast-forward"
        elif fake.bypass_missing:
            reason = "Repository rule violations found"
        if reason:
            error = {"type": "UNPROCESSABLE", "path": ["updateRefs"], "message": reason}
            return 200, {"data": {"updateRefs": None}, "errors": [error]}
    repo.refs |= {update["name"]: update["afterOid"] for update in wanted["refUpdates"]}
    return 200, {"data": {"updateRefs": {"clientMutationId": None}}}


# ---------------------------------------------------------------- deployments


@route("GET", REPO + r"/deployments")
def deployments(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, query: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    keys = [key for key in ("sha", "environment", "task") if key in query]
    listed = [one for one in repo.deployments if all(one[key] == query[key] for key in keys)]
    return fake.paged([deployment_shown(one) for one in reversed(listed)], request, query)


@route("POST", REPO + r"/deployments")
def deploy(
    fake: FakeGitHub, owner: str, by_id: str, name: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    if body.get("auto_merge", True):
        return 202, {"message": "Auto-merged main into the ref"}
    made = {"id": fake.state.new_id(), "sha": fake.resolve(repo, body["ref"]), "statuses": [], **body}
    repo.deployments.append(made)
    return 201, deployment_shown(made)


def deployment_shown(one: dict[str, Any]) -> dict[str, Any]:
    return {key: one[key] for key in ("id", "sha", "ref", "task", "environment", "payload")}


@route("GET", REPO + r"/deployments/(\d+)/statuses")
def statuses(
    fake: FakeGitHub, owner: str, by_id: str, name: str, number: str, *, request: Any, query: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    one = next((one for one in repo.deployments if one["id"] == int(number)), None)
    if one is None:
        raise Refusal(404, "Not Found")
    return fake.paged(list(reversed(one["statuses"])), request, query)


@route("POST", REPO + r"/deployments/(\d+)/statuses")
def add_status(
    fake: FakeGitHub, owner: str, by_id: str, name: str, number: str, *, request: Any, body: Any, **_: Any
) -> Answer:
    repo = repository(fake, owner, by_id, name, request)
    one = next((one for one in repo.deployments if one["id"] == int(number)), None)
    if one is None:
        raise Refusal(404, "Not Found")
    made = {"id": fake.state.new_id(), "description": "", "log_url": "", "environment_url": "", **body}
    one["statuses"].append(made)
    return 201, made
