"""What the fake GitHub does for calls about commits, refs and deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_github_routes import REPO, Answer, repository
from fake_github_state import ABSENT, Refusal, Repo, route

if TYPE_CHECKING:
    from fake_github import FakeGitHub


def commit_shown(repo: Repo, sha: str) -> dict[str, Any]:
    commit = repo.objects.commits[sha]
    name, email = commit["author"]
    author = {"name": name, "email": email, "date": commit["date"]}
    details = {"message": commit["message"], "author": author, "tree": {"sha": commit["tree"]}}
    return {"sha": sha, "commit": details, "parents": [{"sha": parent} for parent in commit["parents"]]}


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
