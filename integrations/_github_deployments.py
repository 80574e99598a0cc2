"""Deployments and their statuses on GitHub: what its pages show of what the platform ran where. Best seen, never relied on.

GitHub has no key for a deployment; the request id in its payload is how a second call finds the first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from bot.errors import BackendErrorKind
from integrations._github_api import Api
from integrations._github_errors import check_request_id, not_ready, refuse
from integrations._github_shapes import RepositoryAnswer

TASK: Final = "deploy"
DESCRIPTION_LIMIT: Final = 140
"""Characters of a status's description."""
_MERGED_INSTEAD: Final = 202


class DeploymentState(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"


@dataclass(frozen=True)
class DeploymentReport:
    state: DeploymentState
    description: str = ""
    log_url: str = ""
    environment_url: str = ""


class DeploymentAnswer(BaseModel):
    id: int
    sha: str
    payload: Any = None


class StatusAnswer(BaseModel):
    state: str
    description: str | None = None
    log_url: str | None = None
    environment_url: str | None = None


class Deployments:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def ensure(
        self, repository: RepositoryAnswer, *, revision: str, environment: str, request_id: str
    ) -> int:
        """GitHub's id of the deployment."""
        path = f"{repository.path}/deployments"
        asked = {"sha": revision, "environment": environment, "task": TASK}

        async def find() -> int | None:
            listed = await self._api.pages(path, DeploymentAnswer, params=asked, limit=1000)
            return next((one.id for one in listed if request_of(one.payload) == request_id), None)

        async def holds() -> bool:
            return await find() is not None

        body = {
            "ref": revision,
            "environment": environment,
            "task": TASK,
            # Left to itself GitHub merges the default branch into what is deployed, and waits for commit statuses.
            "auto_merge": False,
            "required_contexts": [],
            "payload": {"request_id": check_request_id(request_id), "managed_by": "platform-bot"},
        }

        async def write() -> None:
            answer = await self._api.write("POST", path, body, repeatable=False)
            if answer.status == _MERGED_INSTEAD:
                words = f"GitHub made no deployment of {revision[:12]} in {environment}."
                raise refuse(words, BackendErrorKind.CONFLICT)

        await self._api.make_true(holds, write, what="the deployment")
        if (found := await find()) is None:
            raise not_ready("The deployment is not there any more.")
        return found

    async def report(self, repository: RepositoryAnswer, deployment: int, report: DeploymentReport) -> None:
        """The newest status; one that says the same already is left alone."""
        path = f"{repository.path}/deployments/{deployment}/statuses"
        wanted = {
            "state": report.state.value,
            "description": report.description[:DESCRIPTION_LIMIT],
            "log_url": report.log_url,
            "environment_url": report.environment_url,
        }
        body = {key: value for key, value in wanted.items() if value}

        async def holds() -> bool:
            newest = await self._api.get(path, list[StatusAnswer], params={"per_page": "1"})
            return bool(newest) and {key: getattr(newest[0], key) or "" for key in wanted} == wanted

        async def write() -> None:
            await self._api.write("POST", path, {**body, "auto_inactive": True}, repeatable=False)

        await self._api.make_true(holds, write, what="the status of the deployment")


def request_of(payload: Any) -> str | None:
    """GitHub gives the payload back as an object, or as the text it was."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return None
    found = payload.get("request_id") if isinstance(payload, dict) else None
    return found if isinstance(found, str) else None
