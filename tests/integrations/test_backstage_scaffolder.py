"""Backstage's scaffolder: templates on offer, one task for each request, its log, and what becomes of it when answers are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fake_backstage import TOKEN, refused
from fake_scaffolder import FakeScaffolder, template
from harmed_wire import Harm, Wire, broken, garbage, hangs

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import backstage_scaffolder
from integrations._scaffolder_shapes import STUCK_SECONDS
from integrations.backstage_scaffolder import BackstageScaffolder, Settings
from integrations.ports import Phase, Scaffolder

SETTINGS = Settings(base_url="https://backstage.example.com/")
VALUES = {"name": "orders", "owner": "group:default/orders", "port": "9000"}


@pytest.fixture
def fake() -> FakeScaffolder:
    return FakeScaffolder({"node-microservice": template(), "other": template("other")})


@pytest.fixture
async def scaffolder(fake: FakeScaffolder) -> AsyncIterator[BackstageScaffolder]:
    async with backstage_scaffolder.connect(
        SETTINGS, {"BACKSTAGE_TOKEN": TOKEN}, transport=fake.transport(), timing=fake.timing()
    ) as opened:
        yield opened


async def ensure(scaffolder: BackstageScaffolder, **values: str) -> Phase:
    task = await scaffolder.ensure_task("node-microservice", values={**VALUES, **values}, request_id="r1")
    return task.phase


# ---------------------------------------------------------------- templates


async def test_a_template_shows_its_questions_and_steps(scaffolder: BackstageScaffolder) -> None:
    assert isinstance(scaffolder, Scaffolder)
    found = await scaffolder.get_template("node-microservice")
    assert (found.title, found.steps) == ("Node microservice", ("Fetch",))
    assert [(one.name, one.default, one.required) for one in found.parameters] == [
        ("name", "", True),
        ("owner", "", False),
        ("port", "8080", False),
    ]
    assert [one.name for one in await scaffolder.list_templates()] == ["node-microservice", "other"]


async def test_a_changed_template_has_another_revision(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    before = (await scaffolder.get_template("node-microservice")).revision
    assert (await scaffolder.get_template("node-microservice")).revision == before
    fake.templates["node-microservice"]["spec"]["steps"].append({"action": "publish:github"})
    assert (await scaffolder.get_template("node-microservice")).revision != before


async def test_only_what_the_platform_offers_is_there(fake: FakeScaffolder) -> None:
    settings = SETTINGS.model_copy(update={"templates": ("other",)})
    async with backstage_scaffolder.connect(
        settings, {"BACKSTAGE_TOKEN": TOKEN}, transport=fake.transport(), timing=fake.timing()
    ) as scaffolder:
        assert [one.name for one in await scaffolder.list_templates()] == ["other"]
        with pytest.raises(PermanentBackendError, match="no template named node-microservice") as caught:
            await scaffolder.get_template("node-microservice")
    assert caught.value.kind is BackendErrorKind.NOT_FOUND


@pytest.mark.parametrize("name", ["nowhere", "../../tasks", "a/b", ""])
async def test_a_name_that_nobody_has_is_no_template(scaffolder: BackstageScaffolder, name: str) -> None:
    with pytest.raises(PermanentBackendError, match="offers no template"):
        await scaffolder.get_template(name)


# ---------------------------------------------------------------- tasks


async def test_a_task_is_started_once_with_typed_values(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    assert await ensure(scaffolder) is Phase.PENDING
    assert await ensure(scaffolder) is Phase.PENDING
    (task,) = fake.tasks
    assert task["spec"]["parameters"] == {**VALUES, "port": 9000, "platform_request_id": "r1"}


async def test_a_lost_answer_starts_no_second_task(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    fake.lost = 1
    with pytest.raises(TemporaryBackendError):
        await ensure(scaffolder)
    assert await ensure(scaffolder) is Phase.PENDING
    assert len(fake.tasks) == 1


async def test_an_older_task_is_found_among_many(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    await ensure(scaffolder)
    for number in range(250):
        await scaffolder.ensure_task("other", values={"name": "other"}, request_id=f"other-{number}")
    assert await ensure(scaffolder) is Phase.PENDING
    assert len(fake.tasks) == 251


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "Orders!"}, "Orders!"),
        ({"port": "many"}, "port: “many” is not a number"),
    ],
)
async def test_refused_values_are_named_and_start_nothing(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder, values: dict[str, str], said: str
) -> None:
    with pytest.raises(PermanentBackendError, match=said) as caught:
        await ensure(scaffolder, **values)
    assert caught.value.kind is BackendErrorKind.INVALID
    assert fake.tasks == []


async def test_a_template_that_takes_no_further_values_is_named_with_the_way_out(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    fake.templates["node-microservice"]["spec"]["parameters"][0]["additionalProperties"] = False
    with pytest.raises(PermanentBackendError, match="platform_request_id") as caught:
        await ensure(scaffolder)
    assert caught.value.fix == "Allow platform_request_id in the template's parameters."


async def test_the_log_of_a_running_task_is_told(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    await ensure(scaffolder)
    found = await scaffolder.get_task(fake.begin())
    assert found is not None
    assert (found.phase, found.message) == (Phase.RUNNING, "running step fetch")
    assert found.events == ("Starting up task with 1 steps", "Beginning step Fetch")
    assert found.web_url.startswith("https://backstage.example.com/create/tasks/")


async def test_an_ended_task_tells_what_it_made(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    await ensure(scaffolder)
    task_id = fake.begin()
    output = {
        "remoteUrl": "https://github.com/acme/orders",
        "links": [{"title": "In the catalog", "entityRef": "component:default/orders"}],
    }
    fake.end("completed", output=output)
    found = await scaffolder.get_task(task_id)
    assert found is not None
    assert (found.phase, found.repository, found.entity) == (
        Phase.READY,
        "https://github.com/acme/orders",
        "component:default/orders",
    )


async def test_a_failed_task_says_why(scaffolder: BackstageScaffolder, fake: FakeScaffolder) -> None:
    await ensure(scaffolder)
    task_id = fake.begin()
    fake.end("failed", error={"name": "Error", "message": "repository exists already"})
    found = await scaffolder.get_task(task_id)
    assert found is not None
    assert (found.phase, found.message) == (
        Phase.FAILED,
        "Backstage's task failed: repository exists already",
    )


async def test_a_task_that_nobody_begins_is_said_to_be_stuck(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    await ensure(scaffolder)
    fake.clock.seconds += STUCK_SECONDS + 60
    found = await scaffolder.get_task(fake.tasks[0]["id"])
    assert found is not None
    assert found.message == "Backstage has not begun for 6 min; its task workers may be dead or busy"


async def test_a_task_that_is_not_there_is_none(scaffolder: BackstageScaffolder) -> None:
    assert await scaffolder.get_task("nowhere") is None


async def test_cancelling_ends_our_own_running_task_only(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder
) -> None:
    await ensure(scaffolder)
    fake.begin()
    await scaffolder.cancel_task(request_id="r2")
    assert fake.tasks[0]["status"] == "processing"
    await scaffolder.cancel_task(request_id="r1")
    await scaffolder.cancel_task(request_id="r1")
    assert fake.tasks[0]["status"] == "cancelled"
    assert sum(call.endswith("/cancel") for call in fake.calls) == 1


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    "happens",
    [
        lambda _request: refused(500, "Error", "the database is away"),
        lambda _request: httpx.Response(200, text="<html>Sign in</html>"),
        lambda _request: httpx.Response(404, text="no such ingress"),
    ],
    ids=["500", "garbage", "a proxy's 404"],
)
async def test_what_is_not_backstages_answer_is_no_answer(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder, happens: object
) -> None:
    fake.answers = [happens] * 4  # type: ignore[list-item]
    with pytest.raises(TemporaryBackendError):
        await scaffolder.get_task("some-task")


@pytest.mark.parametrize("harm", [broken, hangs, garbage])
async def test_a_start_that_did_not_happen_is_made_once_in_the_end(fake: FakeScaffolder, harm: Harm) -> None:
    wire = Wire(fake.transport(), harm=harm)
    async with backstage_scaffolder.connect(
        SETTINGS, {"BACKSTAGE_TOKEN": TOKEN}, transport=wire, timing=fake.timing()
    ) as scaffolder:
        with pytest.raises(TemporaryBackendError):
            await ensure(scaffolder)
        assert fake.tasks == []
        assert await ensure(scaffolder) is Phase.PENDING
    assert len(fake.tasks) == 1


async def test_a_start_that_only_claims_success_is_found_out(fake: FakeScaffolder) -> None:
    wire = Wire(fake.transport(), harm=lambda _request: httpx.Response(201, json={"id": "a-task"}))
    async with backstage_scaffolder.connect(
        SETTINGS, {"BACKSTAGE_TOKEN": TOKEN}, transport=wire, timing=fake.timing()
    ) as scaffolder:
        with pytest.raises(PermanentBackendError, match="cannot be told from others"):
            await ensure(scaffolder)
    assert fake.tasks == []


def test_without_a_token_the_start_says_which_variable() -> None:
    with pytest.raises(StartError, match="BACKSTAGE_TOKEN holds no token"):
        backstage_scaffolder._token(SETTINGS, {})


@pytest.mark.parametrize(
    ("permission", "subject"),
    [("scaffolder.task.read", "read tasks"), ("scaffolder.task.create", "start tasks")],
)
async def test_check_names_the_missing_permission(
    scaffolder: BackstageScaffolder, fake: FakeScaffolder, permission: str, subject: str
) -> None:
    assert all(one.ok for one in await scaffolder.check())
    fake.permissions = {"scaffolder.task.read", "scaffolder.task.create"} - {permission}
    (missing,) = [one for one in await scaffolder.check() if not one.ok]
    assert missing.subject == subject
    assert permission in missing.fix
    assert fake.tasks == [], "a check starts nothing"
