"""Argo CD in its two ways, for one suite of tests: Application objects on a real API server, and Argo CD's REST API.

The bot's hands are those it has in production: on the API server a service account with exactly the shipped RBAC.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from argo_api import TOKEN, ArgoApi, merge
from argo_brain import ArgoBrain, Object
from kube import Admin, FaultyWire, Server, haste

from integrations._argocd_cluster import ANALYSIS_RUN, APPLICATION, PROJECT, ROLLOUT
from integrations._argocd_gitops import GitopsRepository
from integrations._kubernetes import Kubernetes, open_kubernetes
from integrations.argocd import ArgoCD, Settings, connect_api, connect_cluster
from integrations.ports import ApplicationSpec, Deployment

RULES = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes" / "rbac-argocd.yaml"
NAMESPACE = "argocd"
WAYS = ("cluster", "api")
KEY, NEXT_KEY = "req1.1.deploy", "req2.1.deploy"
GOOD, BETTER, OTHER = "a" * 40, "b" * 40, "c" * 40


class Wire(Protocol):
    before: Callable[[httpx.Request], Awaitable[None]]
    lose: Callable[[httpx.Request], bool]
    instead: Callable[[httpx.Request], httpx.Response | None]
    seen: list[httpx.Request]


class World(Protocol):
    mode: str
    service: str
    brain: ArgoBrain
    delivery: ArgoCD
    wire: Wire

    async def step(self, count: int = 1) -> None:
        """Let Argo CD's controller do so many things."""
        ...

    async def read(self, environment: str) -> Object | None: ...

    async def edit(self, environment: str, patch: Object) -> None:
        """Somebody else's hand: a merge patch, or a new object where there is none."""
        ...

    async def drop(self, environment: str) -> None:
        """Somebody else's deletion."""
        ...

    async def add_rollout(self, body: Object) -> None: ...

    async def read_rollout(self) -> Object: ...

    async def set_rollout(self, **status: Any) -> None:
        """The Rollouts controller's hand."""
        ...

    async def add_analysis(self, body: Object) -> None: ...

    async def set_project(self, **spec: Any) -> None:
        """An AppProject of the service's own, and the bot set up for it."""
        ...

    def reopen(self, *, repository: GitopsRepository | None = None, **settings: Any) -> ArgoCD:
        """The bot started anew: it remembers nothing that is not written down."""
        ...


@asynccontextmanager
async def controller_at_work(world: World) -> AsyncIterator[None]:
    """For calls that wait for the controller themselves."""

    async def work() -> None:
        while True:
            await world.step()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def interference(world: World, patch: Object) -> Iterator[None]:
    """Somebody else's hand on production, between what the bot read and the first thing it writes."""
    told = world.wire.before

    async def interfere(request: httpx.Request) -> None:
        if request.method != "GET":
            world.wire.before = told
            await world.edit("production", patch)

    world.wire.before = interfere
    try:
        yield
    finally:
        world.wire.before = told


async def nothing(_: httpx.Request) -> None:
    pass


def fresh_service() -> str:
    return f"orders-{uuid.uuid4().hex[:8]}"


def bot_settings(**changes: Any) -> Settings:
    return Settings(**{"degraded_grace_seconds": 0, "service_url": "https://{service}.test", **changes})


# ---------------------------------------------------------------- through the cluster


class ClusterWire(FaultyWire):
    """With a moment before a request arrives."""

    before: Callable[[httpx.Request], Awaitable[None]] = staticmethod(nothing)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.before(request)
        return await super().handle_async_request(request)


class ClusterWorld:
    mode = "cluster"

    def __init__(self, admin: Admin, kubernetes: Kubernetes, wire: ClusterWire) -> None:
        self.service = fresh_service()
        self.brain = ArgoBrain()
        self.wire = wire
        self._admin = admin
        self._kubernetes = kubernetes
        self.delivery = self.reopen()

    def reopen(self, *, repository: GitopsRepository | None = None, **settings: Any) -> ArgoCD:
        return connect_cluster(bot_settings(**settings), self._kubernetes, repository=repository)

    async def step(self, count: int = 1) -> None:
        for _ in range(count):
            for environment in ("staging", "production"):
                found = await self.read(environment)
                if found is not None:
                    await self._replace(found, self.brain.step(found))

    async def _replace(self, found: Object, after: Object) -> None:
        """A plain PUT, as Argo CD's controller may: there is no status subresource. A lost race is looked at again later."""
        path = APPLICATION.path(namespace=NAMESPACE, name=found["metadata"]["name"])
        try:
            await self._admin.call("PUT", path, after)
        except AssertionError as error:
            if " 409 " not in str(error) and " 404 " not in str(error):
                raise

    async def read(self, environment: str) -> Object | None:
        return await self._admin.kubernetes.get(
            APPLICATION, f"{self.service}-{environment}", namespace=NAMESPACE
        )

    async def edit(self, environment: str, patch: Object) -> None:
        name = f"{self.service}-{environment}"
        if await self.read(environment) is None:
            await self._admin.call("POST", APPLICATION.path(namespace=NAMESPACE), patch)
        else:
            await self._admin.patch(APPLICATION, name, patch, namespace=NAMESPACE)

    async def drop(self, environment: str) -> None:
        path = APPLICATION.path(namespace=NAMESPACE, name=f"{self.service}-{environment}")
        await self._admin.call("DELETE", path)

    async def add_rollout(self, body: Object) -> None:
        status = body.pop("status")
        await self._admin.make_namespace("orders-production")
        made = await self._admin.call("POST", ROLLOUT.path(namespace="orders-production"), body)
        status["observedGeneration"] = str(made["metadata"]["generation"])
        await self._admin.set_status(ROLLOUT, self.service, status, namespace="orders-production")

    async def read_rollout(self) -> Object:
        found = await self._admin.kubernetes.get(ROLLOUT, self.service, namespace="orders-production")
        assert found is not None
        return found

    async def set_rollout(self, **status: Any) -> None:
        await self._admin.set_status(ROLLOUT, self.service, status, namespace="orders-production")

    async def add_analysis(self, body: Object) -> None:
        await self._admin.call("POST", ANALYSIS_RUN.path(namespace="orders-production"), body)

    async def set_project(self, **spec: Any) -> None:
        body = {"kind": "AppProject", "metadata": {"name": self.service, "namespace": NAMESPACE}}
        allowed = {"sourceRepos": ["*"], **spec}
        await self._admin.apply({"apiVersion": PROJECT.api_version, **body, "spec": allowed})
        self.delivery = self.reopen(project=self.service)


