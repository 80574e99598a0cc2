"""Which commit somebody means by what they typed, on any forge. Must not know how a forge is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from integrations._forge_refusals import Refusals
from integrations._git_format import SHA, is_ref_name

Find = Callable[[str], Awaitable[str | None]]

_ABBREVIATED: Final = re.compile(r"[0-9a-fA-F]{4,39}")
_LIKE_A_HASH: Final = re.compile(r"(?=.*[a-fA-F])[0-9a-fA-F]{7,39}")
"""Not digits alone: dates are common names of tags."""


async def resolve(revision: str, *, find_ref: Find, find_hash: Find, refusals: Refusals) -> str | None:
    """`revision`: full or abbreviated hash, tag or branch. `find_ref` is asked for heads/… and tags/…, `find_hash` for the
    beginning of a hash in lower case. Raises PermanentBackendError(INVALID) when ambiguous."""
    if SHA.fullmatch(revision.lower()):
        found = {await find_hash(revision.lower())}
    elif is_ref_name(revision):
        asked = [find_ref(f"{kind}/{revision}") for kind in ("tags", "heads")]
        if _ABBREVIATED.fullmatch(revision):
            asked.append(find_hash(revision.lower()))
        found = set(await asyncio.gather(*asked))
    else:
        return None
    shas = sorted(sha for sha in found if sha is not None)
    if _LIKE_A_HASH.fullmatch(revision) and shas and not shas[0].startswith(revision.lower()):
        # Forges then show the branch only, and say nothing of a commit that begins so.
        raise refusals.refuse(
            f"{revision} is a branch or tag, and may be the start of a commit's hash; give all of it."
        )
    if len(shas) > 1:
        raise refusals.refuse(f"{revision} may be any of {', '.join(sha[:12] for sha in shas[:5])}.")
    return shas[0] if shas else None
