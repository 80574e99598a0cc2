"""One person at a client: writes, presses, fills in, and says what is on the screen.

For tests and the control API. Finds buttons by action_id, value or label, as somebody describing the screen would.
"""

from __future__ import annotations

from typing import Any

from playground import acts_blocks, acts_messages, acts_views
from playground.acts_blocks import Pressed, Target
from playground.acts_messages import ActError, Sent
from playground.acts_views import Submitted
from playground.messages import Message
from playground.validate_elements import offered_options
from playground.view_state import STATEFUL, elements, find_element
from playground.views import View
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]

DEFAULT_WAIT_SECONDS = 5.0


class Actor:
    def __init__(self, world: World, person: Person) -> None:
        self._world = world
        self.person = person

    @property
    def id(self) -> str:
        return self.person.id

    # -- writing -----------------------------------------------------------------------------------------------------

    async def say(
        self, channel: str, text: str, *, thread_ts: str | None = None, smart: bool = False
    ) -> Sent:
        """A message or, when it begins with a slash, a command; returns when the app has acknowledged or failed."""
        person = acts_messages.acting_person(self._world, self.id)
        found = acts_messages.visible_channel(self._world, person, self._channel_id(channel))
        return await acts_messages.send(self._world, person, found, text, thread_ts=thread_ts, smart=smart)

    async def command(self, channel: str, text: str, *, smart: bool = False) -> Sent:
        """`text` with its verb, such as "/platform status"."""
        if not text.startswith("/"):
            raise ValueError(f"a command begins with a slash: {text!r}")
        return await self.say(channel, text, smart=smart)

    def _channel_id(self, reference: str) -> str:
        """`app` is the conversation with the app, `@somebody` the one with a person."""
        if reference == "app":
            return self._world.app_channel(self.id).id
        if reference.startswith("@"):
            other = self._world.person(reference).id
            return self._world.state.direct_channel(self.id, other, now=self._world.clock.now()).id
        return reference

    # -- seeing ------------------------------------------------------------------------------------------------------

    def sees(self, channel: str) -> list[Message]:
        """Messages, replies and this person's live ephemerals, oldest first; nothing in a channel that is not theirs."""
        found = self._world.state.channel_named(self._channel_id(channel))
        if found is None or not acts_messages.can_see(self.person, found):
            return []
        stored = self._world.state.all_messages(found.id)
        return sorted(
            [*stored, *self._world.live_ephemerals(self.id, found.id)], key=lambda message: message.ts
        )

    def ephemerals(self, channel: str) -> list[Message]:
        return [message for message in self.sees(channel) if message.ephemeral]

    def views(self) -> list[View]:
        """Open modals, bottom first."""
        return self._world.views.stack(self.id)

    @property
    def view(self) -> View:
        """The modal on top; ActError when none is open."""
        stack = self.views()
        if not stack:
            raise ActError("view_not_found", f"{self.person.name} has no view open.")
        return stack[-1]

    def home(self) -> View | None:
        return self._world.views.home(self.id)

    async def wait_for_message(
        self, channel: str, containing: str, *, after: str = "", timeout_seconds: float = DEFAULT_WAIT_SECONDS
    ) -> Message:
        """The newest visible message whose text or blocks contain the words; `after` a ts."""

        def look() -> Message | None:
            newest_first = (message for message in reversed(self.sees(channel)) if message.ts > after)
            return next((message for message in newest_first if containing in shown_text(message)), None)

        what = f"{self.person.name} sees {containing!r} in {channel}"
        found = await self._world.changes.until(look, timeout_seconds=timeout_seconds, what=what)
        assert found is not None
        return found

    async def wait_for_view(
        self, title: str | None = None, *, timeout_seconds: float = DEFAULT_WAIT_SECONDS
    ) -> View:
        def look() -> View | None:
            stack = self.views()
            if not stack or title not in (None, stack[-1].payload["title"]["text"]):
                return None
            return stack[-1]

        what = f"{self.person.name} sees the view {title or ''}"
        found = await self._world.changes.until(look, timeout_seconds=timeout_seconds, what=what)
        assert found is not None
        return found

    # -- pressing ----------------------------------------------------------------------------------------------------

    async def click(
        self, holder: Message | View, wanted: str, *, block_id: str | None = None, force: bool = False
    ) -> Pressed:
        """A button by action_id, value or label. Outdated ones count: a slow client still shows them.

        `force` lets through the click of a person who is no longer there or not in the channel.
        """
        person = self._clicker(holder, force=force)
        target = _find_button(holder, wanted, block_id)
        return await acts_blocks.press(
            self._world, person, holder, target, result={"type": target.element["type"]}
        )

    async def choose(
        self,
        holder: Message | View,
        action_id: str,
        value: Any,
        *,
        block_id: str | None = None,
        force: bool = False,
    ) -> Pressed:
        """A value in a select, picker, checkboxes, radio buttons or overflow menu (see `result_of`)."""
        person = self._clicker(holder, force=force)
        target = acts_blocks.locate_element(holder, action_id=action_id, block_id=block_id)
        result = result_of(target.element, value)
        return await acts_blocks.press(self._world, person, holder, target, result=result)

    async def suggest(self, holder: Message | View, action_id: str, typed: str) -> Json:
        target = acts_blocks.locate_element(holder, action_id=action_id, block_id=None)
        return await acts_blocks.suggest(self._world, self.person, holder, target, typed=typed)

    def _clicker(self, holder: Message | View, *, force: bool) -> Person:
        person = acts_messages.acting_person(self._world, self.id, force=force)
        if isinstance(holder, View):
            if holder.user != self.id:
                raise ActError("view_not_found", f"This view is not {person.name}'s.")
        elif holder.viewer not in (None, self.id) or (not force and holder not in self.sees(holder.channel)):
            raise ActError("message_not_found", f"{person.name} does not see this message.")
        return person

    # -- views -------------------------------------------------------------------------------------------------------

    async def submit(self, values: Json | None = None, *, view: View | None = None) -> Submitted:
        """Fills in and submits the top view. `values` by action_id or block_id, plain (see `result_of`)."""
        top = view or self.view
        person = acts_messages.acting_person(self._world, self.id)
        return await acts_views.submit(self._world, person, top, filled_in(top, values or {}))

    def close_view(self, *, clear: bool = False) -> None:
        acts_views.close(self._world, self.person, self.view, clear=clear)

    def open_home(self) -> View | None:
        """Sends app_home_opened; what is there already is returned."""
        return acts_views.open_home(self._world, acts_messages.acting_person(self._world, self.id))

    def open_messages_tab(self) -> None:
        acts_views.open_messages(self._world, acts_messages.acting_person(self._world, self.id))


