"""Who the bot is to GitHub: an App that signs short tokens, or a token somebody made. Secrets stay in memory, unlogged.

Installation tokens live for an hour; one is renewed five minutes before, by one caller while the others wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote

import jwt
from pydantic import BaseModel

from bot.errors import BackendError, BackendErrorKind
from integrations._github_errors import BACKEND, refuse, translate
from integrations._github_shapes import parse
from integrations._http import Answer, Call, Http, Timing

RENEW_BEFORE: Final = timedelta(minutes=5)
CLOCK_SKEW: Final = timedelta(seconds=60)
JWT_LIFE: Final = timedelta(minutes=9)
"""GitHub allows ten, counted by its own clock."""


class Signer(Protocol):
    def __call__(self, claims: Mapping[str, Any], private_key: str) -> str: ...


def sign_rs256(claims: Mapping[str, Any], private_key: str) -> str:
    """The one place that signs; refuses a key that is none."""
    try:
        return str(jwt.encode(dict(claims), private_key, algorithm="RS256"))
    except (ValueError, TypeError, jwt.PyJWTError):
        # The library's words may quote the key.
        raise refuse(
            "The App's private key cannot be read.",
            BackendErrorKind.DENIED,
            fix="It begins with -----BEGIN RSA PRIVATE KEY-----; download a new one from the App's page.",
        ) from None


def app_claims(app_id: str, now: datetime) -> dict[str, Any]:
    return {
        "iat": int((now - CLOCK_SKEW).timestamp()),
        "exp": int((now + JWT_LIFE).timestamp()),
        "iss": app_id,
    }


def standing_headers(api_version: str) -> dict[str, str]:
    return {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": api_version,
        "User-Agent": "platform-bot",
    }


class InstallationToken(BaseModel):
    token: str
    expires_at: datetime


class Installation(BaseModel):
    id: int
    app_slug: str = ""
    permissions: dict[str, str] = {}
    repository_selection: str = "all"
    suspended_at: datetime | None = None


@dataclass
class TokenDialect:
    """A classic or fine-grained token; it cannot be renewed from here."""

    api_version: str
    token: str = field(repr=False)
    backend: str = BACKEND

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's word
        return {**standing_headers(self.api_version), "Authorization": f"Bearer {self.token}"}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return translate(answer, now)


@dataclass
class AppDialect:
    """Signed in as the App itself: may look at installations and mint their tokens, nothing else."""

    api_version: str
    app_id: str
    private_key: str = field(repr=False)
    signer: Signer
    timing: Timing
    backend: str = BACKEND

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:  # noqa: ARG002 - every JWT is new
        signed = self.signer(app_claims(self.app_id, self.timing.now()), self.private_key)
        return {**standing_headers(self.api_version), "Authorization": f"Bearer {signed}"}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return translate(answer, now)


class InstallationDialect:
    """Signed in as the App's installation in the organisation."""

    backend = BACKEND

    def __init__(
        self, app: Http, *, api_version: str, organisation: str, installation_id: int | None
    ) -> None:
        self._app = app
        self._api_version = api_version
        self._organisation = organisation
        self._installation_id = installation_id
        self._token: InstallationToken | None = None
        self._minting = asyncio.Lock()

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        refused = self._token if renew else None
        async with self._minting:
            token = self._token
            if token is None or token is refused or self._app.now() >= token.expires_at - RENEW_BEFORE:
                self._token = token = await self._mint()
        return {**standing_headers(self._api_version), "Authorization": f"Bearer {token.token}"}

    async def _mint(self) -> InstallationToken:
        if self._installation_id is None:
            self._installation_id = (await self.installation()).id
        # A token too many is harmless; it ends by itself.
        path = f"/app/installations/{self._installation_id}/access_tokens"
        return parse(await self._app.send(Call("POST", path, repeatable=True)), InstallationToken)

    async def installation(self) -> Installation:
        """Raises PermanentBackendError(NOT_FOUND) where the App is not installed."""
        path = (
            f"/orgs/{quote(self._organisation, safe='')}/installation"
            if self._installation_id is None
            else f"/app/installations/{self._installation_id}"
        )
        answer = await self._app.send(Call("GET", path, accept=frozenset({404})))
        if answer.status == 404:
            raise refuse(
                f"The App is not installed in {self._organisation}.",
                BackendErrorKind.NOT_FOUND,
                fix="Open the App's page, Install App, choose the organisation and all repositories.",
            )
        return parse(answer, Installation)

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return translate(answer, now)
