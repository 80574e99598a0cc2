"""A person presses or fills in something: in a message, an ephemeral message, a modal or the Home tab.

Clicks on what an app has meanwhile changed are delivered as Slack delivers them: the client had not drawn the change yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playground import payloads
from playground.acts_messages import ActError
from playground.delivery import Delivery
from playground.messages import Message
from playground.validate_elements import offered_options
from playground.validate_text import Problems, check_option_groups, check_options
from playground.view_state import STATEFUL, find_element, merged_values
from playground.views import View
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]

DEFAULT_MIN_QUERY_LENGTH = 3

# What the warning triangle beside a pressed button says.
TROUBLE = {
    "operation_timeout": "This app did not respond in time. Apps need to respond within 3 seconds.",
    "dispatch_failed": "This app is not connected right now.",
    "http_client_error": "This app responded with an error.",
    "http_service_error": "This app responded with an error.",
}
NOT_INTERACTIVE = "This app is not configured to handle interactive responses."


@dataclass(frozen=True)
class Pressed:
    ok: bool
    notice: str | None = None
    # None when the client kept it to itself, such as a choice in an input that does not dispatch.
    delivery: Delivery | None = None


@dataclass(frozen=True)
class Target:
    """The element, the block it is in, and the outdated blocks it was found in, if it is gone by now."""

    block: Json
    element: Json
    outdated_blocks: list[Json] | None = None


def trouble(delivery: Delivery) -> str:
    return TROUBLE.get(delivery.error or "", "This app responded with an error.")


def locate_message(world: World, person: Person, channel: str, ts: str) -> Message:
    message = world.state.message(channel, ts) or world.state.ephemerals[person.id, channel].get(ts)
    if message is None:
        raise ActError("message_not_found", "This message is no longer there.")
    return message


def locate_view(world: World, person: Person, view_id: str) -> View:
    view = world.views.find(view_id, None)
    if view is None or view.user != person.id:
        raise ActError("view_not_found", "This view is no longer open.")
    return view


def locate_element(holder: Message | View, *, action_id: str, block_id: str | None) -> Target:
    found = find_element(holder.blocks or [], action_id=action_id, block_id=block_id)
    if found is not None:
        return Target(*found)
    for blocks in reversed(holder.past_blocks):
        found = find_element(blocks, action_id=action_id, block_id=block_id)
        if found is not None:
            return Target(*found, outdated_blocks=blocks)
    raise ActError("action_not_found", f"There is nothing called {action_id} here.")


async def press(
    world: World,
    person: Person,
    holder: Message | View,
    target: Target,
    *,
    result: Json,
    state: Json | None = None,
) -> Pressed:
    """`result` is what the element contributes to `actions[]`; `state` what is filled in beside it, as in state.values."""
    _check_choice(target.element, result)
    own = {
        target.block["block_id"]: {target.element["action_id"]: {"type": target.element["type"], **result}}
    }
    entered = _merge(state or {}, own if target.element["type"] in STATEFUL else {})
    if isinstance(holder, View):
        world.views.remember_values(holder, entered)
    if target.block["type"] == "input" and not target.block.get("dispatch_action"):
        return Pressed(ok=True)
    if not world.app.interactive:
        return Pressed(ok=False, notice=NOT_INTERACTIVE)
    action = _action(world, target, result)
    if isinstance(holder, View):
        payload = payloads.block_actions_on_view(world, person, holder, action=action)
    else:
        values = merged_values(target.outdated_blocks or holder.blocks or [], entered)
        payload = payloads.block_actions_on_message(
            world, person, holder, action=action, values=values, blocks=target.outdated_blocks
        )
    delivery = await world.deliveries.deliver("interactive", payload, payload_type="block_actions")
    if delivery.acknowledged:
        return Pressed(ok=True, delivery=delivery)
    return Pressed(ok=False, notice=trouble(delivery), delivery=delivery)


def _merge(*parts: Json) -> Json:
    merged: Json = {}
    for part in parts:
        for block_id, actions in part.items():
            merged.setdefault(block_id, {}).update(actions)
    return merged


def _check_choice(element: Json, result: Json) -> None:
    """A client offers only what the app offered."""
    if "options" not in element and "option_groups" not in element:
        return
    chosen = [result.get("selected_option"), *(result.get("selected_options") or [])]
    values = {option["value"] for option in offered_options(element)}
    for option in chosen:
        if option is not None and option.get("value") not in values:
            raise ActError("option_not_found", f"{option.get('value')} is not among the options.")


def _action(world: World, target: Target, result: Json) -> Json:
    element = target.element
    action: Json = {
        "action_id": element["action_id"],
        "block_id": target.block["block_id"],
        "type": element["type"],
        "action_ts": f"{world.clock.now():.6f}",
    }
    if element["type"] == "button":
        # What a button carries comes from the message, never from the client.
        return action | {key: element[key] for key in ("text", "value", "style", "url") if key in element}
    if element["type"] in STATEFUL:
        key, nothing, _ = STATEFUL[element["type"]]
        return action | {key: result.get(key, nothing)}
    return action | {key: value for key, value in result.items() if key not in action}


async def suggest(
    world: World, person: Person, holder: Message | View, target: Target, *, typed: str
) -> Json:
    """`{options}`, `{option_groups}` or `{error}`, as the select's list shows it."""
    if len(typed) < target.element.get("min_query_length", DEFAULT_MIN_QUERY_LENGTH):
        return {"options": []}
    if not world.app.interactive:
        return {"error": NOT_INTERACTIVE}
    payload = payloads.block_suggestion(
        world, person, action_id=target.element["action_id"], block_id=target.block["block_id"], value=typed
    )
    if isinstance(holder, View):
        payload |= {
            "container": {"type": "view", "view_id": holder.id},
            "view": world.views.view_object(holder),
        }
    else:
        payload |= {
            "container": {"type": "message", "message_ts": holder.ts, "channel_id": holder.channel},
            "channel": {"id": holder.channel, "name": world.state.channels[holder.channel].name},
            "message": world.message_object(holder),
        }
    delivery = await world.deliveries.deliver("interactive", payload, payload_type="block_suggestion")
    if not delivery.acknowledged:
        return {"error": trouble(delivery)}
    return _suggestions(delivery)


def _suggestions(delivery: Delivery) -> Json:
    answer = delivery.answer or {}
    problems = Problems()
    if "option_groups" in answer:
        check_option_groups(answer["option_groups"], "/option_groups", problems)
    elif answer.get("options"):
        check_options(answer["options"], "/options", problems, maximum=100)
    if problems:
        delivery.note = "; ".join(map(str, problems))
        return {"error": "The options could not be loaded."}
    if "option_groups" in answer:
        return {"option_groups": answer["option_groups"]}
    return {"options": answer.get("options", [])}
