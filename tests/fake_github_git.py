"""The git side of the fake GitHub: blobs, trees, commits and what follows from them. Trees are flat; hashes are honest."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, tuple[str, str]]
"""Path -> (mode, hash of the blob)."""


def digest(kind: str, value: Any) -> str:
    return hashlib.sha1(f"{kind} {json.dumps(value, sort_keys=True)}".encode()).hexdigest()


@dataclass
class Objects:
    """Shared by a repository and its forks, as on GitHub."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put_blob(self, content: bytes) -> str:
        sha = hashlib.sha1(b"blob " + content).hexdigest()
        self.blobs[sha] = content
        return sha

    def put_tree(self, tree: Tree) -> str:
        sha = digest("tree", tree)
        self.trees[sha] = dict(tree)
        return sha

    def put_commit(
        self, tree: str, parents: list[str], message: str, *, author: tuple[str, str], date: str
    ) -> str:
        commit = {"tree": tree, "parents": parents, "message": message, "author": author, "date": date}
        sha = digest("commit", commit)
        self.commits[sha] = commit
        return sha

    def put_files(self, files: Mapping[str, str], base: str | None) -> str:
        tree = dict(self.trees[base]) if base else {}
        return self.put_tree(
            tree | {path: ("100644", self.put_blob(text.encode())) for path, text in files.items()}
        )

    def ancestors(self, sha: str) -> list[str]:
        """Itself first, newest first."""
        seen: list[str] = []
        waiting = [sha]
        while waiting:
            waiting.sort(key=lambda one: self.commits[one]["date"])
            one = waiting.pop()
            if one not in seen:
                seen.append(one)
                waiting += self.commits[one]["parents"]
        return seen

    def files_between(self, older: str, newer: str) -> list[dict[str, Any]]:
        """Trees, as GitHub's compare shows them."""
        before, after = self.trees[older], self.trees[newer]
        gone = {path for path in before if path not in after}
        shown: list[dict[str, Any]] = []
        for path in sorted(after):
            if path in before and before[path] == after[path]:
                continue
            partner = next((one for one in sorted(gone) if before[one][1] == after[path][1]), None)
            if path not in before and partner is not None:
                gone.discard(partner)
                shown.append(
                    {"filename": path, "status": "renamed", "previous_filename": partner, **lines(b"", b"")}
                )
                continue
            old = self.blobs[before[path][1]] if path in before else b""
            status = "modified" if path in before else "added"
            shown.append({"filename": path, "status": status, **lines(old, self.blobs[after[path][1]])})
        shown += [
            {"filename": path, "status": "removed", **lines(self.blobs[before[path][1]], b"")}
            for path in sorted(gone)
        ]
        return shown


def lines(old: bytes, new: bytes) -> dict[str, int]:
    before, after = (part.decode("utf-8", "replace").splitlines() for part in (old, new))
    shown = list(difflib.ndiff(before, after))
    added = sum(line.startswith("+ ") for line in shown)
    removed = sum(line.startswith("- ") for line in shown)
    return {"additions": added, "deletions": removed, "changes": added + removed}
