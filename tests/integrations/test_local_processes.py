"""The local runtime against real git, real processes and a real kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import local_processes
from integrations._process import DetachedProcess
from integrations.local_processes import LocalProcesses, Settings
from integrations.ports import (
    Application,
    ApplicationSpec,
    Delivery,
    Deployment,
    EntityStore,
    Health,
    Inventory,
    Phase,
    Preview,
    Surroundings,
    SyncStatus,
)

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]

SERVICE = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            print("about to crash", flush=True)
            os._exit(7)
        if self.path == "/env":
            body = json.dumps(dict(os.environ, ENV_PID=str(os.getpid()))).encode()
        else:
            body = os.environ["SERVICE_VERSION"].encode()
        self.send_response(HEALTH if self.path == "/healthz" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

HEALTH = 200
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
BROKEN = 'import sys; print("password=hunter2 no such table: orders"); sys.exit(3)\n'
SICK = SERVICE.replace("HEALTH = 200", "HEALTH = 500")
RUN_FILE = json.dumps({"run": ["{python}", "-S", "service.py"], "health_path": "/healthz"})


class Project:
    """A bare repository and a working copy that pushes to it, as a person's would."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "orders.git"
        self._work = folder / "work"
        self._git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(folder, "clone", "-q", str(self.bare), str(self._work))

    def push(self, source: str = SERVICE, *, run_file: str | None = RUN_FILE) -> str:
        """Commit to main and push; answers the commit's hash."""
        (self._work / "service.py").write_text(source)
        (self._work / ".platform").mkdir(exist_ok=True)
        (self._work / ".platform" / "service.json").unlink(missing_ok=True)
        if run_file is not None:
            (self._work / ".platform" / "service.json").write_text(run_file)
        self._git(self._work, "add", "-A")
        self._git(self._work, "commit", "-q", "--allow-empty", "-m", "change")
        self._git(self._work, "push", "-q", "origin", "HEAD:main")
        return self._git(self._work, "rev-parse", "HEAD")

    @staticmethod
    def _git(folder: Path, *arguments: str) -> str:
        identity = {
            f"GIT_{who}_{what}": "a@example.test"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()


class Machine:
    """A state folder, and the ways to open the runtime on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[subprocess.Popen[str]] = []
        first = random.randrange(20000, 30000, 50)
        self.settings = Settings(
            port_range=(first, first + 49),
            poll_interval_seconds=0.03,
            follow_interval_seconds=0.06,
            health_timeout_seconds=30,
            stop_grace_seconds=3,
            restart_backoff_seconds=0.03,
            stable_after_seconds=3600,
        )

    @property
    def surroundings(self) -> Surroundings:
        nothing = cast("EntityStore", object())
        return Surroundings(state_folder=self.folder, base_folder=self.folder, entities=nothing, secrets={})

    def open(self, **changes: Any) -> AbstractAsyncContextManager[Delivery]:
        return local_processes.open(self.settings.model_copy(update=changes), self.surroundings)

    def state(self, name: str = "orders-staging") -> dict[str, Any]:
        return cast(
            "dict[str, Any]", json.loads((self.folder / "runtime" / name / "application.json").read_text())
        )

    def start_child(self, *, kill_before_effect: int = 0) -> subprocess.Popen[str]:
        """A bot of its own that opens the runtime and says so; for killing.

        With `kill_before_effect` it kills itself before the n-th file it puts in place, process it starts or stops.
        """
        script = textwrap.dedent(
            """
            import asyncio, os, signal, sys
            from pathlib import Path
            from integrations import local_processes
            from integrations.ports import Surroundings

            remaining = int(sys.argv[3])

            def count(event, arguments):
                global remaining
                starts = event == "subprocess.Popen" and arguments[0] == "/bin/sh"
                if starts or event in {"os.rename", "os.killpg"}:
                    remaining -= 1
                    if remaining == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)

            async def main():
                folder = Path(sys.argv[1])
                settings = local_processes.Settings.model_validate_json(sys.argv[2])
                around = Surroundings(state_folder=folder, base_folder=folder, entities=None, secrets={})
                async with local_processes.open(settings, around):
                    print("open", flush=True)
                    await asyncio.Event().wait()

            asyncio.run(main())
            """
        )
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                script,
                str(self.folder),
                self.settings.model_dump_json(),
                str(kill_before_effect),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n" or kill_before_effect
        return child

    def kill_services(self) -> None:
        for lock in self.folder.glob("runtime/*/run/*.lock"):
            process = DetachedProcess(lock.parent, lock.stem)
            if process.is_alive() and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "state")
    yield machine
    for child in machine.children:
        child.kill()
        child.wait()
    machine.kill_services()


@pytest.fixture
async def delivery(machine: Machine) -> AsyncIterator[Delivery]:
    async with machine.open() as delivery:
        yield delivery


def spec(project: Project, *, follows: str | None = None, environment: str = "staging") -> ApplicationSpec:
    return ApplicationSpec(
        service="orders",
        environment=environment,
        team="orders",
        repository_url=str(project.bare),
        golden_path="python-service",
        follows=follows,
    )


async def eventually(probe: Callable[[], Awaitable[T | None]], *, seconds: float = 45) -> T:
    """The first answer that is true, before the deadline."""
    async with asyncio.timeout(seconds):
        while not (answer := await probe()):
            await asyncio.sleep(0.02)
    return answer


async def finished(delivery: Delivery, operation: str, *, environment: str = "staging") -> Deployment:
    async def probe() -> Deployment | None:
        found = await delivery.get_deployment("orders", environment, operation=operation)
        return found if found and found.phase in {Phase.READY, Phase.FAILED} else None

    return await eventually(probe)


async def running(delivery: Delivery, revision: str, *, environment: str = "staging") -> Application:
    async def probe() -> Application | None:
        found = await delivery.get_application("orders", environment)
        return found if found and found.revision == revision and found.health is Health.HEALTHY else None

    return await eventually(probe)


async def deploy(delivery: Delivery, revision: str, operation: str = "op-1") -> Deployment:
    return await delivery.deploy("orders", "staging", revision=revision, operation=operation, actor="Alice")


async def read(url: str, path: str = "") -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url + path)).text


async def pid_of(url: str) -> int:
    return int(json.loads(await read(url, "env"))["ENV_PID"])


def is_running(pid: int) -> bool:
    """Whether the pid is there and not a zombie that nobody reaps in this container."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")


