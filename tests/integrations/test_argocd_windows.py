"""Sync windows and what else an AppProject decides: when a sync may begin, when it may again, and what is let in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from argo_world import GOOD, WAYS, World, create, open_cluster_world, open_world, wish
from hypothesis import given
from hypothesis import strategies as st
from kube import Server, api_status

from integrations import _argocd_windows as windows
from integrations._argocd_globs import matches
from integrations._argocd_project import Project, refusals

FRIDAY = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
TARGET = windows.Target(
    "orders-production", "orders-production", ("in-cluster", "https://kubernetes.default.svc")
)


def window(
    kind: str = "deny", schedule: str = "0 16 * * 5", duration: str = "64h", **more: Any
) -> dict[str, Any]:
    return {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"], **more}


def closed(*bodies: dict[str, Any], now: datetime = FRIDAY) -> bool:
    return not windows.may_sync(windows.windows_of(bodies, TARGET), now)


def opening(*bodies: dict[str, Any], now: datetime = FRIDAY) -> datetime | None:
    return windows.opens_at(windows.windows_of(bodies, TARGET), now)


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("schedule", "after", "start"),
    [
        ("* * * * *", "2026-11-20 16:30", "2026-11-20 16:31"),
        ("0 16 * * 5", "2026-11-20 16:00", "2026-11-27 16:00"),
        ("0 16 * * fri", "2026-11-20 15:59", "2026-11-20 16:00"),
        ("*/15 8-10 * * *", "2026-11-20 10:44", "2026-11-20 10:45"),
        ("*/15 8-10 * * *", "2026-11-20 10:45", "2026-11-21 08:00"),
        ("30 2 29 feb ?", "2027-03-01 00:00", "2028-02-29 02:30"),
        ("0 0 1 * mon", "2026-11-20 00:00", "2026-11-23 00:00"),
        ("0 0 1 */2 *", "2026-11-20 00:00", "2027-01-01 00:00"),
        ("5/20 0 * * 0", "2026-11-21 00:00", "2026-11-22 00:05"),
        ("0 12 1,15 * *", "2026-11-15 12:00", "2026-12-01 12:00"),
    ],
)
def test_when_a_schedule_next_begins(schedule: str, after: str, start: str) -> None:
    found = windows.parse_schedule(schedule).next(datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(start)


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * * * 7", "5-1 * * * *", "@daily", "* * * foo *", "*/0 * * * *"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"schedule|invalid literal"):
        windows.parse_schedule(text)


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400), ("1.5h", 5400), ("90s", 90), ("500ms", 0.5)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert windows.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "1 h", "2d", "-1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        windows.parse_duration(text)


# ---------------------------------------------------------------- whether, and when again


@pytest.mark.parametrize(
    ("bodies", "is_closed"),
    [
        ([], False),
        ([window()], True),
        ([window(manualSync=True)], False),
        ([window(manualSync=True), window()], True),
        ([window(schedule="0 16 * * 4", duration="1h")], False),
        ([window("allow", "0 9 * * 1-5", "4h")], True),
        ([window("allow", "0 9 * * 1-5", "4h", manualSync=True)], False),
        ([window("allow", "0 9 * * 1-5", "8h")], False),
        ([window("allow", "0 9 * * 1-5", "8h"), window()], True),
        ([window("allow", "0 9 * * 1-5", "8h"), window("allow", "0 0 * * 0", "1h")], False),
    ],
    ids=[
        "none", "denied", "denied to machines only", "one of two denies people too", "another day",
        "not allowed yet", "not allowed to machines yet", "allowed", "denied while allowed", "one of two allows",
    ],
)  # fmt: skip
def test_what_windows_mean_for_a_sync_that_somebody_asked_for(
    bodies: list[dict[str, Any]], is_closed: bool
) -> None:
    assert closed(*bodies) is is_closed


@pytest.mark.parametrize(
    ("more", "applies"),
    [
        ({"applications": ["orders-*"]}, True),
        ({"applications": ["payments-*"]}, False),
        ({"applications": [], "namespaces": ["*-production"]}, True),
        ({"applications": [], "clusters": ["in-*"]}, True),
        ({"applications": [], "clusters": ["https://kubernetes.default.svc"]}, True),
        ({"applications": ["nobody"], "namespaces": ["*"]}, True),
        ({"applications": ["nobody"], "namespaces": ["*"], "andOperator": True}, False),
        ({"applications": ["orders-*"], "namespaces": ["*"], "andOperator": True}, True),
        ({"applications": []}, False),
    ],
)
def test_which_windows_are_an_applications(more: dict[str, Any], applies: bool) -> None:
    assert closed(window(**more)) is applies


def test_a_window_is_read_on_the_clock_of_its_zone() -> None:
    berlin = window(schedule="0 17 * * 5", duration="1h", timeZone="Europe/Berlin")
    assert closed(berlin)
    assert not closed(window(schedule="0 17 * * 5", duration="1h"))
    assert closed(window(timeZone="No/Where"))


@pytest.mark.parametrize(
    ("bodies", "opens"),
    [
        ([window(duration="1h")], FRIDAY.replace(hour=17, minute=0)),
        ([window()], datetime(2026, 11, 23, 8, 0, tzinfo=UTC)),
        ([window("allow", "0 9 * * 1-5", "4h")], datetime(2026, 11, 23, 9, 0, tzinfo=UTC)),
        ([window(duration="1h"), window("allow", "0 20 * * *", "1h")], FRIDAY.replace(hour=20, minute=0)),
        ([window("deny", "* * * * *", "2m")], None),
        ([window(schedule="0 16 * * 5", duration="1h", timeZone="America/New_York"), window(duration="2h")],
         FRIDAY.replace(hour=18, minute=0)),
    ],
    ids=["end of the day", "monday", "first allowed day", "denied, then not yet allowed", "never", "two zones"],
)  # fmt: skip
def test_when_it_may_begin_again(bodies: list[dict[str, Any]], opens: datetime | None) -> None:
    assert opening(*bodies) == opens


@given(
    st.sampled_from(["allow", "deny"]),
    st.tuples(st.integers(0, 59), st.integers(0, 23), st.integers(0, 6)),
    st.integers(1, 200),
    st.integers(0, 60 * 24 * 7),
)
def test_what_is_told_as_the_opening_is_one(
    kind: str, at: tuple[int, int, int], hours: int, minutes: int
) -> None:
    now = FRIDAY + timedelta(minutes=minutes)
    body = window(kind, f"{at[0]} {at[1]} * * {at[2]}", f"{hours}h")
    applying = windows.windows_of([body], TARGET)
    opens = windows.opens_at(applying, now)
    if windows.may_sync(applying, now) or opens is None:
        return
    assert opens > now
    assert windows.may_sync(applying, opens + timedelta(seconds=1))
    assert not windows.may_sync(applying, opens - timedelta(seconds=1))


# ---------------------------------------------------------------- patterns and projects


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("https://git.test/*", "https://git.test/orders", True),
        ("https://git.test/*", "https://git.test/team/orders", False),
        ("https://git.test/**", "https://git.test/team/orders", True),
        ("orders-{staging,production}", "orders-staging", True),
        ("orders-{staging,production}", "orders-test", False),
        ("orders-[a-c]?", "orders-b1", True),
        ("orders-[!a-c]", "orders-b", False),
        ("a.b", "axb", False),
        ("[z-a]", "z", False),
        ("{", "{", False),
        ("a\\*", "a*", True),
    ],
)
def test_patterns(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text, separator="/") is fits


def _intent(repository: str, namespace: str = "orders-production") -> dict[str, Any]:
    destination = {"server": "https://kubernetes.default.svc", "namespace": namespace}
    return {"spec": {"source": {"repoURL": repository}, "destination": destination}}


@pytest.mark.parametrize(
    ("repository", "namespace", "said"),
    [
        ("https://GIT.test/orders.git", "orders-production", []),
        ("https://git.test/secret/x", "orders-production", ["repository"]),
        ("https://git.test/private", "orders-production", ["repository"]),
        ("https://git.test/orders", "kube-system", ["kube-system"]),
        ("https://git.test/orders", "orders-vault", ["orders-vault"]),
        ("", "orders-production", []),
    ],
)
def test_a_project_says_what_it_does_not_let_in(repository: str, namespace: str, said: list[str]) -> None:
    project = Project(
        "orders",
        ("https://git.test/*", "!https://git.test/private"),
        (
            {"server": "https://kubernetes.default.svc", "namespace": "orders-*"},
            {"server": "https://kubernetes.default.svc", "namespace": "!orders-vault"},
        ),
        (),
    )
    lines = refusals(project, _intent(repository, namespace))
    assert len(lines) == len(said)
    assert all(word in line for word, line in zip(said, lines, strict=True))


# ---------------------------------------------------------------- in both ways to Argo CD


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(request) as world:
        yield world


async def test_a_closed_window_is_told_with_its_opening_before_anything_is_begun(world: World) -> None:
    only = {"applications": [f"{world.service}-production"]}
    await world.set_project(syncWindows=[window("allow", "0 0 1 1 *", "1h", **only)])
    assert await world.delivery.find_closed_window(world.service, "production") is None
    for environment in ("staging", "production"):
        await world.delivery.ensure_application(wish(world, environment), request_id="req0")
    found = await world.delivery.find_closed_window(world.service, "production")
    assert found is not None
    name = world.service
    assert found.reason == f"closed by a sync window of the project {name} (allow 0 0 1 1 * for 1h (UTC))"
    assert found.opens_at is not None
    assert (found.opens_at.month, found.opens_at.day) == (1, 1)
    assert await world.delivery.find_closed_window(world.service, "staging") is None


async def test_a_window_that_cannot_be_read_is_closed_and_says_so(world: World) -> None:
    await world.set_project(syncWindows=[window("deny", "@weekly", "1h")])
    await create(world)
    found = await world.delivery.find_closed_window(world.service, "production")
    assert found is not None
    assert "cannot be read: schedule '@weekly'" in found.reason
    assert found.opens_at is None


async def test_a_preview_says_what_the_project_and_admission_would(world: World) -> None:
    await world.set_project(
        destinations=[{"server": "https://kubernetes.default.svc", "namespace": "orders-*"}]
    )
    said = await world.delivery.preview(wish(world), request_id="req0")
    assert said.denials == ()
    # Argo CD's own API has no dry run, and says so instead of nothing.
    assert bool(said.unknown) is (world.mode == "api")
    elsewhere = world.reopen(project=world.service, destination_namespace="kube-system")
    assert (await elsewhere.preview(wish(world), request_id="req0")).denials == (
        f"The project {world.service} does not let anything into kube-system of https://kubernetes.default.svc.",
    )
    nobody = await world.reopen(project="{team}-x").preview(wish(world), request_id="req0")
    assert nobody.denials == ("Argo CD has no project orders-x for the team orders.",)
    assert await world.read("production") is None


async def test_a_preview_of_a_taken_name_says_so(world: World) -> None:
    await world.set_project(destinations=[{"server": "*", "namespace": "*"}])
    await create(world)
    said = await world.delivery.preview(wish(world), request_id="req9")
    name = f"{world.service}-production"
    assert said.denials == (f"An application {name} exists already and is not of this request.",)
    assert (await world.delivery.preview(wish(world), request_id="req0")).denials == ()


async def test_a_preview_never_raises(world: World) -> None:
    world.wire.instead = lambda _: httpx.Response(403, json={"message": "permission denied", "code": 7})
    said = await world.delivery.preview(wish(world), request_id="req0")
    assert said.denials == ()
    assert "could not be asked" in said.unknown[0]


async def test_admission_speaks_in_the_preview_and_nothing_is_written(server: Server) -> None:
    denial = 'admission webhook "validate.kyverno.svc" denied the request: label cost-centre is missing'

    def denying(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PATCH":
            return None
        assert request.url.params["dryRun"] == "All"
        return api_status(403, "Forbidden", denial)

    async with server.admin() as admin, open_cluster_world(server, admin) as world:
        await world.set_project(destinations=[{"server": "*", "namespace": "*"}])
        world.wire.instead = denying
        said = await world.delivery.preview(wish(world), request_id="req0")
    said_by_kyverno = "validate.kyverno.svc: label cost-centre is missing"
    assert said.denials == (f"Application {world.service}-production: {said_by_kyverno}",)


async def test_what_a_revision_would_deploy_is_what_argo_cd_renders(world: World) -> None:
    assert await world.delivery.manifests(world.service, "production", revision=GOOD) is None
    await create(world)
    found = await world.delivery.manifests(world.service, "production", revision=GOOD)
    if world.mode == "cluster":
        assert found is None
    else:
        assert found == [{"kind": "ConfigMap", "metadata": {"name": GOOD}}]
