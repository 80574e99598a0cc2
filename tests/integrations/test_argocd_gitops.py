"""ApplicationSet style: entries pushed to a real git server, and a controller of our own that makes Applications of them with the
template that ships."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from argo_world import GOOD, WAYS, ClusterWorld, World, deployed, open_cluster_world, open_world, wish
from git_server import TOKEN, GitServer, open_git_server
from kube import Server

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import _argocd_entries as entries
from integrations._argocd_cluster import APPLICATION_SET
from integrations._argocd_gitops import GitopsRepository, Remote
from integrations._argocd_makers import open_repository
from integrations.argocd import ArgoCD, Settings
from integrations.ports import ApplicationSpec, Health, Phase, Surroundings

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "argocd" / "applicationset.yaml"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitServer]:
    folder = tmp_path / "hub"
    folder.mkdir()
    async with open_git_server(folder) as server:
        yield server


def repository_of(hub: GitServer, folder: Path, token: str = TOKEN) -> GitopsRepository:
    remote = Remote(hub.url, "main", "x-access-token", token)
    return GitopsRepository(remote, folder=folder, deadline_seconds=20)


@pytest.fixture
def repository(hub: GitServer, tmp_path: Path) -> GitopsRepository:
    return repository_of(hub, tmp_path / "state")


def line(text: str) -> Any:
    """An edit that adds a line once."""

    def edit(content: bytes | None) -> bytes | None:
        known = (content or b"").decode()
        return content if f"{text}\n" in known else f"{known}{text}\n".encode()

    return edit


# ---------------------------------------------------------------- one file of a repository


async def test_an_empty_repository_gets_its_first_commit(
    hub: GitServer, repository: GitopsRepository
) -> None:
    assert await repository.read("a/b.txt") is None
    assert await repository.change("a/b.txt", line("one"), message="First\n\nRequest-Id: r1\n")
    assert hub.read("a/b.txt") == "one"
    assert hub.messages()[0].startswith("First\n\nRequest-Id: r1")
    assert await repository.read("a/b.txt") == b"one\n"


async def test_what_else_is_there_stays(hub: GitServer, repository: GitopsRepository) -> None:
    hub.put("README.md", "hello")
    hub.put("a/c.txt", "kept")
    await repository.change("a/b.txt", line("one"), message="Add")
    assert hub.paths() == ["README.md", "a/b.txt", "a/c.txt"]
    assert len(hub.messages()) == 3


async def test_a_change_that_changes_nothing_pushes_nothing(
    hub: GitServer, repository: GitopsRepository
) -> None:
    await repository.change("a.txt", line("one"), message="Add")
    assert not await repository.change("a.txt", line("one"), message="Add")
    assert hub.pushes == 1


async def test_a_file_that_is_taken_out_goes(hub: GitServer, repository: GitopsRepository) -> None:
    hub.put("kept.txt", "kept")
    await repository.change("a.txt", line("one"), message="Add")
    await repository.change("a.txt", lambda _: None, message="Remove")
    assert hub.paths() == ["kept.txt"]


async def test_who_was_faster_is_not_overwritten(hub: GitServer, repository: GitopsRepository) -> None:
    hub.put("a.txt", "zero")
    faster = iter(["first", "second"])

    def somebody() -> None:
        if (text := next(faster, None)) is not None:
            hub.put("a.txt", f"{hub.read('a.txt')}\n{text}\n")

    hub.before_push = somebody
    await repository.change("a.txt", line("ours"), message="Add")
    assert hub.read("a.txt") == "zero\nfirst\nsecond\nours"


async def test_ten_who_change_one_file_at_once_all_come_through(hub: GitServer, tmp_path: Path) -> None:
    """Two replicas, each with its own folder; within one, changes take turns."""
    replicas = [repository_of(hub, tmp_path / name) for name in ("one", "two")]
    await asyncio.gather(
        *(replicas[number % 2].change("a.txt", line(f"{number}"), message="Add") for number in range(10))
    )
    assert sorted((hub.read("a.txt") or "").splitlines()) == [str(number) for number in range(10)]


async def test_a_push_whose_answer_was_lost_is_not_made_twice(
    hub: GitServer, repository: GitopsRepository
) -> None:
    hub.lose = True
    with pytest.raises(TemporaryBackendError):
        await repository.change("a.txt", line("one"), message="Add")
    assert not await repository.change("a.txt", line("one"), message="Add")
    assert len(hub.messages()) == 1


async def test_a_token_that_is_refused_is_said_and_not_shown(hub: GitServer, tmp_path: Path) -> None:
    repository = repository_of(hub, tmp_path / "state", token="wrong-token-9")
    with pytest.raises(PermanentBackendError) as refused:
        await repository.read("a.txt")
    assert refused.value.kind is BackendErrorKind.DENIED
    assert "wrong-token-9" not in refused.value.sentence
    finding = await repository.check()
    assert (finding.ok, finding.fix) == (False, refused.value.fix)
    written = b"".join(each.read_bytes() for each in (tmp_path / "state").rglob("*") if each.is_file())
    assert b"wrong-token-9" not in written


async def test_a_protected_branch_says_why(hub: GitServer, repository: GitopsRepository) -> None:
    hub.refuse_pushes("main takes merge requests only")
    with pytest.raises(PermanentBackendError, match="main takes merge requests only") as refused:
        await repository.change("a.txt", line("one"), message="Add")
    assert refused.value.kind is BackendErrorKind.DENIED


async def test_a_repository_that_is_away_is_asked_again_later(hub: GitServer, tmp_path: Path) -> None:
    hub.url = "http://127.0.0.1:9/gitops.git"
    with pytest.raises(TemporaryBackendError) as failed:
        await repository_of(hub, tmp_path / "state").read("a.txt")
    assert failed.value.kind is BackendErrorKind.UNAVAILABLE


async def test_check_reads_and_asks_for_the_right_to_push(
    hub: GitServer, repository: GitopsRepository
) -> None:
    hub.put("README.md", "hello")
    finding = await repository.check()
    assert (finding.ok, finding.detail) == (True, f"{hub.url}, branch main")
    assert len(hub.messages()) == 1


# ---------------------------------------------------------------- entries


def entry(environment: str = "production", request_id: str = "req0", **more: Any) -> dict[str, Any]:
    known = {"managedBy": "platform-bot", "requestId": request_id, "service": "orders"}
    return {**known, "environment": environment, "automated": False, "targetRevision": "release", **more}


def test_an_entry_is_added_replaced_and_taken_out_by_its_own_request_only() -> None:
    staging = entry("staging", automated=True)
    both = entries.with_entry(entries.with_entry([], entry()), staging)
    assert both == [entry(), staging]
    assert entries.with_entry(both, entry()) == both
    with pytest.raises(PermanentBackendError, match="already, and not of this request"):
        entries.with_entry(both, entry(request_id="req9"))
    assert entries.without_entry(both, "production", "req9") == both
    assert entries.without_entry(both, "production", "req0") == [staging]
    assert entries.text_of([]) is None


def test_what_an_entry_compares_with_stays_as_it_was_first_written() -> None:
    assert entries.with_entry([entry()], entry(targetRevision=GOOD)) == [entry()]
    following = entry(automated=True, targetRevision="main")
    moved = {**following, "targetRevision": "trunk"}
    assert entries.with_entry([following], moved) == [moved]


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"no json", b'[{"service": "orders"}]', b"\xff"])
def test_a_file_that_is_not_the_bots_is_left_alone(content: bytes) -> None:
    with pytest.raises(PermanentBackendError, match="was not written by the bot") as refused:
        entries.parse(content, "services/orders/config.json")
    assert refused.value.kind is BackendErrorKind.CONFLICT


# ---------------------------------------------------------------- generated Applications


def _render(text: str, values: dict[str, Any]) -> str:
    """As much of Go's templates as the shipped file uses; a key that is missing is an error, as it asks for."""
    conditional = re.compile(r"\{\{- if \.(\w+) \}\}(.*?)\{\{- end \}\}", re.DOTALL)
    text = conditional.sub(lambda found: found[2] if values[found[1]] else "", text)
    text = re.sub(r"\{\{ toJson \.(\w+) \}\}", lambda found: json.dumps(values[found[1]]), text)
    return re.sub(
        r"\{\{ \.(\w+) \}\}",
        lambda found: json.dumps(values[found[1]]).strip('"'),
        text,
    )


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    """The Application that the shipped ApplicationSet makes of an entry."""
    spec = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["spec"]
    made: dict[str, Any] = yaml.safe_load(_render(yaml.safe_dump(spec["template"]), values))
    patch = yaml.safe_load(_render(spec["templatePatch"], values))
    made["spec"]["syncPolicy"] = patch["spec"]["syncPolicy"]
    made["metadata"]["namespace"] = "argocd"
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **made}


