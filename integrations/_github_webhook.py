"""GitHub's webhooks: is this from GitHub, and what does it hint at. Pure; who receives them keeps delivery ids and re-reads state.

No time is signed: a delivery can be replayed for ever. So nothing here is an order; it only says where it is worth looking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._github_deployments import request_of
from integrations._github_errors import refuse
from integrations._hook_secrets import HookSecrets, ProvenHooks, is_signed
from integrations.ports import Hint

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
EVENT_HEADER: Final = "X-GitHub-Event"
DELIVERY_HEADER: Final = "X-GitHub-Delivery"
_SIGNATURE: Final = re.compile(r"sha256=([0-9a-f]{64})")
_DELIVERY: Final = re.compile(r"[0-9a-zA-Z-]{1,64}")
_BRANCH: Final = "refs/heads/"
_NO_COMMIT: Final = "0" * 40


@dataclass(frozen=True)
class Source:
    """`delivery` stays the same when GitHub sends it again. `sender` is a login, empty where GitHub names none."""

    delivery: str
    organisation: str
    repository: str
    sender: str


@dataclass(frozen=True)
class Pushed:
    """`after` None: the ref is gone; `before` None: it is new."""

    source: Source
    ref: str
    before: str | None
    after: str | None
    forced: bool


@dataclass(frozen=True)
class DeploymentReported:
    """`request_id` is ours, None where somebody else made the deployment."""

    source: Source
    deployment: int
    sha: str
    environment: str
    state: str
    request_id: str | None


@dataclass(frozen=True)
class WorkflowRan:
    """`conclusion` empty: it has not ended."""

    source: Source
    run: int
    name: str
    branch: str
    sha: str
    status: str
    conclusion: str
    attempt: int
    url: str


Event = Pushed | DeploymentReported | WorkflowRan


def is_genuine(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    found = _SIGNATURE.fullmatch(signature)
    return found is not None and is_signed(body, found[1], secrets)


def parse_event(event: str, delivery: str, body: bytes) -> Event | None:
    """None for what is of no interest here. Raises PermanentBackendError(INVALID) for what cannot be read."""
    if (read := _READERS.get(event)) is None:
        return None
    if not _DELIVERY.fullmatch(delivery):
        raise refuse("A webhook without a delivery id.")
    try:
        return read(delivery, body)
    except ValidationError as error:
        raise _unreadable(event, error) from error


# ---------------------------------------------------------------- hints


class GitHubHooks(ProvenHooks):
    """Implements `integrations.ports.Hooks`."""

    name = "github"

    def __init__(self, secrets: HookSecrets, *, organisation: str) -> None:
        super().__init__(secrets)
        self._organisation = organisation.lower()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
        if not is_genuine(body, headers.get(SIGNATURE_HEADER, ""), self._secrets.values):
            raise refuse("A webhook that GitHub did not sign.", BackendErrorKind.DENIED)
        event = parse_event(headers.get(EVENT_HEADER, ""), headers.get(DELIVERY_HEADER, ""), body)
        # An App may be installed elsewhere, too; a repository of the same name there is not ours.
        if event is None or event.source.organisation.lower() != self._organisation:
            return ()
        return hints(event)


def hints(event: Event) -> Sequence[Hint]:
    """A repository has the name of its service."""
    delivery, service = event.source.delivery, event.source.repository
    match event:
        case Pushed(ref=ref):
            branch = ref.removeprefix(_BRANCH)
            return (Hint(delivery, service, branch=branch),) if branch != ref else ()
        case DeploymentReported(environment=environment, request_id=request_id):
            return (Hint(delivery, service, environment=environment, request_id=request_id or ""),)
        case WorkflowRan(branch=branch):
            return (Hint(delivery, service, branch=branch),)


# ---------------------------------------------------------------- shapes


class _Login(BaseModel):
    login: str


class _Repository(BaseModel):
    name: str
    owner: _Login


class _Body(BaseModel):
    repository: _Repository
    sender: _Login | None = None

    def source(self, delivery: str) -> Source:
        sender = self.sender.login if self.sender else ""
        return Source(delivery, self.repository.owner.login, self.repository.name, sender)


class _Push(_Body):
    ref: str
    before: str
    after: str
    forced: bool


class _Deployment(BaseModel):
    id: int
    sha: str
    environment: str
    payload: object = None


class _State(BaseModel):
    state: str


class _DeploymentStatus(_Body):
    deployment: _Deployment
    deployment_status: _State


class _Run(BaseModel):
    id: int
    name: str | None
    head_branch: str | None
    head_sha: str
    status: str
    conclusion: str | None
    run_attempt: int
    html_url: str


class _WorkflowRun(_Body):
    workflow_run: _Run


def _push(delivery: str, body: bytes) -> Pushed:
    read = _Push.model_validate_json(body)
    before = None if read.before == _NO_COMMIT else read.before
    after = None if read.after == _NO_COMMIT else read.after
    return Pushed(read.source(delivery), read.ref, before, after, read.forced)


def _deployment_status(delivery: str, body: bytes) -> DeploymentReported:
    read = _DeploymentStatus.model_validate_json(body)
    one = read.deployment
    return DeploymentReported(
        read.source(delivery),
        one.id,
        one.sha,
        one.environment,
        read.deployment_status.state,
        request_of(one.payload),
    )


def _workflow_run(delivery: str, body: bytes) -> WorkflowRan:
    read = _WorkflowRun.model_validate_json(body)
    run = read.workflow_run
    return WorkflowRan(
        source=read.source(delivery),
        run=run.id,
        name=run.name or "",
        branch=run.head_branch or "",
        sha=run.head_sha,
        status=run.status,
        conclusion=run.conclusion or "",
        attempt=run.run_attempt,
        url=run.html_url,
    )


_READERS: Final[Mapping[str, Callable[[str, bytes], Event]]] = {
    "push": _push,
    "deployment_status": _deployment_status,
    "workflow_run": _workflow_run,
}


def _unreadable(event: str, error: ValidationError) -> PermanentBackendError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return refuse(f"A webhook {event} cannot be read: {first['type']} {where}".strip())
