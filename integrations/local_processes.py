"""Delivery on one machine: what Argo CD is for a cluster, with processes in the place of pods.

Each service and environment is an application with a small file of what should run (`application.json`), a checkout per
revision, a process of its own for the one that is live, and a log per revision. A new revision starts beside the old one on
a fresh port and takes over only when its health endpoint says yes; one that never does leaves the old one running.

People keep one address. Each application owns a stable port for life, and a small TCP forwarder inside the bot leads from
there to the process that is live. The alternatives were worse: to start the new process on the port of the old one means to
stop a good revision before the new one has proved itself, and an address that changes with every deployment is no address.
The price: while the bot is down the stable address is silent, though the service runs.

An orderly close stops every process, and the next open runs them again. After a kill -9 they run on and are adopted. This
module offers the port; `_runtime_controller` does the work. It deploys what it is told and decides nothing about who may.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    TemporaryBackendError,
)
from integrations._files import disk_errors, hold_folder, write_atomically
from integrations._git import Git
from integrations._process import is_port_free
from integrations._runtime_application import (
    ApplicationState,
    asked,
    history,
    new_application,
    parse_state,
    require_label,
)
from integrations._runtime_controller import STATE_FILE, ApplicationController
from integrations._runtime_release import BACKEND, Access, Releases
from integrations._runtime_settings import Settings
from integrations._runtime_status import describe_deployment, describe_health, describe_sync
from integrations.ports import (
    Application,
    ApplicationSpec,
    ClosedWindow,
    Delivery,
    DeployedRevision,
    Deployment,
    Finding,
    Health,
    Marked,
    Phase,
    Preview,
    Surroundings,
)

PORT: Final = "delivery"
NOT_WITH: Final = {
    "crossplane": "local_postgres as infrastructure; a process on this machine reads no secret of a cluster"
}

_REVISION: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REMOVED: Final = ".removed-"
_log = structlog.get_logger(__name__)


class LocalProcesses:
    """The applications of one folder, each with its controller."""

    def __init__(
        self, folder: Path, *, settings: Settings, git: Git, client: httpx.AsyncClient, access: Access
    ) -> None:
        self._folder = folder
        self._access = access
        self._settings = settings
        self._git = git
        self._client = client
        self._controllers: dict[str, ApplicationController] = {}
        self._changes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Run what should run. Raises StartError for a state that cannot be read."""
        for leftover in self._folder.glob(f"{_REMOVED}*"):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        for path in sorted(self._folder.glob(f"*/{STATE_FILE}")):
            state = parse_state(path.read_text(encoding="utf-8"), path=path)
            if not is_port_free(state.port):
                _log.warning("runtime_port_taken", application=state.name, port=state.port)
                state = state.model_copy(update={"port": self._choose_port()})
                write_atomically(path, state.model_dump_json(indent=2))
            await self._control(path.parent, state)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._controllers.values()))
        self._controllers.clear()

    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:  # noqa: ARG002
        """Nobody admits on one machine."""
        return Preview()

    async def manifests(
        self,
        service: str,  # noqa: ARG002
        environment: str,  # noqa: ARG002
        *,
        revision: str,  # noqa: ARG002
    ) -> Sequence[Mapping[str, Any]] | None:
        """Processes have none."""
        return None

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        require_label(spec.service, "service", backend=BACKEND)
        require_label(spec.environment, "environment", backend=BACKEND)
        async with self._changes[spec.name]:
            controller = self._controllers.get(spec.name)
            if controller is None:
                controller = await self._create(spec, request_id=request_id)
            elif (controller.state.service, controller.state.request_id) != (spec.service, request_id):
                raise PermanentBackendError(
                    f"An application {spec.name} exists already and is not of this request.",
                    backend=BACKEND,
                    kind=BackendErrorKind.ALREADY_EXISTS,
                    fix="Choose another name.",
                )
            elif (wished := controller.state.with_spec(spec)) != controller.state:
                await controller.commit(lambda _: wished)
                controller.wake()
        return await self._describe(controller)

    async def get_application(self, service: str, environment: str) -> Application | None:
        controller = self._find(service, environment)
        return await self._describe(controller) if controller is not None else None

    async def list_marked(self) -> Sequence[Marked]:
        states = [each.state for each in self._controllers.values()]
        return [
            Marked("application", one.service, one.request_id, one.environment, str(self._folder / one.name))
            for one in states
        ]

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        name = f"{service}-{environment}"
        async with self._changes[name]:
            controller = self._find(service, environment)
            if controller is None or controller.state.request_id != request_id:
                return
            await controller.close()
            del self._controllers[name]
            # A rename first: a kill in the middle of the removal must not leave half an application.
            gone = (self._folder / name).rename(self._folder / f"{_REMOVED}{secrets.token_hex(4)}")
            await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:  # noqa: ARG002
        return None

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        async with self._changes[f"{service}-{environment}"]:
            controller = self._get(service, environment)
            known = controller.state.find(operation)
            if known is None:
                await self._refuse(controller, revision)
                known = asked(operation, revision=revision, actor=actor, now=datetime.now(UTC))
                wish = known
                await controller.commit(lambda state: state.with_operation(wish))
                controller.wake()
            elif known.revision != revision:
                raise PermanentBackendError(
                    f"This operation deploys {known.revision[:7]}, not {revision[:7]}.",
                    backend=BACKEND,
                    kind=BackendErrorKind.CONFLICT,
                )
        return known.deployment

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        controller = self._find(service, environment)
        known = controller.state.find(operation) if controller is not None else None
        if controller is None or known is None:
            return None
        health, message = await self._health(controller)
        # Read again: it may have finished while the service was asked.
        known = controller.state.find(operation) or known
        return describe_deployment(known, controller.state, health=health, message=message)

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:  # noqa: ARG002
        raise _no_canaries(service, environment)

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:  # noqa: ARG002
        raise _no_canaries(service, environment)

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        controller = self._find(service, environment)
        return history(controller.state, limit=limit) if controller is not None else []

    async def check(self) -> Sequence[Finding]:
        return [await self._check_git(), self._check_folder(), self._check_ports(), *self._check_programs()]

    # ------------------------------------------------------------ finding and making applications

    def _find(self, service: str, environment: str) -> ApplicationController | None:
        """Raises TemporaryBackendError when the control loop has ended by a defect: what it knows is old."""
        controller = self._controllers.get(f"{service}-{environment}")
        if controller is None or controller.state.service != service:
            return None
        if not controller.is_supervising:
            raise TemporaryBackendError(
                f"The supervision of {service} in {environment} has stopped.",
                backend=BACKEND,
                fix="Restart the bot; its log says why.",
            )
        return controller

    def _get(self, service: str, environment: str) -> ApplicationController:
        controller = self._find(service, environment)
        if controller is None:
            raise PermanentBackendError(
                f"There is no application for {service} in {environment}.",
                backend=BACKEND,
                kind=BackendErrorKind.NOT_FOUND,
                fix="Create the service first.",
            )
        return controller

    async def _create(self, spec: ApplicationSpec, *, request_id: str) -> ApplicationController:
        await self._releases(self._folder / spec.name).require_readable(spec.repository_url)
        state = new_application(spec, request_id=request_id, port=self._choose_port())
        folder = self._folder / spec.name
        with disk_errors(spec.name):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STATE_FILE, state.model_dump_json(indent=2))
        return await self._control(folder, state)

    async def _control(self, folder: Path, state: ApplicationState) -> ApplicationController:
        controller = ApplicationController(
            folder,
            state,
            releases=self._releases(folder),
            pace=self._settings.pace,
            client=self._client,
            search_path=os.environ.get("PATH", os.defpath),
        )
        try:
            await controller.open()
        except OSError as error:
            # Somebody took the port since it was chosen; the next attempt chooses another.
            raise TemporaryBackendError(f"Port {state.port}: {error.strerror}", backend=BACKEND) from error
        self._controllers[state.name] = controller
        return controller

    def _releases(self, folder: Path) -> Releases:
        return Releases(folder, git=self._git, python=self._settings.python, access=self._access)

    def _choose_port(self) -> int:
        first, last = self._settings.port_range
        kept = {each.state.port for each in self._controllers.values()}
        for port in range(first, last + 1):
            if port not in kept and is_port_free(port):
                return port
        raise TemporaryBackendError(
            f"No port from {first} to {last} is free.",
            backend=BACKEND,
            fix="Widen `port_range` in platform.yml, or remove services nobody needs.",
        )

    async def _refuse(self, controller: ApplicationController, revision: str) -> None:
        """Argo CD's refusals: another operation is under way, or the branch decides."""
        state = controller.state
        if not _REVISION.fullmatch(revision):
            raise PermanentBackendError(
                "A revision is a full commit hash.", backend=BACKEND, kind=BackendErrorKind.INVALID
            )
        if state.current is not None and state.current.revision != revision:
            raise TemporaryBackendError(
                f"Another operation is already in progress: {state.current.revision[:7]} is being deployed.",
                backend=BACKEND,
                kind=BackendErrorKind.NOT_READY,
                retry_after_seconds=self._settings.follow_interval_seconds,
            )
        if state.follows is not None and await self._head(controller) != revision:
            raise PermanentBackendError(
                f"Cannot sync to {revision[:7]}: auto-sync currently set to {state.follows}.",
                backend=BACKEND,
                kind=BackendErrorKind.CONFLICT,
                fix=f"Push to {state.follows}; {state.environment} follows it by itself.",
            )

    # ------------------------------------------------------------ saying how it is

    async def _head(self, controller: ApplicationController) -> str | None:
        branch = controller.state.follows
        return await controller.releases.head(controller.state.repository_url, branch) if branch else None

    async def _health(self, controller: ApplicationController) -> tuple[Health, str]:
        answering = await controller.is_live_healthy()
        return describe_health(
            controller.state,
            answering=answering,
            lost=controller.is_live_lost,
            crash_loop=controller.crash_loop,
        )

    async def _known_head(self, controller: ApplicationController) -> str | None:
        try:
            return await self._head(controller)
        except BackendError:
            # The repository could not be asked; what runs is known all the same.
            return None

    async def _describe(self, controller: ApplicationController) -> Application:
        (health, message), head = await asyncio.gather(self._health(controller), self._known_head(controller))
        # From here on nothing awaits: revision and sync are of one moment.
        state = controller.state
        sync = describe_sync(state, head=head)
        revision = state.live.revision if state.live else None
        taken = [each for each in state.operations if each.phase is Phase.READY and each.revision == revision]
        message = " ".join(each for each in (message, controller.trouble) if each)
        return Application(
            service=state.service,
            environment=state.environment,
            revision=revision,
            health=health,
            sync=sync,
            message=message,
            url=f"http://127.0.0.1:{state.port}/",
            deployed_at=taken[-1].finished_at if taken else None,
            deployed_by=taken[-1].actor if taken else "",
            request_id=state.request_id,
            unhealthy=(f"process: {message}",) if health is Health.DEGRADED else (),
        )

    # ------------------------------------------------------------ check

    async def _check_git(self) -> Finding:
        try:
            version = (await self._git.run("--version")).line
        except BackendError as error:
            return Finding("git", ok=False, detail=error.message, fix=error.fix or "Install git.")
        return Finding("git", ok=True, detail=version)

    def _check_folder(self) -> Finding:
        ok = os.access(self._folder, os.W_OK | os.X_OK)
        fix = "" if ok else "Let the bot's user write there."
        return Finding("runtime folder", ok=ok, detail=str(self._folder), fix=fix)

    def _check_ports(self) -> Finding:
        try:
            return Finding("stable ports", ok=True, detail=f"next free: {self._choose_port()}")
        except TemporaryBackendError as error:
            return Finding("stable ports", ok=False, detail=error.message, fix=error.fix or "")

    def _check_programs(self) -> Sequence[Finding]:
        # Node and Go are only needed for services written in them: their absence is no failure.
        python = shutil.which(self._settings.python)
        fix = "" if python else "Set `python` to an interpreter that exists."
        findings = [Finding("python for services", ok=bool(python), detail=self._settings.python, fix=fix)]
        for name in ("node", "go"):
            path = shutil.which(name)
            detail = path or f"not installed: {name} services cannot run on this machine"
            findings.append(Finding(f"{name} for services", ok=True, detail=detail))
        return findings


def _no_canaries(service: str, environment: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"{service} has no canary in {environment}: a local process takes all of the traffic or none.",
        backend=BACKEND,
        kind=BackendErrorKind.INVALID,
    )


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Delivery]:  # noqa: A001
    """Raises StartError when another process runs this folder, or its state cannot be read."""
    folder = surroundings.state_folder / settings.folder
    with hold_folder(folder, purpose="the local services"):
        git = Git("git", home=folder, deadline_seconds=settings.git_deadline_seconds)
        timeout = httpx.Timeout(settings.health_deadline_seconds)
        # No proxy of the environment stands between us and our own machine.
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            access = Access.of(settings.clone_token, surroundings.secrets)
            delivery = LocalProcesses(folder, settings=settings, git=git, client=client, access=access)
            try:
                await delivery.start()
                yield delivery
            finally:
                await delivery.close()
