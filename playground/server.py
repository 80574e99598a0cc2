"""The playground itself: puts the parts together, serves them on one port, starts and stops.

The only place that wires. Runs inside another program's event loop or alone (`python -m playground`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from playground.background import Background
from playground.changes import Changes
from playground.client_api import ClientApi, acts_as_json, own_pages_only
from playground.clock import Clock
from playground.control import Control
from playground.control_api import ControlApi
from playground.delivery import Deliveries, Transport
from playground.delivery_http import HttpDelivery
from playground.delivery_socket import SocketDelivery
from playground.faults import Faults
from playground.feed import Feed
from playground.manifest import AppRegistration, Credentials, load_manifest, make_credentials
from playground.persistence import StateFile
from playground.rate_limits import RateLimits
from playground.response_routes import ResponseRoutes
from playground.response_urls import ResponseUrls
from playground.state import State
from playground.triggers import Triggers
from playground.views import Views
from playground.webapi import WebApi
from playground.workspace import Person, load_workspace
from playground.world import World

MAX_BODY_BYTES = 4 * 1024 * 1024


class Playground(Control):
    """A running workspace with one app installed. What tests do to it stands in control.py."""

    def __init__(
        self,
        manifest: Mapping[str, Any] | Path,
        *,
        workspace: Mapping[str, Any] | Path | None = None,
        state_file: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        delivery: Literal["socket", "http"] | None = None,
        request_url: str | None = None,
        public_url: str | None = None,
        clock: Clock | Callable[[], float] | None = None,
        bot_token: str | None = None,
        app_token: str | None = None,
        signing_secret: str | None = None,
    ) -> None:
        """`delivery` defaults to what the manifest says (socket_mode_enabled).

        `public_url` is how app and browsers reach this server when that is not the address it listens on.
        """
        self._host = host
        self._public_url = public_url
        self._port = port
        self._file = StateFile(state_file) if state_file is not None else None
        self._runner: web.AppRunner | None = None
        app = load_manifest(manifest)
        credentials = make_credentials(bot_token, app_token, signing_secret)
        kind = delivery or ("socket" if app.socket_mode else "http")
        super().__init__(
            _make_world(
                app,
                credentials,
                clock=clock if isinstance(clock, Clock) else Clock(clock or time.time),
                workspace=workspace,
                file=self._file,
                request_url=_needed_url(kind, request_url),
            )
        )
        self._web_api = WebApi(self.world)

    @property
    def bot_token(self) -> str:
        return self.world.credentials.bot_token

    @property
    def app_token(self) -> str:
        return self.world.credentials.app_token

    @property
    def signing_secret(self) -> str:
        return self.world.credentials.signing_secret

    @property
    def base_url(self) -> str:
        """Ends with a slash; known once started."""
        return self.world.base_url

    @property
    def api_url(self) -> str:
        """What slack_sdk takes as base_url."""
        return f"{self.base_url}api/"

    async def start(self) -> None:
        self._runner = web.AppRunner(self._make_app(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.world.base_url = (self._public_url or f"http://{self._host}:{port}").rstrip("/") + "/"

    async def stop(self) -> None:
        """Ends open connections and deliveries; what the state file lacks is written."""
        self._web_api.stopping.set()
        await self.world.background.close()
        await self.world.deliveries.transport.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._file is not None:
            self._file.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _make_app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[own_pages_only, acts_as_json])
        app.router.add_route("*", "/api/{method}", self._web_api.handle)
        transport = self.world.deliveries.transport
        if isinstance(transport, SocketDelivery):
            app.router.add_get("/_socket", transport.handle)
        app.add_routes(ResponseRoutes(self.world).routes())
        client_api = ClientApi(self.world)
        app.add_routes(client_api.routes())
        app.on_shutdown.append(client_api.close)
        app.add_routes(ControlApi(self).routes())
        return app


def _needed_url(kind: str, request_url: str | None) -> str | None:
    if kind == "http" and request_url is None:
        raise ValueError("delivery over HTTP needs a request_url")
    return request_url if kind == "http" else None


def _make_world(
    app: AppRegistration,
    credentials: Credentials,
    *,
    clock: Clock,
    workspace: Mapping[str, Any] | Path | None,
    file: StateFile | None,
    request_url: str | None,
) -> World:
    people = load_workspace(workspace)
    people.people[app.bot_user_id] = _bot_person(app, people.team_id)
    state = State(file)
    state.load(people, app_user=app.bot_user_id, now=clock.now())
    state.flush()
    changes, feed, background, faults = Changes(), Feed(), Background(), Faults()
    transport: Transport
    if request_url is None:
        transport = SocketDelivery(clock=clock, changes=changes, feed=feed, app_id=app.app_id)
    else:
        transport = HttpDelivery(request_url=request_url, signing_secret=credentials.signing_secret)
    return World(
        clock=clock,
        app=app,
        credentials=credentials,
        workspace=people,
        state=state,
        changes=changes,
        feed=feed,
        background=background,
        faults=faults,
        limits=RateLimits(clock),
        triggers=Triggers(clock),
        response_urls=ResponseUrls(clock),
        deliveries=Deliveries(transport, clock=clock, faults=faults, changes=changes, background=background),
        views=Views(state, team_id=people.team_id, app_id=app.app_id, bot_id=app.bot_id),
    )


def _bot_person(app: AppRegistration, team_id: str) -> Person:
    return Person(
        id=app.bot_user_id,
        handle=app.bot_name.lower().replace(" ", "-"),
        name=app.bot_name,
        team_id=team_id,
        title="App",
        kind="bot",
        color="#1d3557",
        bot_id=app.bot_id,
        app_id=app.app_id,
    )
