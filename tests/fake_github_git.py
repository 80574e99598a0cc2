"""The git side of the fake GitHub: blobs, trees, commits and what follows from them. Trees are kept flat; objects and their hashes are
git's own, so that a repository can be written out and served."""

from __future__ import annotations

import difflib
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Tree = dict[str, tuple[str, str]]
"""Path -> (mode, hash of the blob)."""


def framed(kind: str, content: bytes) -> bytes:
    return f"{kind} {len(content)}\0".encode() + content


def digest(kind: str, content: bytes) -> str:
    return hashlib.sha1(framed(kind, content)).hexdigest()


def tree_objects(tree: Tree) -> Iterator[bytes]:
    """The content of each folder's tree, the root's last."""
    entries: dict[str, tuple[str, str]] = {}
    folders: dict[str, Tree] = {}
    for path, (mode, blob) in tree.items():
        head, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(head, {})[rest] = (mode, blob)
        else:
            entries[head] = (mode, blob)
    for name, inside in folders.items():
        content = b""
        for content in tree_objects(inside):
            yield content
        entries[name] = ("40000", digest("tree", content))
    # Git sorts a folder as if its name ended in a slash.
    names = sorted(entries, key=lambda name: name + "/" if entries[name][0] == "40000" else name)
    yield b"".join(
        f"{entries[name][0]} {name}\0".encode() + bytes.fromhex(entries[name][1]) for name in names
    )


def commit_content(commit: Mapping[str, Any]) -> bytes:
    seconds = int(datetime.fromisoformat(commit["date"]).timestamp())
    person = f"{commit['author'][0]} <{commit['author'][1]}> {seconds} +0000"
    head = [f"tree {commit['tree']}", *(f"parent {one}" for one in commit["parents"])]
    return "\n".join([*head, f"author {person}", f"committer {person}", "", commit["message"]]).encode()


@dataclass
class Objects:
    """Shared by a repository and its forks, as on GitHub."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put_blob(self, content: bytes) -> str:
        sha = digest("blob", content)
        self.blobs[sha] = content
        return sha

    def put_tree(self, tree: Tree) -> str:
        *_, root = tree_objects(tree)
        sha = digest("tree", root)
        self.trees[sha] = dict(tree)
        return sha

    def put_commit(
        self, tree: str, parents: list[str], message: str, *, author: tuple[str, str], date: str
    ) -> str:
        commit = {"tree": tree, "parents": parents, "message": message, "author": author, "date": date}
        sha = digest("commit", commit_content(commit))
        self.commits[sha] = commit
        return sha

    def put_files(self, files: Mapping[str, str], base: str | None) -> str:
        tree = dict(self.trees[base]) if base else {}
        return self.put_tree(
            tree | {path: ("100644", self.put_blob(text.encode())) for path, text in files.items()}
        )

    def write_to(self, folder: Path) -> None:
        """As loose objects of the bare repository there."""
        found = [("blob", content) for content in self.blobs.values()]
        found += [("tree", content) for tree in self.trees.values() for content in tree_objects(tree)]
        found += [("commit", commit_content(commit)) for commit in self.commits.values()]
        for kind, content in found:
            sha = digest(kind, content)
            path = folder / "objects" / sha[:2] / sha[2:]
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(zlib.compress(framed(kind, content)))

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