# ---------------------------------------------------------------- deploying


async def test_a_deployed_revision_answers_at_the_stable_url(delivery: Delivery, project: Project) -> None:
    revision = project.push()
    created = await delivery.ensure_application(spec(project), request_id="req-1")
    assert (created.health, created.sync, created.revision) == (Health.MISSING, SyncStatus.UNKNOWN, None)

    started = await deploy(delivery, revision)
    assert started.phase is Phase.PENDING
    done = await finished(delivery, "op-1")

    assert (done.phase, done.health, done.revision) == (Phase.READY, Health.HEALTHY, revision), done.message
    application = await delivery.get_application("orders", "staging")
    assert application is not None
    assert (application.revision, application.health, application.sync) == (
        revision,
        Health.HEALTHY,
        SyncStatus.SYNCED,
    )
    assert (application.deployed_by, application.request_id) == ("Alice", "req-1")
    assert application.url == created.url
    assert await read(application.url) == revision


async def test_a_new_revision_takes_over_at_the_same_url_and_the_old_process_ends(
    delivery: Delivery, project: Project
) -> None:
    first = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, first, "op-1")
    await finished(delivery, "op-1")
    before = await running(delivery, first)
    old_pid = await pid_of(before.url)

    second = project.push(SERVICE + "# changed\n")
    await deploy(delivery, second, "op-2")
    await finished(delivery, "op-2")

    after = await running(delivery, second)
    assert after.url == before.url
    assert await read(after.url) == second

    async def gone() -> bool:
        return not is_running(old_pid)

    await eventually(gone)
    newest, oldest = await delivery.history("orders", "staging")
    assert (newest.revision, newest.deployed_by, newest.healthy) == (second, "Alice", True)
    assert oldest.revision == first


