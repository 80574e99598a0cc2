"""May this person do this: permissions, decisions, and the sentence for everybody who may not.

Pure: who somebody is was asked before (`bot.people`), the clock plays no part. It judges people only; whether a plan may
run now is `bot.policy`'s question. Every refusal names its rule, says why, and says who could help.

A permission is a verb, or a verb with an environment: `create-service`, `promote:production`. Roles hold permissions or
patterns of them: `promote:*` covers `promote` and every environment, `*` covers everything, `promote` only itself.

A group is written `leads:TEAM`, `platform_admins` or `role:ROLE[,ROLE…]:TEAM` and is what a gate asks approval from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.domain import Actor, Gate, PersonEntry, PersonKind, Platform, Request, Verdict
from bot.errors import NotAuthorizedError

TEAM_LEAD = "team_lead"
PLATFORM_ADMIN = "platform_admin"
PLATFORM_ADMINS = "platform_admins"
OPEN_TO_MEMBERS = frozenset({"look", "status"})
"""What every full member of the workspace may do, in a team or not: look, and change nothing."""
NAMES_SHOWN = 5


@dataclass(frozen=True)
class Refusal:
    """Why not. `reason` is mrkdwn, `who` names people or groups who could do it or grant it."""

    rule: str
    reason: str
    who: str
    fix: str = ""

    @property
    def sentence(self) -> str:
        return str(self.error().sentence)

    def error(self) -> NotAuthorizedError:
        return NotAuthorizedError(self.reason, rule=self.rule, who=self.who, fix=self.fix or None)


# ---------------------------------------------------------------- who somebody is

_NO_PERSON: dict[PersonKind, tuple[str, str]] = {
    PersonKind.GUEST: (
        "You are a guest in this workspace, and guests may neither ask nor decide here. Nothing was done.",
        "Ask a member of your team to do it.",
    ),
    PersonKind.EXTERNAL: (
        "You belong to another workspace, so nothing can be asked or decided with your account here. Nothing was done.",
        "Ask your contact in this workspace to do it.",
    ),
    PersonKind.DEACTIVATED: (
        "Your Slack account is deactivated, so it holds no rights here. Nothing was done.",
        "An admin of the workspace can activate it again.",
    ),
    PersonKind.BOT: (
        "Apps and bots may neither ask nor decide here. Nothing was done.",
        "A member of the workspace has to do it.",
    ),
    PersonKind.UNKNOWN: (
        "Slack could not be asked who you are; nothing was done.",
        "Try again in a moment.",
    ),
}


def refuse_person(actor: Actor) -> Refusal | None:
    """Only full members of the workspace hold anything at all."""
    if actor.kind is PersonKind.MEMBER:
        return None
    reason, fix = _NO_PERSON[actor.kind]
    return Refusal(rule=f"person-{actor.kind.value}", reason=reason, who="the platform team", fix=fix)


def require_person(actor: Actor) -> None:
    """Raises NotAuthorizedError."""
    if refusal := refuse_person(actor):
        raise refusal.error()


# ---------------------------------------------------------------- permissions


def covers(held: str, wanted: str) -> bool:
    """Whether one entry of a role's `may` grants one permission."""
    if held in ("*", wanted):
        return True
    verb, _, environment = held.partition(":")
    return environment == "*" and wanted.partition(":")[0] == verb


def grants(permissions: Iterable[str], wanted: str) -> bool:
    return any(covers(held, wanted) for held in permissions)


def permissions(actor: Actor, platform: Platform, team: str) -> frozenset[str]:
    """What the person holds in a team: the role there and platform roles. An empty team means: in any of their teams."""
    if actor.kind is not PersonKind.MEMBER:
        return frozenset()
    teams = [team] if team else sorted(actor.teams)
    names = {*actor.platform_roles, *(actor.roles[one] for one in teams if one in actor.roles)}
    held = (platform.roles[name].permissions for name in names if name in platform.roles)
    return OPEN_TO_MEMBERS.union(*held)


