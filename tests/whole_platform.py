"""A company's whole platform around the bot: each backend is real, or faked at its transport and nowhere nearer.

Kubernetes is a real API server, on which the bot has the rights of deploy/kubernetes and no others, through a kubeconfig as a company
would give it one. What reconciles there (Argo CD, Crossplane, the External Secrets Operator) is played by small controllers that take their
time. GitHub, Backstage, Vault, Prometheus, Grafana and OpenCost are stateful at the transport. The golden paths are those that ship.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import vaulting
import yaml
from argo_brain import ArgoBrain
from composing import CACHES, CLAIMS, GROUP, composing, install
from fake_backstage import TOKEN as BACKSTAGE_TOKEN
from fake_backstage import FakeBackstage
from fake_github import FakeGitHub
from fake_vault import FakeVault
from git_server import TOKEN as CLONE_TOKEN
from github_served import serving
from github_stage import SECRETS as GITHUB_SECRETS
from github_stage import sample_signer
from json_wire import JsonWire
from kube import Admin, Server
from memory_world import World
from stage import ROOT, OpenWorld
from syncing import operating

from bot import registry
from bot.command import Backends
from bot.config import Config
from integrations import backstage, github, grafana, opencost, prometheus, vault
from integrations._argocd_cluster import APPLICATION, PROJECT
from integrations._http import Timing
from integrations._kubernetes import Object, Selection
from integrations.github import GitHub
from integrations.github import Settings as GitHubSettings
from integrations.ports import Surroundings

RIGHTS = ("crossplane", "argocd", "external-secrets", "admission", "reports")
ARGOCD = "argocd"
PACE_SECONDS = 0.1
"""Between two looks of Argo CD; the other controllers look less often."""
PATIENCE_SECONDS = 60.0
"""Of a person in front of a card, on a machine that plays a whole platform beside the bot."""
SECRETS = {
    **GITHUB_SECRETS,
    "BACKSTAGE_TOKEN": BACKSTAGE_TOKEN,
    "GRAFANA_TOKEN": "glsa_sample",
    "CLONE_TOKEN": CLONE_TOKEN,
}
OPTIONAL = ("admission", "evidence", "secret_sync", "secret_store", "signals", "annotations", "costs")
NOTHING_OPTIONAL: dict[str, Any] = dict.fromkeys(OPTIONAL)
"""For `Platform.changes`."""
Open = Callable[[Any, Surroundings], AbstractAsyncContextManager[Any]]


class CodeHostFiles(dict[str, dict[str, Any] | str]):
    """What Backstage reads at a URL: catalog-info.yaml as the default branch has it now."""

    def __init__(self, fake: FakeGitHub) -> None:
        super().__init__()
        self._fake = fake

    def get(self, url: str, default: Any = None) -> Any:
        name = url.removeprefix("https://github.com/acme/").partition("/")[0]
        if name not in self._fake.state.repos:
            return default
        text = file_at(self._fake, name, "refs/heads/main", "catalog-info.yaml")
        return yaml.safe_load(text) if text is not None else default


def file_at(fake: FakeGitHub, name: str, revision: str, path: str) -> str | None:
    repo = fake.repo(name)
    commit = repo.objects.commits.get(repo.refs.get(revision, revision))
    found = repo.objects.trees[commit["tree"]].get(path) if commit else None
    return repo.objects.blobs[found[1]].decode() if found else None


# ---------------------------------------------------------------- dashboards, figures, prices


@dataclass
class Observed:
    """Prometheus, Grafana and OpenCost, as far as one service is asked about."""

    service: str
    marks: list[dict[str, Any]] = field(default_factory=list)

    def prometheus(self, _request: httpx.Request) -> httpx.Response:
        result = [{"metric": {}, "value": [1767225600.5, "0.998"]}]
        return httpx.Response(
            200, json={"status": "success", "data": {"resultType": "vector", "result": result}}
        )

    def grafana(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            wanted = set(request.url.params.get_list("tags"))
            return httpx.Response(200, json=[one for one in self.marks if wanted <= set(one["tags"])])
        self.marks.append({"id": len(self.marks) + 1, **json.loads(request.content)})
        return httpx.Response(200, json={"message": "Annotation added", "id": len(self.marks)})

    def opencost(self, _request: httpx.Request) -> httpx.Response:
        used = {f"orders-production/{self.service}": {"name": "x", "totalCost": 3.5}}
        return httpx.Response(200, json={"code": 200, "data": [used]})


# ---------------------------------------------------------------- Argo CD


@dataclass
class ArgoController:
    """Argo CD's controller for the Applications of one service. Its repository server reads what GitHub has, and refuses a folder that
    is not there."""

    admin: Admin
    github: FakeGitHub
    service: str
    brain: ArgoBrain = field(default_factory=ArgoBrain)

    async def reconcile_for_ever(self) -> None:
        labels = {"platform-bot/service": self.service}
        while True:
            self.brain.refs = self._refs()
            listing = await self.admin.kubernetes.list(
                APPLICATION, Selection(namespace=ARGOCD, labels=labels)
            )
            for found in listing.items:
                await self._reconcile(found)
            await asyncio.sleep(PACE_SECONDS)

    def _refs(self) -> dict[str, str]:
        repo = self.github.state.repos.get(self.service)
        heads = repo.refs.items() if repo else ()
        return {ref.removeprefix("refs/heads/"): sha for ref, sha in heads}

    async def _reconcile(self, found: Object) -> None:
        source = found["spec"]["source"]
        assert source["repoURL"] == f"{self.github.clone_base}/acme/{self.service}.git"
        after = self.brain.step(found)
        if _timeless(after) == _timeless(found):
            return
        if applied := after.get("status", {}).get("operationState", {}).get("syncResult"):
            place = f"{source['path']}/kustomization.yaml"
            assert file_at(self.github, self.service, applied["revision"], place), f"{place} is missing"
        path = APPLICATION.path(namespace=ARGOCD, name=found["metadata"]["name"])
        try:
            await self.admin.call("PUT", path, after)
        except AssertionError as error:
            # A plain PUT, as Argo CD's own: a lost race is looked at again.
            if " 409 " not in str(error) and " 404 " not in str(error):
                raise


def _timeless(app: Object) -> Object:
    """Without what changes at every look: the real controller writes that rarely."""
    seen = copy.deepcopy(app)
    seen.get("status", {}).pop("reconciledAt", None)
    seen.get("status", {}).get("health", {}).pop("lastTransitionTime", None)
    return seen


# ---------------------------------------------------------------- all of it


@dataclass
class Platform:
    """What stands around one service. `prefix` begins its namespaces and its project: the API server is shared with other tests."""

    service: str
    prefix: str
    admin: Admin
    kubeconfig: Path
    github: FakeGitHub
    backstage: FakeBackstage
    vault: FakeVault
    observed: Observed
    doors: dict[str, Open] = field(default_factory=dict)
    """Backends that tests reach at their transport; the others are opened as in production."""

    def namespace(self, environment: str) -> str:
        return f"{self.prefix}-orders-{environment}"

    async def claims(self) -> list[Object]:
        found = [
            (await self.admin.kubernetes.list(each, Selection(labels={"platform-bot/service": self.service})))
            for each in (CLAIMS, CACHES)
        ]
        return [item for listing in found for item in listing.items]

    async def applications(self) -> list[Object]:
        selection = Selection(namespace=ARGOCD, labels={"platform-bot/service": self.service})
        return list((await self.admin.kubernetes.list(APPLICATION, selection)).items)

    def push(self, message: str, **files: str) -> str:
        """A commit of Alice's on main, as a person pushes it."""
        repo = self.github.repo(self.service)
        before = repo.refs["refs/heads/main"]
        tree = repo.objects.put_files(files or {"CHANGES.md": message}, repo.objects.commits[before]["tree"])
        author = ("Alice", "alice@users.example.com")
        sha = repo.objects.put_commit(tree, [before], message, author=author, date=self.github.date())
        repo.refs["refs/heads/main"] = sha
        return sha

    def carried(self, ref: str) -> str:
        return self.github.repo(self.service).refs[f"refs/heads/{ref}"]

    @property
    def settings(self) -> dict[str, Any]:
        """The `integrations` of platform.yml."""
        cluster = {"kubeconfig": str(self.kubeconfig)}
        rule = self.prefix + "-{team}-{environment}"
        database = {"xrd": f"xdatabases.{GROUP}", "parameters": {"engine": "postgresql", "size": "small"}}
        return {
            "code_host": {
                "use": "github",
                "organisation": "acme",
                "app_id": "42",
                "environments": ["staging", "production"],
            },
            "infrastructure": {
                "use": "crossplane",
                **cluster,
                "namespace": rule,
                "kinds": {"postgresql": database},
            },
            "delivery": {
                "use": "argocd",
                **cluster,
                "project": self.prefix + "-{team}",
                "service_url": "https://{service}.{environment}.example.com",
            },
            "catalog": {"use": "backstage", "base_url": "https://backstage.example.com"},
            "admission": {"use": "kubernetes_admission", **cluster, "namespace": rule},
            "evidence": {"use": "kubernetes_reports", **cluster},
            "secret_sync": {"use": "external_secrets", **cluster, "namespace": rule},
            "secret_store": {
                "use": "vault",
                "address": vaulting.ADDRESS,
                "token_variable": "VAULT_TOKEN",
                "kubernetes_namespace": rule,
            },
            "signals": {"use": "prometheus", "base_url": "http://prometheus.example.com:9090"},
            "annotations": {"use": "grafana", "base_url": "https://grafana.example.com"},
            "costs": {"use": "opencost", "base_url": "http://opencost.example.com:9003", "currency": "EUR"},
        }

    def changes(self, **instead: Any) -> dict[str, Any]:
        """For `stage`. `instead`: port -> its section, None to leave the port out."""
        sections = {**self.settings, **instead}
        chosen = {f"integrations.{port}": one for port, one in sections.items() if one is not None}
        watch = {"for": "2s", "success_ratio": 0.9}
        roles = yaml.safe_load((ROOT / "platform.yml").read_text())["roles"]
        roles["developer"]["may"] = [*roles["developer"]["may"], "secrets:*"]
        return {**chosen, "roles": roles, "environments.1.watch": watch} if sections["signals"] else chosen

    @property
    def opening(self) -> OpenWorld:
        return self._open

    @asynccontextmanager
    async def _open(
        self, _world: World, config: Config, surroundings: Surroundings
    ) -> AsyncIterator[Backends]:
        known = replace(surroundings, secrets={**surroundings.secrets, **SECRETS, **self._vault_token()})
        async with AsyncExitStack() as stack:
            opened = {}
            for port, (module, settings) in registry.prepare(config).items():
                opener = self.doors.get(config.integrations[port].use, module.open)
                opened[port] = await stack.enter_async_context(opener(settings, known))
            yield registry.OpenBackends(**opened)

    def _vault_token(self) -> Mapping[str, str]:
        return {"VAULT_TOKEN": self.vault.grant(vaulting.POLICY)}

    # ------------------------------------------------------------ the doors

    def put_doors(self) -> None:
        figures = JsonWire(self.observed.prometheus)
        marks = JsonWire(self.observed.grafana)
        prices = JsonWire(self.observed.opencost)
        self.doors |= {
            "github": self._open_github,
            "backstage": _through(
                backstage.connect, self.backstage.transport(), self.backstage.clock.timing()
            ),
            "vault": _through(vault.connect, self.vault.transport(), self.vault.clock.timing()),
            "prometheus": _through(prometheus.connect, figures.transport, figures.timing),
            "grafana": _through(grafana.connect, marks.transport, marks.timing),
            "opencost": _through(opencost.connect, prices.transport, prices.timing),
        }

    @asynccontextmanager
    async def _open_github(
        self, settings: GitHubSettings, surroundings: Surroundings
    ) -> AsyncIterator[GitHub]:
        clock = self.github.clock
        timing = Timing(clock.monotonic, clock.now, clock.sleep, lambda: 1.0)
        async with self.github.client(settings.base_url) as client:
            yield github.connect(settings, surroundings.secrets, client, timing=timing, signer=sample_signer)

    async def pass_time(self) -> None:
        """The fakes' clocks move without anybody waiting: a second in every moment."""
        while True:
            for clock in (self.github.clock, self.backstage.clock, self.vault.clock):
                clock.seconds += 1
            await asyncio.sleep(PACE_SECONDS)


