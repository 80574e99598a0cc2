"""A GitHub at the transport: stateful, and wrong in the ways the real one is. Every request and answer is held to its schema.

`fake.faults` makes chosen calls fail: before or after they were executed, with limits, garbage, silence, or an empty yes.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import fake_github_git_routes  # noqa: F401 - fills ROUTES
import fake_github_routes  # noqa: F401 - fills ROUTES
import github_shapes
import httpx
from fake_github_state import API, ORGANISATION, READING, ROUTES, Clock, Refusal, Repo, State

TOKEN = "ghp_sample"


@dataclass
class Fault:
    """What goes wrong with calls that `match`. `after`: so many matching calls go well before. `executed`: it was done all the same."""

    how: str
    match: Callable[[httpx.Request], bool] = lambda _request: True
    after: int = 0
    times: int = 1
    executed: bool = False
    answer: tuple[int, dict[str, str], Any] = (500, {}, {"message": "Server Error"})


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    body: Any
    status: int


def writes(request: httpx.Request) -> bool:
    return request.method not in READING


class FakeGitHub:
    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.state = State()
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.auto_init_reads = 0
        self.init_branch = "main"
        self.clone_base = "https://github.com"
        self.installation: dict[str, Any] = {
            "id": 77,
            "app_slug": "acme-platform",
            "repository_selection": "all",
            "suspended_at": None,
            "permissions": {
                "metadata": "read", "administration": "write", "contents": "write", "workflows": "write",
                "environments": "write", "deployments": "write", "members": "read",
            },
        }  # fmt: skip
        self.scopes: str | None = "repo, workflow, read:org"
        self.bypass_missing = False
        self.transport = httpx.MockTransport(self._handle)

    def client(self, base_url: str = API) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=base_url, transport=self.transport)

    def repo(self, name: str = "orders") -> Repo:
        return self.state.repos[name]

    @property
    def writes(self) -> list[Seen]:
        return [one for one in self.seen if one.method not in READING]

    # ------------------------------------------------------------ one call

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        fault = self._fault(request)
        if fault is None:
            return self._answer(request)
        if fault.how == "nothing":
            before = copy.deepcopy(self.state)
            answer = self._answer(request)
            self.state = before
            return answer
        if fault.executed:
            self._answer(request)
        if fault.how == "broken":
            raise httpx.ReadError("Connection reset by peer", request=request)
        if fault.how == "unreachable":
            raise httpx.ConnectError("Name or service not known", request=request)
        if fault.how == "late":
            raise httpx.ReadTimeout("", request=request)
        if fault.how == "garbage":
            return httpx.Response(200, text="<html>Unicorn!</html>")
        status, headers, body = fault.answer
        return httpx.Response(status, headers=headers, json=body)

    def _fault(self, request: httpx.Request) -> Fault | None:
        for fault in self.faults:
            if not fault.match(request):
                continue
            if fault.after:
                fault.after -= 1
            elif fault.times:
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["x-github-api-version"] == "2022-11-28"
        assert request.headers["user-agent"] == "platform-bot"
        path = unquote(request.url.path)
        body = json.loads(request.content) if request.content else None
        status, answer, headers = 200, None, {}
        try:
            self._authorized(request, path)
            made = self._route(request, path, body)
            status, answer, *more = made
            headers = more[0] if more else {}
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        github_shapes.check(request.method, path, body, status=status, answer=answer)
        self.seen.append(Seen(request.method, path, body, status))
        headers = {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4999",
            "x-ratelimit-reset": "1",
            **headers,
        }
        content = b"" if answer is None else json.dumps(answer).encode()
        if request.method == "GET" and status == 200:
            etag = f'W/"{hashlib.sha1(content).hexdigest()}"'
            headers["etag"] = etag
            if request.headers.get("if-none-match") == etag:
                self.seen[-1] = Seen(request.method, path, body, 304)
                return httpx.Response(304, headers=headers)
        return httpx.Response(status, headers=headers, content=content)

    def _authorized(self, request: httpx.Request, path: str) -> None:
        credential = request.headers.get("authorization", "").removeprefix("Bearer ")
        as_app = credential.startswith("jwt:")
        if as_app != bool(re.match(r"/(app/|orgs/[^/]+/installation)", path)):
            raise Refusal(401, "A JSON web token could not be decoded" if not as_app else "Bad credentials")
        if as_app or credential == TOKEN:
            return
        if self.state.tokens.get(credential, self.clock.started) <= self.clock.now():
            raise Refusal(401, "Bad credentials")

    def _route(self, request: httpx.Request, path: str, body: Any) -> tuple[Any, ...]:
        query = {key: values[-1] for key, values in parse_qs(request.url.query.decode()).items()}
        for method, pattern, handler in ROUTES:
            if request.method == method and (found := re.fullmatch(pattern, path)):
                return handler(self, *found.groups(), query=query, body=body, request=request)
        raise AssertionError(f"no such call: {request.method} {path}")

    # ------------------------------------------------------------ what handlers share

    def find(self, owner: str, name: str, *, tail: str, method: str) -> Repo:
        repo = next((one for key, one in self.state.repos.items() if key.lower() == name.lower()), None)
        if repo is None and name.isdecimal() and owner == "repositories":
            repo = next((one for one in self.state.repos.values() if one.id == int(name)), None)
        if repo is None and (moved := self.state.former.get(name.lower())) is not None:
            location = f"{API}/repositories/{moved}{tail}"
            status = 301 if method in READING else 307
            raise Refusal(status, "Moved Permanently", headers={"location": location})
        if repo is None or repo.name in self.state.invisible:
            raise Refusal(404, "Not Found")
        if method not in READING and repo.archived and method != "DELETE":
            raise Refusal(403, "Repository was archived so is read-only.")
        return repo

    def refs(self, repo: Repo) -> dict[str, str]:
        if repo.empty_reads > 0:
            repo.empty_reads -= 1
            raise Refusal(409, "Git Repository is empty.")
        return repo.refs

    def resolve(self, repo: Repo, revision: str) -> str:
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs(repo):
                target = repo.refs[ref]
                return repo.objects.tags[target]["object"]["sha"] if target in repo.objects.tags else target
        found = [sha for sha in repo.objects.commits if len(revision) >= 4 and sha.startswith(revision)]
        if len(found) != 1:
            raise Refusal(422, f"No commit found for SHA: {revision}")
        return found[0]

    def paged(self, items: list[Any], request: httpx.Request, query: dict[str, str]) -> tuple[Any, ...]:
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        last = max(1, -(-len(items) // size))
        links = []
        for word, number in (("next", page + 1), ("last", last)):
            if page < last:
                url = f"{API}{request.url.path}?{urlencode({**query, 'page': number})}"
                links.append(f'<{url}>; rel="{word}"')
        return 200, items[(page - 1) * size : page * size], {"link": ", ".join(links)} if links else {}

    def add_repo(
        self, name: str, *, description: str | None = None, readme: bool = True, owner: str = ORGANISATION
    ) -> Repo:
        repo = Repo(
            self.state.new_id(), name, owner=owner, description=description, default_branch=self.init_branch
        )
        if readme:
            tree = repo.objects.put_files({"README.md": f"# {name}"}, None)
            sha = repo.objects.put_commit(
                tree,
                [],
                "Initial commit",
                author=("acme-platform[bot]", "bot@users.noreply.github.com"),
                date=self.date(),
            )
            repo.refs[f"refs/heads/{repo.default_branch}"] = sha
        repo.empty_reads = self.auto_init_reads
        repo.clone_base = self.clone_base
        self.state.repos[name] = repo
        self.state.former.pop(name.lower(), None)
        return repo

    def date(self) -> str:
        self.clock.seconds += 1
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def store_blob(self, repo: Repo, body: dict[str, str]) -> str:
        text = body["content"]
        return repo.objects.put_blob(
            base64.b64decode(text) if body.get("encoding") == "base64" else text.encode()
        )
