"""The `secret_store` section of platform.yml for Vault: where it is, who the bot is there, and where a service's keys lie.

Rules with placeholders become paths and a policy's text, so their form is judged here, part by part. Performs no I/O.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from integrations.ports import SecretSpec

_PLACES: Final = ("team", "service", "environment")
_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_MOUNT: Final = rf"^{_PART}(/{_PART})*$"
_NAME: Final = re.compile(r"[a-z0-9{][a-z0-9{}-]*")
KEY_URL_PLACES: Final = {"address", "namespace", "mount", "path", "key"}


class Settings(BaseModel):
    """The section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(description="Where Vault is, such as https://vault.example.com:8200.")
    namespace: str = Field("", description="Vault Enterprise or OpenBao namespace; empty: the root.")
    ca_file: str | None = Field(None, description="Certificate authority, relative to platform.yml.")
    token_variable: str | None = Field(
        None, description="Environment variable with a token; without it the bot signs in by Kubernetes."
    )
    auth_mount: str = Field("kubernetes", pattern=_MOUNT, description="Where the bot signs in.")
    role: str = Field("platform-bot", pattern=rf"^{_PART}$", description="The bot's own role there.")
    jwt_file: str = Field(
        "/var/run/secrets/kubernetes.io/serviceaccount/token", description="The bot's service account token."
    )
    mount: str = Field("secret", pattern=_MOUNT, description="Mount of the KV version 2 engine.")
    path: str = Field(
        "{team}/{service}/{environment}",
        description="Where a service's keys lie; one entry below it per key.",
    )
    access: Literal["per-service", "by-template"] = Field(
        "per-service",
        description="per-service: the bot writes a policy and a role for each service. by-template: it writes neither.",
    )
    services_auth_mount: str = Field(
        "kubernetes", description="Where the services' roles are made; may use {environment}."
    )
    service_account: str = Field("{service}", description="Rule for the name of a service's ServiceAccount.")
    kubernetes_namespace: str = Field("{team}-{environment}", description="Rule for its namespace.")
    audience: str = Field("vault", min_length=1, description="Audience that a service's token must carry.")
    token_ttl_seconds: int = Field(3600, ge=60, le=86400, description="Life of a service's Vault token.")
    key_url: str = Field(
        "{address}/ui/vault/secrets/{mount}/kv/{path}%2F{key}/details",
        description="Where a person fills a value in; may use {address}, {namespace}, {mount}, {path}, {key}.",
    )
    check_teams: tuple[str, ...] = Field(
        (), description="Teams whose paths `check` asks about, where the bot's policy names teams."
    )

    @field_validator("address")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.username:
            raise ValueError("a URL that begins with https:// (or http://), without a user or a query")
        return value.rstrip("/").removesuffix("/v1")

    @field_validator("path")
    @classmethod
    def _whole_parts(cls, value: str) -> str:
        """A part is one placeholder or plain text: `{service}-{environment}` would give two services one path."""
        known = {f"{{{place}}}" for place in _PLACES}
        parts = value.split("/")
        if any(part not in known and not re.fullmatch(_PART, part) for part in parts):
            raise ValueError(f"parts between slashes, each plain text or one of {', '.join(sorted(known))}")
        if not {"{service}", "{environment}"} <= set(parts):
            raise ValueError("a path with {service} and {environment}, so that no two services share one")
        return value

    @field_validator("service_account", "kubernetes_namespace")
    @classmethod
    def _named_after_the_service(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or _fields(value) - set(_PLACES):
            raise ValueError(f"a name of Kubernetes, with placeholders {', '.join(_PLACES)}")
        return value

    @field_validator("services_auth_mount")
    @classmethod
    def _mount_of_the_environment(cls, value: str) -> str:
        if _fields(value) - {"environment"} or not re.fullmatch(
            _MOUNT, value.replace("{environment}", "any")
        ):
            raise ValueError("the path of a mount, with the placeholder environment")
        return value

    @field_validator("key_url")
    @classmethod
    def _known_places(cls, value: str) -> str:
        if _fields(value) - KEY_URL_PLACES or not value.startswith(("{address}/", "https://", "http://")):
            raise ValueError(f"a URL, with placeholders {', '.join(sorted(KEY_URL_PLACES))}")
        return value

    def key_page(self, path: str, key: str) -> str:
        return self.key_url.format(
            address=self.address,
            namespace=quote(self.namespace, safe=""),
            mount=quote(self.mount, safe=""),
            path=quote(path, safe=""),
            key=key,
        )

    def pattern(self) -> str:
        """The path with `+` for what changes from service to service, as Vault's policies write it."""
        return "/".join("+" if part.startswith("{") else part for part in self.path.split("/"))

    def samples(self) -> tuple[SecretSpec, ...]:
        """Services that do not exist, whose paths `check` asks about."""
        teams = self.check_teams or ("platform-bot-check",)
        return tuple(SecretSpec("platform-bot-check", "platform-bot-check", team, ()) for team in teams)


def _fields(rule: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(rule) if name is not None}
