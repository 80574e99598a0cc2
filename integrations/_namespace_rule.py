"""The rule by which a platform names its namespaces, such as `{team}-{environment}`. Pure; for every backend in a cluster."""

from __future__ import annotations

import re
from string import Formatter
from typing import Annotated, Final

from pydantic import AfterValidator

from bot.errors import BackendErrorKind, PermanentBackendError

LONGEST_LABEL: Final = 63
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PLACES: Final = frozenset({"team", "environment", "service"})


def _known_places(rule: str) -> str:
    used = {name for _, name, _, _ in Formatter().parse(rule) if name is not None}
    if used - _PLACES:
        raise ValueError(f"accepted placeholders: {', '.join(sorted(_PLACES))}")
    return rule


NamespaceRule = Annotated[str, AfterValidator(_known_places)]
"""A setting. Its placeholders are known; whether the outcome is a name, only the names put into it can tell."""


def namespace_of(rule: str, *, team: str, environment: str, service: str, backend: str) -> str:
    """Raises PermanentBackendError(INVALID) for a name that Kubernetes does not take."""
    namespace = rule.format(team=team, environment=environment, service=service)
    if len(namespace) <= LONGEST_LABEL and _LABEL.fullmatch(namespace):
        return namespace
    raise PermanentBackendError(
        f"{namespace} is not the name of a namespace.",
        backend=backend,
        kind=BackendErrorKind.INVALID,
        fix="Shorten the team's or the environment's name, or change the rule `namespace`.",
    )


def fixed_namespaces(rule: str, named: tuple[str, ...]) -> tuple[str, ...]:
    """Where `check` can ask for rights: what is named, else the rule where it is no rule; empty: everywhere."""
    return named or ((rule,) if "{" not in rule else ())
