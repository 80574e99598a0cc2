"""Ports for the services of one test process: no other test process takes them, and no outgoing connection gets them."""

from __future__ import annotations

import os

EACH = 20
FIRST = 10000


def own_ports() -> tuple[int, int]:
    """First and last; processes that run at the same time have numbers close to each other, so that no two agree."""
    first = FIRST + os.getpid() % 250 * EACH
    return first, first + EACH - 1
