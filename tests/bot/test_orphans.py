"""`python -m bot orphans`: what is there and unknown, what is known and gone, and what could not be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import people_made as made
import pytest
import yaml
from fake_backends import FakeBackends
from fake_context import FakeKnowledge, make_plan, make_service

from bot import orphans
from bot.domain import DeploymentRecord, RequestState
from bot.errors import TemporaryBackendError
from bot.migrating import migrate
from bot.orphans import Survey, shown, stray, survey
from integrations.ports import ApplicationSpec, ClaimSpec, Entity, Marked

REQUEST = made.request_for(make_plan(), (), id="r-created", state=RequestState.SUCCEEDED)


@dataclass
class Listing:
    """A backend that lists what it made."""

    marked: Sequence[Marked] = ()
    down: bool = False

    async def list_marked(self) -> Sequence[Marked]:
        if self.down:
            raise TemporaryBackendError("no route to host", backend="crossplane")
        return self.marked


@dataclass
class Down:
    """A backend that answers nothing, and counts how often it was asked."""

    asked: int = 0

    async def get_application(self, service: str, environment: str) -> None:
        self.asked += 1
        raise TemporaryBackendError(f"nobody knows {service} in {environment}", backend="argocd")


@pytest.fixture
def knowledge() -> FakeKnowledge:
    return FakeKnowledge(requests=[REQUEST], services=[])


async def whole(knowledge: FakeKnowledge, backends: FakeBackends) -> Survey:
    opened = {name: one for name, one in vars(backends).items() if one is not None}
    return await survey(knowledge, opened, made.example_platform())


# ---------------------------------------------------------------- there and unknown


def test_a_thing_of_a_request_that_succeeded_is_where_it_belongs() -> None:
    assert stray(Marked("repository", "orders", REQUEST.id), REQUEST) is None


@pytest.mark.parametrize("state", [one for one in RequestState if one not in orphans.NOTHING_STAYS])
def test_a_request_that_may_still_need_it_knows_it(state: RequestState) -> None:
    assert stray(Marked("claim", "orders-db", REQUEST.id), replace(REQUEST, state=state)) is None


@pytest.mark.parametrize("state", sorted(orphans.NOTHING_STAYS))
def test_what_an_ended_request_left_behind_is_named_with_its_end(state: RequestState) -> None:
    line = stray(Marked("claim", "orders-db", REQUEST.id), replace(REQUEST, state=state))
    assert line is not None
    assert orphans.NOTHING_STAYS[state] in line.why
    assert line.fix


async def test_what_no_request_knows_is_listed_with_its_place(knowledge: FakeKnowledge) -> None:
    listing = Listing(
        [
            Marked("repository", "orders", REQUEST.id),
            Marked("claim", "legacy-db", "r-unknown", "staging", "orders-staging/legacy-db"),
        ]
    )
    found = await survey(knowledge, {"infrastructure": listing}, made.example_platform())
    (line,) = found.strays
    assert (line.kind, line.name, line.place) == (
        "claim",
        "legacy-db in staging",
        "orders-staging/legacy-db",
    )
    assert "r-unknown" in line.why


async def test_a_backend_that_cannot_be_asked_is_said_and_hides_no_other(knowledge: FakeKnowledge) -> None:
    asked = {
        "infrastructure": Listing(down=True),
        "delivery": Listing([Marked("application", "x", "r-unknown")]),
    }
    found = await survey(knowledge, asked, made.example_platform())
    assert [one.name for one in found.strays] == ["x"]
    assert [one.why for one in found.unasked] == ["could not be asked: no route to host"]


# ---------------------------------------------------------------- known and gone


async def test_everything_in_its_place_is_no_finding(knowledge: FakeKnowledge) -> None:
    backends = FakeBackends()
    await _running(knowledge, backends)
    found = await whole(knowledge, backends)
    assert found == Survey()
    assert shown(found).startswith("Everything with our mark has its request")


async def test_each_part_of_a_service_that_is_gone_is_named(knowledge: FakeKnowledge) -> None:
    await _running(knowledge, FakeBackends())
    found = await whole(knowledge, FakeBackends())
    assert [(one.kind, one.name) for one in found.lost] == [
        ("catalog entry", "orders"),
        ("repository", "orders"),
        ("application", "orders in staging"),
        ("claim", "orders-staging-db"),
    ]
    assert "aaaaaaa was deployed there" in found.lost[2].why
    assert all(one.fix for one in found.lost)


async def test_a_backend_that_is_down_is_one_line_however_many_services_there_are(
    knowledge: FakeKnowledge,
) -> None:
    for number in range(20):
        knowledge.services.append(make_service(f"service-{number:02}"))
        knowledge.deployments.append(_deployed(f"service-{number:02}"))
    down = Down()
    found = await survey(knowledge, {"delivery": down}, made.example_platform())
    assert [one.kind for one in found.unasked] == ["delivery"]
    assert found.lost == ()
    assert down.asked <= orphans.AT_ONCE, "who is down is not asked for each service"


async def _running(knowledge: FakeKnowledge, backends: FakeBackends) -> None:
    """One service with a database, in staging only."""
    knowledge.services.append(make_service(database="postgresql"))
    knowledge.deployments.append(_deployed("orders"))
    request = {"request_id": REQUEST.id}
    await backends.code_host.ensure_repository("orders", description="", team="orders", **request)
    await backends.catalog.ensure_entity(Entity("orders", "", "", "orders", "python-service"), **request)
    await backends.delivery.ensure_application(
        ApplicationSpec("orders", "staging", "orders", "", "python-service", "main"), **request
    )
    await backends.infrastructure.ensure_claim(
        ClaimSpec("orders-staging-db", "postgresql", "orders", "staging", "orders"), **request
    )


def _deployed(service: str) -> DeploymentRecord:
    return DeploymentRecord(service, "staging", "a" * 40, "a" * 40, True, "UALICE0001", made.NOW)


# ---------------------------------------------------------------- the command


async def test_an_empty_platform_has_no_orphans(tmp_path: Path) -> None:
    data = yaml.safe_load(made.EXAMPLE.read_text(encoding="utf-8"))
    data["integrations"]["golden_paths"]["folder"] = str(made.ROOT / "golden_paths")
    (tmp_path / "platform.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    url = f"sqlite:///{tmp_path}/platform.db"
    migrate(url)
    written: list[str] = []
    environ = {"DATABASE_URL": url, "PLATFORM_STATE": str(tmp_path / "state")}
    assert await orphans.run(tmp_path / "platform.yml", environ, written.append) == 0
    assert "everything the database knows is there" in "".join(written)
