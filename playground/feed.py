"""What open browser pages are told: one queue per page, addressed by the person it acts as.

Frames are those of the page's contract (docs/playground.md). Delivery is best effort: a page that reconnects reloads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Frame = dict[str, Any]


class Feed:
    def __init__(self) -> None:
        self._pages: dict[str, set[asyncio.Queue[Frame]]] = defaultdict(set)

    @contextmanager
    def page(self, user: str) -> Iterator[asyncio.Queue[Frame]]:
        queue: asyncio.Queue[Frame] = asyncio.Queue()
        self._pages[user].add(queue)
        try:
            yield queue
        finally:
            self._pages[user].discard(queue)

    def tell(self, users: Iterable[str], frame: Frame) -> None:
        for user in users:
            for queue in self._pages.get(user, ()):
                queue.put_nowait(frame)

    def tell_everyone(self, frame: Frame) -> None:
        self.tell(list(self._pages), frame)
