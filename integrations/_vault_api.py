"""Vault over HTTP as one identity: signed in by Kubernetes or by a token, kept alive, and what a refusal means.

Vault has one refusal, 403, for a token that ended and for a right that is missing: which of the two it was is found out by
looking the token up. A token never leaves this module but as a header. Must not know what is written or read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import httpx

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._breaker import Breaker
from integrations._http import Answer, Call, Http, Limits, Timing, retry_after_seconds
from integrations._vault_shapes import BACKEND, data_of, errors_of, readable

LIMITS: Final = Limits(connect_seconds=5.0, read_seconds=15.0, attempts=3, patience_seconds=5.0)
ONCE: Final = replace(LIMITS, attempts=1)
"""For signing in: it happens inside of a call, which is tried again as a whole."""
RENEW_AT: Final = 2 / 3
"""Of a token's life."""
NEVER: Final = float("inf")
UNSEALED_BY: Final = "Somebody who holds the unseal keys, or the auto-unseal, opens it again."
_TEMPORARY: Final = frozenset({408, 412, 429, 472, 473})
"""412: this node has not heard of what was just written. 472, 473: standby nodes, which do not serve requests."""


def refusal(answer: Answer, now: datetime) -> BackendError:
    """What a status of 300 or more means."""
    errors = errors_of(answer)
    said = "; ".join(" ".join(one.split()) for one in errors or ()) or f"status {answer.status}"
    if answer.status >= 500 or answer.status in _TEMPORARY:
        limited = answer.status == 429
        sealed = answer.status == 503 and any("sealed" in one for one in errors or ())
        return TemporaryBackendError(
            "Vault is sealed." if sealed else f"Vault cannot answer now: {said}",
            backend=BACKEND,
            kind=BackendErrorKind.RATE_LIMITED if limited else BackendErrorKind.UNAVAILABLE,
            retry_after_seconds=retry_after_seconds(answer.headers, now),
            fix=UNSEALED_BY if sealed else None,
        )
    if errors is None:
        # An ingress in the middle of a deployment, a wrong address, a login page.
        return TemporaryBackendError(
            f"Something else than Vault answers at its address, with status {answer.status}.",
            backend=BACKEND,
            kind=BackendErrorKind.UNKNOWN,
            fix="If this stays, check `address`.",
        )
    if answer.status == 403:
        return PermanentBackendError(
            f"Vault refuses: {said}",
            backend=BACKEND,
            kind=BackendErrorKind.DENIED,
            fix="`python -m bot check` says which capability is missing.",
        )
    if answer.status == 404:
        return PermanentBackendError(
            f"Vault has nothing there: {said}",
            backend=BACKEND,
            kind=BackendErrorKind.NOT_FOUND,
            fix="Check `mount`, `auth_mount` and `namespace` in platform.yml.",
        )
    outrun = any("check-and-set" in one for one in errors)
    kind = BackendErrorKind.CONFLICT if outrun else BackendErrorKind.INVALID
    return PermanentBackendError(f"Vault refuses: {said}", backend=BACKEND, kind=kind)


# ---------------------------------------------------------------- who the bot is


@dataclass(frozen=True)
class Lease:
    """A token and when to renew it, in monotonic seconds. A lease that cannot be renewed is replaced."""

    token: str = field(repr=False)
    renew_at: float
    renewable: bool


class Identity(Protocol):
    async def sign_in(self, door: Http, now: float) -> Lease:
        """`door` carries no token. Raises BackendError."""
        ...


@dataclass(frozen=True)
class KubernetesIdentity:
    """The pod's own service account. Its token is read again at every sign-in: the kubelet replaces it."""

    mount: str
    role: str
    jwt_file: Path

    async def sign_in(self, door: Http, now: float) -> Lease:
        try:
            jwt = self.jwt_file.read_text().strip()
        except OSError as error:
            raise TemporaryBackendError(
                f"The service account's token cannot be read: {error.strerror}", backend=BACKEND
            ) from error
        path = f"/auth/{quote(self.mount)}/login"
        answer = await door.send(Call("POST", path, body={"role": self.role, "jwt": jwt}, repeatable=True))
        return parse_lease(answer, now)


