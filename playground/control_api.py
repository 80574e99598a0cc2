"""The control API over HTTP, under /_control: what control.py offers, for tests that run in another process.

Translation only. Bodies and answers are JSON; what a client would not have allowed answers 400.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from playground.acts_messages import ActError
from playground.client_view import client_message
from playground.control import Control
from playground.faults import API_FAULTS, DELIVERY_FAULTS
from playground.messages import Message
from playground.views import View

Json = dict[str, Any]
Action = Callable[[Json], Awaitable[Json]]


class ControlApi:
    def __init__(self, control: Control) -> None:
        self._control = control
        self._actions: dict[str, Action] = {
            "say": self._say,
            "click": self._click,
            "choose": self._choose,
            "suggest": self._suggest,
            "submit": self._submit,
            "close": self._close,
            "home": self._home,
            "seen": self._seen,
            "fail_call": self._fail_call,
            "disturb_delivery": self._disturb_delivery,
            "clear_faults": self._clear_faults,
            "cut": self._cut,
            "disconnect": self._disconnect,
            "clock": self._clock,
            "person": self._person,
            "group": self._group,
            "channel": self._channel,
            "settings": self._settings,
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/_control/{action}", self._handle),
            web.get("/_control/deliveries", self._deliveries),
            web.get("/_control/calls", self._calls),
        ]

    async def _handle(self, request: web.Request) -> web.Response:
        action = self._actions.get(request.match_info["action"])
        if action is None:
            raise web.HTTPNotFound(text=f"one of: {', '.join(self._actions)}")
        try:
            body = await request.json() if request.can_read_body else {}
            answer = await action(body)
        except (KeyError, ValueError, TypeError) as error:
            raise ActError("invalid_arguments", f"{type(error).__name__}: {error}") from error
        return web.json_response(answer)

    # -- acting ------------------------------------------------------------------------------------------------------

    async def _say(self, body: Json) -> Json:
        sent = await self._control.actor(body["as"]).say(
            body["channel"], body["text"], thread_ts=body.get("thread_ts"), smart=bool(body.get("smart"))
        )
        return {"ok": sent.ok, "kind": sent.kind, "notice": sent.notice, "message": self._shown(sent.message)}

    async def _click(self, body: Json) -> Json:
        actor = self._control.actor(body["as"])
        pressed = await actor.click(
            self._holder(body), body["button"], block_id=body.get("block_id"), force=bool(body.get("force"))
        )
        return {"ok": pressed.ok, "notice": pressed.notice}

    async def _choose(self, body: Json) -> Json:
        actor = self._control.actor(body["as"])
        pressed = await actor.choose(
            self._holder(body),
            body["action_id"],
            body["value"],
            block_id=body.get("block_id"),
            force=bool(body.get("force")),
        )
        return {"ok": pressed.ok, "notice": pressed.notice}

    async def _suggest(self, body: Json) -> Json:
        return await self._control.actor(body["as"]).suggest(
            self._holder(body), body["action_id"], body["typed"]
        )

    async def _submit(self, body: Json) -> Json:
        result = await self._control.actor(body["as"]).submit(body.get("values"))
        return {"ok": result.ok, "errors": result.errors, "notice": result.notice}

    async def _close(self, body: Json) -> Json:
        self._control.actor(body["as"]).close_view(clear=bool(body.get("clear")))
        return {"ok": True}

    async def _home(self, body: Json) -> Json:
        return {"view": self._shown_view(self._control.actor(body["as"]).open_home())}

    async def _seen(self, body: Json) -> Json:
        """Everything on a person's screen: messages of `channel`, open views, Home."""
        actor = self._control.actor(body["as"])
        messages = actor.sees(body["channel"]) if "channel" in body else []
        return {
            "messages": [self._shown(message) for message in messages],
            "views": [self._shown_view(view) for view in actor.views()],
            "home": self._shown_view(actor.home()),
        }

    def _holder(self, body: Json) -> Message | View:
        """`{"channel", "ts"}` of a message, `{"home": true}`, or else the view on top."""
        actor = self._control.actor(body["as"])
        if "ts" in body:
            channel = self._control.channel(body["channel"])
            for message in (*self._control.messages(channel.id), *actor.sees(channel.id)):
                if message.ts == body["ts"]:
                    return message
            raise ActError("message_not_found", "This message is not there.")
        if body.get("home"):
            view = actor.home()
            if view is None:
                raise ActError("view_not_found", "There is nothing in the Home tab yet.")
            return view
        return actor.view

    def _shown(self, message: Message | None) -> Json | None:
        return client_message(self._control.world, message) if message else None

    def _shown_view(self, view: View | None) -> Json | None:
        return self._control.world.views.view_object(view) if view else None

    # -- faults, time, people ----------------------------------------------------------------------------------------

    async def _fail_call(self, body: Json) -> Json:
        if body["kind"] not in API_FAULTS:
            raise ValueError(f"kind is one of {', '.join(API_FAULTS)}")
        options = {
            key: body[key] for key in ("times", "status", "retry_after_seconds", "code") if key in body
        }
        self._control.fail_call(body["method"], body["kind"], **options)
        return {"ok": True}

    async def _disturb_delivery(self, body: Json) -> Json:
        if body["kind"] not in DELIVERY_FAULTS:
            raise ValueError(f"kind is one of {', '.join(DELIVERY_FAULTS)}")
        options = {key: body[key] for key in ("times", "seconds") if key in body}
        self._control.disturb_delivery(body["type"], body["kind"], **options)
        return {"ok": True}

    async def _clear_faults(self, _body: Json) -> Json:
        self._control.clear_faults()
        return {"ok": True}

    async def _cut(self, _body: Json) -> Json:
        await self._control.cut_connections()
        return {"ok": True}

    async def _disconnect(self, body: Json) -> Json:
        await self._control.announce_disconnect(body["reason"], close=body.get("close"))
        return {"ok": True}

    async def _clock(self, body: Json) -> Json:
        """`advance` seconds, `set` unix seconds, `freeze` true or false; answers the time."""
        clock = self._control.clock
        if "freeze" in body:
            (clock.freeze if body["freeze"] else clock.resume)()
        if "set" in body:
            clock.set(float(body["set"]))
        if "advance" in body:
            clock.advance(float(body["advance"]))
        return {"now": clock.now()}

    async def _person(self, body: Json) -> Json:
        person = self._control.set_kind(body["person"], body["kind"])
        return {"id": person.id, "kind": person.kind}

    async def _group(self, body: Json) -> Json:
        """`add` or `remove` a person, or `disabled` true or false."""
        if "add" in body:
            self._control.add_to_group(body["group"], body["add"])
        if "remove" in body:
            self._control.remove_from_group(body["group"], body["remove"])
        if "disabled" in body:
            self._control.disable_group(body["group"], disabled=bool(body["disabled"]))
        return {"members": self._control.world.workspace.user_group(body["group"]).members}

    async def _channel(self, body: Json) -> Json:
        """`join` or `leave` of a person, or `archived` true or false."""
        if "join" in body:
            self._control.join(body["channel"], body["join"])
        if "leave" in body:
            self._control.leave(body["channel"], body["leave"])
        if "archived" in body:
            self._control.archive(body["channel"], archived=bool(body["archived"]))
        return {"members": self._control.channel(body["channel"]).members}

    async def _settings(self, body: Json) -> Json:
        """rate_limits, smart_punctuation, org_install, user_groups_available: true or false."""
        world = self._control.world
        for key, value in body.items():
            if key == "rate_limits":
                world.limits.enabled = bool(value)
            elif key in ("smart_punctuation", "org_install", "user_groups_available"):
                setattr(world, key, bool(value))
            else:
                raise ValueError(f"unknown setting {key}")
        return {"ok": True}

    # -- logs --------------------------------------------------------------------------------------------------------

    async def _deliveries(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"deliveries": [asdict(d) for d in self._control.deliveries(request.query.get("type"))]}
        )

    async def _calls(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"calls": [asdict(call) for call in self._control.calls(request.query.get("method"))]}
        )