def may(actor: Actor, permission: str, *, team: str = "", platform: Platform) -> Refusal | None:
    """None: they may. Authority in one team is none in another; platform roles hold everywhere."""
    if refusal := refuse_person(actor):
        return refusal
    if grants(permissions(actor, platform, team), permission):
        return None
    words, who = _words(permission), who_may(permission, team=team, platform=platform)
    if not actor.teams:
        return Refusal(
            rule="team-membership",
            reason=f"You belong to no team of {platform.name}, so you may look but not {words}.",
            who=who,
            fix=f"{_upper(who_administers(platform))} can add you to a team.",
        )
    if team not in platform.teams:
        known = (
            f"There is no team `{team}`, so nobody may {words} there." if team else f"You may not {words}."
        )
        return Refusal(rule="permission", reason=known, who=who)
    title = platform.teams[team].title
    if team not in actor.teams:
        own = _joined([platform.teams[one].title for one in sorted(actor.teams) if one in platform.teams])
        return Refusal(
            rule="team-membership",
            reason=f"You may not {words} for team {title}: you are in {own or 'no team'}, and rights in one team "
            "are none in another.",
            who=who,
        )
    role = platform.roles.get(actor.roles.get(team, ""))
    return Refusal(
        rule="permission",
        reason=f"As {role.title.lower() if role else 'a member'} of {title} you may not {words}.",
        who=who,
    )


def require(actor: Actor, permission: str, *, team: str = "", platform: Platform) -> None:
    """Raises NotAuthorizedError."""
    if refusal := may(actor, permission, team=team, platform=platform):
        raise refusal.error()


# ---------------------------------------------------------------- decisions


def holds(actor: Actor, group: str) -> bool:
    """Whether the person is in the group a gate asks. A platform admin is no team lead by that."""
    if actor.kind is not PersonKind.MEMBER:
        return False
    kind, _, rest = group.partition(":")
    if group == PLATFORM_ADMINS:
        return PLATFORM_ADMIN in actor.platform_roles
    if kind == "leads":
        return bool(rest) and rest in actor.leads and rest in actor.teams
    if kind == "role":
        roles, _, team = rest.partition(":")
        return team in actor.teams and actor.roles.get(team, "") in roles.split(",")
    return False


def may_decide(actor: Actor, request: Request, gate: Gate, *, platform: Platform) -> Refusal | None:
    """May this person approve or deny at this gate? In the order in which a person would want to hear why not."""
    if refusal := refuse_person(actor):
        return refusal
    who = group_name(gate.group, platform)
    if gate.verdict is not Verdict.NEEDS_APPROVAL:
        return Refusal(
            rule=gate.rule, reason="This gate asks for no approval.", who=who, fix="Nothing was decided."
        )
    for rule in (_requester_decides, _is_excluded, _decided_before, _outside_the_group):
        if reason := rule(actor, request, gate, platform):
            return Refusal(rule=_RULES[rule], reason=reason, who=who)
    return None


def _requester_decides(actor: Actor, request: Request, gate: Gate, _platform: Platform) -> str:
    if actor.user_id != request.requester or gate.exception:
        return ""
    return f"You asked for `{request.id}` yourself, and nobody decides about their own request. Nothing was decided."


def _is_excluded(actor: Actor, request: Request, gate: Gate, platform: Platform) -> str:
    own = {actor.email, *actor.emails, *platform.aliases.get(actor.user_id, ())}
    excluded = {email.casefold() for email in gate.excluded_emails}
    if any(email.casefold() in excluded for email in own if email):
        return f"`{request.id}` carries commits of yours, and nobody approves their own commits. Nothing was decided."
    if actor.user_id in gate.excluded and not (actor.user_id == request.requester and gate.exception):
        return f"The rule `{gate.rule}` excludes you from deciding about `{request.id}`. Nothing was decided."
    return ""


def _decided_before(actor: Actor, request: Request, gate: Gate, _platform: Platform) -> str:
    """One person fills one gate of one plan, and gives no second word on it."""
    for one in request.approvals:
        if one.user_id == actor.user_id and one.plan_hash == request.plan_hash:
            same = one.rule == gate.rule
            where = "" if same else f" at the gate `{one.rule}`, and one person fills one gate"
            return f"You decided about this plan of `{request.id}` already{where}. Nothing was changed."
    return ""


def _outside_the_group(actor: Actor, request: Request, gate: Gate, platform: Platform) -> str:
    permission = f"approve:{request.environment}" if request.environment else "approve"
    team = "" if gate.group == PLATFORM_ADMINS else request.team
    if holds(actor, gate.group) and grants(permissions(actor, platform, team), permission):
        return ""
    return (
        f"`{request.id}` is decided by {group_title(gate.group, platform)}, and you are not among them. "
        "Nothing was decided."
    )