@pytest.mark.parametrize(
    ("source", "reason"),
    [(BROKEN, "exit code 3"), (SICK, "/healthz was not healthy within 1 s")],
    ids=["exits", "never healthy"],
)
async def test_a_broken_revision_fails_and_the_old_one_keeps_running(
    machine: Machine, project: Project, source: str, reason: str
) -> None:
    good = project.push()
    bad = project.push(source)
    async with machine.open(health_timeout_seconds=1.0) as delivery:
        await delivery.ensure_application(spec(project), request_id="req-1")
        await deploy(delivery, good, "op-1")
        await finished(delivery, "op-1")
        before = await running(delivery, good)
        pid = await pid_of(before.url)

        await deploy(delivery, bad, "op-2")
        failed = await finished(delivery, "op-2")

        assert (failed.phase, failed.health) == (Phase.FAILED, Health.DEGRADED)
        assert reason in failed.message
        application = await running(delivery, good)
        assert application.sync is SyncStatus.OUT_OF_SYNC
        assert bad[:7] in application.message
        assert await pid_of(application.url) == pid
        newest = (await delivery.history("orders", "staging"))[0]
        assert (newest.revision, newest.healthy) == (bad, False)


async def test_the_last_words_of_a_failed_revision_are_told_without_its_secrets(
    delivery: Delivery, project: Project, tmp_path: Path
) -> None:
    secret = tmp_path / "DATABASE_URL"
    secret.write_text("postgresql://orders:tiger%40night@127.0.0.1:5432/orders\n")
    bad = project.push('raise SystemExit("password=hunter2 wrong: tiger@night no such table: orders")\n')
    await delivery.ensure_application(replace(spec(project), secrets=(str(secret),)), request_id="req-1")
    await deploy(delivery, bad)
    failed = await finished(delivery, "op-1")
    assert "no such table: orders" in failed.message
    assert "hunter2" not in failed.message
    assert "tiger" not in failed.message


@pytest.mark.parametrize(
    ("run_file", "reason"),
    [
        (None, "has no .platform/service.json"),
        ("{", "the file"),
        ('{"run": []}', "run"),
        ('{"run": ["x"], "health_path": "healthz"}', "health_path"),
    ],
)
async def test_a_revision_that_does_not_say_how_to_run_is_refused_with_the_way_out(
    delivery: Delivery, project: Project, run_file: str | None, reason: str
) -> None:
    revision = project.push(run_file=run_file)
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, revision)
    failed = await finished(delivery, "op-1")
    assert failed.phase is Phase.FAILED
    assert reason in failed.message
    assert '{"run":' in failed.message


async def test_an_unknown_revision_fails_the_deployment(delivery: Delivery, project: Project) -> None:
    project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, "0" * 40)
    failed = await finished(delivery, "op-1")
    assert "on no branch" in failed.message


async def test_an_abbreviated_revision_is_refused(delivery: Delivery, project: Project) -> None:
    revision = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    with pytest.raises(PermanentBackendError) as refused:
        await deploy(delivery, revision[:7])
    assert refused.value.kind is BackendErrorKind.INVALID


async def test_the_same_operation_never_deploys_twice(delivery: Delivery, project: Project) -> None:
    revision = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await asyncio.gather(deploy(delivery, revision), deploy(delivery, revision))
    await finished(delivery, "op-1")
    pid = await pid_of((await running(delivery, revision)).url)

    again = await deploy(delivery, revision)

    assert again.phase is Phase.READY
    assert len(await delivery.history("orders", "staging")) == 1
    assert await pid_of((await running(delivery, revision)).url) == pid
    with pytest.raises(PermanentBackendError) as refused:
        await deploy(delivery, "1" * 40)
    assert refused.value.kind is BackendErrorKind.CONFLICT


async def test_another_revision_waits_while_an_operation_is_in_progress(
    machine: Machine, project: Project
) -> None:
    sick, good = project.push(SICK), project.push()
    async with machine.open(health_timeout_seconds=60.0) as delivery:
        await delivery.ensure_application(spec(project), request_id="req-1")
        await deploy(delivery, sick, "op-1")
        with pytest.raises(TemporaryBackendError) as busy:
            await deploy(delivery, good, "op-2")
        assert "already in progress" in busy.value.message


async def test_a_service_gets_its_own_environment_and_nothing_of_the_bots(
    delivery: Delivery, project: Project, tmp_path: Path
) -> None:
    secret = tmp_path / "DATABASE_URL"
    secret.write_text("postgresql://x\n")
    revision = project.push()
    await delivery.ensure_application(replace(spec(project), secrets=(str(secret),)), request_id="req-1")
    await deploy(delivery, revision)
    await finished(delivery, "op-1")
    environment = json.loads(await read((await running(delivery, revision)).url, "env"))
    # The interpreter and its shell add these by themselves.
    added = {"ENV_PID", "LC_CTYPE", "PWD", "OLDPWD", "_", "SHLVL", "__CF_USER_TEXT_ENCODING"}
    assert set(environment) - added == {
        "PATH",
        "HOME",
        "HOST",
        "PORT",
        "ENVIRONMENT",
        "SERVICE_NAME",
        "SERVICE_VERSION",
        "DATABASE_URL_FILE",
    }
    assert environment["DATABASE_URL_FILE"] == str(secret)
    assert environment["HOST"] == "127.0.0.1"


