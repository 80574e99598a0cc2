"""Two trees compared by hash, where a forge gives no difference of its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from integrations.ports import ChangedFile

COMMIT_LIMIT: Final = 250
"""Commits that a comparison lists: what GitHub's compare returns at once."""
FILE_LIMIT: Final = 300
"""Files that a comparison lists: GitHub cuts there and does not say so."""

Files = Mapping[str, str]
"""Path -> what tells its content and mode from any other."""


def tree_difference(before: Files, after: Files) -> tuple[ChangedFile, ...]:
    """Exact paths, no line counts. A file that kept its content and changed its path is renamed."""
    gone = sorted(before.keys() - after.keys())
    changes = {path: "modified" for path, sha in after.items() if path in before and before[path] != sha}
    for path in sorted(after.keys() - before.keys()):
        partner = next((one for one in gone if before[one] == after[path]), None)
        changes[path] = "added" if partner is None else "renamed"
        gone = [one for one in gone if one != partner]
    changes |= dict.fromkeys(gone, "removed")
    return tuple(ChangedFile(path, changes[path]) for path in sorted(changes))
