"""People at their clients while the bot dies under their hands: whoever got no answer does the same again, and nothing else.

A story is a list of things to be done in order. Each returns True once it is done and answered; until then it is tried again.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
from crash_report import applications

from playground.actor import Actor, shown_text
from playground.acts_messages import ActError
from playground.messages import Message
from playground.server import Playground

SERVICE = "toy"
CHANNEL = "#orders"
CREATE = f"/platform create-service {SERVICE} --team orders --template"

Deed = Callable[["Scene"], Awaitable[bool]]


class Life(Protocol):
    """The bot's process now."""

    @property
    def pid(self) -> int: ...
    @property
    def code(self) -> asyncio.Task[int]: ...


class Scene(Protocol):
    """What a story may touch."""

    @property
    def playground(self) -> Playground: ...
    @property
    def state(self) -> Path: ...
    @property
    def life(self) -> Life: ...
    async def unless_killed(self, act: Coroutine[Any, Any, Any]) -> Any:
        """The act's result; None when the bot died meanwhile, as it looks to somebody who waits for an answer."""
        ...

    def let_time_pass(self, seconds: float) -> None: ...
    @property
    def clicked(self) -> set[str]:
        """The cards that somebody pressed a button of, whether or not it was answered."""
        ...


@dataclass(frozen=True)
class Story:
    """`setting` is lived undisturbed before; `prepare` then changes what people change without the bot."""

    deeds: tuple[Deed, ...]
    ends: tuple[str, ...]
    """The states of its requests in the end."""
    setting: str = ""
    prepare: Callable[[Path], None] = lambda _state: None


def types(who: str, line: str) -> Deed:
    async def deed(scene: Scene) -> bool:
        sent = await scene.unless_killed(scene.playground.actor(who).command(CHANNEL, line))
        return sent is not None and bool(sent.ok)

    return deed


def clicks(who: str, button: str, *, on: str) -> Deed:
    """On the newest card with these words, as soon as it is there and offers the button."""

    async def deed(scene: Scene) -> bool:
        person = scene.playground.actor(who)
        card = _newest(person, on)
        if card is None:
            return False
        try:
            pressed = await scene.unless_killed(person.click(card, button))
        except ActError:
            # Not offered yet. Or no more: then the click that got no answer was heard all the same.
            return card.ts in scene.clicked
        scene.clicked.add(card.ts)
        return pressed is not None and bool(pressed.ok)

    return deed


def _newest(person: Actor, words: str) -> Message | None:
    own = [one for one in person.sees(CHANNEL) if one.bot_id and not one.ephemeral]
    return next((one for one in reversed(own) if words in shown_text(one)), None)


def waits_in_vain(words: str, *, until: str) -> Deed:
    """Time passes while a card says the one thing, until it says the other."""

    async def deed(scene: Scene) -> bool:
        card = _newest(scene.playground.actor("alice"), until)
        if card is not None:
            return True
        if _newest(scene.playground.actor("alice"), words) is not None:
            scene.let_time_pass(3600)
        return False

    return deed


def push_a_change(state: Path) -> None:
    """A person's commit to main: this version is sick wherever people depend on it."""
    repository = next(state.glob(f"git/{SERVICE}.git"))
    work = state.parent / "work"
    who = ["-c", "user.name=Ola", "-c", "user.email=ola@users.example.com", "-c", "safe.directory=*"]
    for arguments in (["clone", "-q", str(repository), str(work)],):
        subprocess.run(["git", *who, *arguments], check=True, timeout=30)
    program = work / "service.py"
    program.write_text(program.read_text().replace('SICK_IN = ""', 'SICK_IN = "production"'))
    for arguments in (["commit", "-q", "-a", "-m", "Answer faster"], ["push", "-q", "origin", "HEAD:main"]):
        subprocess.run(["git", *who, "-C", str(work), *arguments], check=True, timeout=30)


async def staging_runs_what_was_pushed(scene: Scene) -> bool:
    """Nobody asks for it: staging follows main by itself."""
    running = next(one for one in applications(scene.state) if one["environment"] == "staging")
    return len(running["operations"]) == 2 and not running["candidate"] and not running["retiring"]


async def staging_answers(scene: Scene) -> bool:
    """The service is started again together with the bot, and what does not answer is not promoted."""
    staging = next(one for one in applications(scene.state) if one["environment"] == "staging")
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{staging['port']}/")).is_success
        except httpx.HTTPError:
            return False


STORIES = {
    "create": Story(
        deeds=(
            types("alice", f"{CREATE} tiny-service"),
            clicks("alice", "confirm", on=f"Create service {SERVICE}"),
        ),
        ends=("succeeded",),
    ),
    "database": Story(
        deeds=(
            types("alice", f"{CREATE} tiny-service --db postgresql"),
            clicks("alice", "confirm", on=f"Create service {SERVICE}"),
        ),
        ends=("succeeded",),
    ),
    "undo": Story(
        deeds=(
            types("alice", f"{CREATE} sick-service"),
            clicks("alice", "confirm", on=f"Create service {SERVICE}"),
            waits_in_vain("It ended with exit code 3", until="a choice is needed"),
            clicks("alice", "undo", on="a choice is needed"),
        ),
        ends=("undone",),
    ),
    "promote": Story(
        setting="create",
        deeds=(
            staging_answers,
            types("alice", f"/platform promote {SERVICE}"),
            clicks("lena", "approve", on=f"Promote {SERVICE} to production"),
        ),
        ends=("succeeded", "succeeded"),
    ),
    "push": Story(
        setting="promote",
        prepare=push_a_change,
        deeds=(staging_runs_what_was_pushed,),
        ends=("succeeded", "succeeded"),
    ),
    "degraded": Story(
        setting="push",
        deeds=(
            staging_answers,
            types("alice", f"/platform promote {SERVICE}"),
            clicks("lena", "approve", on=f"Promote {SERVICE} to production"),
        ),
        ends=("succeeded", "succeeded", "undone"),
    ),
}