# ---------------------------------------------------------------- auto-sync


async def test_staging_follows_the_branch_by_itself(delivery: Delivery, project: Project) -> None:
    first = project.push()
    await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    assert (await running(delivery, first)).deployed_by == "auto-sync"
    second = project.push(SERVICE + "# changed\n")
    application = await running(delivery, second)
    assert application.sync is SyncStatus.SYNCED


async def test_a_commit_that_failed_to_sync_is_not_tried_again_until_the_next_one(
    delivery: Delivery, project: Project
) -> None:
    good = project.push()
    await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    await running(delivery, good)
    bad = project.push(BROKEN)

    async def refused() -> bool:
        return any(each.revision == bad for each in await delivery.history("orders", "staging"))

    await eventually(refused)
    better = project.push(SERVICE + "# repaired\n")
    await running(delivery, better)
    tried = [(each.revision, each.healthy) for each in await delivery.history("orders", "staging")]
    assert tried == [(better, True), (bad, False), (good, True)]


async def test_a_following_application_refuses_another_revision_than_the_head(
    delivery: Delivery, project: Project
) -> None:
    old, head = project.push(), project.push(SERVICE + "# changed\n")
    await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    with pytest.raises((PermanentBackendError, TemporaryBackendError)):
        await deploy(delivery, old, "op-old")
    await running(delivery, head)
    with pytest.raises(PermanentBackendError) as refused:
        await deploy(delivery, old, "op-old")
    assert refused.value.kind is BackendErrorKind.CONFLICT
    assert "auto-sync currently set to main" in refused.value.message
    await deploy(delivery, head, "op-head")
    assert (await finished(delivery, "op-head")).phase is Phase.READY


async def test_a_branch_without_a_commit_is_waited_for(delivery: Delivery, project: Project) -> None:
    created = await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    assert (created.health, created.sync) == (Health.MISSING, SyncStatus.UNKNOWN)
    await running(delivery, project.push())


# ---------------------------------------------------------------- supervision


async def test_a_crashed_service_is_started_again(delivery: Delivery, project: Project) -> None:
    revision = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, revision)
    await finished(delivery, "op-1")
    url = (await running(delivery, revision)).url
    pid = await pid_of(url)
    os.kill(pid, signal.SIGKILL)

    async def replaced() -> bool:
        application = await delivery.get_application("orders", "staging")
        assert application is not None
        return application.health is Health.HEALTHY and await pid_of(url) != pid

    await eventually(replaced)


async def test_a_crash_loop_is_degraded_and_says_the_exit_code(delivery: Delivery, project: Project) -> None:
    # It answers until somebody asks for more than its health: every restart comes up, and goes down again.
    revision = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, revision)
    await finished(delivery, "op-1")
    url = (await running(delivery, revision)).url

    async def degraded() -> Application | None:
        with suppress(httpx.HTTPError):
            await read(url, "crash")
        application = await delivery.get_application("orders", "staging")
        return application if application and application.health is Health.DEGRADED else None

    application = await eventually(degraded)
    assert "exit code 7" in application.message
    assert application.unhealthy
    deployment = await delivery.get_deployment("orders", "staging", operation="op-1")
    assert deployment is not None
    assert (deployment.phase, deployment.health) == (Phase.FAILED, Health.DEGRADED)


async def test_an_orderly_close_stops_the_service_and_the_next_open_runs_it_again(
    machine: Machine, project: Project
) -> None:
    revision = project.push()
    async with machine.open() as delivery:
        await delivery.ensure_application(spec(project), request_id="req-1")
        await deploy(delivery, revision)
        await finished(delivery, "op-1")
        url = (await running(delivery, revision)).url
        pid = await pid_of(url)
    assert not is_running(pid)
    async with machine.open() as delivery:
        application = await running(delivery, revision)
        assert application.url == url
        assert len(await delivery.history("orders", "staging")) == 1


