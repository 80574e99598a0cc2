"""A service's secrets as lines of a card: which keys there are, which still wait for a value, and whether the workload has them.

Pure, and never about values: what comes in are names and states only.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot import views
from integrations.ports import Phase, StoredKey, SyncedSecret

KEYS_SHOWN = 20
MESSAGE_LIMIT = 300
_MARKS = {
    Phase.PENDING: ":large_blue_circle:",
    Phase.RUNNING: ":large_blue_circle:",
    Phase.WAITING_HUMAN: ":raised_hand:",
    Phase.READY: ":large_green_circle:",
    Phase.FAILED: ":red_circle:",
    Phase.UNKNOWN: ":grey_question:",
}


def secret_lines(synced: SyncedSecret | None, keys: Sequence[StoredKey]) -> tuple[str, ...]:
    """mrkdwn, of one environment: first how the copy of the workload is, then a line for each key; nothing for no secrets.

    `synced` None: nothing is synced there, or the platform has no `secret_sync`; `keys` is empty without a `secret_store`.
    """
    stored = {one.name: one for one in keys}
    names = sorted({*stored, *(synced.keys if synced else ())})
    if not names:
        return ()
    lines = [_copy(synced)] if synced else []
    lines += [_key(name, stored.get(name), synced) for name in names[:KEYS_SHOWN]]
    if len(names) > KEYS_SHOWN:
        lines.append(f"and {len(names) - KEYS_SHOWN} more")
    return tuple(lines)


def _copy(synced: SyncedSecret) -> str:
    where = f" in {views.code(synced.secret)}" if synced.secret else ""
    when = f", refreshed {views.moment(synced.refreshed_at)}" if synced.refreshed_at else ""
    why = f" · _{views.escape(views.cut(synced.message, MESSAGE_LIMIT))}_" if synced.message else ""
    state = "synced" if synced.phase is Phase.READY else synced.phase.value.replace("_", " ")
    return f"{_MARKS[synced.phase]} Secrets {state}{where}{when}{why}"


def _key(name: str, stored: StoredKey | None, synced: SyncedSecret | None) -> str:
    parts = [views.code(name), _state(stored)]
    if synced is not None and name not in synced.keys:
        parts.append("not synced")
    if stored is not None and stored.filled is not True and stored.web_url:
        parts.append(views.link(stored.web_url, "fill it in"))
    return " · ".join(part for part in parts if part)


def _state(stored: StoredKey | None) -> str:
    if stored is None:
        return ""
    if stored.filled is None:
        return "stored; nobody can tell here whether it has a value"
    return "filled in" if stored.filled else "*waits for its value*"
