"""Killed at any instant and started again, the real bot finishes the work with every effect done once.

A process that runs the real bot on real backends is killed at a named point of a story; another one is started; people repeat what got
no answer. In the end repositories, running services, rows, audit and what Slack shows are those of an undisturbed life.

The default selection takes points of every kind. `PLATFORM_CRASH_MATRIX=full` kills at every point that an undisturbed life passes
(see `crash_points.py`; of the drawing of cards only the first rounds), and every third time the second process soon after its start
as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_report import differences
from crash_stage import KILLED, Played, Setting, Workshop
from forking import Forker

FULL = os.environ.get("PLATFORM_CRASH_MATRIX") == "full"
SHARDS = 6 if FULL else 1
"""Parts that may run side by side."""
COMES_AND_GOES = ("cards", "chat.update")
"""How often a card is drawn anew depends on how fast the rest is."""
REDRAWN = 8

MADE_REPOSITORY = "step.done repository, service.created, step.started application 1"
HEALTHY = "step.done healthy, deployment.recorded, request.succeeded 1"
DEPLOYED = "step.done deploy, deployment.recorded, request.succeeded 1"
SELECTED = {
    "sqlite": {
        "create": (
            "before request.opened 1",
            "after request.opened 1",
            "before chat.postMessage 1",
            "after chat.postMessage 1",
            "after request.confirmed 1",
            "before git fast-import 1",
            f"before {MADE_REPOSITORY}",
            f"after {MADE_REPOSITORY}",
            "before start of a service 1",
            "before step.done application, step.started catalog 1",
            "after step.done application, step.started catalog 1",
            f"before {HEALTHY}",
            f"after {HEALTHY}",
        ),
        "database": ("before step.done claim, step.started application 1",),
        "undo": (
            "before undo.done application, undo.started repository 1",
            "after undo.done repository, service.forgotten, request.undone 1",
        ),
        "promote": (
            "before request.approved 1",
            "after request.approved 1",
            "after step.started application 1",
            "before git update-ref 1",
            "before step.done release, step.started deploy 1",
            "before start of a service 2",
            "after chat.postMessage 3",
            f"before {DEPLOYED}",
        ),
        "degraded": ("after step.failed deploy, undo.started deploy 1", "after chat.postMessage 4"),
    },
    "postgresql": {
        "create": (f"before {MADE_REPOSITORY}", "after request.confirmed 1"),
        "promote": ("after request.approved 1", f"before {DEPLOYED}"),
    },
}
PLAYED = [
    (engine, story)
    for engine, selected in SELECTED.items()
    for story in (SELECTED["sqlite"] if FULL else selected)
]


def points_of(story: str, engine: str, undisturbed: Played) -> list[tuple[str, ...]]:
    if not FULL:
        return [(point,) for point in SELECTED[engine][story]]
    points = undisturbed.points
    if story == "database":
        # All else is as in `create`.
        points = points[
            points.index(f"after {MADE_REPOSITORY.replace('application', 'claim')}") : points.index(
                "before step.done claim, step.started application 1"
            )
        ]
    points = [point for point in points if not drawn_often_enough(point)]
    return [
        (point, f"#{7 + 5 * (number % 11)}") if number % 3 == 0 else (point,)
        for number, point in enumerate(points)
    ]


def drawn_often_enough(point: str) -> bool:
    """Claiming a card, sending it and recording that it was sent is the same every time."""
    kind, _, number = point.rpartition(" ")
    return kind.endswith(COMES_AND_GOES) and int(number) > REDRAWN


async def killed(
    workshop: Workshop, story: str, before: Setting, kills: tuple[str, ...], undisturbed: Played
) -> Played:
    """Where the named point does not come, the one that stood in its place: two commits that share one have a name of their own."""
    played = await workshop.play(story, before, kills)
    if played.deaths or kills[0] not in undisturbed.points:
        return played
    place = undisturbed.points.index(kills[0]) + 1
    return await workshop.play(story, before, (f"#{place}", *kills[1:]))


def verdict(undisturbed: Played, played: Played) -> str:
    """What is wrong with a play; empty when nothing is."""
    if not played.deaths:
        return f"nobody was killed {played.kills[0]}"
    if set(played.deaths) - {KILLED} or played.last != 0:
        return f"killed {played.kills}: ended with {played.deaths}, {played.last}\n{played.log}"
    found = differences(undisturbed.found, played.found)
    return f"killed {played.kills}:\n{found}\n{played.log}" if found else ""


@pytest.mark.crash
@pytest.mark.timeout(7200 if FULL else 600)
@pytest.mark.parametrize(("new_database", "story"), PLAYED, indirect=["new_database"])
@pytest.mark.parametrize("shard", range(SHARDS))
async def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    story: str,
    shard: int,
    forker: Forker,
    new_database: Callable[[str], str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    engine = request.node.callspec.params["new_database"]
    async with Workshop.open(tmp_path, forker, new_database) as workshop:
        before = await workshop.setting(story)
        undisturbed = await workshop.play(story, before, ())
        assert undisturbed.last == 0
        wrong: list[str] = []
        for kills in points_of(story, engine, undisturbed)[shard::SHARDS]:
            played = await killed(workshop, story, before, kills, undisturbed)
            found = verdict(undisturbed, played)
            wrong += [found] if found else []
            with (tmp_path / "verdicts").open("a") as file:
                file.write(f"{kills}: {found or 'the same'}\n")
    assert not wrong, "\n\n".join(wrong)