async def test_an_operation_under_way_at_an_orderly_close_is_resumed(
    machine: Machine, project: Project
) -> None:
    revision = project.push()
    async with machine.open(poll_interval_seconds=60.0) as delivery:
        await delivery.ensure_application(spec(project), request_id="req-1")
        await deploy(delivery, revision)
    async with machine.open() as delivery:
        assert (await finished(delivery, "op-1")).phase is Phase.READY


async def test_two_bots_on_one_folder_are_refused(machine: Machine) -> None:
    async with machine.open():
        with pytest.raises(StartError) as refused:
            async with machine.open():
                pytest.fail("a second bot opened the folder")
        assert str(os.getpid()) in refused.value.message


async def test_a_service_gets_no_port_that_an_outgoing_connection_could_take_while_it_starts(
    machine: Machine, project: Project, delivery: Delivery
) -> None:
    revision = project.push()
    await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    await running(delivery, revision)
    assert machine.state()["live"]["port"] < 32768, "from there on Linux gives them away"


# ---------------------------------------------------------------- kill -9


@pytest.mark.crash
async def test_after_a_kill_the_running_service_is_adopted_not_started_again(
    machine: Machine, project: Project
) -> None:
    revision = project.push()
    async with machine.open() as delivery:
        await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
    child = machine.start_child()

    async def live() -> int | None:
        instance = machine.state()["live"]
        return int(instance["port"]) if instance else None

    port = await eventually(live)
    pid = await pid_of(f"http://127.0.0.1:{port}/")
    child.kill()
    child.wait()
    assert await pid_of(f"http://127.0.0.1:{port}/") == pid

    async with machine.open() as delivery:
        application = await running(delivery, revision)
        assert await pid_of(application.url) == pid
        assert len(await delivery.history("orders", "staging")) == 1
    assert not is_running(pid)


@pytest.mark.crash
async def test_a_service_that_died_with_a_killed_bot_is_started_again(
    machine: Machine, project: Project
) -> None:
    revision = project.push()
    async with machine.open() as delivery:
        await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
        await running(delivery, revision)
    child = machine.start_child()

    async def alive() -> bool:
        locks = machine.folder.glob("runtime/*/run/*.lock")
        return any(DetachedProcess(lock.parent, lock.stem).is_alive() for lock in locks)

    await eventually(alive)
    child.kill()
    child.wait()
    machine.kill_services()
    async with machine.open() as delivery:
        await running(delivery, revision)


EFFECTS_OF_A_DEPLOYMENT = 12
"""The old one written and started, asked, begun, checked out, candidate written and started, switched, two links, the old one
stopped and forgotten."""


@pytest.mark.crash
@pytest.mark.parametrize("effect", range(1, EFFECTS_OF_A_DEPLOYMENT + 2))
async def test_a_kill_before_any_effect_of_a_deployment_ends_in_one_running_copy(
    machine: Machine, project: Project, effect: int
) -> None:
    first = project.push()
    async with machine.open() as delivery:
        await delivery.ensure_application(spec(project, follows="main"), request_id="req-1")
        await running(delivery, first)
    second = project.push(SERVICE + "# changed\n")
    child = machine.start_child(kill_before_effect=effect)

    async def over() -> bool:
        state = machine.state()
        done = len(state["operations"]) == 2 and state["operations"][-1]["phase"] == "ready"
        return child.poll() is not None or (done and not state["retiring"])

    await eventually(over)
    # One more than there are is the undisturbed run: so none was forgotten.
    assert (child.poll() is not None) == (effect <= EFFECTS_OF_A_DEPLOYMENT)
    child.kill()
    child.wait()
    async with machine.open() as delivery:
        application = await running(delivery, second)
        assert await read(application.url) == second
        operations = [each.revision for each in await delivery.history("orders", "staging")]
        assert operations == [second, first]

        async def alone() -> bool:
            locks = list(machine.folder.glob("runtime/*/run/*.lock"))
            return sum(DetachedProcess(lock.parent, lock.stem).is_alive() for lock in locks) == 1

        await eventually(alone)


# ---------------------------------------------------------------- the contract's marks


async def test_ensuring_twice_changes_nothing_and_a_foreign_request_is_refused(
    delivery: Delivery, project: Project
) -> None:
    first = await delivery.ensure_application(spec(project), request_id="req-1")
    assert await delivery.ensure_application(spec(project), request_id="req-1") == first
    with pytest.raises(PermanentBackendError) as refused:
        await delivery.ensure_application(spec(project), request_id="req-2")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS


