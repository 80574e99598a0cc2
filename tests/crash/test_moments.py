"""Moments that a point's name cannot hit: between an acknowledgement and what was promised with it, and an orderly stop."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from crash_report import differences, processes
from crash_stage import Workshop
from crash_stories import CHANNEL, CREATE, SERVICE, STORIES, Scene, Story, clicks
from forking import Forker

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

MADE_REPOSITORY = "step.done repository, service.created, step.started application 1"
ON_SQLITE = pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)


def renderer_of(bot: int) -> int | None:
    """The process that renders golden paths for this bot."""
    mine = (one.pid for one in processes() if one.parent == bot and "_copier_worker" in one.command)
    return next(mine, None)


async def types_and_is_left_alone(scene: Scene) -> bool:
    """Planning takes long, so that the acknowledgement comes before the plan; then the bot dies."""
    renderer = renderer_of(scene.life.pid)
    if renderer is None:
        return False
    os.kill(renderer, signal.SIGSTOP)
    sent = await scene.unless_killed(
        scene.playground.actor("alice").command(CHANNEL, f"{CREATE} tiny-service")
    )
    assert sent is not None
    assert sent.ok, sent.notice
    assert sent.message is not None
    assert "Making the plan" in sent.message.text
    os.kill(scene.life.pid, signal.SIGKILL)
    os.kill(renderer, signal.SIGKILL)
    await scene.life.code
    return True


@ON_SQLITE
async def test_what_was_acknowledged_is_planned_by_the_next_process(
    forker: Forker, new_database: Any, tmp_path: Any
) -> None:
    left_alone = Story(
        deeds=(types_and_is_left_alone, clicks("alice", "confirm", on=f"Create service {SERVICE}")),
        ends=("succeeded",),
    )
    async with Workshop.open(tmp_path, forker, new_database) as workshop:
        undisturbed = await workshop.live(STORIES["create"], (None, ""), ())
        played = await workshop.live(left_alone, (None, ""), ())
    assert played.deaths == [-signal.SIGKILL]
    assert not differences(undisturbed.found, played.found)


@ON_SQLITE
async def test_an_orderly_stop_leaves_the_work_to_the_next_start(
    forker: Forker, new_database: Any, tmp_path: Any
) -> None:
    async with Workshop.open(tmp_path, forker, new_database) as workshop:
        undisturbed = await workshop.live(STORIES["create"], (None, ""), ())
        for point in ("after request.opened 1", "before git fast-import 1", f"after {MADE_REPOSITORY}"):
            played = await workshop.live(STORIES["create"], (None, ""), (f"stop {point}",))
            assert played.deaths == [0], f"told to stop {point}, it did not end in order\n{played.log}"
            assert played.last == 0
            assert not differences(undisturbed.found, played.found), point
