"""views.*: opening, stacking, changing and publishing what people see.

Each function is one Web API method: it answers the body without `ok`, or raises ApiError. A trigger is spent only by a view
that really opens.
"""

from __future__ import annotations

from typing import Any

from playground.arguments import ApiError, Arguments, invalid_arguments
from playground.client_view import show_home, show_stack
from playground.triggers import Trigger, TriggerError
from playground.validate_text import Problem
from playground.validate_views import check_home, check_modal, view_too_large
from playground.views import View, ViewError
from playground.world import World

Json = dict[str, Any]


async def open_view(world: World, arguments: Arguments) -> Json:
    payload = _modal(arguments)
    trigger = _trigger(world, arguments)
    view = _checked(lambda: world.views.open(trigger.user, payload))
    trigger.spent = True
    show_stack(world, trigger.user)
    return {"view": world.views.view_object(view)}


async def push_view(world: World, arguments: Arguments) -> Json:
    payload = _modal(arguments)
    trigger = _trigger(world, arguments)
    below = world.views.find(trigger.view_id, None)
    if below is None or below.type != "modal":
        # Only what happened inside an open modal can push onto it.
        raise ApiError("not_found")
    view = _checked(lambda: world.views.push(trigger.user, payload, on=below))
    trigger.spent = True
    show_stack(world, trigger.user)
    return {"view": world.views.view_object(view)}


async def update_view(world: World, arguments: Arguments) -> Json:
    view_id, external_id = arguments.text("view_id"), arguments.text("external_id")
    if view_id is None and external_id is None:
        raise invalid_arguments("[ERROR] missing required field: view_id or external_id")
    view = world.views.find(view_id, external_id)
    if view is None:
        raise ApiError("not_found")
    payload = _modal(arguments) if view.type == "modal" else _home(arguments)
    expected_hash = arguments.text("hash")
    _checked(lambda: world.views.update(view, payload, expected_hash=expected_hash))
    if view.type == "home":
        show_home(world, view.user)
    else:
        show_stack(world, view.user)
    return {"view": world.views.view_object(view)}


async def publish_view(world: World, arguments: Arguments) -> Json:
    user = arguments.required("user_id")
    payload = _home(arguments)
    if not world.app.home_tab:
        raise ApiError("not_enabled")
    person = world.workspace.people.get(user)
    if person is None or person.kind in ("bot", "slackbot", "deactivated"):
        raise invalid_arguments("[ERROR] invalid user_id [json-pointer:/user_id]")
    expected_hash = arguments.text("hash")
    view = _checked(lambda: world.views.publish(user, payload, expected_hash=expected_hash))
    show_home(world, user)
    return {"view": world.views.view_object(view)}


def _checked(work: Any) -> View:
    try:
        view: View = work()
    except ViewError as error:
        raise ApiError(error.code) from error
    return view


def _trigger(world: World, arguments: Arguments) -> Trigger:
    trigger_id = arguments.text("trigger_id") or arguments.text("interactivity_pointer")
    if trigger_id is None:
        raise invalid_arguments("[ERROR] missing required field: trigger_id")
    try:
        return world.triggers.check(trigger_id)
    except TriggerError as error:
        raise ApiError(error.code) from error


def _modal(arguments: Arguments) -> Json:
    view = _view(arguments)
    _refuse(check_modal(view))
    return view


def _home(arguments: Arguments) -> Json:
    view = _view(arguments)
    _refuse(check_home(view))
    return view


def _view(arguments: Arguments) -> Json:
    try:
        view = arguments.json("view")
    except ValueError:
        view = None
    if not isinstance(view, dict):
        raise invalid_arguments("[ERROR] must provide an object [json-pointer:/view]")
    if view_too_large(view):
        raise ApiError("view_too_large")
    return view


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise invalid_arguments(*map(str, problems))