async def test_each_application_keeps_a_port_of_its_own(delivery: Delivery, project: Project) -> None:
    staging = await delivery.ensure_application(spec(project), request_id="req-1")
    production = await delivery.ensure_application(
        spec(project, environment="production"), request_id="req-1"
    )
    assert staging.url != production.url
    assert "not running" in await read(staging.url)


async def test_removing_stops_the_service_and_leaves_nothing(
    machine: Machine, delivery: Delivery, project: Project
) -> None:
    revision = project.push()
    await delivery.ensure_application(spec(project), request_id="req-1")
    await deploy(delivery, revision)
    await finished(delivery, "op-1")
    pid = await pid_of((await running(delivery, revision)).url)

    assert isinstance(delivery, Inventory)
    (marked,) = await delivery.list_marked()
    assert (marked.kind, marked.name, marked.environment) == ("application", "orders", "staging")
    assert marked.request_id == "req-1"
    await delivery.remove_application("orders", "staging", request_id="req-other")
    assert is_running(pid)
    await delivery.remove_application("orders", "staging", request_id="req-1")
    await delivery.remove_application("orders", "staging", request_id="req-1")

    assert not is_running(pid)
    assert await delivery.get_application("orders", "staging") is None
    assert [each.name for each in (machine.folder / "runtime").iterdir() if each.is_dir()] == []


@pytest.mark.parametrize("name", ["../evil", "Orders", "", "a" * 64, "-a"])
async def test_a_name_that_is_no_dns_label_never_becomes_a_folder(
    delivery: Delivery, project: Project, name: str
) -> None:
    with pytest.raises(PermanentBackendError) as refused:
        await delivery.ensure_application(replace(spec(project), service=name), request_id="req-1")
    assert refused.value.kind is BackendErrorKind.INVALID


async def test_what_is_not_there_is_none_or_not_found(delivery: Delivery) -> None:
    assert await delivery.get_application("nobody", "staging") is None
    assert await delivery.get_deployment("nobody", "staging", operation="op") is None
    assert await delivery.history("nobody", "staging") == []
    with pytest.raises(PermanentBackendError) as refused:
        await delivery.deploy("nobody", "staging", revision="0" * 40, operation="op", actor="Alice")
    assert refused.value.kind is BackendErrorKind.NOT_FOUND


async def test_check_names_what_works(delivery: Delivery) -> None:
    findings = {each.subject: each for each in await delivery.check()}
    assert isinstance(delivery, LocalProcesses)
    assert all(each.ok for each in findings.values())
    assert findings["git"].detail.startswith("git version")


async def test_a_taken_stable_port_is_replaced_at_the_next_open(machine: Machine, project: Project) -> None:
    async with machine.open() as delivery:
        before = await delivery.ensure_application(spec(project), request_id="req-1")
    port = int(before.url.rsplit(":", 1)[1].strip("/"))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with server, machine.open() as delivery:
        after = await delivery.get_application("orders", "staging")
        assert after is not None
        assert after.url != before.url


async def test_a_state_file_that_cannot_be_read_stops_the_start_and_names_the_file(machine: Machine) -> None:
    path = machine.folder / "runtime" / "orders-staging" / "application.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(StartError) as refused:
        async with machine.open():
            pytest.fail("opened")
    assert str(path) in refused.value.message


# ---------------------------------------------------------------- what one machine does not have


async def test_nobody_admits_and_no_window_is_ever_closed(delivery: Delivery, project: Project) -> None:
    spec = ApplicationSpec("orders", "staging", "orders", "file:///nowhere", "python-service", follows=None)
    assert await delivery.preview(spec, request_id="r1") == Preview()
    assert await delivery.find_closed_window("orders", "staging") is None
    assert await delivery.manifests("orders", "staging", revision="a" * 40) is None


async def test_a_process_takes_all_of_the_traffic_or_none(delivery: Delivery, project: Project) -> None:
    for steer in (delivery.resume, delivery.abort):
        with pytest.raises(PermanentBackendError, match="orders has no canary in staging") as refused:
            await steer("orders", "staging", operation="op-1", step="1/2")
        assert refused.value.kind is BackendErrorKind.INVALID