@dataclass(frozen=True)
class TokenIdentity:
    """A token from the environment. It can be kept alive, and not replaced."""

    token: str = field(repr=False)
    variable: str

    async def sign_in(self, door: Http, now: float) -> Lease:
        call = Call(
            "GET", "/auth/token/lookup-self", headers=token_header(self.token), accept=frozenset({403})
        )
        answer = await door.send(call)
        if answer.status == 403:
            raise PermanentBackendError(
                "Vault does not know the bot's token, or it has ended.",
                backend=BACKEND,
                kind=BackendErrorKind.DENIED,
                fix=f"Put a new one into {self.variable}, or sign in by Kubernetes.",
            )
        data = data_of(answer, "a token")
        with readable("a token"):
            ttl, renewable = float(data["ttl"]), data["renewable"] is True
        return Lease(self.token, now + ttl * RENEW_AT if ttl and renewable else NEVER, renewable)


def token_header(token: str) -> dict[str, str]:
    return {"X-Vault-Token": token}


def parse_lease(answer: Answer, now: float) -> Lease:
    with readable("a login"):
        auth = answer.json()["auth"]
        seconds, token = float(auth["lease_duration"]), auth["client_token"]
        if not isinstance(token, str) or not token.isascii() or not token:
            raise ValueError("no token")
        return Lease(token, now + seconds * RENEW_AT if seconds else NEVER, auth["renewable"] is True)


class Session:
    """The token in use: signed in when first needed, renewed before it ends, replaced when it is refused."""

    def __init__(self, door: Http, identity: Identity, timing: Timing) -> None:
        self._door = door
        self._identity = identity
        self._timing = timing
        self._lease: Lease | None = None
        self._changing = asyncio.Lock()

    async def token(self) -> str:
        async with self._changing:
            if self._lease is None:
                self._lease = await self._identity.sign_in(self._door, self._timing.monotonic())
            elif self._timing.monotonic() >= self._lease.renew_at:
                self._lease = await self._prolonged(self._lease)
            return self._lease.token

    async def _prolonged(self, lease: Lease) -> Lease:
        """Renewed, or a new one where that is refused: a token has a greatest age, too."""
        now = self._timing.monotonic()
        if lease.renewable:
            call = Call(
                "POST",
                "/auth/token/renew-self",
                body={},
                headers=token_header(lease.token),
                accept=frozenset({400, 403}),
                repeatable=True,
            )
            answer = await self._door.send(call)
            if answer.status < 300:
                return parse_lease(answer, now)
        return await self._identity.sign_in(self._door, now)

    async def replaced(self) -> bool:
        """After a refusal: whether it was the token that had ended, and there is another one now. Raises BackendError."""
        used = self._lease
        if used is None:
            return False
        headers = token_header(used.token)
        call = Call("GET", "/auth/token/lookup-self", headers=headers, accept=frozenset({403}))
        if (await self._door.send(call)).status != 403:
            return False
        async with self._changing:
            if self._lease is used:
                self._lease = await self._identity.sign_in(self._door, self._timing.monotonic())
        return True


# ---------------------------------------------------------------- the way to Vault


@dataclass
class DoorDialect:
    """Before and around signing in: no token but the one a call brings itself."""

    namespace: str
    backend: str = BACKEND

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's word
        # Agents and proxies may be told to refuse requests without the first header.
        standing = {"X-Vault-Request": "true"}
        return {**standing, "X-Vault-Namespace": self.namespace} if self.namespace else standing

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return refusal(answer, now)


class TokenDialect(DoorDialect):
    def __init__(self, namespace: str, session: Session) -> None:
        super().__init__(namespace)
        self._session = session

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        standing = await super().credentials(renew=renew)
        return {**standing, **token_header(await self._session.token())}


class Api:
    """One Vault, in one namespace. Every method raises BackendError."""

    def __init__(self, client: httpx.AsyncClient, identity: Identity, namespace: str, timing: Timing) -> None:
        breaker = Breaker(BACKEND)
        door = Http(client, DoorDialect(namespace), breaker=breaker, limits=ONCE, timing=timing)
        self._session = Session(door, identity, timing)
        dialect = TokenDialect(namespace, self._session)
        self._http = Http(client, dialect, breaker=breaker, limits=LIMITS, timing=timing)
        # sys/health is served outside of every namespace only, and to everybody.
        self._hall = Http(client, DoorDialect(""), breaker=breaker, limits=LIMITS, timing=timing)

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def send(self, call: Call) -> Answer:
        try:
            return await self._http.send(call)
        except PermanentBackendError as error:
            if error.kind is not BackendErrorKind.DENIED or not await self._session.replaced():
                raise
        return await self._http.send(call)

    async def health(self) -> Answer:
        """501: not initialised, 503: sealed; both are answers here."""
        params = {"standbyok": "true", "perfstandbyok": "true"}
        call = Call("GET", "/sys/health", params, accept=frozenset({429, 472, 473, 501, 503}))
        return await self._hall.send(call)
