"""Deployments and their statuses on GitHub: what its pages show of what the platform ran where. Best seen, never relied on.

GitHub has no key for a deployment; the request id in its payload is how a second call finds the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel

from bot.errors import BackendErrorKind
from integrations._github_api import Api
from integrations._github_errors import REFUSALS, not_ready, refuse
from integrations._github_shapes import RepositoryAnswer
from integrations.ports import DeploymentState

TASK: Final = "deploy"
_ENDED: Final = frozenset({"failure", "error", "inactive"})
_MERGED_INSTEAD: Final = 202


class DeploymentAnswer(BaseModel):
    id: int
    sha: str
    payload: Any = None


class StatusAnswer(BaseModel):
    state: str
    environment_url: str | None = None


class Deployments:
    """Finds by the mark in the payload, so that no answer need arrive for a deployment to be shown once."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def show(
        self,
        repository: RepositoryAnswer,
        state: DeploymentState,
        *,
        revision: str,
        environment: str,
        operation: str,
        url: str,
    ) -> None:
        place = {"sha": revision, "environment": environment, "task": TASK}
        if state is DeploymentState.INACTIVE:
            await self._take_back(repository, place, request_id=_request(operation))
            return
        number = await self._ensure(repository, place, operation=operation)
        await self._say(repository, number, state, url=url)

    async def _take_back(
        self, repository: RepositoryAnswer, place: dict[str, str], *, request_id: str
    ) -> None:
        """Whatever this request showed there and did not end: a run that was given up has told nobody."""
        for number in await self._find(repository, place, lambda payload: request_of(payload) == request_id):
            newest = await self._newest(repository, number)
            if newest is None or newest.state not in _ENDED:
                await self._say(repository, number, DeploymentState.INACTIVE, url="")

    async def _ensure(self, repository: RepositoryAnswer, place: dict[str, str], *, operation: str) -> int:
        """GitHub's number of the deployment."""

        async def find() -> list[int]:
            return await self._find(
                repository, place, lambda payload: _marks(payload).get("operation") == operation
            )

        async def holds() -> bool:
            return bool(await find())

        body = {
            "ref": place["sha"],
            "environment": place["environment"],
            "task": TASK,
            # Left to itself GitHub merges the default branch into what is deployed, and waits for commit statuses.
            "auto_merge": False,
            "required_contexts": [],
            "payload": {
                "request_id": REFUSALS.check_request_id(_request(operation)),
                "operation": operation,
                "managed_by": "platform-bot",
            },
        }

        async def write() -> None:
            answer = await self._api.write("POST", f"{repository.path}/deployments", body, repeatable=False)
            if answer.status == _MERGED_INSTEAD:
                words = f"GitHub made no deployment of {place['sha'][:12]} in {place['environment']}."
                raise refuse(words, BackendErrorKind.CONFLICT)

        await self._api.make_true(holds, write, what="the deployment")
        if not (found := await find()):
            raise not_ready("The deployment is not there any more.")
        return found[-1]

    async def _find(
        self, repository: RepositoryAnswer, place: dict[str, str], ours: Callable[[Any], bool]
    ) -> list[int]:
        """Newest first."""
        path = f"{repository.path}/deployments"
        listed = await self._api.pages(path, DeploymentAnswer, params=place, limit=1000)
        return [one.id for one in listed if ours(one.payload)]

    async def _newest(self, repository: RepositoryAnswer, number: int) -> StatusAnswer | None:
        path = f"{repository.path}/deployments/{number}/statuses"
        newest = await self._api.get(path, list[StatusAnswer], params={"per_page": "1"})
        return newest[0] if newest else None

    async def _say(
        self, repository: RepositoryAnswer, number: int, state: DeploymentState, *, url: str
    ) -> None:
        """The newest status; one that says the same already is left alone."""

        async def holds() -> bool:
            newest = await self._newest(repository, number)
            return newest is not None and (newest.state, newest.environment_url or "") == (state.value, url)

        async def write() -> None:
            body = {"state": state.value, "auto_inactive": True, **({"environment_url": url} if url else {})}
            await self._api.write(
                "POST", f"{repository.path}/deployments/{number}/statuses", body, repeatable=False
            )

        await self._api.make_true(holds, write, what="the status of the deployment")


def _request(operation: str) -> str:
    """`<request>.<run>.<purpose>` -> the request."""
    return operation.partition(".")[0]


def _marks(payload: Any) -> dict[str, Any]:
    """GitHub gives the payload back as an object, or as the text it was."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return {}
    return payload if isinstance(payload, dict) else {}


def request_of(payload: Any) -> str | None:
    """The request that a deployment was made for; None where it is not the platform's."""
    found = _marks(payload).get("request_id")
    return found if isinstance(found, str) else None
