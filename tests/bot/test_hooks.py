"""What GitHub and Argo CD deliver: believed only when verified, heard once however often it comes, and never more than a hint."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import people_made as made
import pytest
from database import Clock
from fake_backends import FakeBackends, FakeCodeHost, FakeDelivery, sha
from requests_made import SUBJECT, new_request, proposal

from bot import inbox, web
from bot.domain import DeploymentRecord, Record, RequestState, Service
from bot.errors import StartError, TemporaryBackendError
from bot.hooks import Reception, open_hooks
from bot.metrics import Metrics
from bot.observing import Observer
from bot.records import apply_record
from bot.schedule import KEEP_HEARD
from bot.store import Store
from bot.tasks import Tasks
from bot.transaction import Transaction
from integrations._argocd_hook import ArgoHooks
from integrations._github_webhook import GitHubHooks
from integrations._hook_secrets import HookSecrets
from integrations.ports import Application, Health, Hooks

SECRET, TOKEN = "github-says", "argo-says"
OLD, NEW = sha("old"), sha("new")


class HookedCodeHost(FakeCodeHost):
    def __init__(self, secret: str = SECRET) -> None:
        super().__init__()
        self.hooks: Hooks = GitHubHooks(HookSecrets.of(["S"], {"S": secret}), organisation="acme")


class HookedDelivery(FakeDelivery):
    def __init__(self, token: str = TOKEN) -> None:
        super().__init__()
        self.hooks: Hooks = ArgoHooks(HookSecrets.of(["T"], {"T": token}))


@dataclass
class House:
    """A bot's ear. `woken` is what the engine was told."""

    store: Store
    http: aiohttp.ClientSession
    delivery: FakeDelivery
    tasks: Tasks
    metrics: Metrics
    woken: list[tuple[str, str]] = field(default_factory=list)

    def wake(self, *, request_id: str, service: str) -> int:
        self.woken.append((request_id, service))
        return 1

    async def post(self, name: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Status and word; what was hinted at has been looked at by then."""
        async with self.http.post(f"/hooks/{name}", data=body, headers=headers) as answer:
            said = await answer.json() if answer.content_type == "application/json" else {}
        await self.tasks.drain(timeout_seconds=10)
        return answer.status, said.get("status", "")

    def counted(self, name: str, outcome: str) -> float:
        labels = {"name": name, "outcome": outcome}
        return self.metrics.registry.get_sample_value("platform_hooks_total", labels) or 0.0


@asynccontextmanager
async def house(store: Store, *, secret: str = SECRET, token: str = TOKEN) -> AsyncIterator[House]:
    backends = FakeBackends()
    backends.code_host, backends.delivery = HookedCodeHost(secret), HookedDelivery(token)
    tasks, metrics = Tasks(), Metrics()

    async def ready() -> dict[str, bool]:
        return {}

    def wake(*, request_id: str, service: str) -> int:
        return opened.wake(request_id=request_id, service=service)

    reception = Reception(
        open_hooks(backends),
        store=store,
        platform=made.example_platform(),
        observer=Observer(store=store, delivery=backends.delivery, tasks=tasks),
        wake=wake,
        metrics=metrics,
    )
    app = web.build(slack=None, ready=ready, metrics=metrics.registry, hooks=reception)
    async with (
        web.serving(app, host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        opened = House(store, http, backends.delivery, tasks, metrics)
        yield opened


@pytest.fixture
async def ear(store: Store) -> AsyncIterator[House]:
    async with house(store) as opened:
        yield opened


# ---------------------------------------------------------------- what is delivered


def github(
    event: str = "push", delivery: str = "d-1", *, secret: str = SECRET, **body: Any
) -> tuple[bytes, dict[str, str]]:
    said = {
        "repository": {"name": "orders", "owner": {"login": "Acme"}},
        "sender": {"login": "alice"},
        "ref": "refs/heads/main",
        "before": OLD,
        "after": NEW,
        "forced": False,
        **body,
    }
    raw = json.dumps(said).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, "sha256").hexdigest()
    return raw, {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature}


def argocd(*, token: str = TOKEN, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """As deploy/argocd/notifications-cm.yaml sends it."""
    said = {
        "app": "orders-staging",
        "namespace": "argocd",
        "project": "orders",
        "labels": {
            "app.kubernetes.io/managed-by": "platform-bot",
            "platform-bot/service": "orders",
            "platform-bot/environment": "staging",
        },
        "sync": {"status": "Synced", "revision": NEW},
        "health": {"status": "Healthy", "lastTransitionTime": "2026-11-20T09:00:00Z"},
        "operation": None,
        **changes,
    }
    return json.dumps(said).encode(), {"Authorization": f"Bearer {token}"}


async def add_service(store: Store) -> None:
    async def add(tx: Transaction) -> None:
        service = Service(
            name="orders", team="orders", golden_path="python-service", description="", database="none",
            repository_url="", web_url="", created_by="U1", created_at=tx.now, request_id="r0",
        )  # fmt: skip
        await apply_record(tx, SUBJECT, Record(service=service))

    await store.write(add)


async def running(store: Store, environment: str) -> None:
    """A request that works on orders there."""
    opened = await store.open_request(new_request("r1", environment=environment))
    wanted = proposal(state=RequestState.QUEUED, gates=())
    await store.propose("r1", wanted, version=opened.request.version)


# ---------------------------------------------------------------- who is heard


async def test_a_signed_push_is_accepted_and_wakes_what_waits_for_the_service(ear: House) -> None:
    assert await ear.post("github", *github()) == (202, "accepted")
    assert ear.woken == [("", "orders")]
    assert ear.counted("github", "accepted") == 1


async def test_a_deployment_status_names_the_request_that_made_the_deployment(ear: House) -> None:
    deployment = {"id": 7, "sha": NEW, "environment": "staging", "payload": {"request_id": "r-1"}}
    body = github(
        "deployment_status", deployment=deployment, deployment_status={"state": "success"}, action="created"
    )
    assert await ear.post("github", *body) == (202, "accepted")
    assert ear.woken == [("r-1", "orders")]


async def test_a_notification_with_the_token_is_accepted(ear: House) -> None:
    operation = {
        "phase": "Succeeded",
        "startedAt": "2026-11-20T08:59:00Z",
        "operation": {
            "info": [{"name": "operation", "value": "r-1.1.deploy"}, {"name": "request-id", "value": "r-1"}]
        },
    }
    assert await ear.post("argocd", *argocd(operation=operation)) == (202, "accepted")
    assert ear.woken == [("r-1", "orders")]


_BODY, _HEADERS = github()
FORGED = {
    "another secret": ("github", *github(secret="guessed")),
    "no signature": ("github", _BODY, {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"}),
    "another body": ("github", _BODY + b" ", _HEADERS),
    "no text at all": ("github", _BODY, {**_HEADERS, "X-Hub-Signature-256": "sha256=\u00e9"}),
    "a ping nobody signed": ("github", b"{}", {"X-GitHub-Event": "ping"}),
    "another token": ("argocd", *argocd(token="guessed")),
    "no token": ("argocd", argocd()[0], {}),
    "another scheme": ("argocd", argocd()[0], {"Authorization": f"Basic  {TOKEN}"}),
    "bytes for a token": ("argocd", argocd()[0], {"Authorization": "Bearer \u00ff"}),
    "garbage, not even read": ("argocd", b"{", {"Authorization": "Bearer no"}),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_what_cannot_be_verified_is_refused_without_a_reason(
    ear: House, forged: tuple[str, bytes, dict[str, str]]
) -> None:
    assert await ear.post(*forged) == (401, "refused")
    assert ear.counted(forged[0], "forged") == 1
    assert ear.woken == []


async def test_a_forgery_does_not_use_up_the_delivery_it_imitates(ear: House) -> None:
    assert await ear.post("github", *github(secret="guessed")) == (401, "refused")
    assert await ear.post("github", *github()) == (202, "accepted")


IGNORED = {
    "a ping": ("github", *github("ping")),
    "an event nobody asked for": ("github", *github("star")),
    "a tag": ("github", *github(ref="refs/tags/v1")),
    "another organisation": ("github", *github(repository={"name": "orders", "owner": {"login": "else"}})),
    "somebody else's application": ("argocd", *argocd(labels={"platform-bot/service": "orders"})),
    "an application without labels": ("argocd", *argocd(labels=None)),
}


@pytest.mark.parametrize("ignored", IGNORED.values(), ids=IGNORED.keys())
async def test_what_is_of_no_interest_is_taken_and_dropped(
    ear: House, ignored: tuple[str, bytes, dict[str, str]]
) -> None:
    assert await ear.post(*ignored) == (202, "ignored")
    assert ear.counted(ignored[0], "ignored") == 1
    assert ear.woken == []


@pytest.mark.parametrize(
    "unreadable",
    [
        ("github", *github(ref=None)),
        ("github", *github(delivery="")),
        ("argocd", *argocd(sync="Synced")),
        ("argocd", b"payload=%7B%7D", argocd()[1]),
    ],
    ids=["a push without a ref", "no delivery id", "another shape", "a form"],
)
async def test_what_is_verified_but_cannot_be_read_is_said_to_the_sender(
    ear: House, unreadable: tuple[str, bytes, dict[str, str]]
) -> None:
    assert await ear.post(*unreadable) == (400, "unreadable")
    assert ear.woken == []


async def test_a_body_that_is_too_large_is_not_read_to_its_end(ear: House) -> None:
    body, headers = github(commits=["x" * web.BODY_LIMIT_BYTES])
    assert (await ear.post("github", body, headers))[0] == 413
    assert ear.counted("github", "too_large") == 1


async def test_hooks_take_posts_only_and_no_other_names(ear: House) -> None:
    async with ear.http.get("/hooks/github") as answer:
        assert answer.status == 405
    async with ear.http.post("/hooks/gitlab") as answer:
        assert answer.status == 404


async def test_without_a_secret_there_is_no_such_address(store: Store) -> None:
    async with house(store, secret="") as opened:
        assert (await opened.post("github", *github(secret="")))[0] == 404
        assert (await opened.post("argocd", *argocd()))[0] == 202


def test_two_backends_at_one_address_stop_the_start() -> None:
    backends = FakeBackends()
    backends.code_host, backends.catalog = HookedCodeHost(), HookedCodeHost()  # type: ignore[assignment]
    with pytest.raises(StartError, match="/hooks/github"):
        open_hooks(backends)


# ---------------------------------------------------------------- once


async def test_a_delivery_that_comes_again_does_nothing_more(ear: House) -> None:
    for name, delivery in (("github", github()), ("argocd", argocd())):
        assert await ear.post(name, *delivery) == (202, "accepted")
        for _ in range(2):
            assert await ear.post(name, *delivery) == (202, "seen before")
        assert ear.counted(name, "seen") == 2
    assert len(ear.woken) == 2


async def test_a_replay_is_known_after_a_restart_and_at_another_replica(
    database_url: str, clock: Clock
) -> None:
    for word in ("accepted", "seen before"):
        async with Store.open(database_url, clock=clock) as store, house(store) as opened:
            assert await opened.post("github", *github()) == (202, word)
            assert await opened.post("argocd", *argocd()) == (202, word)


async def test_of_many_at_once_one_is_followed(ear: House) -> None:
    answers = await asyncio.gather(*(ear.post("github", *github()) for _ in range(8)))
    assert sorted(word for _, word in answers) == ["accepted"] + ["seen before"] * 7
    assert len(ear.woken) == 1


async def test_another_state_of_an_application_is_other_news(ear: House) -> None:
    for changes in (
        {},
        {"health": {"status": "Degraded", "lastTransitionTime": "2026-11-20T09:01:00Z"}},
        {"sync": {"status": "Synced", "revision": OLD}},
        {"operation": {"phase": "Running", "startedAt": "2026-11-20T09:02:00Z"}},
        {
            "operation": {
                "phase": "Failed",
                "startedAt": "2026-11-20T09:02:00Z",
                "finishedAt": "2026-11-20T09:03:00Z",
            }
        },
    ):
        assert await ear.post("argocd", *argocd(**changes)) == (202, "accepted")


async def test_deliveries_are_kept_for_thirty_days(ear: House, clock: Clock) -> None:
    await ear.post("github", *github())
    for days, word in ((29, "seen before"), (2, "accepted")):
        clock.move(days=days)
        await ear.store.write(lambda tx: inbox.forget_heard(tx, clock.now - KEEP_HEARD))
        assert await ear.post("github", *github()) == (202, word)


async def test_while_the_database_is_away_the_sender_is_asked_to_come_again() -> None:
    class AwayStore:
        async def write(self, _work: object) -> None:
            raise TemporaryBackendError("away", backend="database")

    async with house(cast("Store", AwayStore())) as opened:
        assert await opened.post("github", *github()) == (503, "unavailable")
        assert (opened.woken, opened.counted("github", "unavailable")) == ([], 1)


# ---------------------------------------------------------------- what is looked at


async def test_what_a_followed_branch_brought_is_read_and_recorded(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now, deployed_by="auto-sync")
    ear.delivery.runs("orders", "production", OLD, deployed_at=clock.now)
    await ear.post("github", *github())
    assert await ear.store.last_deployment("orders", "staging") == DeploymentRecord(
        service="orders", environment="staging", revision=NEW, ref_revision=NEW, healthy=True,
        deployed_by="auto-sync", deployed_at=clock.now,
    )  # fmt: skip
    assert await ear.store.last_deployment("orders", "production") is None
    events = [one.event for one in await ear.store.list_audit(service="orders", limit=1)]
    assert events == ["deployment.observed"]


async def test_the_environment_that_is_named_is_looked_at_and_told_once(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now)
    await ear.post("argocd", *argocd())
    clock.move(minutes=1)
    await ear.post(
        "argocd", *argocd(health={"status": "Healthy", "lastTransitionTime": "2026-11-20T09:01:00Z"})
    )
    assert len(await ear.store.list_deployments("orders", "staging")) == 1


@pytest.mark.parametrize("health", [Health.DEGRADED, Health.PROGRESSING, Health.UNKNOWN])
async def test_what_is_not_healthy_is_nothing_to_remember(ear: House, clock: Clock, health: Health) -> None:
    await add_service(ear.store)
    ear.delivery.runs("orders", "staging", NEW, health=health, deployed_at=clock.now)
    await ear.post("argocd", *argocd())
    assert await ear.store.last_deployment("orders", "staging") is None


async def test_what_a_request_is_deploying_is_left_to_its_own_step(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    await running(ear.store, "staging")
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now)
    await ear.post("argocd", *argocd())
    assert await ear.store.last_deployment("orders", "staging") is None
    assert ear.woken == [("", "orders")]


async def test_a_request_elsewhere_is_no_reason_to_look_away(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    await running(ear.store, "production")
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now)
    await ear.post("argocd", *argocd())
    assert await ear.store.last_deployment("orders", "staging") is not None


async def test_an_answer_older_than_what_is_recorded_is_no_news(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    ear.delivery.runs("orders", "staging", OLD, deployed_at=clock.now)
    known = DeploymentRecord(
        service="orders", environment="staging", revision=NEW, ref_revision=NEW, healthy=True,
        deployed_by="U1", deployed_at=clock.move(minutes=1),
    )  # fmt: skip
    await ear.store.record_observed_deployment(known)
    await ear.post("argocd", *argocd())
    assert await ear.store.list_deployments("orders", "staging") == [known]


async def test_a_repository_that_is_no_service_has_nothing_looked_at(ear: House, clock: Clock) -> None:
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now)
    ear.delivery.faults["get_application"] = AssertionError("it was asked")
    assert await ear.post("argocd", *argocd()) == (202, "accepted")
    assert "get_application" in ear.delivery.faults


async def test_a_delivery_that_is_away_is_asked_again_at_the_next_hint(ear: House, clock: Clock) -> None:
    await add_service(ear.store)
    ear.delivery.runs("orders", "staging", NEW, deployed_at=clock.now)
    ear.delivery.faults["get_application"] = TemporaryBackendError("away", backend="delivery")
    assert await ear.post("argocd", *argocd()) == (202, "accepted")
    assert await ear.store.last_deployment("orders", "staging") is None
    await ear.post("github", *github())
    assert await ear.store.last_deployment("orders", "staging") is not None


async def test_hints_that_come_while_it_looks_cost_one_look_more(store: Store, clock: Clock) -> None:
    class SlowDelivery(FakeDelivery):
        looks = 0

        async def get_application(self, service: str, environment: str) -> Application | None:
            self.looks += 1
            await go_on.wait()
            return await super().get_application(service, environment)

    await add_service(store)
    go_on, delivery, tasks = asyncio.Event(), SlowDelivery(), Tasks()
    observer = Observer(store=store, delivery=delivery, tasks=tasks)
    for _ in range(50):
        observer.look_at("orders", "staging")
        observer.look_at("orders", "production")
    go_on.set()
    await tasks.drain(timeout_seconds=10)
    assert delivery.looks == 2
