"""A repository on Gitea from nothing to ready, and away again: created with our mark, set up, archived or deleted.

Every part reads, compares and writes. What lacks the mark of the request is never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._forge_api import MISSING, segment
from integrations._forge_mark import MANAGED_TOPIC, is_undone, marked_description, undone_names
from integrations._forge_refusals import Refusals
from integrations._forge_undo import undo_creation
from integrations._gitea_api import BASE, Api
from integrations._gitea_errors import REFUSALS, refuse
from integrations._gitea_shapes import RepositoryAnswer, protection_body, same_protection
from integrations._http import Call

ALREADY: Final = frozenset({422})
"""A team that has the repository already is refused as invalid."""


@dataclass(frozen=True)
class Blueprint:
    """What a repository of ours looks like. What a team may do is said by the team itself on Gitea, not by the grant."""

    organisation: str
    private: bool
    default_branch: str
    topics: tuple[str, ...]
    teams: Mapping[str, str]
    grant_team: bool
    release_branch: str
    protect_release: bool


class Repositories:
    """Implements `integrations._forge_undo.Removal`."""

    def __init__(self, api: Api, blueprint: Blueprint, *, undo: Literal["archive", "delete"]) -> None:
        self._api = api
        self._blueprint = blueprint
        self._undo = undo
        # Two of one request at once would both create, and both protect.
        self._one_at_a_time = asyncio.Lock()

    @property
    def refusals(self) -> Refusals:
        return REFUSALS

    async def find(self, name: str) -> RepositoryAnswer | None:
        """Follows a repository that was renamed inside the organisation; one that left it, or was undone, is not found."""
        found = await self.at(REFUSALS.check_name(name))
        if found is None or found.owner.login.lower() != self._blueprint.organisation.lower():
            return None
        if found.request_id and found.name in undone_names(name, found.request_id):
            return None
        return found

    async def at(self, name: str) -> RepositoryAnswer | None:
        return await self._api.find(self._path(name), RepositoryAnswer)

    def _path(self, name: str) -> str:
        return f"/repos/{segment(self._blueprint.organisation)}/{name}"

    async def managed(self, name: str) -> RepositoryAnswer:
        """One that carries our mark or our topic: somebody who rewords a description does not stop promotions."""
        found = await self.find(name)
        if found is None:
            raise refuse(f"There is no repository named {name}.", BackendErrorKind.NOT_FOUND)
        if found.request_id is None and MANAGED_TOPIC not in (found.topics or ()):
            raise refuse(
                f"The repository {name} was not made by the platform.",
                BackendErrorKind.ALREADY_EXISTS,
                fix=f"Give it the topic {MANAGED_TOPIC} if the platform may promote it.",
            )
        return found

    async def marked(self) -> list[RepositoryAnswer]:
        """Every repository of the organisation with our mark that was not undone."""
        path = f"/orgs/{segment(self._blueprint.organisation)}/repos"
        listed = await self._api.every(path, RepositoryAnswer)
        return [one for one in listed if one.request_id and not is_undone(one.name, one.request_id)]

    async def ensure(self, name: str, *, description: str, team: str, request_id: str) -> RepositoryAnswer:
        REFUSALS.check_request_id(request_id)
        async with self._one_at_a_time:
            return await self._ensure(name, description=description, team=team, request_id=request_id)

    async def _ensure(self, name: str, *, description: str, team: str, request_id: str) -> RepositoryAnswer:
        found = await self.find(name)
        if found is None:
            found = await self._create(name, marked_description(description, request_id))
        if found.request_id != request_id:
            raise refuse(f"A repository named {name} exists already.", BackendErrorKind.ALREADY_EXISTS)
        if found.archived:
            raise refuse(
                f"The repository {name} is archived.",
                BackendErrorKind.CONFLICT,
                fix="Unarchive it or choose another name.",
            )
        await self._put_topics(found)
        await self._grant(found, team)
        await self._protect(found)
        return found

    async def _create(self, name: str, description: str) -> RepositoryAnswer:
        organisation = self._blueprint.organisation
        body = {
            "name": name,
            "description": description,
            "private": self._blueprint.private,
            "default_branch": self._blueprint.default_branch,
            "auto_init": False,
            "object_format_name": "sha1",
        }
        try:
            await self._api.write("POST", f"/orgs/{segment(organisation)}/repos", body, repeatable=False)
        except PermanentBackendError as error:
            if error.kind is BackendErrorKind.NOT_FOUND:
                raise refuse(
                    f"There is no organisation {organisation} that the bot can see.",
                    BackendErrorKind.NOT_FOUND,
                    fix="Correct `organisation` in platform.yml, or let the bot's account into it.",
                ) from error
            if error.kind is not BackendErrorKind.ALREADY_EXISTS:
                raise
            if (found := await self.find(name)) is not None:
                return found
            raise refuse(
                f"The name {name} is taken by a repository that the bot cannot see.",
                BackendErrorKind.ALREADY_EXISTS,
            ) from error
        made = await self._api.settled(self._path(name), RepositoryAnswer, what=f"the repository {name}")
        if made.name != name:
            raise REFUSALS.not_ready(f"Gitea still answers for the former repository {name}.")
        return made

    # ------------------------------------------------------------ set up

    async def _put_topics(self, repository: RepositoryAnswer) -> None:
        """One by one: the call that sets them all would take away what people added meanwhile."""
        for topic in (MANAGED_TOPIC, *self._blueprint.topics):
            await self._put_topic(repository, topic)

    async def _put_topic(self, repository: RepositoryAnswer, topic: str) -> None:
        async def holds() -> bool:
            return topic in ((await self._api.get(repository.path, RepositoryAnswer)).topics or ())

        async def write() -> None:
            path = f"{repository.path}/topics/{segment(topic)}"
            await self._api.write("PUT", path, repeatable=True)

        await self._api.make_true(holds, write, what=f"its topic {topic}")

    async def _grant(self, repository: RepositoryAnswer, team: str) -> None:
        if not self._blueprint.grant_team:
            return
        name = self._blueprint.teams.get(team, team)
        path = f"{repository.path}/teams/{segment(name)}"

        async def holds() -> bool:
            asked = Call("GET", BASE + path, accept=MISSING)
            return (await self._api.http.send(asked)).status == 200

        async def write() -> None:
            answer = await self._api.write("PUT", path, repeatable=True, accept=MISSING | ALREADY)
            if answer.status == 404:
                raise refuse(
                    f"{self._blueprint.organisation} has no team {name} that the bot can see.",
                    BackendErrorKind.NOT_FOUND,
                    fix=f"Create it, or name the right one: `teams: {{{team}: NAME}}` in the code_host section.",
                )

        await self._api.make_true(holds, write, what=f"the access of the team {name}")

    async def _protect(self, repository: RepositoryAnswer) -> None:
        """Two rules, because the pattern `release/**` does not cover `release` itself."""
        if not self._blueprint.protect_release:
            return
        account = (await self._api.account()).login
        branch = self._blueprint.release_branch
        for rule in (branch, f"{branch}/**"):
            await self._put_rule(repository, protection_body(rule, account=account))

    async def _put_rule(self, repository: RepositoryAnswer, wanted: Mapping[str, Any]) -> None:
        path, rule = f"{repository.path}/branch_protections", str(wanted["rule_name"])

        async def find() -> dict[str, Any] | None:
            listed = await self._api.get(path, list[dict[str, Any]])
            return next((one for one in listed if one.get("rule_name") == rule), None)

        async def holds() -> bool:
            stored = await find()
            return stored is not None and same_protection(stored, wanted)

        async def write() -> None:
            if await find() is not None:
                changes = {key: value for key, value in wanted.items() if key != "rule_name"}
                await self._api.write("PATCH", f"{path}/{segment(rule)}", changes, repeatable=True)
                return
            try:
                await self._api.write("POST", path, wanted, repeatable=False)
            except PermanentBackendError as error:
                # Somebody was faster; what the rule then says is read next.
                if error.kind is not BackendErrorKind.ALREADY_EXISTS:
                    raise

        await self._api.make_true(holds, write, what=f"the protection of {rule}")

    # ------------------------------------------------------------ undo

    async def remove(self, name: str, *, request_id: str) -> None:
        await undo_creation(self, name, request_id=request_id, how=self._undo)

    async def rename(self, repository: RepositoryAnswer, name: str) -> RepositoryAnswer:
        await self._api.write("PATCH", repository.path, {"name": name}, repeatable=False)
        return await self._api.settled(self._path(name), RepositoryAnswer, what=name)

    async def delete(self, repository: RepositoryAnswer) -> None:
        async def holds() -> bool:
            return await self._api.find(repository.path, RepositoryAnswer) is None

        async def write() -> None:
            await self._api.write("DELETE", repository.path, repeatable=True, accept=MISSING)

        await self._api.make_true(holds, write, what=f"the end of {repository.name}")

    async def archive(self, repository: RepositoryAnswer) -> None:
        async def holds() -> bool:
            return (await self._api.get(repository.path, RepositoryAnswer)).archived

        async def write() -> None:
            await self._api.write("PATCH", repository.path, {"archived": True}, repeatable=True)

        await self._api.make_true(holds, write, what=f"the archive of {repository.name}")
