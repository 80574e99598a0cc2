"""Everything that makes up the running workspace, in one place that the other modules are handed.

Holds parts and answers small questions about them; it orders nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from playground.background import Background
from playground.changes import Changes
from playground.clock import Clock
from playground.delivery import Deliveries
from playground.faults import Faults
from playground.feed import Feed
from playground.manifest import AppRegistration, Credentials
from playground.messages import Channel, Message, message_object
from playground.rate_limits import RateLimits
from playground.response_urls import ResponseUrls
from playground.state import State
from playground.triggers import Triggers
from playground.views import Views
from playground.workspace import Person, Workspace

Json = dict[str, Any]

CALL_LOG_LENGTH = 20_000


@dataclass(frozen=True)
class ApiCall:
    """A line of the API call log. The token is never part of it."""

    number: int
    method: str
    arguments: Json
    at: float
    status: int
    answer: Json


@dataclass
class World:
    clock: Clock
    app: AppRegistration
    credentials: Credentials
    workspace: Workspace
    state: State
    changes: Changes
    feed: Feed
    background: Background
    faults: Faults
    limits: RateLimits
    triggers: Triggers
    response_urls: ResponseUrls
    deliveries: Deliveries
    views: Views
    base_url: str = ""
    # An org-wide installation on Enterprise Grid: payloads then come without a team.
    org_install: bool = False
    # Phones and macOS turn quotes and dashes into typographic ones; on for everybody when set.
    smart_punctuation: bool = False
    # Free and standard plans differ: without user groups every usergroups.* call says plan_upgrade_required.
    user_groups_available: bool = True
    calls: deque[ApiCall] = field(default_factory=lambda: deque(maxlen=CALL_LOG_LENGTH))
    calls_made: int = 0

    def person(self, reference: str) -> Person:
        return self.workspace.person(reference)

    def app_channel(self, user: str) -> Channel:
        """The direct conversation between the app and a person."""
        return self.state.direct_channel(user, self.app.bot_user_id, now=self.clock.now())

    def issue_trigger(self, user: str, *, view_id: str | None = None) -> str:
        return self.triggers.issue(self.state.next_number("trigger"), user, view_id=view_id)

    def response_url(self, key: str) -> str:
        return f"{self.base_url}_response/{self.workspace.team_id}/{key}"

    def message_object(self, message: Message, *, with_metadata: bool = False) -> Json:
        parent = self.state.message(message.channel, message.thread_ts or "")
        return message_object(
            message,
            team_id=self.workspace.team_id,
            parent_user=parent.user if parent else None,
            replies=self.state.replies(message),
            with_metadata=with_metadata,
        )

    def live_ephemerals(self, user: str, channel: str) -> Iterable[Message]:
        return list(self.state.ephemerals[user, channel].values())

    def log_call(self, method: str, arguments: Json, *, status: int, answer: Json) -> ApiCall:
        self.calls_made += 1
        call = ApiCall(self.calls_made, method, arguments, self.clock.now(), status, answer)
        self.calls.append(call)
        self.changed()
        return call

    def changed(self) -> None:
        """To be called once a change is complete: it becomes durable and everybody who waits looks again."""
        self.state.flush()
        self.changes.notify()
