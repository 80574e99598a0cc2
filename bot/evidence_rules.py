"""What admission, scanners and policy engines say of a plan, as gates: the part of `bot.policy` that is about evidence. Pure.

These keys of `plan.facts` are read; `bot.evidence` writes them, and where nobody was asked none of them is there:

    admission_objects       how many objects were shown to admission
    admission_denials       what it would refuse, one line each, in the policies' own words
    admission_unknown       why nobody could say, one line each
    critical_vulnerabilities, high_vulnerabilities   how many are known in the images of what is promoted
    vulnerabilities_worst   some of them by name, one line each
    vulnerabilities_unknown why they are not known
    failed_policies         how many policy results failed, or could not be had
    policies_worst, policies_unknown   the same of policies
"""

from __future__ import annotations

from collections.abc import Callable

from bot.domain import Environment, Gate, Plan
from bot.gates import denied, passed, unknown

Rule = Callable[[Plan, Environment | None], Gate | None]
"""The environment is the one that the plan is about. None: the rule has nothing to say."""
LINES_SHOWN = 3
_SCANNED = "A report that is missing is not a clean one. Once it is there, ask again; `/platform status {service}` shows it."
_OF_PLATFORM = "The limit is the platform team's, in platform.yml."


def admission(plan: Plan, _environment: Environment | None) -> Gate | None:
    """Of every command: what admission refuses would fail, however urgent it is."""
    if denials := _lines(plan, "admission_denials"):
        return denied(
            "admission",
            f"{plan.environment} would refuse it: {_shown(denials)}",
            fix="Change what the policy names, or ask the platform team what it wants.",
        )
    if missing := _lines(plan, "admission_unknown"):
        return unknown("admission", f"Admission in {plan.environment} could not be asked: {_shown(missing)}")
    if shown := plan.facts.get("admission_objects"):
        objects = "1 object" if shown == "1" else f"{shown} objects"
        return passed("admission", f"Admission in {plan.environment} lets {objects} pass.")
    return None


def vulnerabilities(plan: Plan, environment: Environment | None) -> Gate | None:
    rule = environment.evidence if environment else None
    if plan.command != "promote" or rule is None:
        return None
    limits = {
        "critical": rule.critical_vulnerabilities,
        "high": rule.high_vulnerabilities,
    }
    set_limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not set_limits:
        return None
    found = {name: _number(plan, f"{name}_vulnerabilities") for name in set_limits}
    if any(number is None for number in found.values()):
        return _unreported(plan, "vulnerabilities", "It is not known which vulnerabilities {revision} has")
    over = [name for name, limit in set_limits.items() if (found[name] or 0) > limit]
    if not over:
        said = " and ".join(f"{found[name]} {name}" for name in set_limits)
        return passed("vulnerabilities", f"Vulnerabilities of {_revision(plan)}: {said}, within the limit.")
    said = " and ".join(f"{found[name]} {name} (at most {set_limits[name]})" for name in over)
    return denied(
        "vulnerabilities",
        f"{_revision(plan)} has too many vulnerabilities for {plan.environment}: {said}. "
        f"{_shown(_lines(plan, 'vulnerabilities_worst'))}".rstrip(),
        fix=f"Mend them and promote the revision that does. {_OF_PLATFORM}",
    )


def policy_reports(plan: Plan, environment: Environment | None) -> Gate | None:
    limit = environment.evidence.failed_policies if environment and environment.evidence else None
    if plan.command != "promote" or limit is None:
        return None
    failed = _number(plan, "failed_policies")
    if failed is None:
        return _unreported(plan, "policies", "It is not known which policies {revision} meets")
    policies = "1 policy result is" if failed == 1 else f"{failed} policy results are"
    if failed <= limit:
        return passed("policy-reports", f"{policies} bad for {_revision(plan)}, within the limit.")
    return denied(
        "policy-reports",
        f"{policies} bad for {_revision(plan)}, and {plan.environment} takes at most {limit}. "
        f"{_shown(_lines(plan, 'policies_worst'))}".rstrip(),
        fix=f"Mend them and promote the revision that does. {_OF_PLATFORM}",
    )


def _unreported(plan: Plan, what: str, sentence: str) -> Gate:
    rule = {"policies": "policy-reports"}.get(what, what)
    why = plan.facts.get(f"{what}_unknown") or "nobody was asked"
    said = sentence.format(revision=_revision(plan))
    return unknown(rule, f"{said}: {why.rstrip('.')}.", fix=_SCANNED.format(service=plan.service))


def _revision(plan: Plan) -> str:
    return plan.facts.get("source_revision", "")[:7] or "The revision"


def _lines(plan: Plan, fact: str) -> list[str]:
    return [line for line in plan.facts.get(fact, "").split("\n") if line]


def _shown(lines: list[str]) -> str:
    more = len(lines) - LINES_SHOWN
    shown = "; ".join(lines[:LINES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return f"{shown.rstrip('.')}." if shown else ""


def _number(plan: Plan, fact: str) -> int | None:
    """None: it is not known, which is not zero."""
    value = plan.facts.get(fact, "")
    return int(value) if value.isdecimal() else None


RULES: tuple[Rule, ...] = (admission, vulnerabilities, policy_reports)