def shown_text(message: Message) -> str:
    """Everything readable in a message: its text and all text in its blocks."""
    return "\n".join([message.text, *_texts(message.blocks or [])])


def view_text(view: View) -> str:
    """Everything readable in a view, its title first."""
    title = view.payload.get("title", {}).get("text", "")
    return "\n".join([title, *_texts(view.blocks)])


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [
            text for item in value.values() if isinstance(item, dict | list) for text in _texts(item)
        ]
    return []


def buttons(holder: Message | View) -> list[Json]:
    """The buttons shown now, in reading order."""
    return [element for _, element in elements(holder.blocks or []) if element["type"] == "button"]


def _find_button(holder: Message | View, wanted: str, block_id: str | None) -> Target:
    for blocks in (holder.blocks or [], *reversed(holder.past_blocks)):
        for block, element in elements(blocks):
            names = (element.get("action_id"), element.get("value"), (element.get("text") or {}).get("text"))
            if element["type"] == "button" and wanted in names and block_id in (None, block["block_id"]):
                outdated = blocks if blocks is not holder.blocks else None
                return Target(block, element, outdated_blocks=outdated)
    raise ActError("action_not_found", f"There is no button {wanted!r} here.")


def result_of(element: Json, value: Any) -> Json:
    """A plain value as the element reports it: option values become options, everything else stays.

    Lists for what takes several; None for what is cleared.
    """
    kind = element["type"]
    key, nothing, _ = STATEFUL.get(kind, ("selected_option", None, ""))
    if value is None:
        return {"type": kind, key: nothing}
    if key == "selected_option":
        return {"type": kind, key: _option(element, value)}
    if key == "selected_options":
        return {"type": kind, key: [_option(element, one) for one in value]}
    return {"type": kind, key: value}


def _option(element: Json, value: Any) -> Json:
    """An option as offered; a whole option (from a suggestion) stands for itself."""
    if isinstance(value, dict):
        return value
    for option in offered_options(element):
        if value in (option["value"], option["text"]["text"]):
            return option
    raise ActError("option_not_found", f"{value} is not among the options of {element['action_id']}.")


def filled_in(view: View, values: Json) -> Json:
    """`state.values` of what somebody filled in, by action_id or block_id; ActError for a field that is not there."""
    state: Json = {}
    for name, value in values.items():
        found = find_element(view.blocks, action_id=name) or _input_of_block(view, name)
        if found is None:
            raise ActError("field_not_found", f"There is no field {name} in this view.")
        block, element = found
        state.setdefault(block["block_id"], {})[element["action_id"]] = result_of(element, value)
    return state


def _input_of_block(view: View, block_id: str) -> tuple[Json, Json] | None:
    for block, element in elements(view.blocks):
        if block["block_id"] == block_id:
            return block, element
    return None
