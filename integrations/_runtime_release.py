"""Revisions on disk: what a branch points to, and a commit checked out into `releases/<sha>`.

Objects come over git's own protocol into a bare copy of the application's repository, so a path and a URL work alike.
Knows git and folders; starts no service. A token for private repositories reaches git by its environment and nothing else: not by a
command line, not by a file.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations._files import sync_folder
from integrations._git import Git, clean_environment

BACKEND: Final = "local runtime"
RUN_FILE: Final = ".platform/service.json"
_PROGRAMS: Final = ("node", "go")
_DENIED: Final = re.compile(
    r"could not read (?:Username|Password)|Authentication failed|returned error: 403|Repository not found|"
    r"repository '[^']*' not found"
)
"""A code host says of a private repository that there is none."""


class RunFile(BaseModel):
    """`.platform/service.json`: how a service says it wants to be run. Other keys are for other readers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: tuple[str, ...] = Field(min_length=1)
    health_path: str | None = Field(default=None, pattern=r"^/\S*$")


@dataclass(frozen=True)
class Release:
    revision: str
    folder: Path
    argv: tuple[str, ...]
    health_path: str | None
    programs: tuple[str, ...]
    """Placeholders that `argv` used."""


@dataclass(frozen=True)
class Access:
    """How a code host is asked. `variable` names what a person sets, `token` is what it held; empty: nobody in particular."""

    variable: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, variable: str, known: Mapping[str, str]) -> Access:
        """Raises StartError where the variable that is named holds nothing."""
        token = known.get(variable, "").strip()
        if variable and not token:
            raise StartError(
                f"The local runtime's `clone_token` names {variable}, which holds nothing.",
                fix=f"Set {variable}, or {variable}_FILE to a file that holds the token.",
            )
        return cls(variable, token)

    def environment(self, repository_url: str, home: Path) -> dict[str, str]:
        """On top of the clean environment of every git. Bound to the address: no other host is shown the token."""
        parts = urlsplit(repository_url)
        if not self.token or parts.scheme not in {"http", "https"}:
            return {}
        number = int(clean_environment(home, "")["GIT_CONFIG_COUNT"])
        # Forges look at the password only, and GitHub wants some name with it.
        proof = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
            f"GIT_CONFIG_VALUE_{number}": f"Authorization: Basic {proof}",
        }

    def refusal(self, said: str) -> PermanentBackendError:
        fix = (
            f"Check the token in {self.variable}: it must be allowed to read the service's repository."
            if self.token
            else "Set `clone_token` in the delivery section of platform.yml to the name of a variable with a token that may "
            "read the repositories."
        )
        return PermanentBackendError(
            f"The repository may not be read: {said}", backend=BACKEND, kind=BackendErrorKind.DENIED, fix=fix
        )


def parse_run_file(text: str, *, revision: str) -> RunFile:
    """Raises PermanentBackendError(INVALID) that names the file and the key."""
    try:
        return RunFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"]) or "the file"
        raise _invalid(f"{RUN_FILE} of {revision[:7]}: {where}: {first['msg']}.") from error


def parse_argv(run: tuple[str, ...], programs: Mapping[str, str | None]) -> tuple[str, ...]:
    """Put programs in the place of {python}, {node}, {go}. Raises PermanentBackendError(INVALID) for a missing one."""
    argv = []
    for word in run:
        for name, path in programs.items():
            if f"{{{name}}}" not in word:
                continue
            if path is None:
                raise _invalid(f"This service runs with {name}, which is not installed on this machine.")
            word = word.replace(f"{{{name}}}", path)  # noqa: PLW2901
        argv.append(word)
    return tuple(argv)


def parse_head(output: str) -> str | None:
    """The hash in the answer of `git ls-remote`; None for a branch without a commit."""
    return output.split()[0] if output.strip() else None


def _invalid(message: str) -> PermanentBackendError:
    return PermanentBackendError(
        message,
        backend=BACKEND,
        kind=BackendErrorKind.INVALID,
        fix=f'A service that runs here has a {RUN_FILE} such as {{"run": ["{{python}}", "-m", "service"]}}.',
    )


@contextlib.asynccontextmanager
async def _reading(access: Access) -> AsyncIterator[None]:
    """A repository that cannot be read now may be readable in a minute: git does not tell the two apart, but for a refusal."""
    try:
        yield
    except PermanentBackendError as error:
        if _DENIED.search(error.message):
            raise access.refusal(error.message) from error
        raise TemporaryBackendError(
            f"The repository could not be read: {error.message}", backend=BACKEND
        ) from error


