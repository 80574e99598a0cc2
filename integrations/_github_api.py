"""GitHub's API by shape: lists over their pages, refs and annotated tags, refs moved by compare-and-swap.

Knows how GitHub is asked, not what for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import BackendErrorKind, TemporaryBackendError
from integrations._forge_api import ForgeApi, Shape, ref_path
from integrations._github_errors import BACKEND, SECONDARY_LIMIT_SECONDS
from integrations._github_shapes import RefAnswer, TagAnswer, parse
from integrations._http import Call, Http

ABSENT: Final = "0" * 40
PAGE: Final = "100"

_NEXT: Final = re.compile(r'<([^>]+)>;\s*rel="next"')
_LAST: Final = re.compile(r'<([^>]+)>;\s*rel="last"')
_UPDATE_REFS: Final = "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }"


@dataclass(frozen=True)
class RefMove:
    """`before` None: the ref must be absent."""

    ref: str
    before: str | None
    after: str


class Api(ForgeApi):
    def __init__(self, http: Http, *, graphql_url: str) -> None:
        super().__init__(http)
        self._graphql_url = graphql_url

    async def pages(
        self, path: str, shape: type[Shape], *, params: Mapping[str, str] | None = None, limit: int
    ) -> list[Shape]:
        """At least `limit` items where there are so many, by following `rel="next"`."""
        answer = await self.http.send(Call("GET", path, params={"per_page": PAGE, **(params or {})}))
        items = parse(answer, list[shape])  # type: ignore[valid-type]
        while len(items) < limit and (link := _NEXT.search(answer.headers.get("link", ""))):
            answer = await self.http.send(Call("GET", link[1]))
            items += parse(answer, list[shape])  # type: ignore[valid-type]
        return items

    async def last_page(self, path: str, shape: type[Shape], *, params: Mapping[str, str]) -> list[Shape]:
        """Where a list is sorted newest first, this is where its oldest items are."""
        answer = await self.http.send(Call("GET", path, params={"per_page": PAGE, **params}))
        if link := _LAST.search(answer.headers.get("link", "")):
            answer = await self.http.send(Call("GET", link[1]))
        return parse(answer, list[shape])  # type: ignore[valid-type]

    # ------------------------------------------------------------ refs

    async def find_ref(self, repository: str, ref: str) -> str | None:
        """`ref`: heads/… or tags/…; annotated tags are followed to what they stand for."""
        path = f"{repository}/git/ref/{ref_path(ref)}"
        # An empty repository has no refs: 409.
        found = await self.find(path, RefAnswer, missing=frozenset({404, 409}))
        if found is None:
            return None
        target = found.object
        for _ in range(5):
            if target.type != "tag":
                break
            target = (await self.get(f"{repository}/git/tags/{target.sha}", TagAnswer)).object
        return target.sha if target.type == "commit" else None

    async def move_refs(self, repository_node: str, moves: Sequence[RefMove]) -> str | None:
        """All of them or none, each only from where it is said to stand: GraphQL's compare-and-swap, which REST lacks.

        None when GitHub did it, else its reason. Nothing is forced. Safe to call again: a move that has happened is refused.
        """
        updates = [
            {"name": move.ref, "beforeOid": move.before or ABSENT, "afterOid": move.after} for move in moves
        ]
        body = {
            "query": _UPDATE_REFS,
            "variables": {"input": {"repositoryId": repository_node, "refUpdates": updates}},
        }
        answer = await self.write("POST", self._graphql_url, body, repeatable=True)
        errors = parse(answer, dict[str, Any]).get("errors")
        if not errors:
            return None
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        if first.get("type") == "RATE_LIMITED":
            raise TemporaryBackendError(
                str(first.get("message", "GitHub limits how often it may be asked.")),
                backend=BACKEND,
                kind=BackendErrorKind.RATE_LIMITED,
                retry_after_seconds=SECONDARY_LIMIT_SECONDS,
            )
        return str(first.get("message") or "no reason given")