class Generation:
    """The ApplicationSet controller: what is in the repository, is there; what left it, goes."""

    def __init__(self, world: World, hub: GitServer, folder: Path) -> None:
        self._world, self._hub = world, hub
        repository = repository_of(hub, folder)
        self.delivery: ArgoCD = world.reopen(
            repository=repository, style="applicationset", gitops_repository=hub.url
        )
        world.delivery = self.delivery

    @property
    def path(self) -> str:
        return f"services/{self._world.service}/config.json"

    def wanted(self) -> dict[str, dict[str, Any]]:
        listed = json.loads(self._hub.read(self.path) or "[]")
        return {one["environment"]: rendered(one) for one in listed}

    async def reconcile(self) -> None:
        wanted = self.wanted()
        for environment in ("staging", "production"):
            found = await self._world.read(environment)
            if environment in wanted and found is None:
                await self._world.edit(environment, wanted[environment])
            elif environment not in wanted and found is not None:
                await self._world.drop(environment)

    async def ensure(self, spec: ApplicationSpec, request_id: str = "req0") -> None:
        with pytest.raises(
            TemporaryBackendError, match="Waiting for the ApplicationSet platform-bot to generate"
        ):
            await self.delivery.ensure_application(spec, request_id=request_id)
        await self.reconcile()
        await self.delivery.ensure_application(spec, request_id=request_id)


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(request) as world:
        yield world