@asynccontextmanager
async def open_cluster_world(server: Server, admin: Admin) -> AsyncIterator[ClusterWorld]:
    await admin.grant(RULES)
    await admin.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "orders", "namespace": NAMESPACE},
            "spec": {"sourceRepos": ["*"]},
        }
    )
    cluster = server.cluster_with(await admin.token_of("platform-bot", "platform-bot"))
    wire = ClusterWire(cluster)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        yield ClusterWorld(admin, kubernetes, wire)


# ---------------------------------------------------------------- through Argo CD's API


class ApiWorld:
    mode = "api"

    def __init__(self, api: ArgoApi, client: httpx.AsyncClient) -> None:
        self.service = fresh_service()
        self.brain = api.brain
        self.wire = self.api = api
        self._client = client
        self._timing = haste()
        self.delivery = self.reopen()

    def reopen(self, *, repository: GitopsRepository | None = None, **settings: Any) -> ArgoCD:
        chosen = bot_settings(mode="api", base_url="https://argocd.test", **settings)
        secrets = {"ARGOCD_TOKEN": TOKEN}
        return connect_api(chosen, secrets, self._client, timing=self._timing, repository=repository)

    async def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.api.step()

    async def read(self, environment: str) -> Object | None:
        return self.api.apps.get(f"{self.service}-{environment}")

    async def edit(self, environment: str, patch: Object) -> None:
        merge(self.api.apps.setdefault(f"{self.service}-{environment}", {}), patch)

    async def drop(self, environment: str) -> None:
        del self.api.apps[f"{self.service}-{environment}"]

    async def add_rollout(self, body: Object) -> None:
        body["status"]["observedGeneration"] = str(body["metadata"].setdefault("generation", 1))
        self.api.rollouts[self.service] = body

    async def read_rollout(self) -> Object:
        return self.api.rollouts[self.service]

    async def set_rollout(self, **status: Any) -> None:
        merge(self.api.rollouts[self.service]["status"], status)

    async def add_analysis(self, body: Object) -> None:
        self.api.analyses[body["metadata"]["name"]] = body

    async def set_project(self, **spec: Any) -> None:
        self.api.projects[self.service] = {"sourceRepos": ["*"], **spec}
        self.delivery = self.reopen(project=self.service)


@asynccontextmanager
async def open_api_world() -> AsyncIterator[ApiWorld]:
    api = ArgoApi(ArgoBrain())
    async with httpx.AsyncClient(base_url="https://argocd.test", transport=api) as client:
        yield ApiWorld(api, client)


@asynccontextmanager
async def open_world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The way that the fixture's parameter names, one of `WAYS`."""
    if request.param == "api":
        async with open_api_world() as api:
            yield api
        return
    server: Server = request.getfixturevalue("server")
    async with server.admin() as admin, open_cluster_world(server, admin) as cluster:
        yield cluster


# ---------------------------------------------------------------- what the bot asks for


def wish(world: World, environment: str = "production", follows: str | None = None) -> ApplicationSpec:
    return ApplicationSpec(
        service=world.service,
        environment=environment,
        team="orders",
        repository_url=f"https://git.test/{world.service}.git",
        golden_path="python-service",
        follows=follows,
    )


async def deploy(world: World, revision: str = GOOD, key: str = KEY) -> Deployment:
    return await world.delivery.deploy(
        world.service, "production", revision=revision, operation=key, actor="Alice"
    )


async def outcome(world: World, key: str = KEY) -> Deployment:
    found = await world.delivery.get_deployment(world.service, "production", operation=key)
    assert found is not None
    return found


async def deployed(world: World, revision: str = GOOD, key: str = KEY) -> Deployment:
    """Asked for and driven to its end."""
    await deploy(world, revision, key)
    await world.step(5)
    return await outcome(world, key)


async def create(world: World) -> None:
    await world.delivery.ensure_application(wish(world), request_id="req0")
