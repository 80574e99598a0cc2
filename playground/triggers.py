"""Trigger ids: three seconds, one use. They are what lets an app open a modal in front of the person who just acted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from playground.clock import Clock

LIFETIME_SECONDS = 3.0
# Spent and expired ids are remembered, because Slack tells the two apart from an invented one.
REMEMBERED = 5_000


class TriggerError(Exception):
    """`code` is the Web API error: invalid_trigger_id, expired_trigger_id or exchanged_trigger_id."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Trigger:
    id: str
    user: str
    issued_at: float
    view_id: str | None = None
    spent: bool = False


class Triggers:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: OrderedDict[str, Trigger] = OrderedDict()

    def issue(self, number: int, user: str, *, view_id: str | None = None) -> str:
        """The time is part of the id, so that ids stay unique when the workspace starts afresh beside an older bot."""
        now = self._clock.now()
        trigger_id = f"{int(now * 1000)}.{number}.{number:032x}"
        self._issued[trigger_id] = Trigger(id=trigger_id, user=user, issued_at=now, view_id=view_id)
        if len(self._issued) > REMEMBERED:
            self._issued.popitem(last=False)
        return trigger_id

    def check(self, trigger_id: str) -> Trigger:
        trigger = self._issued.get(trigger_id)
        if trigger is None:
            raise TriggerError("invalid_trigger_id")
        if trigger.spent:
            raise TriggerError("exchanged_trigger_id")
        if self._clock.now() - trigger.issued_at > LIFETIME_SECONDS:
            raise TriggerError("expired_trigger_id")
        return trigger
