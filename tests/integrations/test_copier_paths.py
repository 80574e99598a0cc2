"""Golden paths with real Copier: what is offered, what is rendered, and what a template or a typed answer cannot do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _golden_path as content
from integrations import copier_paths
from integrations._copier_process import CopierProcess
from integrations.ports import Entity, GoldenPaths, RenderedFile, RenderedTree, Surroundings

ROOT = Path(copier_paths.__file__).parent.parent
pytestmark = pytest.mark.asyncio(loop_scope="module")

SHIPPED = ("go-service", "node-service", "python-service")
ANSWERS = {"service_name": "orders", "team": "orders", "description": "Takes orders", "database": "none"}

QUESTIONS = """
_subdirectory: template
service_name: {type: str}
description: {type: str, default: ""}
port: {type: int, default: 8080}
flavour:
  type: str
  help: Which one?
  choices: [sweet, sour]
  default: sweet
verbose: {type: bool, default: false}
greeting: {type: str, default: "Hello from {{ service_name }}"}
ticket:
  type: str
  title: Ticket
  validator: "{% if not ticket.startswith('T-') %}Start with T-.{% endif %}"
slug: {type: str, when: false, default: "{{ service_name | upper }}"}
"""
DESCRIPTION = """
title: Plain
description: A plain one.
language: text
databases: [none]
run: ["{python}", "-m", "http.server"]
health_path: /health
"""
FILES = {
    "out.txt.jinja": "{{ service_name }}|{{ description }}|{{ port + 1 }}|{{ flavour }}|{{ not verbose }}|{{ greeting }}|{{ slug }}",
    "{{ service_name }}/kept.txt": "{{ untouched }}",
}
PLAIN = {"service_name": "orders", "ticket": "T-1"}


class NoEntities:
    async def put_entity(self, entity: Entity) -> None: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
        return []

    async def delete_entity(self, name: str) -> None: ...


def write_golden_path(
    folder: Path,
    *,
    questions: str = QUESTIONS,
    description: str = DESCRIPTION,
    files: Mapping[str, str] = FILES,
) -> Path:
    for name, text in {
        "copier.yml": questions,
        "golden_path.yml": description,
        **{f"template/{name}": text for name, text in files.items()},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@asynccontextmanager
async def opened(base: Path, state: Path, **settings: Any) -> AsyncIterator[copier_paths.CopierPaths]:
    place = Surroundings(state_folder=state, base_folder=base, entities=NoEntities(), secrets={})
    async with copier_paths.open(copier_paths.Settings(**settings), place) as paths:
        yield paths


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CopierProcess]:
    """One warm worker for the module: starting one costs a second."""
    started = CopierProcess(home=tmp_path_factory.mktemp("home"), deadline_seconds=60)
    yield started
    await started.close()


def over(folder: Path, process: CopierProcess, offered: list[str] | None = None) -> copier_paths.CopierPaths:
    work = folder / "var" / "golden_paths"
    work.mkdir(parents=True, exist_ok=True)
    return copier_paths.CopierPaths(folder / "golden_paths", offered, work=work, process=process)


@pytest.fixture
def paths(tmp_path: Path, process: CopierProcess) -> copier_paths.CopierPaths:
    write_golden_path(tmp_path / "golden_paths" / "plain")
    return over(tmp_path, process)


async def render(paths: GoldenPaths, answers: Mapping[str, str], name: str = "plain") -> RenderedTree:
    revision = (await paths.get_golden_path(name)).revision
    return await paths.render(name, revision=revision, answers=answers)


async def refused(kind: BackendErrorKind, call: Any) -> PermanentBackendError:
    with pytest.raises(PermanentBackendError) as caught:
        await call
    assert caught.value.kind is kind
    return caught.value


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- what ships


async def test_the_shipped_golden_paths_are_offered_and_render(tmp_path: Path) -> None:
    async with opened(ROOT, tmp_path) as paths:
        assert isinstance(paths, GoldenPaths)
        listed = await paths.list_golden_paths()
        assert tuple(path.name for path in listed) == SHIPPED
        for path in listed:
            assert len(path.revision) == 64
            assert "none" in path.databases
            assert not {parameter.name for parameter in path.parameters} & content.ANSWERED_BY_PLATFORM
            assert not [parameter.name for parameter in path.parameters if parameter.required]
            tree = await paths.render(path.name, revision=path.revision, answers=ANSWERS)
            again = await paths.render(path.name, revision=path.revision, answers=ANSWERS)
            assert dict(tree) == dict(again), "a plan can be rendered again"
            assert "catalog-info.yaml" in tree
            run = json.loads(tree[".platform/service.json"].content)
            assert (run["golden_path"], run["revision"]) == (path.name, path.revision)
            assert run["health_path"] == path.health_path
            assert run["run"]
            everything = b"".join(file.content for file in tree.values())
            assert str(tmp_path).encode() not in everything
        assert all(finding.ok for finding in await paths.check())


# ---------------------------------------------------------------- what is offered


async def test_a_golden_path_says_what_people_are_asked(paths: copier_paths.CopierPaths) -> None:
    (path,) = await paths.list_golden_paths()
    assert path == await paths.get_golden_path("plain")
    assert (path.title, path.language, path.databases, path.health_path) == (
        "Plain",
        "text",
        ("none",),
        "/health",
    )
    by_name = {parameter.name: parameter for parameter in path.parameters}
    assert list(by_name) == ["flavour", "verbose", "greeting", "ticket"]
    assert by_name["flavour"].choices == ("sweet", "sour")
    assert (by_name["flavour"].description, by_name["flavour"].default) == ("Which one?", "sweet")
    assert (by_name["verbose"].choices, by_name["verbose"].default) == (("true", "false"), "false")
    assert (by_name["greeting"].default, by_name["greeting"].required) == ("", False)
    assert (by_name["ticket"].title, by_name["ticket"].required) == ("Ticket", True)


async def test_only_what_is_offered_can_be_had(tmp_path: Path, process: CopierProcess) -> None:
    for name in ("a", "b", "c"):
        write_golden_path(tmp_path / "golden_paths" / name)
    (tmp_path / "golden_paths" / "notes").mkdir()
    paths = over(tmp_path, process, ["c", "a", "gone"])
    assert [path.name for path in await paths.list_golden_paths()] == ["c", "a"]
    await refused(BackendErrorKind.NOT_FOUND, paths.get_golden_path("b"))
    assert [finding.subject for finding in await paths.check() if not finding.ok] == ["golden path gone"]


@pytest.mark.parametrize(
    "name", ["", "..", "../golden_paths/plain", "plain/", "/etc", "PLAIN", "notes", "a\0b"]
)
async def test_a_name_reaches_no_other_folder(paths: copier_paths.CopierPaths, name: str) -> None:
    error = await refused(BackendErrorKind.NOT_FOUND, paths.get_golden_path(name))
    assert "/platform templates" in error.sentence


async def test_a_missing_program_is_named(tmp_path: Path, process: CopierProcess) -> None:
    needs = DESCRIPTION + "needs: [sh, no-such-program]\n"
    write_golden_path(tmp_path / "golden_paths" / "plain", description=needs)
    paths = over(tmp_path, process)
    assert (await paths.get_golden_path("plain")).missing == ("no-such-program",)


async def test_every_change_of_a_template_is_another_revision(
    paths: copier_paths.CopierPaths, tmp_path: Path
) -> None:
    folder = tmp_path / "golden_paths" / "plain"
    seen = {(await paths.get_golden_path("plain")).revision}
    kept = folder / "template/{{ service_name }}/kept.txt"
    changes: list[Callable[[], object]] = [
        lambda: kept.write_text("changed"),
        lambda: kept.chmod(0o755),
        lambda: kept.rename(kept.with_name("moved.txt")),
        lambda: (folder / "golden_path.yml").write_text(DESCRIPTION + "summary: more\n"),
        lambda: (folder / "template/new").touch(),
    ]
    for number, change in enumerate(changes):
        change()
        seen.add((await paths.get_golden_path("plain")).revision)
        assert len(seen) == number + 2
    (folder / "template/__pycache__").mkdir()
    (folder / "template/__pycache__/x.pyc").touch()
    assert (await paths.get_golden_path("plain")).revision in seen
    assert not [name for name in await render(paths, PLAIN) if "pycache" in name]


async def test_a_revision_no_longer_on_offer_is_a_conflict(
    paths: copier_paths.CopierPaths, tmp_path: Path
) -> None:
    old = (await paths.get_golden_path("plain")).revision
    (tmp_path / "golden_paths/plain/template/out.txt.jinja").write_text("other")
    await refused(BackendErrorKind.CONFLICT, paths.render("plain", revision=old, answers=PLAIN))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"description": "title: x"}, "description"),
        ({"description": "["}, "golden_path.yml"),
        ({"description": "- a"}, "not a mapping"),
        ({"description": DESCRIPTION + "colour: red\n"}, "colour"),
        ({"description": DESCRIPTION.replace("{python}", "{perl}")}, "perl"),
        ({"description": DESCRIPTION.replace("/health", "health")}, "health_path"),
        ({"questions": "service_name: {type: str}"}, "_subdirectory"),
        ({"questions": "_subdirectory: ../other"}, "_subdirectory"),
        ({"questions": QUESTIONS + "_tasks: [touch /tmp/owned]\n"}, "tasks"),
        ({"questions": QUESTIONS + "_jinja_extensions: [os.path]\n"}, "extensions"),
        ({"questions": "!!python/object/apply:os.system [x]"}, "copier.yml"),
    ],
)
async def test_a_broken_template_is_named_and_hides_no_other(
    tmp_path: Path, process: CopierProcess, change: dict[str, str], words: str
) -> None:
    write_golden_path(tmp_path / "golden_paths" / "broken", **change)
    write_golden_path(tmp_path / "golden_paths" / "whole")
    paths = over(tmp_path, process)
    assert [path.name for path in await paths.list_golden_paths()] == ["whole"]
    error = await refused(BackendErrorKind.INVALID, paths.get_golden_path("broken"))
    assert words in error.message
    failed = [finding for finding in await paths.check() if not finding.ok]
    assert [finding.subject for finding in failed] == ["golden path broken"]
    assert failed[0].fix


async def test_a_link_in_a_template_is_refused(paths: copier_paths.CopierPaths, tmp_path: Path) -> None:
    (tmp_path / "golden_paths/plain/template/passwd").symlink_to("/etc/passwd")
    error = await refused(BackendErrorKind.INVALID, paths.get_golden_path("plain"))
    assert "symbolic link" in error.message


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, tmp_path / "var", folder="elsewhere") as paths:
        error = await refused(BackendErrorKind.UNAVAILABLE, paths.list_golden_paths())
        assert "platform.yml" in error.sentence
        assert [finding.ok for finding in await paths.check()] == [True, False]


# ---------------------------------------------------------------- rendering


async def test_answers_become_files(paths: copier_paths.CopierPaths) -> None:
    typed = {**PLAIN, "description": "", "port": "9000", "flavour": "sour", "verbose": "true", "greeting": ""}
    tree = await render(paths, {**typed, "team": "orders", "repository_url": "/x"})
    assert tree["out.txt"].content == b"orders||9001|sour|False|Hello from orders|ORDERS"
    assert tree["orders/kept.txt"].content == b"{{ untouched }}"
    run = json.loads(tree[".platform/service.json"].content)
    assert run["run"] == ["{python}", "-m", "http.server"]
    assert set(run) == {"golden_path", "revision", "run", "health_path"}


async def test_executables_stay_executable(paths: copier_paths.CopierPaths, tmp_path: Path) -> None:
    script = tmp_path / "golden_paths/plain/template/run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    tree = await render(paths, PLAIN)
    assert tree["run.sh"] == RenderedFile(b"#!/bin/sh\n", executable=True)
    assert not tree["out.txt"].executable


@pytest.mark.parametrize(
    "typed",
    ["{{ 7*7 }}", "{% raw %}", "$(id)", "`id`", "<b>&\"'", "ü🚀", "a\nb: c", "\\", "{{ ''.__class__ }}"],
)
async def test_what_people_type_is_never_a_template(paths: copier_paths.CopierPaths, typed: str) -> None:
    tree = await render(paths, {**PLAIN, "description": typed})
    assert tree["out.txt"].content.decode().split("|")[1] == typed


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"service_name": "orders"}, "ticket"),
        ({**PLAIN, "ticket": "X"}, "Start with T-."),
        ({**PLAIN, "flavour": "bitter"}, "flavour"),
        ({**PLAIN, "port": "many"}, "many"),
        ({**PLAIN, "verbose": "maybe"}, "verbose"),
        ({**PLAIN, "colour": "red"}, "colour"),
        ({**PLAIN, "slug": "mine"}, "slug"),
        ({**PLAIN, "service_name": "../../escaped"}, ".."),
        ({**PLAIN, "service_name": "/tmp/escaped"}, "escaped"),
    ],
)
async def test_refused_answers_say_which(
    paths: copier_paths.CopierPaths, tmp_path: Path, answers: dict[str, str], words: str
) -> None:
    error = await refused(BackendErrorKind.INVALID, render(paths, answers))
    assert words in error.message
    assert not list(tmp_path.rglob("escaped"))
    assert [entry.name for entry in (tmp_path / "var/golden_paths").iterdir()] in ([], ["home"])


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{% include '/etc/passwd' %}", "{{ nothing.there }}", "{% broken"],
)
async def test_a_template_that_misbehaves_fails_and_leaves_nothing(
    tmp_path: Path, process: CopierProcess, template: str
) -> None:
    write_golden_path(tmp_path / "golden_paths/plain", files={"x.jinja": template})
    paths = over(tmp_path, process)
    error = await refused(BackendErrorKind.INVALID, render(paths, PLAIN))
    assert "root:" not in error.message
    assert [entry.name for entry in (tmp_path / "var/golden_paths").iterdir()] in ([], ["home"])


async def test_a_template_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    write_golden_path(tmp_path / "golden_paths/plain")
    async with opened(tmp_path, tmp_path / "var") as paths:
        await paths.check()
        process = paths._process
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"xoxb" not in environment
    assert f"HOME={tmp_path}/var/golden_paths/home".encode() in environment


async def test_many_at_once_are_all_rendered(paths: copier_paths.CopierPaths) -> None:
    names = [f"service-{number}" for number in range(12)]
    trees = await asyncio.gather(*(render(paths, {**PLAIN, "service_name": name}) for name in names))
    for name, tree in zip(names, trees, strict=True):
        assert tree["out.txt"].content.startswith(f"{name}|".encode())
        assert f"{name}/kept.txt" in tree


async def test_too_large_a_tree_is_refused(paths: copier_paths.CopierPaths, tmp_path: Path) -> None:
    with (tmp_path / "golden_paths/plain/template/large").open("wb") as large:
        large.truncate(content.TREE_BYTES_LIMIT + 1)
    await refused(BackendErrorKind.INVALID, paths.get_golden_path("plain"))


# ---------------------------------------------------------------- the worker


@pytest.mark.crash
async def test_a_killed_worker_is_replaced_unnoticed(paths: copier_paths.CopierPaths) -> None:
    await render(paths, PLAIN)
    first = paths._process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert "out.txt" in await render(paths, PLAIN)
    assert paths._process.pid not in {None, first}


@pytest.mark.crash
async def test_a_worker_killed_in_the_middle_of_a_job_is_replaced_unnoticed(tmp_path: Path) -> None:
    slow = "{% for i in range(90000) %}{{ i }}{% endfor %}"
    write_golden_path(tmp_path / "golden_paths/plain", files={f"{n}.jinja": slow for n in range(6)})
    async with opened(tmp_path, tmp_path / "var") as paths:
        await paths.check()
        first = paths._process.pid
        assert first is not None
        job = asyncio.create_task(render(paths, PLAIN))
        await until(lambda: any((tmp_path / "var/golden_paths").glob("render-*/result/*")))
        os.kill(first, signal.SIGKILL)
        assert len(await job) == 7


async def test_an_endless_template_ends_at_the_deadline(tmp_path: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    write_golden_path(tmp_path / "golden_paths/endless", files={"x.jinja": loop})
    write_golden_path(tmp_path / "golden_paths/plain")
    async with opened(tmp_path, tmp_path / "var") as paths:
        await paths.check()
        paths._process._deadline_seconds = 0.5
        pid = paths._process.pid
        with pytest.raises(TemporaryBackendError):
            await render(paths, PLAIN, "endless")
        assert not Path(f"/proc/{pid}").exists()
        paths._process._deadline_seconds = 60
        assert "out.txt" in await render(paths, PLAIN)


async def test_a_caller_that_goes_away_takes_its_job_along(tmp_path: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    write_golden_path(tmp_path / "golden_paths/endless", files={"x.jinja": loop})
    async with opened(tmp_path, tmp_path / "var") as paths:
        await paths.check()
        job = asyncio.create_task(render(paths, PLAIN, "endless"))
        await until(lambda: any((tmp_path / "var/golden_paths").glob("render-*/golden_paths")))
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job
        assert [entry.name for entry in (tmp_path / "var/golden_paths").iterdir()] in ([], ["home"])


async def test_a_worn_worker_is_replaced(tmp_path: Path) -> None:
    write_golden_path(tmp_path / "golden_paths/plain")
    (tmp_path / "home").mkdir()
    process = CopierProcess(home=tmp_path / "home", deadline_seconds=60, renders=1)
    paths = copier_paths.CopierPaths(tmp_path / "golden_paths", None, work=tmp_path, process=process)
    pids = set()
    for _ in range(2):
        await render(paths, PLAIN)
        pids.add(process.pid)
    await process.close()
    assert len(pids) == 2
    with pytest.raises(TemporaryBackendError):
        await render(paths, PLAIN)


async def test_stopping_leaves_no_worker(tmp_path: Path) -> None:
    write_golden_path(tmp_path / "golden_paths/plain")
    async with opened(tmp_path, tmp_path / "var") as paths:
        await paths.check()
        pid = paths._process.pid
    assert not Path(f"/proc/{pid}").exists()
    async with opened(tmp_path, tmp_path / "var"):
        pass
