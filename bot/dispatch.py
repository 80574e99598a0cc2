"""The life of an invocation: parse, authorize, record, plan, propose.

Up to the record everything is local, so that Slack's three seconds are never at the mercy of a backend; "acknowledged" means
recorded. Plans are made after that, and made again after a crash (`resume_planning`). Knows nothing of Slack payloads.
"""

from __future__ import annotations

import asyncio
import difflib
import secrets
from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bot import access, forms, policy, request_views, slack_text, views
from bot.command import Args, Command, Reply
from bot.decisions import Decisions
from bot.domain import Actor, CardKind, Invocation, Origin, Platform, Request, RequestState
from bot.errors import (
    BackendError,
    ConflictError,
    NotFoundError,
    PlatformError,
    PolicyDeniedError,
    TemporaryBackendError,
    UsageError,
)
from bot.people import Directory
from bot.planning import Clock, Planned, Planner
from bot.store import NewRequest, Proposal, Store
from bot.targets import Targets
from bot.tasks import Tasks

log = structlog.get_logger(__name__)

ANSWER_AT_ONCE_SECONDS = 1.0
"""An answer that takes longer is acknowledged first and shown when it is there; Slack waits three seconds in all."""
PLANNING_ATTEMPTS = 3
PLANS_TOGETHER = 8
"""Plans that are made at the same time: backends answer slowly, so several; but they compete with acknowledgements."""
RUSH_COMMANDS, RUSH_SECONDS = 5, 1.0
"""From so many recorded commands within so long on, nobody's acknowledgement waits for a plan."""
_ID_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Letters of a request id: none that is mistaken for another when read aloud or typed."""


def new_request_id() -> str:
    number = secrets.randbelow(len(_ID_LETTERS) ** 7)
    letters = [_ID_LETTERS[number // len(_ID_LETTERS) ** place % len(_ID_LETTERS)] for place in range(7)]
    return f"r-{''.join(letters)}"


@dataclass(frozen=True)
class OpenForm:
    """Arguments are missing or wrong: ask for them beside what was given."""

    command: Command
    given: Mapping[str, str]
    problem: str = ""


@dataclass(frozen=True)
class Later:
    """Acknowledge with `reply` now; `answer` is shown when it is there (None: the card says it)."""

    reply: Reply | None
    answer: Awaitable[Reply | None]


Outcome = Reply | OpenForm | Later | None
"""None: nothing to say; the card says it."""


class Rush:
    """Whether commands come so fast that an acknowledgement must not wait for more than the record."""

    def __init__(self, *, commands: int = RUSH_COMMANDS, seconds: float = RUSH_SECONDS) -> None:
        self._last: deque[float] = deque(maxlen=commands)
        self._seconds = seconds

    def joined(self, at: float) -> bool:
        """Count a command; True when it is one too many. `at` in seconds of a steady clock."""
        rush = len(self._last) == self._last.maxlen and at - self._last[0] < self._seconds
        self._last.append(at)
        return rush


class Dispatcher:
    """One method per way in."""

    def __init__(
        self,
        *,
        platform: Platform,
        commands: Mapping[str, Command],
        store: Store,
        people: Directory,
        planner: Planner,
        decisions: Decisions,
        targets: Targets,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self._platform = platform
        self._commands = commands
        self._store = store
        self._people = people
        self._planner = planner
        self._decisions = decisions
        self._targets = targets
        self._tasks = tasks
        self._clock = clock
        self._rush = Rush()
        self._planning = asyncio.Semaphore(PLANS_TOGETHER)
        self._planned_here: set[str] = set()

    # ------------------------------------------------------------ ways in

    async def typed(self, invocation: Invocation) -> Outcome:
        """`/platform …`. Raises PlatformError; its sentence is the answer."""
        words = slack_text.words(invocation.text)
        verb, rest = (words[0].lower(), words[1:]) if words else ("help", [])
        command = self._command(verb)
        if not rest and forms.needs_input(command):
            return OpenForm(command, {})
        try:
            given = forms.collect(command, rest)
        except UsageError as error:
            return _form_for(command, error, error.given)
        return await self.pressed(invocation, verb, given)

    async def submitted(self, invocation: Invocation, verb: str, given: Mapping[str, str]) -> Outcome:
        """A filled-in form. Raises UsageError with `fields` for what is wrong beside a field."""
        command = self._command(verb)
        return await self.run(invocation, command, forms.build(command, given))

    async def pressed(self, invocation: Invocation, verb: str, given: Mapping[str, str]) -> Outcome:
        """A button that stands for a command, such as *Promote to production* on a status."""
        command = self._command(verb)
        try:
            return await self.run(invocation, command, forms.build(command, given))
        except UsageError as error:
            return _form_for(command, error, error.given or given)

    def form(self, verb: str) -> Command:
        return self._command(verb)

    def choices(self, actor: Actor) -> dict[str, list[str]]:
        """The named lists of a form. Local, so that a modal opens at once."""
        teams = [name for name in self._platform.teams if name in actor.teams or actor.platform_roles]
        return {
            "teams": teams or list(self._platform.teams),
            "golden_paths": list(self._platform.golden_paths),
            "promotable_environments": [one.name for one in self._platform.environments if one.position > 0],
        }

    def _command(self, verb: str) -> Command:
        command = self._commands.get(verb)
        if command is not None:
            return command
        near = difflib.get_close_matches(verb, self._commands, n=1, cutoff=0.5)
        raise UsageError(
            f"There is no verb “{verb}”.",
            fix=f"Did you mean `/platform {near[0]}`?" if near else "`/platform` lists what you can do.",
        )

    # ------------------------------------------------------------ answering and recording

    async def run(self, invocation: Invocation, command: Command, args: Args) -> Outcome:
        actor = await self._people.actor(invocation.user_id)
        access.require_person(actor)
        scope = await command.scope(args, actor, self._platform, self._store)
        access.require(actor, scope.permission, team=scope.team, platform=self._platform)
        if command.answer is not None:
            pressed = invocation.origin is Origin.BUTTON
            conversation = self._planner.conversation(actor, decider=self._decisions, afresh=pressed)
            return await self._soon(command.answer(conversation, args), waiting="Asking the backends…")
        opened = await self._store.open_request(
            NewRequest(
                id=new_request_id(),
                dedupe_key=invocation.dedupe_key,
                active_key=scope.active_key,
                command=command.name,
                requester=actor.user_id,
                requester_name=actor.name,
                team_id=invocation.team_id,
                channel_id=invocation.channel_id,
                team=scope.team,
                service=scope.service,
                environment=scope.environment,
                arguments=args.model_dump(mode="json"),
            )
        )
        if opened.duplicate == "delivery":
            return _refused_before(opened.request)
        if opened.duplicate == "active":
            raise ConflictError(_already_open(opened.request))
        waiting = f"Making the plan for *{views.escape(request_views.title(opened.request))}*…"
        answer = self._plan(opened.request, actor)
        if self._rush.joined(asyncio.get_running_loop().time()):
            return Later(_waiting(waiting), _explained(answer, opened.request))
        outcome = await self._soon(answer, waiting=waiting)
        if isinstance(outcome, Later):
            return Later(outcome.reply, _explained(outcome.answer, opened.request))
        return outcome

    async def _soon(self, answer: Awaitable[Reply | None], *, waiting: str) -> Outcome:
        """The answer itself if it comes at once, else an acknowledgement and the answer later."""
        task = self._tasks.start(_awaited(answer), name="dispatch.answer")
        done, _ = await asyncio.wait({task}, timeout=ANSWER_AT_ONCE_SECONDS)
        if done:
            return task.result()
        return Later(_waiting(waiting), task)

    async def home(self, user_id: str) -> list[views.Block]:
        """App Home: what waits for this person and what they can do, from the same answers as the commands."""
        actor = await self._people.actor(user_id)
        refusal = access.refuse_person(actor)
        if refusal:
            return [views.section(refusal.reason)]
        conversation = self._planner.conversation(actor, decider=self._decisions)
        blocks: list[views.Block] = []
        for verb in ("status", "help"):
            command = self._commands[verb]
            if command.answer is not None:
                reply = await command.answer(conversation, command.args())
                blocks += [*reply.blocks, views.divider()]
        return blocks[:-1]

    # ------------------------------------------------------------ planning

    async def _plan(self, request: Request, actor: Actor) -> Reply | None:
        """Plan a recorded request when its turn has come."""
        self._planned_here.add(request.id)
        try:
            async with self._planning:
                return await self._plan_now(request, actor)
        finally:
            self._planned_here.discard(request.id)

    async def _plan_now(self, request: Request, actor: Actor) -> Reply | None:
        """Plan it and propose it, or refuse it with the sentence that says why.

        Raises UsageError, once the refusal is recorded, where it can be repaired in a field of the form.
        """
        try:
            planned = await self._attempt(request, actor)
        except PlatformError as error:
            await self._store.refuse(
                request.id, version=request.version, reason=error.sentence, rule=_rule(error)
            )
            if isinstance(error, UsageError) and error.fields:
                raise
            return _refusal(request, error)
        blocking = policy.blocking(planned.gates)
        if blocking:
            denied = PolicyDeniedError(blocking.reason, rule=blocking.rule, fix=blocking.fix or None)
            await self._store.refuse(
                request.id, version=request.version, reason=denied.sentence, rule=blocking.rule
            )
            return _refusal(request, denied)
        return await self._propose(request, planned)

    async def _attempt(self, request: Request, actor: Actor) -> Planned:
        """A backend that is away for a moment is asked again; one that stays away refuses the request."""
        for attempt in range(1, PLANNING_ATTEMPTS):
            try:
                return await self._planner.plan(request, actor)
            except TemporaryBackendError as error:
                log.warning(
                    "dispatch.plan_retry", request_id=request.id, backend=error.backend, attempt=attempt
                )
                await asyncio.sleep(min(error.retry_after_seconds or 0.5 * attempt, 5.0))
        return await self._planner.plan(request, actor)

    async def _propose(self, request: Request, planned: Planned) -> Reply | None:
        ttl = (
            self._platform.proposal_ttl_seconds
            if planned.state is RequestState.PROPOSED
            else self._platform.request_ttl_seconds
        )
        cards = await self._targets.for_plan(request, planned.plan, planned.gates, planned.state)
        await self._store.propose(
            request.id,
            Proposal(
                plan=planned.plan,
                gates=planned.gates,
                plan_hash=planned.hash,
                state=planned.state,
                due_at=self._clock() + timedelta(seconds=ttl),
                cards=cards,
            ),
            version=request.version,
        )
        channel = cards[0].channel_id
        if channel == request.channel_id:
            return None
        where = f"<#{channel}>" if channel.startswith("C") else "your direct messages"
        word = "waits for approval" if planned.state is RequestState.AWAITING else "is on its way"
        return Reply(f"*{views.escape(planned.plan.title)}* (`{request.id}`) {word}: its card is in {where}.")

    async def resume_planning(self, *, older_than_seconds: float) -> int:
        """Plan again what a crash left recorded but unplanned; the requester learns the end from a card or a DM."""
        before = self._clock() - timedelta(seconds=older_than_seconds)
        requests = await self._store.unplanned(older_than=before, limit=20)
        for request in requests:
            if (
                request.id in self._planned_here
            ):  # It has not lost its process; it waits for its turn in this one.
                continue
            actor = await self._people.actor(request.requester)
            try:
                reply = await _explained(self._plan(request, actor), request)
            except ConflictError:
                log.info("dispatch.planned_elsewhere", request_id=request.id)
                continue
            if reply is not None and not await self._store.list_cards(request.id):
                # Nobody waits for this reply any more, and a refused plan has no card: tell the requester by DM.
                await self._store.add_card(request.id, CardKind.NOTICE, request.requester)
        return len(requests)


def _waiting(text: str) -> Reply:
    return Reply(text, [views.context(text)])


async def _awaited(answer: Awaitable[Reply | None]) -> Reply | None:
    return await answer


async def _explained(answer: Awaitable[Reply | None], request: Request) -> Reply | None:
    """Where no form can be opened any more, what was wrong is said with a button that opens it."""
    try:
        return await answer
    except UsageError as error:
        return _refusal(request, error)


def _form_for(command: Command, error: UsageError, given: Mapping[str, str]) -> OpenForm:
    """The form, where it has a field to correct the error in. Raises the error itself where it has none."""
    if not forms.can_ask(command, error.fields):
        raise error
    return OpenForm(command, given, error.sentence)


def _refused_before(request: Request) -> Reply | None:
    """A delivery that comes again gets the same answer; whatever else became of the request is on its card."""
    if request.state is not RequestState.REFUSED:
        return None
    return _refusal(request, PolicyDeniedError(request.outcome, rule="refused-before"))


def _already_open(request: Request) -> str:
    return (
        f"There is an open request for this already: `{request.id}` ({request_views.title(request)}, "
        f"{request_views.STATE_WORDS[request.state]}) by {views.mention(request.requester)}. "
        f"`/platform status {request.id}` shows it."
    )


def _rule(error: PlatformError) -> str:
    rule = getattr(error, "rule", "")
    if rule:
        return str(rule)
    return {UsageError: "arguments", NotFoundError: "exists", ConflictError: "free-name"}.get(
        type(error), "backend" if isinstance(error, BackendError) else "plan"
    )


def _refusal(request: Request, error: PlatformError) -> Reply:
    """What the requester sees at once, with a way to repair what was typed."""
    title = views.escape(request_views.title(request))
    sentence = slack_text.sentence(error)
    if isinstance(error, BackendError):
        sentence = f"{error.backend} could not be asked, so there is no plan: {sentence}"
    text = f":no_entry: *{title}* was not started. {sentence}"
    edit = views.button("Change and try again", action=f"edit:{request.command}", value=request.id)
    return Reply(f"{title} was not started. {sentence}", [views.section(text), *views.actions([edit])])
