"""What a backend may offer besides its port: to be told by its system that something has happened.

A hook is a hint and never an order: nobody signs the time, so everything can be replayed, and much is lost. What a hint does is
to make the bot look now instead of later; without any hook the bot finds out all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from integrations.ports.backend import Finding


@dataclass(frozen=True)
class Hint:
    """Where it is worth looking. Empty: the sender does not say.

    `delivery` names what was said, at most 200 characters, and stays the same when it is said again.
    """

    delivery: str
    service: str
    environment: str = ""
    branch: str = ""
    """A branch that moved: the environments that follow it are worth a look."""
    request_id: str = ""


class Hooks(Protocol):
    """How one system is listened to. Pure: it verifies and reads, and touches nothing."""

    @property
    def name(self) -> str:
        """Lower-case letters and hyphens: the deliveries come to `/hooks/<name>`."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether there is a secret to verify by. Without one nothing is listened to."""
        ...

    def finding(self) -> Finding:
        """The line for `python -m bot check`."""
        ...

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
        """`headers` finds names in any case; `body` is as it came over the wire. Empty for what is of no interest.

        Raises PermanentBackendError: DENIED for what is not from that system, INVALID for what cannot be read.
        """
        ...


@runtime_checkable
class Hooked(Protocol):
    """A backend whose system can tell."""

    @property
    def hooks(self) -> Hooks: ...
