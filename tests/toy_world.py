"""A command whose steps change a small world that survives kills: an SQLite file of its own, one commit per effect.

The world counts what happened to it, so that "done twice" is seen and not only "done".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.command import Args, Command, Done, Pending, Run, Scope, StepKind
from bot.domain import (
    JSON,
    DeploymentRecord,
    OnFailure,
    Plan,
    PlannedStep,
    Record,
    Service,
    StepRecord,
)
from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError

STEPS = ("repository", "claim", "deploy")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """`before_change` is told before every durable change: a crash test kills there."""

    file: Path
    before_change: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        with closing(sqlite3.connect(self.file)) as db, db:
            db.executescript(
                "CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, owner TEXT, looks INTEGER DEFAULT 0);"
                "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, what TEXT);"
            )

    def ensure(self, name: str, owner: str) -> int:
        """Make it unless it is there; returns how often it has been looked at since."""
        with closing(sqlite3.connect(self.file)) as db:
            if not db.execute("SELECT 1 FROM things WHERE name = ?", (name,)).fetchone():
                db.execute("INSERT INTO things (name, owner) VALUES (?, ?)", (name, owner))
                db.execute("INSERT INTO log (what) VALUES (?)", (f"made {name}",))
            db.execute("UPDATE things SET looks = looks + 1 WHERE name = ?", (name,))
            self.before_change()
            db.commit()
            return int(db.execute("SELECT looks FROM things WHERE name = ?", (name,)).fetchone()[0])

    def remove(self, name: str) -> None:
        with closing(sqlite3.connect(self.file)) as db:
            if db.execute("DELETE FROM things WHERE name = ?", (name,)).rowcount:
                db.execute("INSERT INTO log (what) VALUES (?)", (f"removed {name}",))
                self.before_change()
                db.commit()

    def things(self) -> list[str]:
        return self._column("SELECT name FROM things ORDER BY name")

    def log(self) -> list[str]:
        return self._column("SELECT what FROM log ORDER BY number")

    def _column(self, query: str) -> list[str]:
        with closing(sqlite3.connect(self.file)) as db:
            return [row[0] for row in db.execute(query)]


class NoArgs(Args):
    pass


async def _no_scope(*_: Any) -> Scope:
    return Scope(permission="toy")


async def _no_plan(*_: Any) -> Plan:
    raise AssertionError("the tests write plans themselves")


def toy_command(world: World, **replaced: StepKind) -> Command:
    """`build`: a repository, a claim that is ready at the third look, a deployment."""

    async def make_repository(run: Run, arguments: JSON) -> Done:
        world.ensure(f"repository {arguments['service']}", run.request_id)
        return Done(detail="created", external_id="r-1", output={"url": "git://r-1"})

    async def make_claim(run: Run, arguments: JSON) -> Done | Pending:
        looks = world.ensure(f"claim {arguments['service']}", run.request_id)
        if looks < 3:
            return Pending("the database is being made", after_seconds=0.01)
        return Done(detail="ready", output={"repository": run.output("repository")["url"]})

    async def deploy(run: Run, arguments: JSON) -> Done | Pending:
        """The same operation never deploys twice; `fails` says up to which run it is degraded."""
        operation = run.operation("deploy")
        looks = world.ensure(f"deployment {operation}", run.request_id)
        if looks < 2:
            return Pending("rolling out", after_seconds=0.01)
        if int(operation.split(".")[1]) <= arguments.get("fails", 0):
            raise PermanentBackendError("It is degraded.", backend="toy", kind=BackendErrorKind.NOT_READY)
        return Done(detail="healthy", external_id=operation, record=_record(run, arguments["service"]))

    async def undo_repository(run: Run, arguments: JSON, _done: StepRecord) -> Done:
        world.remove(f"repository {arguments['service']}")
        return Done(detail="removed")

    async def undo_claim(run: Run, arguments: JSON, _done: StepRecord) -> Done:
        world.remove(f"claim {arguments['service']}")
        return Done(detail="removed")

    async def undo_deploy(run: Run, arguments: JSON, _done: StepRecord) -> Done | Pending:
        if world.ensure(f"rollback {run.operation('undo')}", run.request_id) < 2:
            return Pending("rolling back", after_seconds=0.01)
        return Done(detail="rolled back", record=Record(forget_service=arguments["service"]))

    kinds = {
        "repository": StepKind(make_repository, undo_repository),
        "claim": StepKind(make_claim, undo_claim),
        "deploy": StepKind(deploy, undo_deploy),
    }
    return Command(
        name="build",
        summary="Build a toy.",
        example="build toy",
        args=NoArgs,
        scope=_no_scope,
        plan=_no_plan,
        steps=kinds | replaced,
    )


def toy_plan(
    *,
    service: str = "toy",
    fails: int = 0,
    on_failure: OnFailure = OnFailure.UNDO,
    timeout_seconds: int = 60,
    steps: tuple[str, ...] = STEPS,
) -> Plan:
    return Plan(
        command="build",
        title="Build a toy",
        summary="A toy, for tests.",
        service=service,
        team="toys",
        environment="staging",
        on_failure=on_failure,
        steps=tuple(
            PlannedStep(
                key=key,
                title=f"Make the {key}",
                arguments={"service": service, "fails": fails},
                timeout_seconds=timeout_seconds,
            )
            for key in steps
        ),
    )


def temporary(message: str = "away") -> TemporaryBackendError:
    return TemporaryBackendError(message, backend="toy", retry_after_seconds=0.01)


def _record(run: Run, service: str) -> Record:
    """Times are fixed, so that two histories can be compared."""
    return Record(
        service=Service(
            name=service,
            team="toys",
            golden_path="toy",
            description="",
            database="none",
            repository_url="git://r-1",
            web_url="",
            created_by=run.requester,
            created_at=EPOCH,
            request_id=run.request_id,
        ),
        deployment=DeploymentRecord(
            service=service,
            environment="staging",
            revision="a" * 40,
            ref_revision="b" * 40,
            healthy=True,
            deployed_by=run.requester,
            deployed_at=EPOCH,
            request_id=run.request_id,
        ),
    )
