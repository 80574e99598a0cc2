"""A person submits or closes a modal, or opens the Home tab; and what the app's answer does to the stack.

https://docs.slack.dev/surfaces/modals#response_actions
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playground import events, payloads
from playground.acts_blocks import NOT_INTERACTIVE
from playground.acts_messages import ActError
from playground.client_view import show_stack
from playground.delivery import Delivery
from playground.validate_views import check_modal, view_too_large
from playground.view_state import client_errors
from playground.views import View, ViewError
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]

TROUBLE_CONNECTING = "We had some trouble connecting. Try again?"


class _AnswerRefusedError(Exception):
    """The app's answer to a submission is not one Slack understands; the text is for the delivery log."""


@dataclass(frozen=True)
class Submitted:
    """`errors` by block_id stand beside the fields; `notice` stands above the buttons."""

    ok: bool
    errors: dict[str, str] = field(default_factory=dict)
    notice: str | None = None
    delivery: Delivery | None = None


async def submit(world: World, person: Person, view: View, values: Json) -> Submitted:
    stack = world.views.stack(person.id)
    if not stack or stack[-1] is not view:
        raise ActError("view_not_found", "This view is not the one on top.")
    if not view.payload.get("submit"):
        raise ActError("no_submit", "This view has nothing to submit.")
    if not world.app.interactive:
        return Submitted(ok=False, notice=NOT_INTERACTIVE)
    world.views.remember_values(view, values)
    if errors := client_errors(view.blocks, view.values):
        return Submitted(ok=False, errors=errors)
    payload = payloads.view_submission(world, person, view)
    delivery = await world.deliveries.deliver("interactive", payload, payload_type="view_submission")
    if not delivery.acknowledged:
        return Submitted(ok=False, notice=TROUBLE_CONNECTING, delivery=delivery)
    try:
        errors = _apply(world, view, delivery.answer or {})
    except _AnswerRefusedError as error:
        delivery.note = str(error)
        return Submitted(ok=False, notice=TROUBLE_CONNECTING, delivery=delivery)
    show_stack(world, person.id)
    return Submitted(ok=not errors, errors=errors, delivery=delivery)


def _apply(world: World, view: View, answer: Json) -> dict[str, str]:
    """What the answer does to the stack; the errors to show, if it was about those."""
    action = answer.get("response_action")
    if view not in world.views.stack(view.user):
        # Closed while the app was thinking: there is nothing left to change.
        return {}
    try:
        if not answer:
            world.views.close(view)
        elif action == "clear":
            world.views.close_all(view.user)
        elif action == "errors":
            return _checked_errors(view, answer.get("errors"))
        elif action == "update":
            world.views.update(view, _checked_view(answer))
        elif action == "push":
            world.views.push(view.user, _checked_view(answer), on=view)
        else:
            raise _AnswerRefusedError(f"response_action {action!r} is not one of clear, errors, push, update")
    except ViewError as error:
        raise _AnswerRefusedError(error.code) from error
    return {}


def _checked_errors(view: View, errors: Any) -> dict[str, str]:
    if not isinstance(errors, dict) or not errors:
        raise _AnswerRefusedError("response_action errors needs a mapping of block_id to text")
    inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    for block_id, text in errors.items():
        if block_id not in inputs:
            raise _AnswerRefusedError(f"errors names {block_id!r}, which is no input block of the view")
        if not isinstance(text, str) or not text:
            raise _AnswerRefusedError(f"the error of {block_id!r} is not a text")
    return dict(errors)


def _checked_view(answer: Json) -> Json:
    view = answer.get("view")
    if problems := check_modal(view):
        raise _AnswerRefusedError("; ".join(map(str, problems)))
    if view_too_large(view):
        raise _AnswerRefusedError("view_too_large")
    assert isinstance(view, dict)
    return view


def close(world: World, person: Person, view: View, *, clear: bool) -> None:
    """Cancel closes this view; the x (`clear`), and a view that says clear_on_close, close the whole stack."""
    stack = world.views.stack(person.id)
    if view not in stack:
        raise ActError("view_not_found", "This view is no longer open.")
    clear = clear or bool(view.payload.get("clear_on_close"))
    told = stack[0] if clear else view
    if told.payload.get("notify_on_close"):
        payload = payloads.view_closed(world, person, told, is_cleared=clear)
        world.background.spawn(world.deliveries.deliver("interactive", payload, payload_type="view_closed"))
    if clear:
        world.views.close_all(person.id)
    else:
        world.views.close(view)
    show_stack(world, person.id)


def open_home(world: World, person: Person) -> View | None:
    """Each opening is an event; the view is the one published so far."""
    if not world.app.home_tab:
        raise ActError("not_enabled", f"{world.app.name} has no Home tab.")
    world.app_channel(person.id)
    events.home_opened(world, person.id, tab="home")
    world.changed()
    return world.views.home(person.id)


def open_messages(world: World, person: Person) -> None:
    world.app_channel(person.id)
    events.home_opened(world, person.id, tab="messages")
    world.changed()
