"""The control loop of one application: what runs is brought to what is written, again and again.

Level-triggered: each pass looks at the state and at the processes, and does the next thing; it needs no memory of what the
last pass did. A kill at any instant therefore resumes with the next start's first pass. Every change of state is written
before it is acted upon. One loop per application, and only this loop starts or stops its processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import structlog

from bot.errors import BackendError, PermanentBackendError, TemporaryBackendError
from integrations._files import point_link, write_atomically
from integrations._process import DetachedProcess, find_free_port, is_port_free
from integrations._runtime_application import (
    AUTO_SYNC,
    ApplicationState,
    CrashLoop,
    Instance,
    Operation,
    asked,
    begun,
    exit_text,
    failed,
    should_sync,
    succeeded,
)
from integrations._runtime_forwarder import Forwarder
from integrations._runtime_release import Release, Releases
from integrations._runtime_service import ServiceLogs, answers, service_environment

STATE_FILE: Final = "application.json"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often a controller looks, and how long it waits. All in seconds."""

    poll_interval_seconds: float
    follow_interval_seconds: float
    health_timeout_seconds: float
    stop_grace_seconds: float
    restart_backoff_seconds: float
    stable_after_seconds: float
    kept_releases: int


class ApplicationController:
    """Runs one application. `folder` is the application's own; `state` is what its file says."""

    def __init__(
        self,
        folder: Path,
        state: ApplicationState,
        *,
        releases: Releases,
        pace: Pace,
        client: httpx.AsyncClient,
        search_path: str,
    ) -> None:
        self.state = state
        self.trouble = ""
        """Why the last pass could not do its work; empty when it could."""
        self.crash_loop = CrashLoop()
        self.unhealthy_since: float | None = None
        self._folder = folder
        self.releases = releases
        self._pace = pace
        self._client = client
        self._search_path = search_path
        self._logs = ServiceLogs(folder / "logs")
        self._forwarder = Forwarder(state.port)
        self._processes: dict[str, DetachedProcess] = {}
        self._wake = asyncio.Event()
        self._next_look = 0.0
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        """Adopt what an earlier bot left running, then start the loop. Raises OSError when the port is taken."""
        await self._forwarder.open()
        candidate = self.state.candidate
        if candidate is not None and not self._process(candidate).is_alive():
            # It never started, or went down together with the bot: that says nothing about the revision.
            await self.commit(lambda state: state.with_candidate(None))
        live = self.state.live
        if live is not None and self._process(live).is_alive():
            self._forwarder.target_port = live.port
            _log.info("runtime_adopted", application=self.state.name, revision=live.revision)
        self._task = asyncio.create_task(self._run(), name=f"runtime {self.state.name}")

    async def close(self) -> None:
        """Stop the loop and every process; the state stays, so that the next start runs them again."""
        if self._task is not None:
            self._task.cancel()
            # `wait`, because a loop that failed must not keep its processes from being stopped.
            await asyncio.wait({self._task})
        try:
            await asyncio.gather(*(self._stop(each) for each in self.state.instances))
        finally:
            await self._forwarder.close()

    async def commit(self, change: Callable[[ApplicationState], ApplicationState]) -> None:
        """Write the changed state, then believe it. There is no await inside: nobody can come in between."""
        changed = change(self.state)
        write_atomically(self._folder / STATE_FILE, changed.model_dump_json(indent=2))
        self.state = changed

    def wake(self) -> None:
        """Look now rather than at the next interval."""
        self._wake.set()

    @property
    def is_supervising(self) -> bool:
        return self._task is not None and not self._task.done()

    async def is_live_healthy(self) -> bool:
        """Ask the serving process now; keeps the time since when it does not answer."""
        live = self.state.live
        healthy = live is not None and self._process(live).is_alive() and await answers(self._client, live)
        if healthy:
            self.unhealthy_since = None
        elif self.unhealthy_since is None:
            self.unhealthy_since = _seconds()
        return healthy

    @property
    def is_live_lost(self) -> bool:
        """Silent for longer than a new revision would be given to become healthy."""
        since = self.unhealthy_since
        return since is not None and _seconds() - since > self._pace.health_timeout_seconds

    # ------------------------------------------------------------ the loop

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._pass()
                self.trouble = ""
            except (BackendError, OSError) as error:
                # The disk is full, the repository is away: said in the status, tried again at the next pass.
                self._note_trouble(str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.poll_interval_seconds):
                    await self._wake.wait()

    def _note_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.warning("runtime_trouble", application=self.state.name, error=trouble)
        self.trouble = trouble

    async def _pass(self) -> None:
        for instance in self.state.retiring:
            await self._stop(instance)
            await self.commit(lambda state, gone=instance: state.without_retired(gone))  # type: ignore[misc]
        await self._keep_live()
        operation = self.state.current
        if operation is not None:
            await self._advance(operation)
        if _seconds() >= self._next_look:
            self._next_look = _seconds() + self._pace.follow_interval_seconds
            await self.is_live_healthy()
            await self._follow()

    async def _follow(self) -> None:
        if self.state.follows is None or self.state.current is not None:
            return
        head = await self.releases.head(self.state.repository_url, self.state.follows)
        if head is not None and should_sync(self.state, head):
            key = f"{AUTO_SYNC}-{secrets.token_hex(8)}"
            operation = asked(key, revision=head, actor=AUTO_SYNC, now=_now())
            await self.commit(lambda state: state.with_operation(operation))
            self.wake()

    # ------------------------------------------------------------ the serving process

    async def _keep_live(self) -> None:
        """Restart what ended by itself, ever more slowly. A process of an earlier bot that is gone starts at once."""
        live = self.state.live
        if live is None:
            return
        process = self._process(live)
        if process.is_alive():
            if self.crash_loop.crashes and self._is_stable(live):
                self.crash_loop = CrashLoop()
            return
        if self._forwarder.target_port == live.port:
            self._forwarder.target_port = None
            self.crash_loop = self.crash_loop.after_crash(
                exit_code=process.exit_code,
                now=_seconds(),
                backoff_seconds=self._pace.restart_backoff_seconds,
            )
            _log.warning("runtime_crashed", application=self.state.name, exit_code=process.exit_code)
        if _seconds() >= self.crash_loop.next_start:
            await self._restart(live)

    async def _restart(self, live: Instance) -> None:
        await self._stop(live)
        release = await self.releases.checkout(self.state.repository_url, live.revision)
        instance = self._new_instance(release)
        await self.commit(lambda state: state.with_live(instance))
        self._start(instance, release)
        self._forwarder.target_port = instance.port

    def _is_stable(self, live: Instance) -> bool:
        return (_now() - live.started_at).total_seconds() > self._pace.stable_after_seconds

    # ------------------------------------------------------------ the operation at hand

    async def _advance(self, operation: Operation) -> None:
        if operation.started_at is None:
            operation = begun(operation, now=_now())
            await self.commit(lambda state: state.with_operation(operation))
        live, candidate = self.state.live, self.state.candidate
        if candidate is not None and candidate.revision != operation.revision:
            await self.commit(lambda state: state.with_candidate(None))
        elif candidate is not None:
            await self._judge(operation, candidate)
        elif live is not None and live.revision == operation.revision and await self.is_live_healthy():
            await self._finish(operation)
        else:
            await self._try(operation)

    async def _try(self, operation: Operation) -> None:
        try:
            release = await self.releases.checkout(self.state.repository_url, operation.revision)
        except PermanentBackendError as error:
            await self._fail(operation, error.sentence)
            return
        except TemporaryBackendError as error:
            if self._is_overdue(operation.started_at or operation.asked_at):
                await self._fail(operation, error.sentence)
                return
            raise
        instance = self._new_instance(release)
        await self.commit(lambda state: state.with_candidate(instance))
        try:
            self._start(instance, release)
        except OSError as error:
            await self._fail(operation, f"It could not be started: {error.strerror or error}.")

    async def _judge(self, operation: Operation, candidate: Instance) -> None:
        process = self._process(candidate)
        # Asked in this order, an answer by somebody else on the port of a process that has ended does not count.
        healthy = await answers(self._client, candidate) and process.is_alive()
        if healthy:
            await self._switch(operation)
        elif not process.is_alive():
            if not is_port_free(candidate.port):
                # Somebody took the port between our choice and the start: the revision is not to blame.
                await self.commit(lambda state: state.with_candidate(None))
                return
            ending = exit_text(process.exit_code)
            await self._fail(operation, f"It ended with {ending} before it answered {candidate.health_path}.")
        elif self._is_overdue(candidate.started_at):
            seconds = self._pace.health_timeout_seconds
            await self._fail(operation, f"{candidate.health_path} was not healthy within {seconds:g} s.")

    async def _switch(self, operation: Operation) -> None:
        done = succeeded(operation, now=_now())
        # One write: the outcome is never known without the switch, nor the switch without the outcome.
        await self.commit(lambda state: state.switched().with_operation(done))
        live = self.state.live
        assert live is not None
        self._forwarder.target_port = live.port
        self.crash_loop, self.unhealthy_since = CrashLoop(), None
        point_link(self._folder / "current", f"releases/{live.revision}")
        point_link(self._folder / "logs" / "current.log", self._logs.path(live.revision).name)
        _log.info("runtime_deployed", application=self.state.name, revision=live.revision)
        await self._prune()
        self.wake()

    async def _finish(self, operation: Operation) -> None:
        done = succeeded(operation, now=_now())
        await self.commit(lambda state: state.with_operation(done))

    async def _fail(self, operation: Operation, reason: str) -> None:
        words = ""
        if self.state.candidate is not None:
            words = self._logs.gist(operation.revision, secrets=self.state.secrets)
        message = f"{reason} Its last words: {words}" if words else reason
        undone = failed(operation, message=message, now=_now())
        await self.commit(lambda state: state.with_candidate(None).with_operation(undone))
        _log.warning("runtime_deploy_failed", application=self.state.name, revision=operation.revision)
        self.wake()

    def _is_overdue(self, since: datetime) -> bool:
        return (_now() - since).total_seconds() > self._pace.health_timeout_seconds

    async def _prune(self) -> None:
        recent = [each.revision for each in self.state.operations[-self._pace.kept_releases :]]
        keep = frozenset(recent) | {each.revision for each in self.state.instances}
        await self.releases.prune(keep)
        self._logs.prune(keep)

    # ------------------------------------------------------------ processes

    def _new_instance(self, release: Release) -> Instance:
        return Instance(
            id=secrets.token_hex(8),
            revision=release.revision,
            port=find_free_port(),
            health_path=release.health_path or self.state.health_path,
            started_at=_now(),
        )

    def _start(self, instance: Instance, release: Release) -> None:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        environment = service_environment(
            self.state,
            instance,
            search_path=self._search_path,
            home=home,
            go_cache=self._folder.parent / "go-cache" if "go" in release.programs else None,
        )
        self._process(instance).start(
            release.argv, cwd=release.folder, environment=environment, log=self._logs.open(instance.revision)
        )

    async def _stop(self, instance: Instance) -> None:
        await self._process(instance).stop(grace_seconds=self._pace.stop_grace_seconds)
        self._processes.pop(instance.id, None)

    def _process(self, instance: Instance) -> DetachedProcess:
        """The one object of this instance: it alone can read the exit code of a child."""
        known = self._processes.get(instance.id)
        if known is None:
            known = self._processes[instance.id] = DetachedProcess(self._folder / "run", instance.id)
        return known


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds() -> float:
    return asyncio.get_running_loop().time()
