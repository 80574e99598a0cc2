"""Faults that tests order in advance: the next calls of a method, or the next deliveries of a kind, go wrong.

Only the orders are kept here; webapi.py and delivery.py carry them out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal, get_args

ApiFaultKind = Literal["ratelimited", "http_error", "html_502", "hang", "reset", "lost_answer", "error"]
DeliveryFaultKind = Literal["duplicate", "drop", "delay", "lost_ack", "disconnect"]

API_FAULTS: tuple[str, ...] = get_args(ApiFaultKind)
DELIVERY_FAULTS: tuple[str, ...] = get_args(DeliveryFaultKind)
ANY = "*"


@dataclass(frozen=True)
class ApiFault:
    """`http_error` uses `status`, `ratelimited` uses `retry_after_seconds`, `error` answers ok:false with `code`.

    `lost_answer` does the work and then drops the connection; `hang` never answers and does nothing.
    """

    kind: ApiFaultKind
    status: int = 500
    retry_after_seconds: int = 1
    code: str = "internal_error"


@dataclass(frozen=True)
class DeliveryFault:
    """`duplicate` sends twice, `drop` not at all, `delay` after `seconds`; `lost_ack` overhears the answer;
    `disconnect` cuts the connection right after sending."""

    kind: DeliveryFaultKind
    seconds: float = 0.0


class Faults:
    def __init__(self) -> None:
        self._api: dict[str, list[ApiFault]] = defaultdict(list)
        self._delivery: dict[str, list[DeliveryFault]] = defaultdict(list)

    def add_api(self, method: str, fault: ApiFault, *, times: int = 1) -> None:
        self._api[method] += [fault] * times

    def add_delivery(self, kind: str, fault: DeliveryFault, *, times: int = 1) -> None:
        self._delivery[kind] += [fault] * times

    def take_api(self, method: str) -> ApiFault | None:
        for key in (method, ANY):
            if self._api[key]:
                return self._api[key].pop(0)
        return None

    def take_delivery(self, kinds: tuple[str, ...]) -> DeliveryFault | None:
        for key in (*kinds, ANY):
            if self._delivery[key]:
                return self._delivery[key].pop(0)
        return None

    def clear(self) -> None:
        self._api.clear()
        self._delivery.clear()
