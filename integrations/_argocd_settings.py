"""The settings of `argocd`, and where they place Applications. Pure."""

from __future__ import annotations

from string import Formatter
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from integrations._argocd_manifest import Placement
from integrations._argocd_shapes import IN_CLUSTER

_PLACES: Final = frozenset({"service", "team", "environment"})


class Settings(BaseModel):
    """The section of platform.yml. Templates may use {service}, {team} and {environment}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["cluster", "api"] = Field(
        default="cluster", description="cluster: the Application resource; api: Argo CD's REST API."
    )
    style: Literal["application", "applicationset"] = Field(
        default="application",
        description="application: the bot writes Applications; applicationset: it commits what they are generated from.",
    )
    gitops_repository: str | None = Field(
        default=None,
        pattern=r"^(https://|http://(localhost|127\.0\.0\.1)[:/])[^\s?#@]+$",
        description="Address of the repository that the ApplicationSet reads, for `style: applicationset`.",
    )
    gitops_branch: str = Field(default="main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    gitops_folder: str = Field(default="services", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$")
    gitops_user: str = Field(default="x-access-token", description="Whom the token of the repository is of.")
    gitops_token: str = Field(
        default="GITOPS_TOKEN", description="Variable that holds the token that pushes there."
    )
    gitops_ca_file: str | None = Field(default=None, description="Certificate authority of the repository.")
    gitops_deadline_seconds: float = Field(default=60.0, gt=0)
    applicationset: str = Field(default="platform-bot", description="Name of the ApplicationSet.")
    namespace: str = Field(default="argocd", description="Where Argo CD keeps its Applications.")
    kubeconfig: str | None = Field(
        default=None, description="Else the pod's service account, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = None
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Argo CD's address, for `mode: api` and links.",
    )
    token: str = Field(default="ARGOCD_TOKEN", description="Variable that holds the token, for `mode: api`.")
    webhook_tokens: tuple[str, ...] = Field(
        default=("ARGOCD_WEBHOOK_TOKEN",),
        description="Variables that hold the token of Argo CD's notifications; two while one is being replaced.",
    )
    ca_file: str | None = Field(default=None, description="Certificate authority of `base_url`.")
    project: str = Field(default="{team}", description="AppProject; made by the platform team. Knows {team}.")
    destination_namespace: str = Field(default="{team}-{environment}", description="Where workloads run.")
    destination_server: str = Field(default=IN_CLUSTER, description="Cluster that workloads run in.")
    destination_servers: dict[str, str] = Field(
        default={}, description="Environment -> cluster, where it differs."
    )
    path: str = Field(default="k8s/overlays/{environment}", description="Folder of the manifests.")
    sync_options: tuple[str, ...] = Field(default=("CreateNamespace=true",))
    prune: bool = Field(default=True, description="Remove from the cluster what left the repository.")
    rollouts: bool = Field(default=True, description="Show and steer canaries of Argo Rollouts.")
    service_url: str = Field(
        default="", description="Address of a service; else the first one Argo CD knows."
    )
    degraded_grace_seconds: float = Field(
        default=30.0, ge=0, description="A fresh revision may be degraded for."
    )
    removal_wait_seconds: float = Field(default=30.0, ge=0)

    @field_validator("project", "destination_namespace", "path", "service_url")
    @classmethod
    def _known_places(cls, value: str) -> str:
        used = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
        if used - _PLACES:
            raise ValueError(f"accepted placeholders: {', '.join(sorted(_PLACES))}")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Settings:
        if self.mode == "api" and self.base_url is None:
            raise ValueError("mode: api needs base_url")
        if self.style == "applicationset" and self.gitops_repository is None:
            raise ValueError("style: applicationset needs gitops_repository")
        if set(_placeholders(self.project)) - {"team"}:
            raise ValueError("project: accepted placeholder: team")
        return self

    @property
    def placement(self) -> Placement:
        return Placement(
            namespace=self.namespace,
            project=self.project,
            destination_namespace=self.destination_namespace,
            path=self.path,
            server=self.destination_server,
            servers=self.destination_servers,
            sync_options=self.sync_options,
            prune=self.prune,
        )


def _placeholders(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
