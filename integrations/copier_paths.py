"""Golden paths from a folder of Copier templates.

A revision is the hash of a template's whole content, and rendering works on a copy with exactly that hash: what a plan was
approved with is what is rendered, or nothing is. Copier itself runs in a process of its own, see `_copier_process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendError, BackendErrorKind, PlatformError, TemporaryBackendError
from integrations import _golden_path as content
from integrations._copier_process import BACKEND, CopierProcess
from integrations.ports import Finding, GoldenPath, RenderedTree, Surroundings

PORT: Final = "golden_paths"


class Settings(BaseModel):
    """The `golden_paths` section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(
        default="golden_paths", min_length=1, description="Folder of the templates, relative to platform.yml."
    )
    offered: list[str] | None = Field(
        default=None, description="Names on offer, in this order; all when left out."
    )
    deadline_seconds: float = Field(
        default=60.0, gt=0, le=600, description="Longest time to render one template."
    )


@dataclass(frozen=True)
class _Loaded:
    """One template as it lies on disk; `state` tells cheaply whether it still does."""

    state: content.Snapshot
    files: RenderedTree
    path: GoldenPath
    described: content.Description
    questions: dict[str, dict[str, Any]]

    def as_seen_here(self) -> GoldenPath:
        """What is installed changes while the files do not."""
        missing = (program for program in self.described.needs if shutil.which(program) is None)
        return replace(self.path, missing=tuple(missing))


class CopierPaths:
    """Implements `integrations.ports.GoldenPaths`."""

    def __init__(
        self, folder: Path, offered: Sequence[str] | None, *, work: Path, process: CopierProcess
    ) -> None:
        self._folder = folder
        self._offered = offered
        self._work = work
        self._process = process
        self._loaded: dict[str, _Loaded] = {}

    async def check(self) -> Sequence[Finding]:
        findings = []
        try:
            version = await self._process.warm_up()
            findings.append(Finding("renderer", ok=True, detail=f"Copier {version}"))
            names = await asyncio.to_thread(self._names)
        except BackendError as error:
            return [*findings, Finding("golden paths", ok=False, detail=error.message, fix=error.fix or "")]
        for name in names:
            subject = f"golden path {name}"
            try:
                path = await self.get_golden_path(name)
            except BackendError as error:
                fix = error.fix or f"Correct the files in {self._folder / name}."
                findings.append(Finding(subject, ok=False, detail=error.message, fix=fix))
            else:
                lacks = f"; cannot run here without {', '.join(path.missing)}" if path.missing else ""
                findings.append(Finding(subject, ok=True, detail=f"revision {path.revision[:12]}{lacks}"))
        return findings

    async def list_golden_paths(self) -> Sequence[GoldenPath]:
        """One broken template does not hide the others: it is left out here, and `check` says why."""
        return await asyncio.to_thread(self._list)

    async def get_golden_path(self, name: str) -> GoldenPath:
        return (await asyncio.to_thread(self._load, name)).as_seen_here()

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        loaded = await asyncio.to_thread(self._load, name)
        if loaded.path.revision != revision:
            message = f"The golden path {name} has changed since revision {revision[:12]}."
            raise content.refuse(
                message, BackendErrorKind.CONFLICT, "Ask again; the new plan shows the new revision."
            )
        given = content.parse_answers(answers, loaded.questions, name)
        with _translated():
            folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="render-", dir=self._work))
            try:
                source = f"golden_paths/{name}"
                await asyncio.to_thread(content.write_files, loaded.files, folder / source)
                job = {"folder": str(folder), "source": source, "answers": given}
                _raise_if_refused(await self._process.run(job), name)
                rendered = await asyncio.to_thread(content.read_files, folder / "result")
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return {**rendered, content.RUN_FILE: content.run_file(loaded.path, loaded.described)}

    # ------------------------------------------------------------ the folder; synchronous, called in threads

    def _names(self) -> list[str]:
        with _translated():
            found = sorted(
                entry.name
                for entry in self._folder.iterdir()
                if content.is_name(entry.name) and (entry / content.DESCRIPTION).is_file()
            )
        return found if self._offered is None else list(self._offered)

    def _list(self) -> list[GoldenPath]:
        paths = []
        for name in self._names():
            with contextlib.suppress(PlatformError):
                paths.append(self._load(name).as_seen_here())
        return paths

    def _load(self, name: str) -> _Loaded:
        folder = self._folder / name
        offered = content.is_name(name) and (self._offered is None or name in self._offered)
        if not offered or not (folder / content.DESCRIPTION).is_file():
            raise content.refuse(
                f"There is no golden path named {name!r}.",
                BackendErrorKind.NOT_FOUND,
                "`/platform templates` lists what is on offer.",
            )
        with _translated():
            state = content.snapshot(folder)
            known = self._loaded.get(name)
            if known is not None and known.state == state:
                return known
            files = content.read_files(folder)
        path, described, questions = content.parse_golden_path(name, files)
        self._loaded[name] = loaded = _Loaded(state, files, path, described, questions)
        return loaded


def _raise_if_refused(answer: Mapping[str, Any], name: str) -> None:
    if "refused" in answer:
        raise content.refuse(str(answer["refused"]))
    if "failed" in answer:
        raise content.refuse(
            f"{name}: {answer['failed']}", fix="Ask the owners of the golden path to correct it."
        )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        fix = "Set `golden_paths.folder` in platform.yml to the folder of the templates."
        raise content.refuse(f"{error.filename} is not there.", BackendErrorKind.UNAVAILABLE, fix) from error
    except OSError as error:
        raise TemporaryBackendError(f"{error.strerror}: {error.filename}", backend=BACKEND) from error


def _prepare(work: Path) -> Path:
    """An empty home and an empty place to work: whatever a killed process left there is gone."""
    shutil.rmtree(work, ignore_errors=True)
    home = work / "home"
    home.mkdir(parents=True)
    return home


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[CopierPaths]:  # noqa: A001 - the port's word
    folder = (surroundings.base_folder / settings.folder).resolve()
    work = surroundings.state_folder.resolve() / "golden_paths"
    with _translated():
        home = await asyncio.to_thread(_prepare, work)
    process = CopierProcess(home=home, deadline_seconds=settings.deadline_seconds)
    # Importing Copier takes seconds; they pass while the bot starts, not while somebody waits for a service.
    warming = asyncio.create_task(process.warm_up())
    # What goes wrong here is met again, and told, by `check` or by the first render.
    warming.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        yield CopierPaths(folder, settings.offered, work=work, process=process)
    finally:
        warming.cancel()
        with contextlib.suppress(asyncio.CancelledError, BackendError):
            await warming
        await process.close()
