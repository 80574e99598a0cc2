"""What every forge refuses in the same words: names, refs, request ids and paths that cannot be. Pure.

A forge is a code host on the network: GitHub, Gitea. Must not know what any one of them answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._git_format import is_ref_name, is_tree_path
from integrations.ports import RenderedTree

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


@dataclass(frozen=True)
class Refusals:
    """`backend` is the name people know the forge by."""

    backend: str

    def refuse(
        self, message: str, kind: BackendErrorKind = BackendErrorKind.INVALID, *, fix: str | None = None
    ) -> PermanentBackendError:
        return PermanentBackendError(message, backend=self.backend, kind=kind, fix=fix)

    def not_ready(self, message: str, *, retry_after: float | None = None) -> TemporaryBackendError:
        return TemporaryBackendError(
            message,
            backend=self.backend,
            kind=BackendErrorKind.NOT_READY,
            retry_after_seconds=retry_after,
        )

    def check_name(self, name: str) -> str:
        """Services are DNS labels; forges would allow more, but no other part of the platform could carry it."""
        if not _LABEL.fullmatch(name):
            raise self.refuse(
                f"{name!r} is not a repository's name: use lower-case letters, digits and dashes."
            )
        return name

    def check_ref(self, ref: str) -> str:
        if not is_ref_name(ref):
            raise self.refuse(f"{ref!r} is not a branch's name.")
        return ref

    def check_request_id(self, request_id: str) -> str:
        if not _REQUEST_ID.fullmatch(request_id):
            raise self.refuse(f"The request id {request_id!r} cannot be written into a commit.")
        return request_id

    def check_tree(self, tree: RenderedTree) -> None:
        for path in tree:
            if not is_tree_path(path):
                raise self.refuse(f"The path {path!r} cannot stand in a repository.")
            parents = path.split("/")[:-1]
            if any("/".join(parents[:count]) in tree for count in range(1, len(parents) + 1)):
                raise self.refuse(f"The path {path!r} lies below a file.")
