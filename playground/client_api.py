"""The routes the browser page uses: JSON under /_client, one WebSocket, the static files.

Translates requests into acts and what is there into the page's shapes (docs/playground.md). It decides nothing; there is no
login, the page acts as whoever is chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from playground import acts_blocks, acts_messages, acts_views
from playground.acts_messages import ActError
from playground.client_view import client_channel, client_message, client_person, shown_stack, sidebar
from playground.messages import Channel, Message
from playground.views import View
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATIC = Path(__file__).with_name("static")
DEFAULT_PAGE = 50
MAXIMUM_PAGE = 200


def refused(code: str, message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=_dumps({"error": code, "message": message}), content_type="application/json"
    )


def _dumps(value: Json) -> str:
    return web.json_response(value).text or ""


@web.middleware
async def own_pages_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No other web site that is open in the same browser may act here; programs send no Origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="Requests from other web sites are refused.")
    return await handler(request)


@web.middleware
async def acts_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a client would not have allowed becomes 400 with a code and a sentence."""
    try:
        return await handler(request)
    except ActError as error:
        raise refused(error.code, str(error)) from error


class ClientApi:
    def __init__(self, world: World) -> None:
        self._world = world
        self._sockets: set[web.WebSocketResponse] = set()

    async def close(self, _app: web.Application) -> None:
        """Open pages would otherwise hold up the stop."""
        for socket in list(self._sockets):
            await socket.close()

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self._page),
            web.get("/_client/workspace", self._workspace),
            web.get("/_client/sidebar", self._sidebar),
            web.get("/_client/history", self._history),
            web.get("/_client/thread", self._thread),
            web.get("/_client/views", self._views),
            web.get("/_client/events", self._events),
            web.post("/_client/read", self._read),
            web.post("/_client/send", self._send),
            web.post("/_client/dm", self._direct),
            web.post("/_client/action", self._action),
            web.post("/_client/suggest", self._suggest),
            web.post("/_client/view/submit", self._submit),
            web.post("/_client/view/close", self._close),
            web.post("/_client/home", self._home),
            web.get("/archives/{channel}/{message}", self._permalink),
            *([web.static("/static", STATIC)] if STATIC.is_dir() else []),
        ]

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        page = STATIC / "index.html"
        if not page.is_file():
            raise web.HTTPNotFound(text="The page is not installed; the APIs below /api and /_client work.")
        return web.FileResponse(page, headers={"Cache-Control": "no-cache"})

    async def _permalink(self, request: web.Request) -> web.StreamResponse:
        """Links that messages carry lead to the page, which opens the channel."""
        raise web.HTTPFound(
            f"/#channel={request.match_info['channel']}&message={request.match_info['message']}"
        )

    async def _workspace(self, _request: web.Request) -> web.Response:
        world = self._world
        groups = [
            {
                "id": group.id,
                "handle": group.handle,
                "name": group.name,
                "members": group.members,
                "disabled": group.disabled,
            }
            for group in world.workspace.user_groups.values()
        ]
        commands = [
            {"command": c.command, "description": c.description, "usage_hint": c.usage_hint}
            for c in world.app.commands.values()
        ]
        return web.json_response(
            {
                "workspace": {"id": world.workspace.team_id, "name": world.workspace.name},
                "app": {
                    "id": world.app.app_id,
                    "name": world.app.name,
                    "bot_user_id": world.app.bot_user_id,
                    "connected": world.deliveries.transport.connected,
                    "home_tab": world.app.home_tab,
                },
                "people": [client_person(person) for person in world.workspace.people.values()],
                "user_groups": groups,
                "commands": commands,
            }
        )

    async def _sidebar(self, request: web.Request) -> web.Response:
        return web.json_response(sidebar(self._world, self._reader(request).id))

    async def _history(self, request: web.Request) -> web.Response:
        person = self._reader(request)
        channel = self._channel(person, request.query.get("channel", ""))
        limit = _limit(request.query.get("limit"))
        before = request.query.get("before")
        timeline = self._world.state.timeline(channel.id, before=before)
        messages = timeline[-limit:]
        has_more = len(timeline) > limit
        if before is None:
            earliest = messages[0].ts if has_more else ""
            ephemerals = self._world.live_ephemerals(person.id, channel.id)
            messages += [m for m in ephemerals if m.thread_ts is None and m.ts >= earliest]
            messages.sort(key=lambda message: message.ts)
        return web.json_response({"messages": self._shown(messages), "has_more": has_more})

    async def _thread(self, request: web.Request) -> web.Response:
        person = self._reader(request)
        channel = self._channel(person, request.query.get("channel", ""))
        parent = self._world.state.message(channel.id, request.query.get("thread_ts", ""))
        if parent is None:
            raise refused("message_not_found", "This message is no longer there.")
        ephemerals = [
            m for m in self._world.live_ephemerals(person.id, channel.id) if m.thread_ts == parent.ts
        ]
        messages = sorted([*self._world.state.replies(parent), *ephemerals], key=lambda message: message.ts)
        return web.json_response({"messages": self._shown([parent, *messages])})

    async def _views(self, request: web.Request) -> web.Response:
        return web.json_response({"stack": shown_stack(self._world, self._reader(request).id)})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        person = self._reader(request)
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        with self._world.feed.page(person.id) as frames:
            writing = asyncio.ensure_future(_write_frames(socket, frames))
            self._sockets.add(socket)
            try:
                async for _ in socket:
                    pass
            finally:
                self._sockets.discard(socket)
                writing.cancel()
        return socket

    def _shown(self, messages: list[Message]) -> list[Json]:
        return [client_message(self._world, message) for message in messages]

    # -- acting ------------------------------------------------------------------------------------------------------

    async def _read(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person = self._person(body)
        channel = self._channel(person, _text(body, "channel"))
        self._world.state.mark_read(person.id, channel.id, _text(body, "ts"))
        self._world.changed()
        return web.json_response({"ok": True})

    async def _send(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person = self._person(body)
        channel = self._channel(person, _text(body, "channel"))
        sent = await acts_messages.send(
            self._world,
            person,
            channel,
            _text(body, "text"),
            thread_ts=body.get("thread_ts"),
            smart=bool(body.get("smart")),
        )
        answer: Json = {"ok": sent.ok, "kind": sent.kind}
        if sent.notice is not None:
            answer["message"] = sent.notice
        return web.json_response(answer)

    async def _direct(self, request: web.Request) -> web.Response:
        """Opens the conversation between two people; an addition to the contract."""
        body = await _body(request)
        person, partner = self._person(body), self._world.workspace.people.get(_text(body, "with"))
        if partner is None:
            raise refused("user_not_found", "There is nobody by that id.")
        channel = self._world.state.direct_channel(person.id, partner.id, now=self._world.clock.now())
        self._world.feed.tell([person.id, partner.id], {"type": "sidebar"})
        self._world.changed()
        return web.json_response({"channel": client_channel(self._world, channel, person.id)})

    async def _action(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person, holder, target = self._locate(body)
        result = body.get("action")
        pressed = await acts_blocks.press(
            self._world,
            person,
            holder,
            target,
            result=result if isinstance(result, dict) else {},
            state=body.get("state") or {},
        )
        return web.json_response({"ok": True} if pressed.ok else {"ok": False, "message": pressed.notice})

    async def _suggest(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person, holder, target = self._locate(body)
        typed = str(body.get("value") or "")
        return web.json_response(await acts_blocks.suggest(self._world, person, holder, target, typed=typed))

    async def _submit(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person = self._person(body)
        view = acts_blocks.locate_view(self._world, person, _text(body, "view_id"))
        result = await acts_views.submit(self._world, person, view, body.get("state") or {})
        if result.ok:
            return web.json_response({"ok": True})
        shown: Json = {"errors": result.errors} if result.errors else {"message": result.notice}
        return web.json_response({"ok": False, **shown})

    async def _close(self, request: web.Request) -> web.Response:
        body = await _body(request)
        person = self._person(body)
        view = acts_blocks.locate_view(self._world, person, _text(body, "view_id"))
        acts_views.close(self._world, person, view, clear=bool(body.get("clear")))
        return web.json_response({"ok": True})

    async def _home(self, request: web.Request) -> web.Response:
        person = self._person(await _body(request))
        view = acts_views.open_home(self._world, person)
        return web.json_response({"view": self._world.views.view_object(view) if view else None})

    # -- who and where -----------------------------------------------------------------------------------------------

    def _reader(self, request: web.Request) -> Person:
        """Reading is allowed for everybody there is, so that a page can look over a deactivated shoulder."""
        return acts_messages.acting_person(self._world, request.query.get("as", ""), force=True)

    def _person(self, body: Json) -> Person:
        return acts_messages.acting_person(self._world, _text(body, "as"))

    def _channel(self, person: Person, reference: str) -> Channel:
        return acts_messages.visible_channel(self._world, person, reference)

    def _locate(self, body: Json) -> tuple[Person, Message | View, acts_blocks.Target]:
        person = self._person(body)
        container = body.get("container")
        if not isinstance(container, dict):
            raise refused("invalid_arguments", "container is missing.")
        holder: Message | View
        if container.get("type") == "view":
            holder = acts_blocks.locate_view(self._world, person, _text(container, "view_id"))
        else:
            channel = self._channel(person, _text(container, "channel"))
            holder = acts_blocks.locate_message(self._world, person, channel.id, _text(container, "ts"))
        target = acts_blocks.locate_element(
            holder, action_id=_text(body, "action_id"), block_id=body.get("block_id")
        )
        return person, holder, target


async def _write_frames(socket: web.WebSocketResponse, frames: asyncio.Queue[Json]) -> None:
    await socket.send_json({"type": "hello"})
    while True:
        await socket.send_json(await frames.get())


async def _body(request: web.Request) -> Json:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise refused("invalid_json", "The body must be a JSON object.")
    return body


def _text(body: Json, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise refused("invalid_arguments", f"{key} is missing.")
    return value


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_PAGE
    if not value.isdecimal() or not 1 <= int(value) <= MAXIMUM_PAGE:
        raise refused("invalid_limit", f"limit must be between 1 and {MAXIMUM_PAGE}.")
    return int(value)
