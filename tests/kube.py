"""A real Kubernetes API server for tests, one for all test processes, and the people who use it.

The starter is a program that prints the path of a kubeconfig: `$KUBE_UP`, or shared/kube/up beside the repository. Without one
the tests that need it are skipped. There is no controller behind the server: tests play them by patching status.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from integrations._http import Timing
from integrations._kubernetes import Kubernetes, Object, Resource, open_kubernetes
from integrations._kubernetes_cluster import Cluster, FixedToken, kubeconfig_cluster

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 100
MAPS = Resource("", "v1", "configmaps", "ConfigMap")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


class Haste:
    """A clock that a wait moves forward, so that the code under test waits for minutes and the test for moments."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._slept

    async def sleep(self, seconds: float) -> None:
        self._slept += seconds
        await asyncio.sleep(min(seconds, 0.02))


def haste() -> Timing:
    clock = Haste()
    return Timing(monotonic=clock.monotonic, sleep=clock.sleep)


# ---------------------------------------------------------------- the server


def find_starter() -> Path | None:
    """What is named must be there; what is merely usual may be missing."""
    if named := os.environ.get("KUBE_UP"):
        return Path(named)
    usual = ROOT.parent / "shared" / "kube" / "up"
    return usual if usual.is_file() else None


def _start(starter: Path) -> Path:
    """A server that was found and does not start is a failure in CI, where skipping would hide it."""
    problem = pytest.fail if os.environ.get("CI") else pytest.skip
    try:
        done = subprocess.run([starter], capture_output=True, text=True, timeout=START_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        problem(f"the Kubernetes API server does not start: {error.stderr[-1000:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        problem(f"the Kubernetes API server does not start: {error}")
    return Path(done.stdout.strip())


@contextlib.contextmanager
def running_server(folder: Path, starter: Path) -> Iterator[Path]:
    """Started by the first process that comes, stopped by the last that goes: each holds a shared lock while it stays."""
    told = folder / "kubeconfig-path"
    with (folder / "kube-door").open("w") as door, (folder / "kube-users").open("w") as users:
        fcntl.flock(door, fcntl.LOCK_EX)
        if not told.exists():
            told.write_text(str(_start(starter)))
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        kubeconfig = Path(told.read_text())
        try:
            yield kubeconfig
        finally:
            fcntl.flock(door, fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                subprocess.run([starter.parent / "down", kubeconfig], check=True, timeout=60)
                told.unlink()


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    starter = find_starter()
    if starter is None:
        pytest.skip("no Kubernetes API server: name a starter as KUBE_UP")
    base = tmp_path_factory.getbasetemp()
    with running_server(base if worker_id == "master" else base.parent, starter) as path:
        yield path


# ---------------------------------------------------------------- who uses it


class Admin:
    """A person with every right, and the hand that plays controllers."""

    def __init__(self, client: httpx.AsyncClient, kubernetes: Kubernetes) -> None:
        self._client = client
        self.kubernetes = kubernetes
        self._known: dict[tuple[str, str, str], Resource] = {}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **params: str,
    ) -> Object:
        answer = await self._client.request(
            method, path, json=body, params=params, headers={"Content-Type": content_type}
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    async def apply(self, item: Object, *, manager: str = "admin", force: bool = True) -> Object:
        group, _, version = item["apiVersion"].rpartition("/")
        resource = await self._served(group, version, item["kind"])
        path = resource.path(namespace=item["metadata"].get("namespace"), name=item["metadata"]["name"])
        return await self.call(
            "PATCH",
            path,
            item,
            content_type="application/apply-patch+yaml",
            fieldManager=manager,
            force=str(force).lower(),
        )

    async def _served(self, group: str, version: str, kind: str) -> Resource:
        wanted = (group, version, kind)
        if wanted not in self._known:
            listed = await self.call("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
            self._known |= {
                (group, version, each["kind"]): Resource(
                    group, version, each["name"], each["kind"], namespaced=each["namespaced"]
                )
                for each in listed["resources"]
                if "/" not in each["name"]
            }
        assert wanted in self._known, f"{kind} of {group}/{version} is not served"
        return self._known[wanted]

    async def patch(
        self, resource: Resource, name: str, patch: Object, *, namespace: str | None = None
    ) -> Object:
        path = resource.path(namespace=namespace, name=name)
        return await self.call("PATCH", path, patch, content_type="application/merge-patch+json")

    async def set_status(
        self, resource: Resource, name: str, status: Object, *, namespace: str | None = None
    ) -> Object:
        path = resource.path(namespace=namespace, name=name, subresource="status")
        body = {"status": status}
        return await self.call("PATCH", path, body, content_type="application/merge-patch+json")

    async def serve(self, crd: Object) -> None:
        """Create a CustomResourceDefinition and wait until its objects can be listed."""
        await self.apply(crd)
        spec = crd["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        async with asyncio.timeout(30):
            while (await self._client.get(path)).status_code != 200:
                await asyncio.sleep(0.05)

    async def grant(self, file: Path) -> None:
        """Exactly what the file says; namespaces that it takes for granted are made."""
        for item in yaml.safe_load_all(file.read_text()):
            namespace = item["metadata"].get("namespace")
            if namespace:
                await self.make_namespace(namespace)
            await self.apply(item)

    async def make_namespace(self, name: str) -> str:
        await self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    async def token_of(self, namespace: str, account: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answered = await self.call("POST", path, {"spec": {"expirationSeconds": 3600}})
        return str(answered["status"]["token"])


OpenAs = Callable[..., AbstractAsyncContextManager[Kubernetes]]


@dataclass(frozen=True)
class Server:
    """`admin` is cluster-admin; `bot` is a user without any right until one is granted."""

    kubeconfig: Path

    def cluster(self, user: str) -> Cluster:
        return kubeconfig_cluster(self.kubeconfig.with_name(f"kubeconfig.{user}"), context=None)

    def cluster_with(self, token: str) -> Cluster:
        return replace(self.cluster("bot"), tokens=FixedToken(token))

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        cluster = self.cluster("admin")
        token = await cluster.tokens.token(renew=False)
        async with (
            httpx.AsyncClient(
                base_url=cluster.server,
                verify=cluster.tls,
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            ) as client,
            open_kubernetes(cluster, timing=haste()) as kubernetes,
        ):
            yield Admin(client, kubernetes)


@pytest.fixture
def server(kubeconfig: Path) -> Server:
    return Server(kubeconfig)


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[Admin]:
    async with server.admin() as admin:
        yield admin


@pytest.fixture
async def kubernetes(admin: Admin) -> Kubernetes:
    return admin.kubernetes


@pytest.fixture
async def stranger(server: Server) -> AsyncIterator[Kubernetes]:
    """The user `bot`, to whom nobody granted anything."""
    async with open_kubernetes(server.cluster("bot"), timing=haste()) as kubernetes:
        yield kubernetes


@pytest.fixture
async def namespace(admin: Admin) -> str:
    """A fresh one for each test. Left behind: nothing deletes a namespace's content here, and the server is thrown away."""
    return await admin.make_namespace(f"test-{uuid.uuid4().hex[:12]}")


# ---------------------------------------------------------------- faults on the wire


class FaultyWire(httpx.AsyncBaseTransport):
    """The way to the real server, with faults on it. A lost answer was executed; an answer put in its place was not."""

    def __init__(self, cluster: Cluster) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=cluster.tls)
        self.lose: Callable[[httpx.Request], bool] = lambda _: False
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self.alter: Callable[[httpx.Request], httpx.Request] = lambda request: request
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request = self.alter(request)
        self.seen.append(request)
        instead = self.instead(request)
        if instead is not None:
            return instead
        response = await self._inner.handle_async_request(request)
        if self.lose(request):
            await response.aread()
            await response.aclose()
            raise httpx.ReadError("the answer was lost")
        return response

    def writes(self) -> Sequence[str]:
        """Methods of what was written, dry runs and questions about rights left out."""
        return [
            each.method
            for each in self.seen
            if each.method not in {"GET", "POST"} and "dryRun" not in each.url.params
        ]

    async def aclose(self) -> None:
        await self._inner.aclose()


def api_status(code: int, reason: str, message: str, **details: Any) -> httpx.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return httpx.Response(
        code, content=json.dumps({**body, "reason": reason, "code": code, "details": details})
    )


def with_params(asked: httpx.Request, **params: str) -> httpx.Request:
    url = asked.url.copy_merge_params(params)
    return httpx.Request(asked.method, url, headers=asked.headers, extensions=asked.extensions)


def config_map(namespace: str, name: str = "one", **data: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": {"test": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@asynccontextmanager
async def on_a_wire(server: Server) -> AsyncIterator[tuple[Kubernetes, FaultyWire]]:
    cluster = server.cluster("admin")
    wire = FaultyWire(cluster)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        yield kubernetes, wire
