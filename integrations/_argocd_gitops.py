"""One file of a GitOps repository, read and changed over git's smart HTTP, with the `git` of the machine.

A change is read, made and pushed on top of what was read; a push that lost the race begins again with a fresh read, and one whose
answer was lost is seen by the next read. The credential reaches git through its environment, for this one address only: it is in no
argument, no file and no message. Must not know what stands in the file.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._git import Git, GitResult, clean_environment
from integrations.ports import Finding

NAME: Final = "the GitOps repository"
ATTEMPTS: Final = 10
_ANY_CODE: Final = frozenset(range(-64, 256))
_ABSENT: Final = "0" * 40
_FETCHED: Final = "refs/gitops/fetched"
_RACES: Final = re.compile(r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref")
_NO_BRANCH: Final = re.compile(r"couldn't find remote ref")
_REFUSED: Final = re.compile(r"\[remote rejected\] \((?P<why>[^)]*)\)|remote: (?P<said>.*)")
_DENIED: Final = re.compile(
    r"Authentication failed|could not read (Username|Password)|error: 40[13]|Permission.*denied",
    re.IGNORECASE,
)
_MISSING: Final = re.compile(r"error: 404|not found|does not appear to be a git repository", re.IGNORECASE)
_ADVICE: Final = "Give the token write access to it, and let it push to the branch."


@dataclass(frozen=True)
class Remote:
    """`token` proves who we are, by HTTP basic authentication with `user`."""

    url: str
    branch: str
    user: str
    token: str
    ca_file: Path | None = None

    def environment(self, home: Path) -> dict[str, str]:
        """On top of the clean environment of every git."""
        number = int(clean_environment(home, "")["GIT_CONFIG_COUNT"])
        proof = base64.b64encode(f"{self.user}:{self.token}".encode()).decode()
        added = {"GIT_SSL_CAINFO": str(self.ca_file)} if self.ca_file else {}
        return {
            **added,
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": f"http.{self.url}.extraHeader",
            f"GIT_CONFIG_VALUE_{number}": f"Authorization: Basic {proof}",
        }


Edit = Callable[[bytes | None], bytes | None]
"""The file's new content from its old one; None: there is no such file."""


