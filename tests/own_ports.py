"""Ports for programs that a test starts, below those that systems give to outgoing connections.

One of theirs can go to a connection of anybody's while a program is still starting: under load that takes seconds.
"""

from __future__ import annotations

import os
import random

from integrations._process import is_port_free

EACH = 20
FIRST = 10000
ANYBODYS = range(16500, 18000)


def own_ports() -> tuple[int, int]:
    """First and last, for services; processes that run at the same time have numbers close to each other, so no two agree."""
    first = FIRST + os.getpid() % 250 * EACH
    return first, first + EACH - 1


def free_port() -> int:
    return next(port for port in random.sample(ANYBODYS, len(ANYBODYS)) if is_port_free(port))
