"""A Gitea at the transport: stateful, and wrong in the ways the real one is; pushes go to real repositories.

Every request and answer of the API is held to its schema. `fake.faults` makes chosen calls fail: before or after they were
executed, with limits, garbage, silence, or an empty yes. What it imitates was read in Gitea's source: routers/api/v1,
routers/private/hook_pre_receive.go, services/repository/files/tree.go.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import fake_gitea_shapes
import httpx
from fake_gitea_git import Git
from fake_gitea_routes import BOT, ORGANISATION, ROUTES, Refusal, Repo, writable
from fake_github import Fault, Seen
from fake_github_state import READING, Clock

from integrations._forge_push import REQUEST_TYPE, packet
from integrations._gitea_api import Client

BASE_URL = "https://git.example.com"
TOKEN = "sample-token"
API = "/api/v1"


@dataclass
class State:
    repos: dict[str, Repo] = field(default_factory=dict)
    former: dict[str, int] = field(default_factory=dict)
    """Names that repositories had before -> id."""
    invisible: set[str] = field(default_factory=set)
    teams: set[str] = field(default_factory=lambda: {"orders"})
    next_id: int = 1


class FakeGitea:
    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self.clock = clock or Clock()
        self.state = State()
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.version = "1.24.2"
        self.scopes = {"read:user", "write:organization", "write:repository"}
        self.organisation_name = ORGANISATION
        self.is_owner = False
        self.may_create = True
        self.teams_by_admins = True
        self.unknown_fields: set[str] = set()
        self.tree_page = 1000
        self.seems_empty = 1
        self.transport = httpx.MockTransport(self._handle)

    def client(self, base_url: str = BASE_URL) -> Client:
        return Client(base_url=base_url, transport=self.transport)

    def repo(self, name: str = "orders") -> Repo:
        return self.state.repos[name]

    @property
    def writes(self) -> list[Seen]:
        return [one for one in self.seen if one.method not in READING]

    # ------------------------------------------------------------ one call

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        fault = self._fault(request)
        if fault is None:
            return await self._answer(request)
        if fault.how == "nothing":
            return await self._empty_yes(request)
        if fault.executed:
            await self._answer(request)
        if fault.how == "broken":
            raise httpx.ReadError("Connection reset by peer", request=request)
        if fault.how == "unreachable":
            raise httpx.ConnectError("Name or service not known", request=request)
        if fault.how == "late":
            raise httpx.ReadTimeout("", request=request)
        if fault.how == "garbage":
            return httpx.Response(200, text="<html>Just a moment</html>")
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

    async def _empty_yes(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/git-receive-pack"):
            report = packet(b"unpack ok\n") + b"0000"
            return httpx.Response(200, content=packet(b"\x01" + report) + b"0000")
        before = copy.deepcopy(self.state)
        answer = await self._answer(request)
        self.state = before
        return answer

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["user-agent"] == "platform-bot"
        path = request.url.raw_path.decode().partition("?")[0]
        if not path.startswith(f"{API}/"):
            return await self._push(request, path)
        key, parameters = fake_gitea_shapes.call_of(request.method, path.removeprefix(API))
        body = json.loads(request.content) if request.content else None
        answer: Any = None
        headers: dict[str, str] = {}
        try:
            self._authorized(request, key)
            status, answer, *more = self._route(request, key, parameters, body)
            headers = more[0] if more else {}
        except Refusal as refusal:
            status, headers = refusal.status, refusal.headers
            answer = {"message": refusal.message, "url": f"{BASE_URL}/api/swagger"}
        fake_gitea_shapes.check(key, body, query={*request.url.params}, status=status, answer=answer)
        self.seen.append(Seen(request.method, unquote(path), body, status))
        content = b"" if answer is None else json.dumps(answer).encode()
        return httpx.Response(
            status, headers={"content-type": "application/json", **headers}, content=content
        )

    def _authorized(self, request: httpx.Request, key: str) -> None:
        if request.headers.get("authorization") != f"token {TOKEN}":
            raise Refusal(401, "invalid username, password or token")
        category = {"repos": "repository", "orgs": "organization", "user": "user", "users": "user"}.get(key.split("/")[1])  # fmt: skip
        needed = "read" if request.method in READING else "write"
        if category and self.scopes.isdisjoint({f"write:{category}", f"{needed}:{category}"}):
            raise Refusal(
                403, f"token does not have at least one of required scope(s): [{needed}:{category}]"
            )

    def _route(self, request: httpx.Request, key: str, parameters: tuple[str, ...], body: Any) -> Any:
        values: list[Any] = [unquote(one) for one in parameters]
        if key.split(" ")[1].startswith("/repos/"):
            values[:2] = [self.find(values[0], values[1], path=request.url.raw_path.decode())]
        query = {name: some[-1] for name, some in parse_qs(request.url.query.decode()).items()}
        return ROUTES[key](self, *values, query=query, body=body)

    async def _push(self, request: httpx.Request, path: str) -> httpx.Response:
        owner, name, service = path.removeprefix("/").split("/")
        assert (request.method, service) == ("POST", "git-receive-pack")
        credential = request.headers.get("authorization", "").removeprefix("Basic ")
        status, kind, content = 401, "text/plain", b"Unauthorized"
        if base64.b64decode(credential).decode().rpartition(":")[2] == TOKEN and request.headers["content-type"] == REQUEST_TYPE:  # fmt: skip
            try:
                if "write:repository" not in self.scopes:
                    raise Refusal(403, "User permission denied")
                repo = self.find(owner, name.removesuffix(".git"), path=path)
                if repo.archived:
                    raise Refusal(
                        403, "This repo is archived. You can view files and clone it, but cannot push."
                    )
                status, kind, content = await repo.git.receive(request.content, user=BOT)
            except Refusal as refusal:
                status, content = refusal.status, refusal.message.encode()
        self.seen.append(Seen("POST", path, None, status))
        return httpx.Response(status, headers={"content-type": kind}, content=content)

    # ------------------------------------------------------------ what handlers share

    def need_organisation(self, name: str) -> None:
        if name != ORGANISATION:
            raise Refusal(404, "The target couldn't be found.")

    def find(self, owner: str, name: str, *, path: str) -> Repo:
        repo = next((one for key, one in self.state.repos.items() if key.lower() == name.lower()), None)
        if repo is None and (moved := self.state.former.get(name.lower())) is not None:
            there = next((one for one in self.state.repos.values() if one.id == moved), None)
            if there is not None:
                location = path.replace(f"/{owner}/{name}", f"/{there.owner}/{there.name}", 1)
                raise Refusal(307, "Temporary Redirect", headers={"location": location})
        if (
            repo is None
            or repo.name in self.state.invisible
            or (owner != repo.owner and owner != ORGANISATION)
        ):
            raise Refusal(404, "The target couldn't be found.")
        return repo

    def path_of(self, repo: Repo) -> str:
        return f"/repos/{repo.owner}/{repo.name}"

    def paged(self, items: list[Any], path: str, query: Mapping[str, str]) -> tuple[Any, ...]:
        """At most 50 on a page; the link leads to an address that only the server itself knows."""
        size, page = min(int(query.get("limit", 30)), 50), int(query.get("page", 1))
        headers = {"x-total-count": str(len(items))}
        if page * size < len(items):
            headers["link"] = f'<http://gitea:3000{API}{path}?page={page + 1}>; rel="next"'
        return 200, items[(page - 1) * size : page * size], headers

    def add_repo(self, name: str, *, description: str = "", owner: str = ORGANISATION) -> Repo:
        self.state.next_id += 1
        number = self.state.next_id
        git = Git(self._folder / f"{number}.git")
        repo = Repo(number, name, git, owner=owner, description=description, seems_empty=self.seems_empty)
        self.state.repos[name] = repo
        self.state.former.pop(name.lower(), None)
        return repo


__all__ = ["BASE_URL", "BOT", "ORGANISATION", "TOKEN", "FakeGitea", "writable"]
