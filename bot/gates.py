"""The gates that rules make, one way for each verdict. Pure."""

from __future__ import annotations

from bot.domain import Gate, Verdict

NOBODY_ASKED = "This is no refusal: nobody could be asked. Try again in a moment."


def passed(rule: str, reason: str) -> Gate:
    return Gate(rule=rule, verdict=Verdict.PASS, reason=reason)


def denied(rule: str, reason: str, *, fix: str) -> Gate:
    return Gate(rule=rule, verdict=Verdict.DENY, reason=reason, fix=fix)


def unknown(rule: str, reason: str, *, fix: str = NOBODY_ASKED) -> Gate:
    return Gate(rule=rule, verdict=Verdict.UNKNOWN, reason=reason, fix=fix)
