"""Two ways an Application comes to be: the bot writes it, or it commits an entry from which an ApplicationSet generates it.

Either way it is known by its mark, and deployed to in the same way. Decides nothing about who may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from bot.errors import BackendError, PermanentBackendError, StartError
from integrations import _argocd_entries as entries
from integrations._argocd_applications import Applications
from integrations._argocd_gitops import GitopsRepository, Remote
from integrations._argocd_settings import Settings
from integrations._argocd_shapes import REQUEST_ANNOTATION, ArgoApplication
from integrations._argocd_state import not_ready
from integrations.ports import ApplicationSpec, Finding, Surroundings

_RIGHTS: Final = (
    "Let the bot read it: {apiGroups: [argoproj.io], resources: [applicationsets], verbs: [get]} in the Role, or "
    "`p, platform-bot, applicationsets, get, */*, allow`."
)


class Maker(Protocol):
    async def make(
        self, spec: ApplicationSpec, intent: Mapping[str, Any], found: ArgoApplication | None
    ) -> ArgoApplication:
        """As it now stands. Raises TemporaryBackendError(NOT_READY) while it is on its way."""
        ...

    async def unmake(
        self, service: str, environment: str, *, request_id: str, found: ArgoApplication | None
    ) -> None:
        """Returns when it is gone; `found` is the request's own, or None. Raises TemporaryBackendError(NOT_READY)."""
        ...

    async def check(self) -> Sequence[Finding]: ...


class Writer:
    """The bot writes the Application itself."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    async def make(
        self,
        spec: ApplicationSpec,  # noqa: ARG002
        intent: Mapping[str, Any],
        found: ArgoApplication | None,
    ) -> ArgoApplication:
        return await self._applications.put(intent, found)

    async def unmake(
        self,
        service: str,  # noqa: ARG002
        environment: str,  # noqa: ARG002
        *,
        request_id: str,  # noqa: ARG002
        found: ArgoApplication | None,
    ) -> None:
        if found is not None:
            await self._applications.remove(found)

    async def check(self) -> Sequence[Finding]:
        return []


class Generator:
    """An ApplicationSet makes it from the entry the bot commits, and takes it away again when the entry goes."""

    def __init__(
        self, applications: Applications, repository: GitopsRepository, *, folder: str, generator: str
    ) -> None:
        self._applications = applications
        self._repository = repository
        self._folder = folder
        self._generator = generator

    async def make(
        self, spec: ApplicationSpec, intent: Mapping[str, Any], found: ArgoApplication | None
    ) -> ArgoApplication:
        path, wanted = entries.path_of(self._folder, spec.service), entries.entry_of(intent)

        def edit(content: bytes | None) -> bytes | None:
            before = entries.parse(content, path)
            after = entries.with_entry(before, wanted)
            return content if after == before else entries.text_of(after)

        request_id = intent["metadata"]["annotations"][REQUEST_ANNOTATION]
        title = f"{spec.service}: deploy to {spec.environment}"
        await self._repository.change(path, edit, message=_message(title, request_id))
        found = found or await self._applications.find(spec.service, spec.environment)
        if found is None:
            raise not_ready(await self._waiting(spec.name, "generate"))
        return found

    async def unmake(
        self, service: str, environment: str, *, request_id: str, found: ArgoApplication | None
    ) -> None:
        path = entries.path_of(self._folder, service)

        def edit(content: bytes | None) -> bytes | None:
            before = entries.parse(content, path)
            after = entries.without_entry(before, environment, request_id)
            return content if after == before else entries.text_of(after)

        title = f"{service}: leave {environment}"
        await self._repository.change(path, edit, message=_message(title, request_id))
        if found is not None:
            raise not_ready(await self._waiting(found.name, "remove"))

    async def _waiting(self, name: str, verb: str) -> str:
        try:
            trouble = await self._applications.generator_trouble(self._generator)
        except PermanentBackendError as error:
            trouble = error.message
        waits = f"Waiting for the ApplicationSet {self._generator} to {verb} {name}."
        return f"{waits} It says: {trouble}" if trouble else waits

    async def check(self) -> Sequence[Finding]:
        return [await self._repository.check(), await self._probe()]

    async def _probe(self) -> Finding:
        subject = f"ApplicationSet {self._generator}"
        try:
            trouble = await self._applications.generator_trouble(self._generator)
        except BackendError as error:
            return Finding(subject, ok=False, detail=error.message, fix=_RIGHTS)
        fix = "Apply deploy/argocd/applicationset.yaml with your repository's address." if trouble else ""
        return Finding(subject, ok=not trouble, detail=trouble, fix=fix)


def maker_of(settings: Settings, applications: Applications, repository: GitopsRepository | None) -> Maker:
    if repository is None:
        return Writer(applications)
    return Generator(
        applications, repository, folder=settings.gitops_folder, generator=settings.applicationset
    )


@contextmanager
def open_repository(settings: Settings, surroundings: Surroundings) -> Iterator[GitopsRepository | None]:
    """None where the bot writes Applications itself. Raises StartError where the token is missing."""
    if settings.style == "application" or settings.gitops_repository is None:
        yield None
        return
    token = surroundings.secrets.get(settings.gitops_token, "").strip()
    if not token:
        raise StartError(
            "Argo CD: the token of the GitOps repository is missing.",
            fix=f"Set the environment variable {settings.gitops_token}, or {settings.gitops_token}_FILE to a file "
            "that holds it.",
        )
    remote = Remote(
        url=settings.gitops_repository,
        branch=settings.gitops_branch,
        user=settings.gitops_user,
        token=token,
        ca_file=surroundings.base_folder / settings.gitops_ca_file if settings.gitops_ca_file else None,
    )
    # A cache of this process alone: `check` may run beside the bot, and what is fetched must not pile up for years.
    with TemporaryDirectory(prefix="platform-bot-gitops-", ignore_cleanup_errors=True) as folder:
        yield GitopsRepository(remote, folder=Path(folder), deadline_seconds=settings.gitops_deadline_seconds)


def _message(title: str, request_id: str) -> str:
    return f"{title}\n\nRequest-Id: {request_id}\n"
