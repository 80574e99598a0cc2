"""Every backend of a company when nobody is there, or nobody who makes sense: one table for all of them, because they promise the same.

Opening asks nothing. `check` never raises and has a line that fails, with a reason. A question is a temporary failure, or said to be
unknown where the port has a word for that: never "there is none". What happens to each write is shown beside each backend.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fake_github_state import Clock
from github_stage import sample_signer
from json_wire import surroundings

from bot.errors import TemporaryBackendError
from integrations import (
    argocd,
    backstage,
    backstage_scaffolder,
    crossplane,
    external_secrets,
    gitea,
    github,
    grafana,
    kubernetes_admission,
    kubernetes_reports,
    opencost,
    prometheus,
    vault,
)
from integrations._gitea_api import Client
from integrations._http import Timing
from integrations._kubernetes import Kubernetes, open_kubernetes
from integrations._kubernetes_cluster import Cluster, FixedToken
from integrations.ports import Annotation, EvidenceVerdict, Preview, SignalQuestion

URL = "https://backend.example.com"
CLUSTER = Cluster(URL, ssl.create_default_context(), FixedToken("token"), "a test")
KINDS = {"postgresql": {"xrd": "xdatabases.example.com"}}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "orders"}}
MARK = Annotation(
    key="r-1.1.deploy",
    service="orders",
    environment="production",
    text="orders",
    at=datetime(2026, 11, 21, tzinfo=UTC),
)
Opened = AbstractAsyncContextManager[Any]


class Nobody(httpx.AsyncBaseTransport):
    """`answer` is all that ever comes."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self._answer = answer
        self.clock = Clock()
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return httpx.Response(self._answer.status_code, content=self._answer.content, request=request)

    @property
    def timing(self) -> Timing:
        return Timing(self.clock.monotonic, self.clock.now, self.clock.sleep, lambda: 0.5)


# ---------------------------------------------------------------- how each is opened


@asynccontextmanager
async def _github(wire: Nobody) -> AsyncIterator[Any]:
    settings = github.Settings(organisation="acme", app_id="42")
    secrets = {"GITHUB_APP_PRIVATE_KEY": "sample key"}
    async with httpx.AsyncClient(base_url=settings.base_url, transport=wire) as client:
        yield github.connect(settings, secrets, client, timing=wire.timing, signer=sample_signer)


@asynccontextmanager
async def _gitea(wire: Nobody) -> AsyncIterator[Any]:
    settings = gitea.Settings(base_url=URL, organisation="acme")
    async with Client(base_url=URL, transport=wire) as client:
        yield gitea.connect(settings, {"GITEA_TOKEN": "token"}, client, timing=wire.timing)


@asynccontextmanager
async def _argocd_api(wire: Nobody) -> AsyncIterator[Any]:
    settings = argocd.Settings(mode="api", base_url=URL)
    async with httpx.AsyncClient(base_url=URL, transport=wire) as client:
        yield argocd.connect_api(settings, {"ARGOCD_TOKEN": "token"}, client, timing=wire.timing)


def in_cluster(make: Callable[[Kubernetes], Any]) -> Callable[[Nobody], Opened]:
    @asynccontextmanager
    async def opened(wire: Nobody) -> AsyncIterator[Any]:
        async with open_kubernetes(CLUSTER, transport=wire, timing=wire.timing) as kubernetes:
            yield make(kubernetes)

    return opened


def over_http(module: Any, **settings: Any) -> Callable[[Nobody], Opened]:
    known = surroundings(BACKSTAGE_TOKEN="token", GRAFANA_TOKEN="token", VAULT_TOKEN="token")

    def opened(wire: Nobody) -> Opened:
        chosen = module.Settings.model_validate(settings)
        around: Any = known.secrets if module is backstage_scaffolder else known
        made: Opened = module.connect(chosen, around, transport=wire, timing=wire.timing)
        return made

    return opened


def _admission(wire: Nobody) -> Opened:
    settings = kubernetes_admission.Settings()
    return kubernetes_admission.connect(settings, CLUSTER, transport=wire, timing=wire.timing)


def _crossplane(kubernetes: Kubernetes) -> Any:
    return crossplane.Crossplane(crossplane.Settings.model_validate({"kinds": KINDS}), kubernetes)


def _secrets(kubernetes: Kubernetes) -> Any:
    return external_secrets.ExternalSecrets(external_secrets.Settings.model_validate({}), kubernetes)


