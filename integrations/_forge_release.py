"""How a release branch moves on any forge without ever being forced: the same decisions, whatever the forge's calls are.

Forward where that is possible, else a commit of our own with exactly the promoted tree. In one transaction with the branch a
tag is set that names the request: it is what a lost answer is found again by. Must not know how a forge is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations._forge_mark import move_tag
from integrations._forge_refusals import Refusals
from integrations._git_format import SHA, parse_trailers, with_trailers
from integrations.ports import ReleaseRef


@dataclass(frozen=True)
class Tip:
    """A commit as far as a release depends on it. `tree` is the hash of its tree."""

    sha: str
    tree: str
    message: str

    @property
    def trailers(self) -> Mapping[str, str]:
        return parse_trailers(self.message)


@dataclass(frozen=True)
class NewCommit:
    """A commit that has to be made first: an existing tree under a new history."""

    tree: str
    message: str
    parents: tuple[str, ...]


class History(Protocol):
    """One repository, by what a move needs of it."""

    @property
    def name(self) -> str: ...

    @property
    def refusals(self) -> Refusals: ...

    async def branch(self, ref: str) -> Tip | None: ...

    async def tag(self, tag: str) -> str | None:
        """The commit it stands for."""
        ...

    async def commit(self, sha: str) -> Tip | None: ...

    async def need(self, revision: str) -> None:
        """Raises PermanentBackendError(NOT_FOUND) for what is no commit of this repository."""
        ...

    async def is_ancestor(self, older: str, newer: str) -> bool: ...

    async def move(self, ref: str, *, tag: str, before: str | None, after: str | NewCommit) -> str | None:
        """Branch and tag together or neither, the branch only from `before` (None: absent), the tag only from absent.
        None where the forge did it, else its reason. Safe to call again: a move that has happened is refused."""
        ...

    def not_moved(self, ref: str, reason: str | None) -> BackendError:
        """The branch still stands where it stood; `reason` is None where the forge claimed success."""
        ...

    def web_url(self, sha: str) -> str: ...


async def find_release(history: History, ref: str) -> ReleaseRef | None:
    tip = await history.branch(history.refusals.check_ref(ref))
    return None if tip is None else _release(history, ref, tip, await _revision_of(history, tip))


async def move_release(
    history: History, ref: str, *, revision: str, expected: str | None, request_id: str
) -> ReleaseRef:
    history.refusals.check_ref(ref)
    history.refusals.check_request_id(request_id)
    if not SHA.fullmatch(revision):
        raise history.refusals.refuse(f"{revision!r} is not a full commit hash.")
    tag = move_tag(ref, request_id, revision)
    tip = await history.branch(ref)
    if (done := await _moved_already(history, ref, tip, revision=revision, tag=tag)) is not None:
        return done
    if (tip.sha if tip else None) != expected:
        raise _stands_elsewhere(history, ref, tip)
    if tip is not None and revision in {tip.sha, await _revision_of(history, tip)}:
        return _release(history, ref, tip, revision)
    after = await _release_commit(history, tip, revision=revision, request_id=request_id)
    reason = await history.move(ref, tag=tag, before=expected, after=after)
    # Whatever the forge said, what stands there now is the truth.
    tip = await history.branch(ref)
    if (done := await _moved_already(history, ref, tip, revision=revision, tag=tag)) is not None:
        return done
    if (tip.sha if tip else None) != expected:
        raise _stands_elsewhere(history, ref, tip)
    raise history.not_moved(ref, reason)


async def _release_commit(
    history: History, tip: Tip | None, *, revision: str, request_id: str
) -> str | NewCommit:
    """What the ref shall stand on: `revision` itself where that is a fast-forward, else a commit with its tree."""
    await history.need(revision)
    if tip is None or await history.is_ancestor(tip.sha, revision):
        return revision
    promoted = await history.commit(revision)
    if promoted is None:
        raise history.refusals.not_ready(f"{revision[:12]} went away while it was promoted.")
    back = await history.is_ancestor(revision, tip.sha)
    return NewCommit(
        tree=promoted.tree,
        message=with_trailers(
            f"{'Roll back to' if back else 'Promote'} {revision[:12]}",
            Request_Id=request_id,
            Promotes=revision,
        ),
        parents=(tip.sha,) if back else (tip.sha, revision),
    )


async def _moved_already(
    history: History, ref: str, tip: Tip | None, *, revision: str, tag: str
) -> ReleaseRef | None:
    if tip is None:
        return None
    tagged, carried = await asyncio.gather(history.tag(tag), _revision_of(history, tip))
    if tagged != tip.sha or revision not in {tip.sha, carried}:
        return None
    return _release(history, ref, tip, revision)


async def _revision_of(history: History, tip: Tip) -> str:
    """What a release commit promotes. Anybody can write a trailer; only one with the same tree is believed."""
    promotes = tip.trailers.get("Promotes", "")
    if not SHA.fullmatch(promotes):
        return tip.sha
    found = await history.commit(promotes)
    return promotes if found is not None and found.tree == tip.tree else tip.sha


def _release(history: History, ref: str, tip: Tip, revision: str) -> ReleaseRef:
    return ReleaseRef(ref, tip.sha, revision, web_url=history.web_url(tip.sha))


def _stands_elsewhere(history: History, ref: str, tip: Tip | None) -> PermanentBackendError:
    where = f"stands on {tip.sha[:12]}" if tip else "does not exist"
    return history.refusals.refuse(
        f"{ref} of {history.name} {where}, not where the plan saw it.", BackendErrorKind.CONFLICT
    )
