"""What the fake Gitea does for each call of its API, with the odd answers the real one gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_gitea_git import Git

if TYPE_CHECKING:
    from fake_gitea import FakeGitea

ORGANISATION = "acme"
BOT = "platform-bot"
ROOT_URL = "https://git.example.com"
Answer = tuple[Any, ...]
Handler = Callable[..., Answer]
ROUTES: dict[str, Handler] = {}


class Refusal(Exception):  # noqa: N818 - it is Gitea's answer, not an error of the test
    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass
class Repo:
    id: int
    name: str
    git: Git
    owner: str = ORGANISATION
    description: str = ""
    private: bool = True
    default_branch: str = "main"
    archived: bool = False
    topics: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    seems_empty: int = 1
    """So many more reads of its history until the queue has noticed the first push."""

    def protect(self) -> None:
        pairs = [(rule["rule_name"], user) for rule in self.rules for user in rule["push_whitelist_usernames"] or [""]]  # fmt: skip
        self.git.protect(pairs)


def route(key: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES[key] = handler
        return handler

    return keep


def shown(repo: Repo) -> dict[str, Any]:
    return {
        "id": repo.id,
        "name": repo.name,
        "full_name": f"{repo.owner}/{repo.name}",
        "owner": {"login": repo.owner, "id": 1},
        "private": repo.private,
        "html_url": f"{ROOT_URL}/{repo.owner}/{repo.name}",
        "clone_url": f"{ROOT_URL}/{repo.owner}/{repo.name}.git",
        "description": repo.description,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "empty": not repo.git.refs(),
        # An empty list is null in Go.
        "topics": repo.topics or None,
    }


def writable(repo: Repo) -> None:
    if repo.archived:
        raise Refusal(423, f"<Repository {repo.id}:{repo.owner}/{repo.name}> is archived")


# ---------------------------------------------------------------- who we are


@route("GET /version")
def version(fake: FakeGitea, **_: Any) -> Answer:
    return 200, {"version": fake.version}


@route("GET /user")
def user(_fake: FakeGitea, **_: Any) -> Answer:
    return 200, {"login": BOT, "email": "platform-bot@example.com", "id": 9}


@route("GET /orgs/{org}")
def organisation(fake: FakeGitea, name: str, **_: Any) -> Answer:
    fake.need_organisation(name)
    return 200, {
        "id": 1,
        "name": fake.organisation_name,
        "repo_admin_change_team_access": fake.teams_by_admins,
    }


@route("GET /users/{username}/orgs/{org}/permissions")
def permissions(fake: FakeGitea, login: str, name: str, **_: Any) -> Answer:
    assert login == BOT
    fake.need_organisation(name)
    return 200, {
        "is_owner": fake.is_owner,
        "is_admin": fake.is_owner,
        "can_write": True,
        "can_read": True,
        "can_create_repository": fake.may_create,
    }


# ---------------------------------------------------------------- repositories


@route("POST /orgs/{org}/repos")
def create(fake: FakeGitea, name: str, *, body: Any, **_: Any) -> Answer:
    fake.need_organisation(name)
    if not body["name"]:
        raise Refusal(422, "[Name]: Required")
    if not fake.may_create:
        raise Refusal(403, "Given user is not allowed to create repository in organization.")
    if len(body["description"]) > 2048:
        raise Refusal(422, "[Description]: MaxSize")
    if body["name"].lower() in {one.lower() for one in fake.state.repos}:
        raise Refusal(409, "The repository with the same name already exists.")
    repo = fake.add_repo(body["name"], description=body["description"])
    repo.private, repo.default_branch = body["private"], body["default_branch"]
    return 201, shown(repo)


@route("GET /orgs/{org}/repos")
def list_repos(fake: FakeGitea, name: str, *, query: Mapping[str, str], **_: Any) -> Answer:
    fake.need_organisation(name)
    return fake.paged([shown(one) for one in fake.state.repos.values()], f"/orgs/{name}/repos", query)


@route("GET /repos/{owner}/{repo}")
def get(fake: FakeGitea, repo: Repo, **_: Any) -> Answer:
    return 200, shown(repo)


@route("PATCH /repos/{owner}/{repo}")
def change(fake: FakeGitea, repo: Repo, *, body: Any, **_: Any) -> Answer:
    if (name := body.get("name", repo.name)) != repo.name:
        if name.lower() in {one.lower() for one in fake.state.repos}:
            raise Refusal(422, f"repo name is already taken [name]: {name}")
        fake.state.former[repo.name.lower()] = repo.id
        del fake.state.repos[repo.name]
        repo.name = name
        fake.state.repos[name] = repo
    repo.archived = body.get("archived", repo.archived)
    return 200, shown(repo)


@route("DELETE /repos/{owner}/{repo}")
def delete(fake: FakeGitea, repo: Repo, **_: Any) -> Answer:
    if not fake.is_owner:
        raise Refusal(403, "user should be the owner of the repo")
    del fake.state.repos[repo.name]
    return 204, None


@route("PUT /repos/{owner}/{repo}/topics/{topic}")
def put_topic(_fake: FakeGitea, repo: Repo, topic: str, **_: Any) -> Answer:
    writable(repo)
    if topic not in repo.topics:
        repo.topics.append(topic)
    return 204, None


@route("GET /repos/{owner}/{repo}/teams/{team}")
def get_team(fake: FakeGitea, repo: Repo, team: str, **_: Any) -> Answer:
    if team not in fake.state.teams or team not in repo.teams:
        raise Refusal(404, "The target couldn't be found.")
    return 200, {"id": 5, "name": team, "permission": "write"}


@route("PUT /repos/{owner}/{repo}/teams/{team}")
def put_team(fake: FakeGitea, repo: Repo, team: str, **_: Any) -> Answer:
    if not fake.is_owner and not fake.teams_by_admins:
        raise Refusal(403, "Must have permission to manage team repository access")
    if team not in fake.state.teams:
        raise Refusal(404, f"team does not exist [org_id 1, team_id 0, name: {team}]")
    if team in repo.teams:
        raise Refusal(422, f"team '{team}' is already added to repo")
    repo.teams.append(team)
    return 204, None


# ---------------------------------------------------------------- protection


def shown_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if value != [] else None for key, value in rule.items()}


@route("GET /repos/{owner}/{repo}/branch_protections")
def list_rules(_fake: FakeGitea, repo: Repo, **_: Any) -> Answer:
    return 200, [shown_rule(rule) for rule in repo.rules]


@route("POST /repos/{owner}/{repo}/branch_protections")
def add_rule(fake: FakeGitea, repo: Repo, *, body: Any, **_: Any) -> Answer:
    writable(repo)
    if any(rule["rule_name"] == body["rule_name"] for rule in repo.rules):
        raise Refusal(403, "Branch protection already exist")
    repo.rules.append({key: value for key, value in body.items() if key not in fake.unknown_fields})
    repo.protect()
    return 201, shown_rule(repo.rules[-1])


@route("PATCH /repos/{owner}/{repo}/branch_protections/{name}")
def change_rule(_fake: FakeGitea, repo: Repo, name: str, *, body: Any, **_: Any) -> Answer:
    writable(repo)
    found = next((rule for rule in repo.rules if rule["rule_name"] == name), None)
    if found is None:
        raise Refusal(404, "The target couldn't be found.")
    found.update(body)
    repo.protect()
    return 200, shown_rule(found)


# ---------------------------------------------------------------- commits


@route("GET /repos/{owner}/{repo}/git/refs/{ref}")
def list_refs(_fake: FakeGitea, repo: Repo, start: str, **_: Any) -> Answer:
    """Everything that begins so; one object instead of a list where there is exactly that one."""
    listed = [
        {"ref": ref, "url": "", "object": {"type": repo.git.kind(sha), "sha": sha, "url": ""}}
        for ref, sha in repo.git.refs().items()
        if ref.startswith(f"refs/{start}")
    ]
    if not listed:
        raise Refusal(404, "The target couldn't be found.")
    return 200, listed[0] if len(listed) == 1 and listed[0]["ref"] == f"refs/{start}" else listed


@route("GET /repos/{owner}/{repo}/git/tags/{sha}")
def get_tag(_fake: FakeGitea, repo: Repo, sha: str, **_: Any) -> Answer:
    lines = dict(line.split(" ", 1) for line in repo.git.run("cat-file", "tag", sha).decode().split("\n\n")[0].split("\n"))  # fmt: skip
    return 200, {"tag": lines["tag"], "object": {"sha": lines["object"], "type": lines["type"], "url": ""}}


@route("GET /repos/{owner}/{repo}/git/commits/{sha}")
def get_commit(_fake: FakeGitea, repo: Repo, revision: str, **_: Any) -> Answer:
    if (sha := repo.git.resolve(revision)) is None:
        raise Refusal(404, "The target couldn't be found.")
    return 200, repo.git.commit(sha).shown()


@route("GET /repos/{owner}/{repo}/git/trees/{sha}")
def get_tree(fake: FakeGitea, repo: Repo, sha: str, *, query: Mapping[str, str], **_: Any) -> Answer:
    assert query["recursive"] == "true"
    size, page = min(int(query["per_page"]), fake.tree_page), int(query["page"])
    entries = repo.git.tree(sha)
    part = entries[(page - 1) * size : page * size]
    return 200, {
        "sha": sha,
        "tree": part or None,
        "truncated": page * size < len(entries),
        "page": page,
        "total_count": len(entries),
    }


@route("GET /repos/{owner}/{repo}/commits")
def list_commits(fake: FakeGitea, repo: Repo, *, query: Mapping[str, str], **_: Any) -> Answer:
    if not repo.git.refs() or repo.seems_empty > 0:
        repo.seems_empty -= 1
        raise Refusal(409, "Git Repository is empty.")
    sha, without = (repo.git.resolve(query[key]) if key in query else None for key in ("sha", "not"))
    if sha is None or ("not" in query and without is None):
        raise Refusal(500, "object does not exist")
    hidden = set(repo.git.reached(without)) if without else set()
    found = [one for one in repo.git.reached(sha) if one not in hidden]
    return fake.paged([repo.git.commit(one).shown() for one in found], f"{fake.path_of(repo)}/commits", query)
