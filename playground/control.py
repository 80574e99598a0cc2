"""What tests do with a running workspace: act as people, read what they see, order faults, move time, change people.

`Control` is the Python face, `Actor` one person in it; control_api.py offers the same over HTTP. Nothing here is reachable for
the app under test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from playground import events
from playground.actor import Actor
from playground.client_view import client_channel
from playground.clock import Clock
from playground.delivery import Delivery
from playground.delivery_http import HttpDelivery
from playground.delivery_socket import SocketDelivery
from playground.faults import ApiFault, ApiFaultKind, DeliveryFault, DeliveryFaultKind
from playground.messages import Channel, Message
from playground.views import View
from playground.workspace import Kind, Person
from playground.world import ApiCall, World

T = TypeVar("T")

DEFAULT_WAIT_SECONDS = 5.0


class Control:
    def __init__(self, world: World) -> None:
        self.world = world

    # -- people and waiting ------------------------------------------------------------------------------------------

    def actor(self, reference: str) -> Actor:
        """By id, handle or name; KeyError when nobody is meant."""
        return Actor(self.world, self.world.person(reference))

    @property
    def clock(self) -> Clock:
        return self.world.clock

    async def until(
        self,
        look: Callable[[], T],
        *,
        timeout_seconds: float = DEFAULT_WAIT_SECONDS,
        what: str = "the condition",
    ) -> T:
        """Looks again whenever anything changed; the first truthy answer. Waits real time at most."""
        return await self.world.changes.until(look, timeout_seconds=timeout_seconds, what=what)

    async def until_connected(
        self, *, connections: int = 1, timeout_seconds: float = DEFAULT_WAIT_SECONDS
    ) -> None:
        """Until the app holds at least that many Socket Mode connections."""
        transport = self._socket()
        await self.until(
            lambda: transport.connection_count >= connections,
            timeout_seconds=timeout_seconds,
            what="the connection",
        )

    @property
    def connection_count(self) -> int:
        """Socket Mode connections that are open now."""
        return self._socket().connection_count

    @property
    def connections_opened(self) -> int:
        """Socket Mode connections accepted since the start, closed ones included."""
        return self._socket().opened

    # -- reading -----------------------------------------------------------------------------------------------------

    def channel(self, reference: str) -> Channel:
        """By id, name or `#name`; KeyError when there is none."""
        channel = self.world.state.channel_named(reference)
        if channel is None:
            raise KeyError(reference)
        return channel

    def messages(self, channel: str) -> list[Message]:
        """Everything stored in a channel, replies included, oldest first. No ephemerals: those are a person's."""
        return list(self.world.state.all_messages(self.channel(channel).id))

    def app_messages(self, channel: str) -> list[Message]:
        return [message for message in self.messages(channel) if message.bot_id == self.world.app.bot_id]

    def home(self, person: str) -> View | None:
        return self.world.views.home(self.world.person(person).id)

    def deliveries(self, payload_type: str | None = None) -> list[Delivery]:
        """The delivery log, oldest first: slash_commands, block_actions, view_submission, view_closed, event types."""
        return [entry for entry in self.world.deliveries.log if payload_type in (None, entry.type)]

    def calls(self, method: str | None = None) -> list[ApiCall]:
        return [call for call in self.world.calls if method in (None, call.method)]

    def ignored_acks(self) -> list[str]:
        """Envelope ids acknowledged too late, twice, or on a connection they were not sent on."""
        return list(self._socket().ignored_acks)

    def issue_trigger(self, person: str) -> str:
        """A trigger id as if that person had just acted, for calling views.open without a delivery."""
        return self.world.issue_trigger(self.world.person(person).id)

    # -- faults ------------------------------------------------------------------------------------------------------

    def fail_call(
        self,
        method: str,
        kind: ApiFaultKind,
        *,
        times: int = 1,
        status: int = 500,
        retry_after_seconds: int = 1,
        code: str = "internal_error",
    ) -> None:
        """The next `times` calls of `method` ("*" for any, "response_url" for those) go wrong."""
        fault = ApiFault(kind=kind, status=status, retry_after_seconds=retry_after_seconds, code=code)
        self.world.faults.add_api(method, fault, times=times)

    def disturb_delivery(
        self, payload_type: str, kind: DeliveryFaultKind, *, times: int = 1, seconds: float = 0.0
    ) -> None:
        """The next `times` deliveries of a payload type ("*" for any) are disturbed."""
        self.world.faults.add_delivery(payload_type, DeliveryFault(kind=kind, seconds=seconds), times=times)

    def clear_faults(self) -> None:
        self.world.faults.clear()

    async def cut_connections(self) -> None:
        await self.world.deliveries.transport.cut()

    async def announce_disconnect(self, reason: str, *, close: bool | None = None) -> None:
        """warning, refresh_requested, link_disabled or too_many_websockets.

        The first two leave the connection to the client, which opens a new one; with `close` the server hangs up at once,
        and what is sent in the gap is lost, as it can be with Slack.
        """
        gentle = reason in ("warning", "refresh_requested")
        await self._socket().announce(reason, close=not gentle if close is None else close)

    def limit_rates(self, enabled: bool = True) -> None:
        self.world.limits.enabled = enabled

    async def verify_request_url(self) -> bool:
        """Slack's url_verification; whether the app echoed the challenge."""
        transport = self.world.deliveries.transport
        if not isinstance(transport, HttpDelivery):
            raise TypeError("the app is reached over Socket Mode; there is no request URL")
        return await transport.verify_request_url(f"challenge-{self.world.state.next_number('challenge')}")

    async def ssl_check(self) -> None:
        transport = self.world.deliveries.transport
        if not isinstance(transport, HttpDelivery):
            raise TypeError("the app is reached over Socket Mode; there is no request URL")
        await transport.ssl_check()

    def _socket(self) -> SocketDelivery:
        transport = self.world.deliveries.transport
        if not isinstance(transport, SocketDelivery):
            raise TypeError("the app is reached over HTTP; there are no socket connections")
        return transport

    # -- changing people and channels --------------------------------------------------------------------------------

    def set_kind(self, person: str, kind: Kind) -> Person:
        """Deactivates, makes a guest, makes a member again. The app hears user_change if it subscribed."""
        found = self.world.person(person)
        found.kind = kind
        events.user_changed(self.world, found.id)
        self._people_changed()
        return found

    def deactivate(self, person: str) -> Person:
        return self.set_kind(person, "deactivated")

    def add_to_group(self, group: str, person: str) -> None:
        found, member = self.world.workspace.user_group(group), self.world.person(person).id
        if member not in found.members:
            found.members.append(member)
            events.user_group_changed(self.world, found, added=[member], removed=[])
            self._people_changed()

    def remove_from_group(self, group: str, person: str) -> None:
        found, member = self.world.workspace.user_group(group), self.world.person(person).id
        if member in found.members:
            found.members.remove(member)
            events.user_group_changed(self.world, found, added=[], removed=[member])
            self._people_changed()

    def disable_group(self, group: str, *, disabled: bool = True) -> None:
        self.world.workspace.user_group(group).disabled = disabled
        self._people_changed()

    def join(self, channel: str, person: str) -> None:
        found, member = self.channel(channel), self.world.person(person).id
        if member not in found.members:
            found.members.append(member)
            self.world.state.save_channel(found)
            events.member_joined(self.world, member, found)
            self._people_changed()

    def leave(self, channel: str, person: str) -> None:
        found, member = self.channel(channel), self.world.person(person).id
        if member in found.members:
            found.members.remove(member)
            self.world.state.save_channel(found)
            events.member_left(self.world, member, found)
            self._people_changed()

    def archive(self, channel: str, *, archived: bool = True) -> None:
        found = self.channel(channel)
        found.archived = archived
        self.world.state.save_channel(found)
        if archived:
            events.channel_archived(self.world, found)
        self._people_changed()

    def forget_ephemerals(self, person: str) -> None:
        """What a reload of the client does: ephemeral messages are gone."""
        user = self.world.person(person).id
        for key in [key for key in self.world.state.ephemerals if key[0] == user]:
            del self.world.state.ephemerals[key]
        self.world.changed()

    def _people_changed(self) -> None:
        self.world.feed.tell_everyone({"type": "sidebar"})
        self.world.changed()

    def shown_channel(self, channel: str, person: str) -> dict[str, object]:
        """The sidebar entry a person has of a channel: unread counts, mentions, membership."""
        return client_channel(self.world, self.channel(channel), self.world.person(person).id)