def _through(connect: Any, transport: httpx.AsyncBaseTransport, timing: Timing) -> Open:
    return lambda settings, surroundings: connect(settings, surroundings, transport=transport, timing=timing)


@contextlib.contextmanager
def _at_work(*jobs: Any) -> Iterator[None]:
    """Controllers in the background; one that fails fails the test."""
    tasks = [asyncio.create_task(each) for each in jobs]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def platform(server: Server, admin: Admin, folder: Path) -> AsyncIterator[Platform]:
    """Everything in its place and at work, nothing created yet."""
    tag = uuid.uuid4().hex[:6]
    await install(admin)
    for each in RIGHTS:
        await admin.grant(ROOT / "deploy" / "kubernetes" / f"rbac-{each}.yaml")
    fake = FakeGitHub()
    made = Platform(
        service=f"orders-{tag}",
        prefix=f"t{tag}",
        admin=admin,
        kubeconfig=_write_kubeconfig(server, folder, await admin.token_of("platform-bot", "platform-bot")),
        github=fake,
        backstage=FakeBackstage(files=CodeHostFiles(fake)),
        vault=FakeVault(),
        observed=Observed(f"orders-{tag}"),
    )
    made.put_doors()
    await _make_project(admin, f"{made.prefix}-orders")
    argo = ArgoController(admin, fake, made.service)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(fake, folder))
        for environment in ("staging", "production"):
            namespace = await admin.make_namespace(made.namespace(environment))
            await stack.enter_async_context(composing(admin, namespace, pace_seconds=2 * PACE_SECONDS))
            await stack.enter_async_context(operating(admin, namespace, pace_seconds=5 * PACE_SECONDS))
        with _at_work(argo.reconcile_for_ever(), made.pass_time()):
            yield made


async def _make_project(admin: Admin, name: str) -> None:
    """What the platform team gives each team once."""
    await admin.apply(
        {
            "apiVersion": PROJECT.api_version,
            "kind": PROJECT.kind,
            "metadata": {"name": name, "namespace": ARGOCD},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        }
    )


def _write_kubeconfig(server: Server, folder: Path, token: str) -> Path:
    """The bot's, with the token of the service account that the manifests make."""
    config = yaml.safe_load(server.kubeconfig.with_name("kubeconfig.bot").read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
