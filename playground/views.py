"""Modals and Home tabs as they exist: stable ids, a new hash per change, stacks of three, external ids.

Keeps them and enforces what holds for every view; which answers and calls change them stands in acts.py and methods_views.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playground.state import State
from playground.view_state import merged_values

Json = dict[str, Any]

MAX_STACK = 3
PAST_VERSIONS_KEPT = 3


class ViewError(Exception):
    """`code` is the Web API error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class View:
    id: str
    user: str
    payload: Json
    hash: str
    root_view_id: str
    previous_view_id: str | None = None
    values: Json = field(default_factory=dict)
    past_blocks: list[list[Json]] = field(default_factory=list)

    @property
    def blocks(self) -> list[Json]:
        blocks: list[Json] = self.payload.get("blocks", [])
        return blocks

    @property
    def type(self) -> str:
        return str(self.payload["type"])

    @property
    def external_id(self) -> str:
        return str(self.payload.get("external_id") or "")


class Views:
    def __init__(self, state: State, *, team_id: str, app_id: str, bot_id: str) -> None:
        self._state = state
        self._team_id = team_id
        self._app_id = app_id
        self._bot_id = bot_id
        self._stacks: dict[str, list[View]] = {}
        self._by_id: dict[str, View] = {}
        self._by_external_id: dict[str, View] = {}
        self._homes: dict[str, View] = {}
        for user, record in state.homes.items():
            self._adopt_home(user, record)

    def stack(self, user: str) -> list[View]:
        return self._stacks.get(user, [])

    def home(self, user: str) -> View | None:
        return self._homes.get(user)

    def find(self, view_id: str | None, external_id: str | None) -> View | None:
        if view_id:
            return self._by_id.get(view_id)
        return self._by_external_id.get(external_id or "")

    def open(self, user: str, payload: Json) -> View:
        self._check_external_id(payload, None)
        self.close_all(user)
        view = self._make(user, payload)
        self._stacks[user] = [view]
        return view

    def push(self, user: str, payload: Json, *, on: View) -> View:
        stack = self.stack(user)
        if on not in stack:
            raise ViewError("not_found")
        if len(stack) >= MAX_STACK:
            raise ViewError("push_limit_reached")
        self._check_external_id(payload, None)
        view = self._make(user, payload, root=stack[0].id, previous=stack[-1].id)
        stack.append(view)
        return view

    def update(self, view: View, payload: Json, *, expected_hash: str | None = None) -> View:
        if expected_hash and expected_hash != view.hash:
            raise ViewError("hash_conflict")
        self._check_external_id(payload, view)
        self._by_external_id.pop(view.external_id, None)
        # Parts of a view that an update leaves out keep nothing of the old: the payload replaces it.
        view.past_blocks = [*view.past_blocks, view.blocks][-PAST_VERSIONS_KEPT:]
        view.payload = _with_block_ids(payload, view.id)
        view.values = merged_values(view.blocks, view.values)
        view.hash = self._next_hash()
        if view.external_id:
            self._by_external_id[view.external_id] = view
        if view.type == "home":
            self._save_home(view)
        return view

    def publish(self, user: str, payload: Json, *, expected_hash: str | None = None) -> View:
        existing = self._homes.get(user)
        if existing is not None:
            return self.update(existing, payload, expected_hash=expected_hash)
        self._check_external_id(payload, None)
        view = self._make(user, payload)
        self._homes[user] = view
        self._save_home(view)
        return view

    def remember_values(self, view: View, changes: Json) -> None:
        view.values = merged_values(view.blocks, view.values, changes)

    def close(self, view: View) -> None:
        """This view and whatever was pushed on top of it."""
        stack = self.stack(view.user)
        while view in stack:
            self._forget(stack.pop())

    def close_all(self, user: str) -> None:
        for view in self._stacks.pop(user, []):
            self._forget(view)

    def view_object(self, view: View) -> Json:
        payload = view.payload
        return {
            "id": view.id,
            "team_id": self._team_id,
            "type": view.type,
            "blocks": view.blocks,
            "private_metadata": payload.get("private_metadata", ""),
            "callback_id": payload.get("callback_id", ""),
            "state": {"values": view.values},
            "hash": view.hash,
            "title": payload.get("title") or {"type": "plain_text", "text": "View Title", "emoji": True},
            "clear_on_close": payload.get("clear_on_close", False),
            "notify_on_close": payload.get("notify_on_close", False),
            "close": payload.get("close"),
            "submit": payload.get("submit"),
            "previous_view_id": view.previous_view_id,
            "root_view_id": view.root_view_id,
            "app_id": self._app_id,
            "external_id": view.external_id,
            "app_installed_team_id": self._team_id,
            "bot_id": self._bot_id,
        }

    def _make(
        self, user: str, payload: Json, *, root: str | None = None, previous: str | None = None
    ) -> View:
        view_id = f"V{self._state.next_number('view'):010d}"
        view = View(
            id=view_id,
            user=user,
            payload=_with_block_ids(payload, view_id),
            hash=self._next_hash(),
            root_view_id=root or view_id,
            previous_view_id=previous,
        )
        view.values = merged_values(view.blocks)
        self._remember(view)
        return view

    def _remember(self, view: View) -> None:
        self._by_id[view.id] = view
        if view.external_id:
            self._by_external_id[view.external_id] = view

    def _forget(self, view: View) -> None:
        self._by_id.pop(view.id, None)
        self._by_external_id.pop(view.external_id, None)

    def _check_external_id(self, payload: Json, view: View | None) -> None:
        holder = self._by_external_id.get(payload.get("external_id") or "")
        if holder is not None and holder is not view:
            raise ViewError("duplicate_external_id")

    def _next_hash(self) -> str:
        return f"{self._state.next_number('view_hash'):010d}.hash"

    def _save_home(self, view: View) -> None:
        self._state.set_home(
            view.user, {"id": view.id, "hash": view.hash, "payload": view.payload, "values": view.values}
        )

    def _adopt_home(self, user: str, record: Json) -> None:
        view = View(
            id=record["id"],
            user=user,
            payload=record["payload"],
            hash=record["hash"],
            root_view_id=record["id"],
            values=record["values"],
        )
        self._homes[user] = view
        self._remember(view)


def _with_block_ids(payload: Json, view_id: str) -> Json:
    return payload | {"blocks": with_block_ids(payload.get("blocks") or [], view_id)}


def with_block_ids(blocks: list[Json], prefix: str) -> list[Json]:
    """Slack names the blocks and elements that the app left nameless; here the names tell where they stand."""
    named: list[Json] = []
    for index, block in enumerate(blocks):
        copy = dict(block)
        copy.setdefault("block_id", f"b{index}-{prefix[-4:]}")
        for key in ("element", "accessory"):
            if isinstance(copy.get(key), dict):
                copy[key] = _with_action_id(copy[key], f"a{index}")
        if copy.get("type") in ("actions", "context_actions"):
            copy["elements"] = [_with_action_id(e, f"a{index}-{at}") for at, e in enumerate(copy["elements"])]
        named.append(copy)
    return named


def _with_action_id(element: Json, name: str) -> Json:
    if element.get("type") in ("image", None):
        return element
    return {"action_id": name, **element}