@pytest.fixture
def generation(world: World, hub: GitServer, tmp_path: Path) -> Generation:
    return Generation(world, hub, tmp_path / "state")


async def test_a_service_is_generated_from_its_entry_and_deployed_as_any_other(
    world: World, generation: Generation, hub: GitServer
) -> None:
    await generation.ensure(wish(world))
    found = await world.read("production")
    assert found is not None
    assert found["metadata"]["annotations"]["platform-bot/request-id"] == "req0"
    assert found["spec"]["source"]["targetRevision"] == "release"
    assert found["spec"]["syncPolicy"] == {"syncOptions": ["CreateNamespace=true"]}
    outcome = await deployed(world)
    assert outcome.phase is Phase.READY
    # Asking again neither pushes nor moves what was deployed.
    pushes = hub.pushes
    again = await generation.delivery.ensure_application(wish(world), request_id="req0")
    assert (again.revision, again.health, hub.pushes) == (GOOD, Health.HEALTHY, pushes)
    assert hub.messages()[0].startswith(f"{world.service}: deploy to production\n\nRequest-Id: req0")


async def test_each_environment_has_its_entry(world: World, generation: Generation) -> None:
    await generation.ensure(wish(world))
    await generation.ensure(wish(world, "staging", "main"), "req1")
    wanted = generation.wanted()
    assert sorted(wanted) == ["production", "staging"]
    assert wanted["staging"]["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert wanted["staging"]["spec"]["source"]["targetRevision"] == "main"


async def test_a_name_that_is_taken_is_refused_before_anything_is_pushed(
    world: World, generation: Generation, hub: GitServer
) -> None:
    await generation.ensure(wish(world))
    pushes = hub.pushes
    with pytest.raises(PermanentBackendError) as refused:
        await generation.delivery.ensure_application(wish(world), request_id="req9")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert hub.pushes == pushes


async def test_an_entry_of_another_request_is_not_adopted_though_nothing_is_generated_yet(
    world: World, generation: Generation
) -> None:
    with pytest.raises(TemporaryBackendError):
        await generation.delivery.ensure_application(wish(world), request_id="req0")
    with pytest.raises(PermanentBackendError) as refused:
        await generation.delivery.ensure_application(wish(world), request_id="req9")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS


async def test_undoing_takes_the_entry_out_and_waits_until_it_is_gone(
    world: World, generation: Generation, hub: GitServer
) -> None:
    await generation.ensure(wish(world))
    await generation.ensure(wish(world, "staging", "main"), "req1")
    leave = generation.delivery.remove_application
    await leave(world.service, "production", request_id="req9")
    assert sorted(generation.wanted()) == ["production", "staging"]
    with pytest.raises(TemporaryBackendError, match="Waiting for the ApplicationSet platform-bot to remove"):
        await leave(world.service, "production", request_id="req0")
    await generation.reconcile()
    await leave(world.service, "production", request_id="req0")
    assert sorted(generation.wanted()) == ["staging"]
    await generation.reconcile()
    with pytest.raises(TemporaryBackendError):
        await leave(world.service, "staging", request_id="req1")
    assert hub.paths() == []


async def test_an_undo_before_anything_was_generated_leaves_nothing(
    world: World, generation: Generation
) -> None:
    with pytest.raises(TemporaryBackendError):
        await generation.delivery.ensure_application(wish(world), request_id="req0")
    await generation.delivery.remove_application(world.service, "production", request_id="req0")
    await generation.reconcile()
    assert await world.read("production") is None


async def test_a_generator_in_trouble_is_named_while_waiting(world: World, generation: Generation) -> None:
    with pytest.raises(TemporaryBackendError, match="there is no ApplicationSet platform-bot"):
        await generation.delivery.ensure_application(wish(world), request_id="req0")


async def test_the_shipped_template_is_one_and_its_trouble_is_told(
    server: Server, tmp_path: Path, hub: GitServer
) -> None:
    """Taken by a real API server with the vendor's schema."""
    shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    async with server.admin() as admin, open_cluster_world(server, admin) as world:
        name = f"platform-bot-{world.service}"
        await admin.apply({**shipped, "metadata": {"name": name, "namespace": "argocd"}})
        delivery = _generated(world, hub, tmp_path, applicationset=name)
        subjects = {one.subject: one for one in await delivery.check()}
        assert subjects[f"ApplicationSet {name}"].ok
        said = {
            "type": "ErrorOccurred",
            "status": "True",
            "reason": "x",
            "message": "authentication required",
        }
        await admin.set_status(
            APPLICATION_SET, name, {"conditions": [{**said, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            namespace="argocd",
        )  # fmt: skip
        subjects = {one.subject: one for one in await delivery.check()}
        assert subjects[f"ApplicationSet {name}"].detail == "authentication required"
        with pytest.raises(TemporaryBackendError, match="It says: authentication required"):
            await delivery.ensure_application(wish(world), request_id="req0")


def _generated(world: ClusterWorld, hub: GitServer, folder: Path, **settings: Any) -> ArgoCD:
    repository = repository_of(hub, folder / "state")
    return world.reopen(repository=repository, style="applicationset", gitops_repository=hub.url, **settings)


# ---------------------------------------------------------------- opening it


def test_the_token_is_asked_for_by_name(tmp_path: Path) -> None:
    settings = Settings(style="applicationset", gitops_repository="https://git.test/gitops.git")
    nothing = Surroundings(tmp_path, tmp_path, None, {})  # type: ignore[arg-type]
    with (
        pytest.raises(StartError, match="token of the GitOps repository") as refused,
        open_repository(settings, nothing),
    ):
        pass
    assert "GITOPS_TOKEN" in refused.value.sentence
    with open_repository(Settings(), nothing) as opened:
        assert opened is None
    given = Surroundings(tmp_path, tmp_path, None, {"GITOPS_TOKEN": "x"})  # type: ignore[arg-type]
    with open_repository(settings, given) as opened:
        assert isinstance(opened, GitopsRepository)


@pytest.mark.parametrize(
    "address", ["ssh://git@git.test/x", "https://me:secret@git.test/x", "http://git.test/x"]
)
def test_an_address_that_would_show_the_token_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="gitops_repository"):
        Settings(style="applicationset", gitops_repository=address)


def test_the_style_needs_its_repository() -> None:
    with pytest.raises(ValueError, match="needs gitops_repository"):
        Settings(style="applicationset")