class Releases:
    """The releases of one application. `folder` is the application's own."""

    def __init__(self, folder: Path, *, git: Git, python: str, access: Access | None = None) -> None:
        self._folder = folder
        self._access = access or Access()
        self._source = folder / "source.git"
        self._releases = folder / "releases"
        self._git = git
        self._programs = {
            "python": python or sys.executable,
            **{each: shutil.which(each) for each in _PROGRAMS},
        }

    async def head(self, repository_url: str, branch: str) -> str | None:
        """Raises TemporaryBackendError while the repository cannot be read, PermanentBackendError(DENIED) where it may not be."""
        return parse_head(await self._look(repository_url, f"refs/heads/{branch}"))

    async def require_readable(self, repository_url: str) -> None:
        """Raises BackendError. Asked only of another machine: what lies on this one is found by its path."""
        if "://" in repository_url:
            await self._look(repository_url, "HEAD")

    async def _look(self, repository_url: str, ref: str) -> str:
        place = self._access.environment(repository_url, self._folder)
        async with _reading(self._access):
            result = await self._git.run("ls-remote", "--", repository_url, ref, environment=place)
        return result.line

    async def checkout(self, repository_url: str, revision: str) -> Release:
        """Find or make `releases/<revision>`. Raises PermanentBackendError: NOT_FOUND, INVALID."""
        folder = self._releases / revision
        if not folder.is_dir():
            await self._fetch(repository_url, revision)
            await self._materialise(revision, folder)
        run_file = await asyncio.to_thread(_read_run_file, folder)
        if run_file is None:
            raise _invalid(f"Revision {revision[:7]} has no {RUN_FILE}, so nothing says how to run it.")
        parsed = parse_run_file(run_file, revision=revision)
        return Release(
            revision=revision,
            folder=folder,
            argv=parse_argv(parsed.run, self._programs),
            health_path=parsed.health_path,
            programs=tuple(
                each for each in self._programs if any(f"{{{each}}}" in word for word in parsed.run)
            ),
        )

    async def prune(self, keep: Collection[str]) -> None:
        """Remove what no longer runs, and what a kill left half made."""
        await asyncio.to_thread(_remove_others, self._releases, frozenset(keep))
        for leftover in self._source.parent.glob(".source-*"):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)

    async def _fetch(self, repository_url: str, revision: str) -> None:
        if not self._source.is_dir():
            # Made aside and renamed: half a repository would be none for ever.
            fresh = self._source.with_name(f".source-{secrets.token_hex(8)}")
            await self._git.run("init", "--quiet", "--bare", "--template=", str(fresh))
            fresh.rename(self._source)
        if await self._has_all_of(revision):
            return
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        fetch = ("fetch", "--quiet", "--prune", "--no-write-fetch-head", "--", repository_url, *refs)
        place = self._access.environment(repository_url, self._folder)
        async with _reading(self._access):
            await self._git.run(*fetch, repository=self._source, environment=place)
        if not await self._has_all_of(revision):
            raise PermanentBackendError(
                f"Revision {revision[:7]} is on no branch and no tag of the repository.",
                backend=BACKEND,
                kind=BackendErrorKind.NOT_FOUND,
                fix="Push it first, or deploy a revision that is there.",
            )

    async def _has_all_of(self, revision: str) -> bool:
        """Whether its files are there too: of a fetch that was killed the commit may be all that arrived."""
        walk = ("rev-list", "--objects", "--quiet", "--no-walk", "--end-of-options", f"{revision}^{{commit}}")
        result = await self._git.run(*walk, repository=self._source, accept=frozenset({0, 1, 128}))
        return result.code == 0

    async def _materialise(self, revision: str, folder: Path) -> None:
        # A name of its own: a git that outlived a killed bot may still be writing into the last attempt's.
        attempt = self._releases / f".{secrets.token_hex(8)}"
        tree = attempt / "tree"
        await asyncio.to_thread(tree.mkdir, parents=True)
        place = {"GIT_INDEX_FILE": str(attempt / "index"), "GIT_WORK_TREE": str(tree)}
        await self._git.run("read-tree", revision, repository=self._source, environment=place)
        await self._git.run("checkout-index", "--all", repository=self._source, environment=place)
        tree.rename(folder)
        sync_folder(self._releases)
        await asyncio.to_thread(shutil.rmtree, attempt, ignore_errors=True)


def _read_run_file(folder: Path) -> str | None:
    path = folder / RUN_FILE
    # A link could point at any file of this machine, whose content would then stand in an error message.
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _remove_others(releases: Path, keep: frozenset[str]) -> None:
    if releases.is_dir():
        for folder in releases.iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