class GitopsRepository:
    def __init__(self, remote: Remote, *, folder: Path, deadline_seconds: float) -> None:
        self._remote = remote
        self._folder = folder
        self._bare = folder / "gitops.git"
        self._git = Git("git", home=folder, deadline_seconds=deadline_seconds)
        self._environment = remote.environment(folder)
        self._turn = asyncio.Lock()

    async def read(self, path: str) -> bytes | None:
        async with self._turn:
            return await self._content(await self._fetch(), path)

    async def change(self, path: str, edit: Edit, *, message: str) -> bool:
        """Whether anything had to be pushed. `edit` may be called several times, and raises what it will not change."""
        async with self._turn:
            for _ in range(ATTEMPTS):
                tip = await self._fetch()
                before = await self._content(tip, path)
                after = edit(before)
                if after == before:
                    return False
                commit = await self._commit(tip, path, after, message=message)
                if await self._push(tip, commit):
                    return True
        raise TemporaryBackendError(
            f"{NAME} changes too quickly to be written to.", backend=NAME, kind=BackendErrorKind.CONFLICT
        )

    # ------------------------------------------------------------ reading

    async def _fetch(self) -> str | None:
        """The branch's commit; None: the branch is yet to be made."""
        if not self._bare.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._run("init", "--bare", "--quiet", str(self._bare), local=True)
        wanted = f"+refs/heads/{self._remote.branch}:{_FETCHED}"
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", self._remote.url, wanted)
        result = await self._run(*fetch, allowed=_NO_BRANCH)
        if result.code != 0:
            return None
        return (await self._run("rev-parse", f"{_FETCHED}^{{commit}}")).line

    async def _content(self, tip: str | None, path: str) -> bytes | None:
        if tip is None or not (await self._run("ls-tree", tip, "--", path)).line:
            return None
        return (await self._run("cat-file", "blob", f"{tip}:{path}")).stdout

    # ------------------------------------------------------------ writing

    async def _commit(self, tip: str | None, path: str, content: bytes | None, *, message: str) -> str:
        index = self._folder / f"index-{secrets.token_hex(4)}"
        aside = {"GIT_INDEX_FILE": str(index)}
        try:
            if tip is not None:
                await self._run("read-tree", tip, more=aside)
            if content is None:
                line = f"0 {_ABSENT}\t{path}\n"
            else:
                blob = (await self._run("hash-object", "-w", "--stdin", stdin=content)).line
                line = f"100644 {blob}\t{path}\n"
            await self._run("update-index", "--index-info", stdin=line.encode(), more=aside)
            tree = (await self._run("write-tree", more=aside)).line
        finally:
            index.unlink(missing_ok=True)
        parents = ("-p", tip) if tip is not None else ()
        return (await self._run("commit-tree", tree, *parents, stdin=message.encode())).line

    async def _push(self, tip: str | None, commit: str) -> bool:
        """Only from where it was read; False: somebody was faster."""
        ref = f"refs/heads/{self._remote.branch}"
        push = (
            "push",
            "--porcelain",
            f"--force-with-lease={ref}:{tip or ''}",
            self._remote.url,
            f"{commit}:{ref}",
        )
        return (await self._run(*push, allowed=_RACES)).code == 0

    async def _run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        more: dict[str, str] | None = None,
        allowed: re.Pattern[str] | None = None,
        local: bool = False,
    ) -> GitResult:
        """Raises BackendError, in this backend's name; what `allowed` matches is an answer."""
        repository = None if local else self._bare
        try:
            result = await self._git.run(
                *arguments,
                repository=repository,
                stdin=stdin,
                environment={**self._environment, **(more or {})},
                accept=_ANY_CODE,
            )
        except TemporaryBackendError as error:
            raise TemporaryBackendError(error.message, backend=NAME, kind=error.kind) from error
        words = f"{result.stderr}\n{result.line if arguments[0] == 'push' else ''}"
        if result.code == 0 or (allowed is not None and allowed.search(words)):
            return result
        raise refusal(words)

    # ------------------------------------------------------------ check

    async def check(self) -> Finding:
        """Reads the branch, and asks for the right to push by a push that changes nothing."""
        try:
            tip = await self._fetch()
            if tip is not None:
                ref = f"refs/heads/{self._remote.branch}"
                await self._run("push", "--dry-run", self._remote.url, f"{tip}:{ref}")
        except BackendError as error:
            return Finding(
                NAME, ok=False, detail=error.message, fix=error.fix or "Check `gitops_repository`."
            )
        return Finding(NAME, ok=True, detail=f"{self._remote.url}, branch {self._remote.branch}")


def refusal(words: str) -> BackendError:
    """What git's last words mean. Whatever is not known to be a refusal may pass, and may have happened."""
    said = [line for line in words.splitlines() if line.startswith(("fatal:", "error:", "remote:", "!"))]
    text = " ".join(said)[-400:] or words.strip() or "git failed without a word"
    refused = _REFUSED.search(words)
    if "[remote rejected]" in words:
        why = " ".join(filter(None, refused.groups())) if refused else text
        return PermanentBackendError(
            f"{NAME} refuses the push: {why}", backend=NAME, kind=BackendErrorKind.DENIED, fix=_ADVICE
        )
    if _DENIED.search(words):
        return PermanentBackendError(text, backend=NAME, kind=BackendErrorKind.DENIED, fix=_ADVICE)
    if _MISSING.search(words):
        fix = "Check `gitops_repository`, and that the token may see it."
        return PermanentBackendError(text, backend=NAME, kind=BackendErrorKind.NOT_FOUND, fix=fix)
    return TemporaryBackendError(text, backend=NAME, kind=BackendErrorKind.UNAVAILABLE)