def _reports(kubernetes: Kubernetes) -> Any:
    return kubernetes_reports.KubernetesReports(kubernetes_reports.Settings(), kubernetes)


# ---------------------------------------------------------------- what each is asked

Ask = Callable[[Any], Any]
ASKED: dict[str, tuple[Callable[[Nobody], Opened], Ask]] = {
    "github": (_github, lambda host: host.find_repository("orders")),
    "gitea": (_gitea, lambda host: host.find_repository("orders")),
    "crossplane": (in_cluster(_crossplane), lambda made: made.get_claim("orders-db", environment="staging")),
    "argocd": (
        in_cluster(lambda kubernetes: argocd.connect_cluster(argocd.Settings(), kubernetes)),
        lambda delivery: delivery.get_application("orders", "staging"),
    ),
    "argocd by its API": (_argocd_api, lambda delivery: delivery.get_application("orders", "staging")),
    "backstage": (over_http(backstage, base_url=URL), lambda catalog: catalog.find_entity("orders")),
    "backstage_scaffolder": (
        over_http(backstage_scaffolder, base_url=URL),
        lambda scaffolder: scaffolder.get_task("a-task"),
    ),
    "vault": (
        over_http(vault, address=URL, token_variable="VAULT_TOKEN"),
        lambda store: store.list_keys("orders", "staging", team="orders"),
    ),
    "external_secrets": (in_cluster(_secrets), lambda sync: sync.get_secret("orders", "staging")),
    "prometheus": (
        over_http(prometheus, base_url=URL),
        lambda made: made.signals(SignalQuestion("orders", "production")),
    ),
    "grafana": (over_http(grafana, base_url=URL), lambda made: made.annotate(MARK)),
    "opencost": (over_http(opencost, base_url=URL), lambda made: made.monthly("orders")),
}
UNKNOWN: dict[str, tuple[Callable[[Nobody], Opened], Ask, Callable[[Any], bool]]] = {
    "kubernetes_admission": (
        _admission,
        lambda made: made.preview([CONFIG_MAP], service="orders", team="orders", environment="staging"),
        lambda said: isinstance(said, Preview) and bool(said.unknown) and not said.denials,
    ),
    "kubernetes_reports": (
        in_cluster(_reports),
        lambda made: made.reports("orders", "staging", team="orders"),
        lambda said: {one.verdict for one in said} == {EvidenceVerdict.UNKNOWN},
    ),
}
NOBODY = [
    pytest.param(httpx.ConnectError("no route to host"), id="away"),
    pytest.param(httpx.ReadTimeout(""), id="hangs"),
    pytest.param(httpx.Response(500, text="<html>Server Error</html>"), id="500"),
    pytest.param(httpx.Response(200, text="<html>Sign in</html>"), id="garbage"),
]


@pytest.mark.parametrize("answer", NOBODY)
@pytest.mark.parametrize("name", ASKED)
async def test_a_question_nobody_answers_is_a_temporary_failure(
    name: str, answer: httpx.Response | Exception
) -> None:
    opening, ask = ASKED[name]
    wire = Nobody(answer)
    async with opening(wire) as backend:
        assert wire.asked == 0, "the start waits for nobody"
        with pytest.raises(TemporaryBackendError) as failed:
            await ask(backend)
        assert failed.value.message
        assert isinstance(backend.breaker_state(), str)


@pytest.mark.parametrize("answer", NOBODY)
@pytest.mark.parametrize("name", UNKNOWN)
async def test_where_a_port_has_a_word_for_unknown_that_is_said(
    name: str, answer: httpx.Response | Exception
) -> None:
    opening, ask, is_unknown = UNKNOWN[name]
    wire = Nobody(answer)
    async with opening(wire) as backend:
        assert wire.asked == 0, "the start waits for nobody"
        assert is_unknown(await ask(backend))


@pytest.mark.parametrize("answer", NOBODY)
@pytest.mark.parametrize("name", [*ASKED, *UNKNOWN])
async def test_check_has_a_line_that_says_why(name: str, answer: httpx.Response | Exception) -> None:
    opening = (UNKNOWN.get(name) or ASKED[name])[0]
    async with opening(Nobody(answer)) as backend:
        findings = await backend.check()
    failing = [one for one in findings if not one.ok]
    assert failing
    assert all(one.detail for one in failing)
