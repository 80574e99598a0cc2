"""A repository on GitHub from nothing to ready, and away again: created with our mark, set up, archived or deleted.

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
from integrations._github_api import Api
from integrations._github_errors import REFUSALS, not_ready, refuse
from integrations._github_shapes import (
    NamedAnswer,
    RepositoryAnswer,
    RulesetAnswer,
    TeamAccess,
    parse,
    ruleset_body,
    same_ruleset,
)
from integrations._http import Call

RULESET: Final = "platform-bot: releases move by promotion"
TEAM_MEDIA_TYPE: Final = "application/vnd.github.v3.repository+json"
LISTED: Final = 100_000
"""As many repositories as one organisation of GitHub may have."""
ROLES: Final[Mapping[str, str]] = {"pull": "read", "push": "write"}
"""Permission we ask for -> role GitHub reports; the others have one name."""


@dataclass(frozen=True)
class Blueprint:
    """What a repository of ours looks like. `bypass`: the actor of the ruleset that may move releases, None for no ruleset."""

    organisation: str
    visibility: str
    default_branch: str
    topics: tuple[str, ...]
    teams: Mapping[str, str]
    team_permission: str | None
    release_branch: str
    bypass: Mapping[str, Any] | None
    environments: tuple[str, ...]


class Repositories:
    """Implements `integrations._forge_undo.Removal`."""

    def __init__(self, api: Api, blueprint: Blueprint, *, undo: Literal["archive", "delete"]) -> None:
        self._api = api
        self._blueprint = blueprint
        self._undo = undo
        # GitHub would take two rulesets of one name from two callers at once.
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
        return await self._api.find(
            f"/repos/{segment(self._blueprint.organisation)}/{name}", RepositoryAnswer
        )

    async def managed(self, name: str) -> RepositoryAnswer:
        """One that carries our mark or our topic: somebody who rewords a description does not stop promotions."""
        found = await self.find(name)
        if found is None:
            raise refuse(f"There is no repository named {name}.", BackendErrorKind.NOT_FOUND)
        if found.request_id is None and MANAGED_TOPIC not in found.topics:
            raise refuse(
                f"The repository {name} was not made by the platform.",
                BackendErrorKind.ALREADY_EXISTS,
                fix=f"Give it the topic {MANAGED_TOPIC} if the platform may promote it.",
            )
        return found

    async def marked(self) -> list[RepositoryAnswer]:
        """Every repository of the organisation with our mark that was not undone."""
        path = f"/orgs/{segment(self._blueprint.organisation)}/repos"
        listed = await self._api.pages(path, RepositoryAnswer, limit=LISTED)
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
        return await self._set_up(found, team)

    async def _create(self, name: str, description: str) -> RepositoryAnswer:
        organisation = self._blueprint.organisation
        # An empty repository takes no trees and no commits (409); with GitHub's own first commit it does.
        body = {
            "name": name,
            "description": description,
            "visibility": self._blueprint.visibility,
            "auto_init": True,
        }
        try:
            await self._api.write("POST", f"/orgs/{segment(organisation)}/repos", body, repeatable=False)
        except PermanentBackendError as error:
            if error.kind is BackendErrorKind.NOT_FOUND:
                raise refuse(
                    f"{organisation} cannot be found, or the bot may not create repositories in it.",
                    BackendErrorKind.DENIED,
                    fix="Give the App the repository permission Administration: write.",
                ) from error
            if error.kind is not BackendErrorKind.ALREADY_EXISTS:
                raise
            if (found := await self.find(name)) is not None:
                return found
            raise refuse(
                f"The name {name} is taken by a repository that the bot cannot see.",
                BackendErrorKind.ALREADY_EXISTS,
            ) from error
        path = f"/repos/{segment(organisation)}/{name}"
        made = await self._api.settled(path, RepositoryAnswer, what=f"the repository {name}")
        if made.name != name:
            raise not_ready(f"GitHub still answers for the former repository {name}.")
        return made

    # ------------------------------------------------------------ set up

    async def _set_up(self, repository: RepositoryAnswer, team: str) -> RepositoryAnswer:
        await self._name_default_branch(repository)
        await self._put_topics(repository)
        await self._grant(repository, team)
        await self._protect(repository)
        for environment in self._blueprint.environments:
            await self._put_environment(repository, environment)
        return repository.model_copy(update={"default_branch": self._blueprint.default_branch})

    async def _name_default_branch(self, repository: RepositoryAnswer) -> None:
        """Organisations choose what GitHub calls it; environments follow the name the platform knows."""
        wanted = self._blueprint.default_branch
        path = f"{repository.path}/branches/{segment(repository.default_branch)}/rename"

        async def holds() -> bool:
            return await self._api.find_ref(repository.path, f"heads/{wanted}") is not None

        async def write() -> None:
            # Renamed already where the answer was lost: the old name is then gone.
            await self._api.write("POST", path, {"new_name": wanted}, repeatable=True, accept=MISSING)

        if repository.default_branch != wanted:
            await self._api.make_true(holds, write, what=f"the branch {wanted}")

    async def _put_topics(self, repository: RepositoryAnswer) -> None:
        wanted = {MANAGED_TOPIC, *self._blueprint.topics}
        topics = set(repository.topics)

        async def holds() -> bool:
            return wanted <= set((await self._api.get(repository.path, RepositoryAnswer)).topics)

        async def write() -> None:
            body = {"names": sorted(wanted | topics)}
            await self._api.write("PUT", f"{repository.path}/topics", body, repeatable=True)

        await self._api.make_true(holds, write, what="its topic")

    async def _grant(self, repository: RepositoryAnswer, team: str) -> None:
        permission = self._blueprint.team_permission
        if permission is None:
            return
        slug = self._blueprint.teams.get(team, team)
        path = (
            f"/orgs/{segment(self._blueprint.organisation)}/teams/{segment(slug)}"
            f"/repos/{repository.owner.login}/{repository.name}"
        )

        async def holds() -> bool:
            asked = Call("GET", path, headers={"Accept": TEAM_MEDIA_TYPE}, accept=MISSING)
            answer = await self._api.http.send(asked)
            role = parse(answer, TeamAccess).role_name if answer.status == 200 else None
            return role == ROLES.get(permission, permission)

        async def write() -> None:
            body = {"permission": permission}
            if (await self._api.write("PUT", path, body, repeatable=True, accept=MISSING)).status == 404:
                raise refuse(
                    f"{self._blueprint.organisation} has no team {slug} that the bot can see.",
                    BackendErrorKind.NOT_FOUND,
                    fix=f"Create it, or name the right one: `teams: {{{team}: SLUG}}` in the code_host section.",
                )

        await self._api.make_true(holds, write, what=f"the access of the team {slug}")

    async def _protect(self, repository: RepositoryAnswer) -> None:
        if self._blueprint.bypass is None:
            return
        branch = self._blueprint.release_branch
        wanted = ruleset_body(RULESET, branch=branch, bypass=self._blueprint.bypass)
        path = f"{repository.path}/rulesets"

        async def find() -> str | None:
            params = {"includes_parents": "false"}
            listed = await self._api.pages(path, RulesetAnswer, params=params, limit=1000)
            return next((f"{path}/{one.id}" for one in listed if one.name == RULESET), None)

        async def holds() -> bool:
            one = await find()
            return one is not None and same_ruleset(await self._api.get(one, dict[str, Any]), wanted)

        async def write() -> None:
            if (one := await find()) is not None:
                await self._api.write("PUT", one, wanted, repeatable=True)
            else:
                # GitHub lets two rulesets have one name: never sent twice, the next try finds it by name.
                await self._api.write("POST", path, wanted, repeatable=False)

        await self._api.make_true(holds, write, what=f"the ruleset of {branch}")

    async def _put_environment(self, repository: RepositoryAnswer, environment: str) -> None:
        path = f"{repository.path}/environments/{segment(environment)}"

        async def holds() -> bool:
            return await self._api.find(path, NamedAnswer) is not None

        async def write() -> None:
            await self._api.write("PUT", path, {}, repeatable=True)

        await self._api.make_true(holds, write, what=f"the environment {environment}")

    # ------------------------------------------------------------ undo

    async def remove(self, name: str, *, request_id: str) -> None:
        await undo_creation(self, name, request_id=request_id, how=self._undo)

    async def rename(self, repository: RepositoryAnswer, name: str) -> RepositoryAnswer:
        await self._api.write("PATCH", repository.path, {"name": name}, repeatable=False)
        path = f"/repos/{segment(self._blueprint.organisation)}/{name}"
        return await self._api.settled(path, RepositoryAnswer, what=name)

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
            # Asked of an archived repository it is refused as a change of something read-only.
            await self._api.write("PATCH", repository.path, {"archived": True}, repeatable=False)

        await self._api.make_true(holds, write, what=f"the archive of {repository.name}")
