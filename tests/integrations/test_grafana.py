"""Deployments on dashboards: one mark each, however often it is asked for and whatever answers are lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from json_wire import AWAY, GARBAGE, HANGS, UNREACHABLE, JsonWire, surroundings

from bot.errors import PermanentBackendError, StartError, TemporaryBackendError
from integrations import grafana
from integrations.ports import Annotation, Annotations, Finding

URL = "https://grafana.example.com"
TOKEN = "glsa_x"
MARK = Annotation(
    key="r-7k2m9xq.1.deploy",
    service="orders",
    environment="production",
    text="orders <b>4f2a9c1</b> to production",
    at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
)
BODY = {
    "time": 1795251600000,
    "tags": ["platform-bot", "service:orders", "environment:production", "key:r-7k2m9xq.1.deploy"],
    "text": "orders &lt;b&gt;4f2a9c1&lt;/b&gt; to production",
}
EVERYTHING = frozenset({"annotations:read", "annotations:create"})


def message(status: int, text: str) -> httpx.Response:
    return httpx.Response(status, json={"message": text})


@dataclass
class FakeGrafana:
    """Asks for the permission first and looks at the text after it, as Grafana does. All tags must fit."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    may: frozenset[str] = EVERYTHING

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return message(401, "Invalid API key")
        assert request.url.path == "/api/annotations"
        if request.method == "GET":
            return self._find(request.url.params)
        return self._create(json.loads(request.content))

    def _find(self, params: httpx.QueryParams) -> httpx.Response:
        if "annotations:read" not in self.may:
            return message(403, "You'll need additional permissions: annotations:read")
        wanted = set(params.get_list("tags"))
        found = [one for one in self.kept if wanted <= set(one["tags"])]
        return httpx.Response(200, json=found[: int(params["limit"])])

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        if "annotations:create" not in self.may:
            return message(403, "You'll need additional permissions: annotations:create")
        if not body["text"]:
            return message(400, "Failed to save annotation")
        self.kept.append({"id": len(self.kept) + 1, "dashboardUID": None, **body})
        return httpx.Response(200, json={"message": "Annotation added", "id": len(self.kept)})


@pytest.fixture
def fake() -> FakeGrafana:
    return FakeGrafana()


@pytest.fixture
def wire(fake: FakeGrafana) -> JsonWire:
    return JsonWire(fake)


@pytest.fixture
async def marks(wire: JsonWire) -> AsyncIterator[grafana.Grafana]:
    async with grafana.connect(
        grafana.Settings(base_url=URL),
        surroundings(GRAFANA_TOKEN=TOKEN),
        transport=wire.transport,
        timing=wire.timing,
    ) as opened:
        yield opened


async def test_a_deployment_is_marked_with_what_dashboards_ask_for(
    marks: grafana.Grafana, fake: FakeGrafana
) -> None:
    annotations: Annotations = marks
    assert await annotations.annotate(MARK) == ""
    assert fake.kept == [{"id": 1, "dashboardUID": None, **BODY}]


async def test_on_one_dashboard_when_the_settings_name_it(wire: JsonWire, fake: FakeGrafana) -> None:
    settings = grafana.Settings(base_url=URL, dashboard_uid="services")
    async with grafana.connect(
        settings, surroundings(GRAFANA_TOKEN=TOKEN), transport=wire.transport, timing=wire.timing
    ) as marks:
        assert await marks.annotate(MARK) == f"{URL}/d/services"
    assert fake.kept[0]["dashboardUID"] == "services"


async def test_the_same_key_never_marks_twice(
    marks: grafana.Grafana, wire: JsonWire, fake: FakeGrafana
) -> None:
    await asyncio.gather(*(marks.annotate(MARK) for _ in range(3)))
    assert len(fake.kept) == 1
    assert wire.methods().count("POST") == 1


async def test_a_lost_answer_is_found_again(
    marks: grafana.Grafana, wire: JsonWire, fake: FakeGrafana
) -> None:
    wire.lose = lambda request: request.method == "POST"
    with pytest.raises(TemporaryBackendError):
        await marks.annotate(MARK)
    await marks.annotate(MARK)
    assert len(fake.kept) == 1


async def test_somebody_elses_annotation_with_our_key_is_not_ours(
    marks: grafana.Grafana, fake: FakeGrafana
) -> None:
    fake.kept = [{"id": 7, "tags": [f"key:{MARK.key}"], "text": "by hand"}]
    await marks.annotate(MARK)
    assert len(fake.kept) == 2


@pytest.mark.parametrize("failure", [UNREACHABLE, HANGS, AWAY, GARBAGE])
async def test_grafana_in_trouble_is_a_temporary_failure_and_marks_once(
    marks: grafana.Grafana, wire: JsonWire, fake: FakeGrafana, failure: httpx.Response | Exception
) -> None:
    wire.faults = [failure] * 3
    with pytest.raises(TemporaryBackendError):
        await marks.annotate(MARK)
    wire.faults = []
    await marks.annotate(MARK)
    assert len(fake.kept) == 1


async def test_success_that_says_nothing_is_looked_at_again(
    marks: grafana.Grafana, wire: JsonWire, fake: FakeGrafana
) -> None:
    wire.faults = [None, httpx.Response(200, json={})]
    with pytest.raises(TemporaryBackendError, match="no number of the new annotation"):
        await marks.annotate(MARK)
    await marks.annotate(MARK)
    assert len(fake.kept) == 1


async def test_a_refusal_is_final(marks: grafana.Grafana, fake: FakeGrafana) -> None:
    fake.may = frozenset({"annotations:read"})
    with pytest.raises(PermanentBackendError, match="additional permissions"):
        await marks.annotate(MARK)


# ---------------------------------------------------------------- check


async def test_check_tries_both_permissions_and_writes_nothing(
    marks: grafana.Grafana, fake: FakeGrafana
) -> None:
    assert await marks.check() == [
        Finding("Grafana: find annotations", ok=True, detail="allowed"),
        Finding("Grafana: write annotations", ok=True, detail="allowed"),
    ]
    assert fake.kept == []


@pytest.mark.parametrize("missing", sorted(EVERYTHING))
async def test_check_names_the_permission_that_is_missing(
    marks: grafana.Grafana, fake: FakeGrafana, missing: str
) -> None:
    fake.may = EVERYTHING - {missing}
    last = (await marks.check())[-1]
    assert not last.ok
    assert last.fix == f"GRAFANA_TOKEN needs a service account with {missing}; the role Editor has it."


async def test_check_tells_that_grafana_is_away(marks: grafana.Grafana, wire: JsonWire) -> None:
    wire.faults = [UNREACHABLE] * 9
    (finding,) = await marks.check()
    assert (finding.ok, finding.fix) == (False, "Check base_url and the network.")


async def test_an_empty_annotation_that_is_accepted_is_not_grafana(
    marks: grafana.Grafana, wire: JsonWire
) -> None:
    wire.faults = [None, httpx.Response(200, json={})]
    assert "without a text" in (await marks.check())[-1].detail


async def test_without_a_token_there_is_no_start() -> None:
    with pytest.raises(StartError, match="GRAFANA_TOKEN holds no credential for Grafana"):
        async with grafana.connect(grafana.Settings(base_url=URL), surroundings()):
            pass
