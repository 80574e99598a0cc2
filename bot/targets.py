"""Where a request's cards go: the channel it was asked in, the team's channel, those who may approve, #deploys."""

from __future__ import annotations

import asyncio

from bot.domain import (
    CardKind,
    Gate,
    Plan,
    Platform,
    Request,
    RequestState,
    Verdict,
)
from bot.people import Directory
from bot.store import CardTarget

APPROVERS_TOLD = 10
"""People who get a copy by DM; in a larger group the channel's card has to do."""


class Targets:
    """Knows channels and people; writes nothing."""

    def __init__(self, *, platform: Platform, people: Directory) -> None:
        self._platform = platform
        self._people = people

    async def for_plan(
        self, request: Request, plan: Plan, gates: tuple[Gate, ...], state: RequestState
    ) -> list[CardTarget]:
        """The cards a freshly planned request gets."""
        if state is RequestState.PROPOSED:
            return _unique([CardTarget(CardKind.REQUEST, request.channel_id or request.requester)])
        return _unique(await self._public(request, plan, gates, state))

    async def after_confirmation(self, request: Request, state: RequestState) -> list[CardTarget]:
        """Further cards once the requester has confirmed; the one they confirmed on stays."""
        if request.plan is None:
            return []
        here = CardTarget(CardKind.REQUEST, request.channel_id or request.requester)
        cards = await self._public(request, request.plan, request.gates, state)
        if state is RequestState.QUEUED:
            cards = [card for card in cards if card.kind is not CardKind.REQUEST]
        return [card for card in _unique(cards) if card != here]

    async def _public(
        self, request: Request, plan: Plan, gates: tuple[Gate, ...], state: RequestState
    ) -> list[CardTarget]:
        team = self._platform.teams[plan.team]
        cards = [CardTarget(CardKind.REQUEST, team.channel_id)]
        if state is RequestState.AWAITING:
            cards += [
                CardTarget(CardKind.REQUEST, person) for person in await self._approvers(request, gates)
            ]
        cards.append(CardTarget(CardKind.NOTICE, request.requester))
        channel = team.deploy_channel_ids.get(plan.environment)
        if plan.announce and channel:
            cards += [CardTarget(CardKind.DEPLOY, channel), CardTarget(CardKind.DEPLOY_FAILURE, channel)]
        return cards

    async def _approvers(self, request: Request, gates: tuple[Gate, ...]) -> list[str]:
        """The groups are asked for together: a requester who confirms waits for no more than one."""
        waiting = [gate for gate in gates if gate.verdict is Verdict.NEEDS_APPROVAL]
        groups = await asyncio.gather(*(self._people.group_members(gate.group) for gate in waiting))
        people = [
            person
            for gate, members in zip(waiting, groups, strict=True)
            for person in members
            if person not in gate.excluded and person != request.requester
        ]
        return people if len(people) <= APPROVERS_TOLD else []


def _unique(cards: list[CardTarget]) -> list[CardTarget]:
    return list(dict.fromkeys(cards))