_Rule = Callable[[Actor, Request, Gate, Platform], str]
_RULES: dict[_Rule, str] = {
    _requester_decides: "not-the-requester",
    _is_excluded: "not-an-author",
    _decided_before: "one-person-one-gate",
    _outside_the_group: "approver-group",
}


def may_cancel(actor: Actor, request: Request, *, platform: Platform) -> Refusal | None:
    """The requester, a lead of the team, a platform admin."""
    return _may_steer(actor, request, "cancel", platform=platform)


def may_choose(actor: Actor, request: Request, *, platform: Platform) -> Refusal | None:
    """Retry or undo a run that stopped: the same people as for cancelling."""
    return _may_steer(actor, request, "retry or undo", platform=platform)


def _may_steer(actor: Actor, request: Request, words: str, *, platform: Platform) -> Refusal | None:
    if refusal := refuse_person(actor):
        return refusal
    leads = f"leads:{request.team}"
    if actor.user_id == request.requester or holds(actor, leads) or holds(actor, PLATFORM_ADMINS):
        return None
    return Refusal(
        rule="requester-or-lead",
        reason=f"You may not {words} `{request.id}`: it is <@{request.requester}>'s request. Nothing was changed.",
        who=f"<@{request.requester}>, {group_name(leads, platform)} or {who_administers(platform)}",
    )


# ---------------------------------------------------------------- who could


def who_may(permission: str, *, team: str, platform: Platform) -> str:
    """`the leads of Orders (@orders-leads, <@U…>)`: who holds the permission in the team, as platform.yml names them."""
    held = platform.members.get(team, {})
    names = [
        name
        for name, role in platform.roles.items()
        if held.get(name) and grants(role.permissions, permission)
    ]
    if not names:
        return who_administers(platform)
    return group_name(f"role:{','.join(names)}:{team}", platform)


def who_administers(platform: Platform) -> str:
    return group_name(PLATFORM_ADMINS, platform)


def group_name(group: str, platform: Platform) -> str:
    """The group with the people in it, as far as platform.yml tells: mrkdwn for a private sentence."""
    title, people = group_title(group, platform), [_entry(one) for one in entries(group, platform)]
    if not people:
        return title
    more = [f"{len(people) - NAMES_SHOWN} more"] if len(people) > NAMES_SHOWN else []
    return f"{title} ({', '.join([*people[:NAMES_SHOWN], *more])})"


def group_title(group: str, platform: Platform) -> str:
    """The group in words, without people: plain text, fit for a card."""
    if group == PLATFORM_ADMINS:
        return "the platform admins"
    kind, _, rest = group.partition(":")
    roles, _, team = rest.partition(":") if kind == "role" else (TEAM_LEAD, ":", rest)
    where = platform.teams[team].title if team in platform.teams else team
    return f"the {_joined([_plural(one, platform) for one in roles.split(',')])} of {where}"


def entries(group: str, platform: Platform) -> tuple[PersonEntry, ...]:
    """Who platform.yml puts into a group; the order is the file's, nobody twice."""
    if group == PLATFORM_ADMINS:
        return platform.platform_admins
    kind, _, rest = group.partition(":")
    roles, _, team = rest.partition(":") if kind == "role" else (TEAM_LEAD, ":", rest)
    held = platform.members.get(team, {})
    return tuple(dict.fromkeys(entry for role in roles.split(",") for entry in held.get(role, ())))


def _plural(role: str, platform: Platform) -> str:
    if role == TEAM_LEAD:
        return "leads"
    return (platform.roles[role].title.lower() if role in platform.roles else role) + "s"


def _entry(entry: PersonEntry) -> str:
    return f"<@{entry.user_id}>" if entry.user_id else str(entry)


def _words(permission: str) -> str:
    verb, _, environment = permission.partition(":")
    spoken = {
        "create-service": "create a service",
        "promote": "promote",
        "rollback": "roll back",
        "approve": "approve changes",
        "audit": "read the audit trail",
    }.get(verb, f"`{verb}`")
    preposition = "to" if verb == "promote" else "in"
    return f"{spoken} {preposition} {environment}" if environment else spoken


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
