"""Gitea's API by shape: refs, lists over their pages, counts; and the push that it has no call for.

Knows how Gitea is asked, not what for. REST reads; everything that writes history is a git push over smart HTTP, because the
API can set no modes, make no merge and move no branch only from where it stands.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import httpx

from bot.errors import BackendError
from integrations._forge_api import ForgeApi, Shape, ref_path
from integrations._forge_push import (
    REQUEST_TYPE,
    RESULT_TYPE,
    GitObject,
    PushReport,
    PushReportError,
    RefUpdate,
    parse_report,
    push_request,
)
from integrations._gitea_errors import BACKEND, translate
from integrations._gitea_shapes import AccountAnswer, CommitAnswer, RefAnswer, RepositoryAnswer, TagAnswer
from integrations._http import Answer, Call, Http, unreadable

BASE: Final = "/api/v1"
PAGE: Final = 50
"""Gitea's own limit for lists of commits (`[git] COMMITS_RANGE_SIZE`) and for answers (`MAX_RESPONSE_ITEMS`)."""
UNSEEN: Final = frozenset({404, 409})
"""An empty repository answers 409 where another one answers 404."""
PUSH_SECONDS: Final = 60.0
"""A push ends when the server's hooks have run."""

_BARE: Final[Mapping[str, str]] = {"stat": "false", "verification": "false", "files": "false"}
"""Gitea computes them for each commit, and they are not wanted."""


class Client(httpx.AsyncClient):
    """Bytes travel as they are: a pack is no JSON."""

    def build_request(
        self, method: str, url: httpx.URL | str, *, json: Any = None, **rest: Any
    ) -> httpx.Request:
        if isinstance(json, bytes):
            return super().build_request(method, url, content=json, **rest)
        return super().build_request(method, url, json=json, **rest)


class TokenDialect:
    """A token of the bot's own account."""

    backend = BACKEND

    def __init__(self, token: str) -> None:
        self._token = token

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's word
        return {
            "Authorization": f"token {self._token}",
            "Accept": "application/json",
            "User-Agent": "platform-bot",
        }

    @property
    def git_headers(self) -> Mapping[str, str]:
        """Git's endpoint knows Basic only; the token stands for the password, whatever the user's name."""
        pair = base64.b64encode(f"platform-bot:{self._token}".encode()).decode("ascii")
        return {"Authorization": f"Basic {pair}", "Content-Type": REQUEST_TYPE, "Accept": RESULT_TYPE}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return translate(answer, now)


class Api(ForgeApi):
    def __init__(self, http: Http, *, dialect: TokenDialect) -> None:
        super().__init__(http, base=BASE)
        self._dialect = dialect
        self._account: AccountAnswer | None = None
        self._asking = asyncio.Lock()

    async def account(self) -> AccountAnswer:
        """Whose token this is. Asked once: another account would need another token."""
        async with self._asking:
            if self._account is None:
                self._account = await self.get("/user", AccountAnswer)
            return self._account

    # ------------------------------------------------------------ lists

    async def _page(
        self, path: str, *, params: Mapping[str, str], page: int, size: int = PAGE
    ) -> tuple[Answer, int]:
        """The answer and how many items there are in all. Links are not followed: they lead to ROOT_URL, which need not
        be where we ask."""
        query = {**params, "page": str(page), "limit": str(size)}
        answer = await self.http.send(Call("GET", self._base + path, params=query))
        total = answer.headers.get("x-total-count") or answer.headers.get("x-total", "")
        if not total.isdecimal():
            raise unreadable(self.http.backend, "a list that does not say how long it is")
        return answer, int(total)

    async def every(self, path: str, shape: type[Shape]) -> list[Shape]:
        answer, total = await self._page(path, params={}, page=1)
        items = self.parse(answer, list[shape])  # type: ignore[valid-type]
        for number in range(2, -(-total // PAGE) + 1):
            answer, _ = await self._page(path, params={}, page=number)
            items += self.parse(answer, list[shape])  # type: ignore[valid-type]
        return items

    async def commits(
        self, repository: RepositoryAnswer, sha: str, *, without: str | None, limit: int
    ) -> tuple[list[CommitAnswer], int]:
        """What `sha` reaches and `without` does not, newest first, and how many there are."""
        params = {**_BARE, "sha": sha} | ({"not": without} if without else {})
        path = f"{repository.path}/commits"
        answer, total = await self._page(path, params=params, page=1)
        items = self.parse(answer, list[CommitAnswer])
        for number in range(2, -(-min(limit, total) // PAGE) + 1):
            answer, _ = await self._page(path, params=params, page=number)
            items += self.parse(answer, list[CommitAnswer])
        return items[:limit], total

    async def count(self, repository: RepositoryAnswer, sha: str, *, without: str) -> int:
        """How many commits `sha` reaches and `without` does not."""
        params = {**_BARE, "sha": sha, "not": without}
        return (await self._page(f"{repository.path}/commits", params=params, page=1, size=1))[1]

    async def oldest(self, repository: RepositoryAnswer, ref: str) -> list[CommitAnswer]:
        """The last page of its history."""
        path, params = f"{repository.path}/commits", {**_BARE, "sha": ref}
        answer, total = await self._page(path, params=params, page=1)
        if total > PAGE:
            answer, _ = await self._page(path, params=params, page=-(-total // PAGE))
        return self.parse(answer, list[CommitAnswer])

    # ------------------------------------------------------------ refs

    async def refs(self, repository: RepositoryAnswer, start: str) -> list[RefAnswer]:
        """Every ref that begins so; Gitea answers with one object where there is exactly the one that was asked for."""
        path = f"{repository.path}/git/refs/{ref_path(start)}"
        found = await self.find(path, RefAnswer | list[RefAnswer], missing=UNSEEN)  # type: ignore[arg-type]
        if found is None:
            return []
        return found if isinstance(found, list) else [found]

    async def find_ref(self, repository: RepositoryAnswer, ref: str) -> str | None:
        """`ref`: heads/… or tags/…; annotated tags are followed to what they stand for."""
        listed = await self.refs(repository, ref)
        found = next((one for one in listed if one.ref == f"refs/{ref}"), None)
        if found is None:
            return None
        target = found.object
        for _ in range(5):
            if target.type != "tag":
                break
            target = (await self.get(f"{repository.path}/git/tags/{target.sha}", TagAnswer)).object
        return target.sha if target.type == "commit" else None

    async def find_commit(self, repository: RepositoryAnswer, sha: str) -> CommitAnswer | None:
        path = f"{repository.path}/git/commits/{sha}"
        return await self.find(path, CommitAnswer, params=_BARE, missing=UNSEEN | {422})

    # ------------------------------------------------------------ writing history

    async def push(
        self, repository: RepositoryAnswer, updates: Sequence[RefUpdate], objects: Sequence[GitObject]
    ) -> PushReport:
        """All refs or none, each only from where it is said to stand. Safe to call again: what has moved is refused."""
        call = Call(
            "POST",
            f"/{repository.owner.login}/{repository.name}.git/git-receive-pack",
            body=push_request(updates, objects),
            headers=self._dialect.git_headers,
            repeatable=True,
            read_seconds=PUSH_SECONDS,
        )
        answer = await self.http.send(call)
        try:
            return parse_report(answer.content)
        except PushReportError as error:
            raise unreadable(self.http.backend, f"the report of a push: {error}") from error
