"""What a command is, and what a command may touch while it plans, answers or runs.

A command is declared once: its arguments as a pydantic model (flags, modal and help follow from it), and either `answer`
(it only reads) or `plan` with `steps` (it changes something). Nothing here performs I/O; `bot.dispatch` and `bot.workflow`
implement `Context` and `Run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bot.domain import (
    JSON,
    Actor,
    AuditEvent,
    Choice,
    Decision,
    DeploymentRecord,
    Halt,
    Link,
    Plan,
    Platform,
    Record,
    Request,
    RequestState,
    Service,
    StepRecord,
)
from integrations.ports import (
    Admission,
    Annotations,
    Catalog,
    CodeHost,
    Costs,
    Delivery,
    Evidence,
    GoldenPaths,
    Infrastructure,
    Scaffolder,
    SecretStore,
    SecretSync,
    SignalSource,
)

Blocks = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What one person sees at once. `text` is the notification and what a screen reader says: a whole sentence."""

    text: str
    blocks: Blocks = field(default_factory=list)


# ---------------------------------------------------------------- arguments


class Args(BaseModel):
    """Arguments of a command. Field order is the order of positional words and of the modal's inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def argument(
    title: str,
    description: str,
    *,
    default: Any = ...,
    positional: bool = False,
    choices: str | Sequence[str] = (),
    rest: bool = False,
    multiline: bool = False,
    form: bool = True,
) -> Any:
    """Declare one argument.

    `choices`: fixed values, or the name of a list that `Context.choices` knows (`teams`, `golden_paths`, `services`,
    `environments`, `requests`, `people`). `rest`: takes all remaining words. `form`: shown in the modal.
    """
    return Field(
        default,
        title=title,
        description=description,
        json_schema_extra={
            "positional": positional,
            "choices": choices if isinstance(choices, str) else list(choices),
            "rest": rest,
            "multiline": multiline,
            "form": form,
        },
    )


@dataclass(frozen=True)
class Scope:
    """What an invocation is about, as far as its arguments and the bot's own database tell, before any backend is asked.

    `active_key` makes a second request of the same kind find the first one while that is open; empty: none.
    """

    permission: str
    team: str = ""
    service: str = ""
    environment: str = ""
    active_key: str = ""


# ---------------------------------------------------------------- what a command may touch


class Backends(Protocol):
    """The company's systems, behind their ports; None where a platform has none of that kind."""

    @property
    def golden_paths(self) -> GoldenPaths: ...
    @property
    def code_host(self) -> CodeHost: ...
    @property
    def infrastructure(self) -> Infrastructure: ...
    @property
    def delivery(self) -> Delivery: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def admission(self) -> Admission | None: ...
    @property
    def evidence(self) -> Evidence | None: ...
    @property
    def secret_store(self) -> SecretStore | None: ...
    @property
    def secret_sync(self) -> SecretSync | None: ...
    @property
    def signals(self) -> SignalSource | None: ...
    @property
    def annotations(self) -> Annotations | None: ...
    @property
    def costs(self) -> Costs | None: ...
    @property
    def scaffolder(self) -> Scaffolder | None: ...


class Knowledge(Protocol):
    """What the bot's own database knows; read-only, local, quick."""

    async def find_service(self, name: str) -> Service | None: ...

    async def list_services(
        self, *, text: str = "", teams: Sequence[str] = (), after: str = "", limit: int = 20
    ) -> Sequence[Service]: ...

    async def find_request(self, request_id: str) -> Request | None: ...

    async def list_requests(
        self,
        *,
        requester: str = "",
        service: str = "",
        teams: Sequence[str] = (),
        states: Sequence[RequestState] = (),
        only_open: bool = False,
        before: str = "",
        limit: int = 20,
    ) -> Sequence[Request]:
        """Newest first; `before` is the id of the last request of the previous page."""
        ...

    async def last_deployment(self, service: str, environment: str) -> DeploymentRecord | None: ...

    async def list_deployments(
        self, service: str, environment: str, *, limit: int = 10
    ) -> Sequence[DeploymentRecord]: ...

    async def list_audit(
        self,
        *,
        service: str = "",
        actor: str = "",
        request_id: str = "",
        since: datetime | None = None,
        before: int = 0,
        steps: bool = True,
        limit: int = 20,
    ) -> Sequence[AuditEvent]:
        """Newest first; `before` is the last sequence number of the previous page. `steps` False leaves out what a run did
        step by step."""
        ...


