"""The shape of platform.yml: one pydantic model a section. What refers to what is judged in `bot.config`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_DURATION = r"([0-9]{1,6})([smhd])"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LABEL_RULE = "lower-case letters, digits and dashes, beginning with a letter, at most 63"
_LABEL = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"


@dataclass(frozen=True)
class Shape:
    """A text of this form, and the form in words: for our errors, and with the JSON Schema for editors."""

    pattern: str
    accepted: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            **handler(schema),
            "pattern": f"^(?:{self.pattern})$",
            "patternErrorMessage": f"accepted: {self.accepted}",
        }

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"accepted: {self.accepted}")
        return value


def seconds(duration: str) -> int:
    """`24h` -> 86400."""
    match = re.fullmatch(_DURATION, duration)
    if match is None:
        raise ValueError(duration)
    return int(match.group(1)) * _SECONDS[match.group(2)]


Label = Annotated[str, Shape(_LABEL, LABEL_RULE)]
RoleName = Annotated[str, Shape(r"[a-z][a-z0-9_]{0,62}", "lower-case letters, digits and underscores")]
SlackTeam = Annotated[str, Shape(r"[TE][A-Z0-9]{2,}", "the id of a Slack workspace (T…)")]
SlackChannel = Annotated[str, Shape(r"[CG][A-Z0-9]{2,}", "the id of a Slack channel (C…), not its name")]
SlackUser = Annotated[str, Shape(r"[UW][A-Z0-9]{2,}", "a Slack user id (U…)")]
Entry = Annotated[
    str,
    Shape(
        rf"[UW][A-Z0-9]{{2,}}|@[a-z0-9._-]+|{_EMAIL}",
        "a Slack user id (U…), an e-mail address, or a user group (@handle)",
    ),
]
Duration = Annotated[str, Shape(_DURATION, "a number with s, m, h or d, such as 24h")]
Email = Annotated[str, Shape(_EMAIL, "an e-mail address")]
Branch = Annotated[
    str, Shape(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?", "the name of a git branch, such as main")
]
PriceKey = Annotated[
    str,
    Shape(r"[a-z][a-z0-9-]*:[a-z][a-z0-9-]*", "service:ENVIRONMENT, or KIND:SIZE such as postgresql:small"),
]
Permission = Annotated[
    str,
    Shape(
        r"\*|[a-z-]+(:(\*|[a-z0-9-]+))?", "a verb, with an environment where it has one: promote:production"
    ),
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlatformSection(Section):
    name: str = Field(description="What the platform is called in Slack.", min_length=1, max_length=60)


class SlackSection(Section):
    team_id: SlackTeam = Field(description="Id of the workspace whose members may use the platform.")


class PersonSection(Section):
    slack: SlackUser = Field(description="Slack user id.")
    emails: list[Email] = Field(description="Further addresses this person commits with.", min_length=1)


class RoleSection(Section):
    title: str = Field(description="What people call the role.")
    includes: str | None = Field(None, description="A role whose permissions this one has, too.")
    may: list[Permission] = Field(
        default_factory=list, description="Permissions: verb or verb:environment; * for any."
    )


class TeamNotifications(Section):
    deployments: dict[Label, SlackChannel] = Field(
        default_factory=dict, description="Environment -> channel."
    )


class TeamSection(Section):
    title: str = Field(description="What people call the team.")
    channel: SlackChannel = Field(description="Where requests of the team are shown.")
    members: dict[RoleName, list[Entry]] = Field(
        description="Role -> people: Slack id, e-mail or @user-group."
    )
    notifications: TeamNotifications = Field(
        default_factory=TeamNotifications, description="Instead of the common channels."
    )


class ApprovalSection(Section):
    from_: str = Field(
        "team_leads", alias="from", description="team_leads, platform_admins, or a role of the owning team."
    )
    count: int = Field(1, ge=1, le=5, description="How many different people.")
    exclude_requester: bool = Field(True, description="Who asks may not approve.")
    exclude_commit_authors: bool = Field(True, description="Who wrote a commit of the plan may not approve.")


def _none(value: Any) -> Any:
    return None if value == "none" else value


Approval = Annotated[
    ApprovalSection | None,
    BeforeValidator(_none, json_schema_input_type=ApprovalSection | Literal["none"] | None),
]
"""`none` reads better in a file of rules than an absent key."""


class EvidenceSection(Section):
    """Needs a backend for `integrations.evidence`."""

    critical_vulnerabilities: int | None = Field(
        None, ge=0, description="At most so many critical vulnerabilities; by default any number."
    )
    high_vulnerabilities: int | None = Field(
        None, ge=0, description="At most so many high vulnerabilities; by default any number."
    )
    failed_policies: int | None = Field(
        None, ge=0, description="At most so many failed policy results; by default any number."
    )


class WatchSection(Section):
    """Needs a backend for `integrations.signals`."""

    for_: Duration = Field("5m", alias="for", description="How long a promoted revision is watched.")
    success_ratio: float | None = Field(
        None, gt=0, le=1, description="Back when the share of good answers falls below it, such as 0.99."
    )
    latency_seconds: float | None = Field(
        None, gt=0, description="Back when the 95th percentile rises above it."
    )


class EnvironmentSection(Section):
    name: Label = Field(description="Its name in commands.")
    title: str = Field("", description="Its name on cards; by default the name, capitalised.")
    follows: Branch | None = Field(
        None, description="The branch it syncs from by itself; only the first environment."
    )
    release_ref: Branch = Field("release", description="The branch that promotion moves.")
    approval: Approval = Field(None, description="Who must approve changes; by default none.")
    evidence: EvidenceSection | None = Field(
        None, description="What scanners and policy engines must say before something may go there."
    )
    watch: WatchSection | None = Field(None, description="What is watched after a promotion.")


class RulesSection(Section):
    reserved_names: list[Label] = Field(default_factory=list, description="Names no service may have.")
    request_expires_after: Duration = Field("24h", description="How long a request waits for approval.")
    proposal_expires_after: Duration = Field("1h", description="How long a plan waits for its requester.")
    create_service_approval: Approval = Field(
        None, description="Who must approve new services; by default none."
    )


class PricesSection(Section):
    currency: str = Field("EUR", description="Printed behind amounts.")
    monthly: dict[PriceKey, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="service:ENVIRONMENT or KIND:SIZE -> a month's price."
    )


class NotificationsSection(Section):
    deployments: dict[Label, SlackChannel] = Field(
        default_factory=dict, description="Environment -> channel of deploy notifications."
    )


class BackendSection(BaseModel):
    """`use` names a file in integrations/ (or an entry point); all other keys are that backend's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")
    use: str = Field(description="Which backend: a module of integrations/ or of a plug-in.")

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class IntegrationsSection(Section):
    code_host: BackendSection = Field(description="Repositories.")
    golden_paths: BackendSection = Field(description="Templates.")
    infrastructure: BackendSection = Field(description="Databases and the like.")
    delivery: BackendSection = Field(description="Runs revisions in environments.")
    catalog: BackendSection = Field(description="What exists and who owns it.")
    admission: BackendSection | None = Field(
        None, description="Asks the cluster's policies about what a plan would create."
    )
    evidence: BackendSection | None = Field(None, description="Reports of scanners and policy engines.")
    secret_store: BackendSection | None = Field(None, description="Where services' secrets live.")
    secret_sync: BackendSection | None = Field(None, description="What brings secrets to the workloads.")
    signals: BackendSection | None = Field(None, description="Success rate and latency of services.")
    annotations: BackendSection | None = Field(None, description="Marks deployments on dashboards.")
    costs: BackendSection | None = Field(None, description="What services really cost.")
    scaffolder: BackendSection | None = Field(None, description="Templates that run elsewhere.")


class File(Section):
    """platform.yml."""

    platform: PlatformSection = Field(description="The platform itself.")
    slack: SlackSection = Field(description="The Slack workspace.")
    people: list[PersonSection] = Field(
        default_factory=list, description="What Slack does not know of people."
    )
    roles: dict[RoleName, RoleSection] = Field(description="What roles may do.")
    teams: dict[Label, TeamSection] = Field(description="Who belongs where.", min_length=1)
    platform_admins: list[Entry] = Field(default_factory=list, description="Who may do everything.")
    golden_paths: list[Label] = Field(description="Templates on offer.", min_length=1)
    environments: list[EnvironmentSection] = Field(description="In the order of promotion.", min_length=1)
    rules: RulesSection = Field(default_factory=RulesSection, description="Guardrails.")
    prices: PricesSection = Field(default_factory=PricesSection, description="For cost estimates on plans.")
    notifications: NotificationsSection = Field(
        default_factory=NotificationsSection, description="Channels that are told."
    )
    integrations: IntegrationsSection = Field(description="Which backend does what.")
