"""Names of namespaces by a rule: a name that Kubernetes takes, or a refusal before anything is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bot.errors import PermanentBackendError
from integrations._namespace_rule import LONGEST_LABEL, NamespaceRule, fixed_namespaces, namespace_of

LABELS = st.from_regex(r"[a-z](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
RULES = st.sampled_from(["{team}-{environment}", "{environment}", "apps-{team}", "shared"])


def named(rule: str, team: str = "orders", environment: str = "staging") -> str:
    return namespace_of(rule, team=team, environment=environment, service="orders", backend="Kubernetes")


@given(LABELS, LABELS, RULES)
def test_a_rule_makes_a_name_that_kubernetes_takes(team: str, environment: str, rule: str) -> None:
    namespace = named(rule, team, environment)
    assert len(namespace) <= LONGEST_LABEL
    assert namespace.strip("-") == namespace


@pytest.mark.parametrize("rule", ["{service}.{environment}", "{team}" * 12])
def test_a_name_that_kubernetes_does_not_take_is_refused_before_it_is_sent(rule: str) -> None:
    with pytest.raises(PermanentBackendError, match="is not the name of a namespace"):
        named(rule)


def test_a_placeholder_that_nobody_fills_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match="accepted placeholders: environment, service, team"):
        TypeAdapter(NamespaceRule).validate_python("{tenant}-{environment}")


@pytest.mark.parametrize(
    ("rule", "listed", "asked"),
    [("shared", (), ("shared",)), ("{team}", (), ()), ("{team}", ("orders",), ("orders",))],
)
def test_check_asks_where_a_namespace_is_known(
    rule: str, listed: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    assert fixed_namespaces(rule, listed) == asked