class Context(Protocol):
    """What planning and answering may touch. `request_id` is empty while only answering."""

    @property
    def actor(self) -> Actor: ...
    @property
    def now(self) -> datetime: ...
    @property
    def request_id(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def backends(self) -> Backends: ...
    @property
    def knowledge(self) -> Knowledge: ...
    @property
    def commands(self) -> Mapping[str, Command]: ...

    def may(self, permission: str, *, team: str = "") -> bool:
        """Whether the acting person holds the permission (for buttons; the click is checked again)."""
        ...

    def may_decide(self, request: Request) -> bool:
        """Whether a decision of the acting person is still wanted and allowed (for lists; the click is checked again)."""
        ...

    async def find_person(self, user_id: str) -> Actor | None:
        """None where Slack knows no such person."""
        ...

    async def share(self, key: str, question: Callable[[], Awaitable[T]]) -> T:
        """What a backend answers, shared with everybody who asks the same at this moment. For showing, never for a plan."""
        ...

    async def observed(self, record: DeploymentRecord) -> None:
        """Keep what a backend said, so that it can still be told when the backend is away."""
        ...

    async def decide(self, request_id: str, decision: Decision, *, reason: str) -> Reply:
        """Approve or deny as the acting person; every refusal leaves as an error with its own sentence."""
        ...

    async def cancel(self, request_id: str) -> Reply:
        """Withdraw a request that has not begun."""
        ...

    async def steer(self, request_id: str, choice: Choice) -> Reply:
        """Continue or abort a rollout that waits for a person, as the acting person."""
        ...


class Run(Protocol):
    """What a step may touch. The requester is who the run acts for; nothing here is chosen by a backend."""

    @property
    def request_id(self) -> str: ...
    @property
    def requester(self) -> str:
        """Slack user id."""
        ...

    @property
    def requester_name(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def backends(self) -> Backends: ...
    @property
    def now(self) -> datetime: ...

    def operation(self, purpose: str) -> str:
        """A key for one outward effect, the same after every restart: `<request id>.<purpose>`."""
        ...

    def output(self, step_key: str) -> JSON:
        """What an earlier step of this request returned; empty where it did not run."""
        ...

    async def halt(self, step_key: str) -> Halt | None:
        """Where the step is recorded to wait for a person, and what was said since."""
        ...


@dataclass(frozen=True)
class Done:
    """A step is finished. `output` is for later steps, `record` enters the database with the outcome."""

    detail: str = ""
    external_id: str = ""
    output: JSON = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    record: Record | None = None


@dataclass(frozen=True)
class Pending:
    """Not finished, not failed: ask again after `after_seconds`. `detail` is shown on the card.

    `on_hold`: it waits for a person or for a time that is known, which is nobody's fault: the step's deadline begins anew.
    `halted_at`: it waits there for a person, who may continue or abort it; `Run.halt` tells what they said.
    """

    detail: str
    after_seconds: float = 1.0
    on_hold: bool = False
    halted_at: str = ""


StepFunction = Callable[[Run, JSON], Awaitable[Done | Pending]]
UndoFunction = Callable[[Run, JSON, StepRecord], Awaitable[Done | Pending]]


@dataclass(frozen=True)
class StepKind:
    """How a step is done and undone. Both are idempotent: they read, compare and write, and may be called at any time again.

    A temporary failure is tried again until the step's deadline; a permanent one ends the step.
    """

    do: StepFunction
    undo: UndoFunction | None = None


ScopeFunction = Callable[[Any, Actor, Platform, Knowledge], Awaitable[Scope]]
AnswerFunction = Callable[[Context, Any], Awaitable[Reply]]
PlanFunction = Callable[[Context, Any], Awaitable[Plan]]


@dataclass(frozen=True)
class Command:
    """One verb. Exactly one of `answer` and `plan` is set; a plan's step keys are keys of `steps`.

    `scope` raises UsageError or NotFoundError with a clear sentence; it reads the local database only.
    `confirm`: the requester sees the plan and presses a button before anything else happens.
    """

    name: str
    summary: str
    example: str
    args: type[Args]
    scope: ScopeFunction
    answer: AnswerFunction | None = None
    plan: PlanFunction | None = None
    steps: Mapping[str, StepKind] = field(default_factory=dict)
    needs: str = ""
    """The optional port without which it can do nothing here and help does not offer it."""
    permission: str = ""
    """What help checks before it offers the verb: `promote:{environment}`; empty: for everybody."""
    confirm: bool = False
    confirm_label: str = "Confirm"
    group: str = "Services"
    position: int = 1000
    """Where help lists it; what people do most stands first."""

    def __post_init__(self) -> None:
        if (self.answer is None) == (self.plan is None):
            raise TypeError(f"command {self.name}: set exactly one of answer and plan")
        if self.plan is not None and not self.steps:
            raise TypeError(f"command {self.name}: a command that plans needs steps")
