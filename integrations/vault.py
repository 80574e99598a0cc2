"""Secret store in Vault (or OpenBao): a placeholder for each key, and access for the one service that needs it.

Reads no value and cannot: what it shows comes from the structure of an entry and its version. Writes no value: a placeholder is
empty, and creating is the only right the bot has there, so that nothing a person filled in can be lost to it. Whose a policy is
stands in its first line; keys stay when a request is undone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import _vault_shapes as shapes
from integrations._http import Call, Timing
from integrations._vault_api import Api, Identity, KubernetesIdentity, TokenIdentity
from integrations._vault_check import check_all, mount_problem
from integrations._vault_settings import Settings
from integrations._vault_shapes import BACKEND, Entry, Role
from integrations.ports import Finding, Marked, SecretSpec, SecretStore, StoredKey, Surroundings

__all__ = ["PORT", "Settings", "Vault", "connect", "open"]

PORT: Final = "secret_store"
_ABSENT: Final = frozenset({404})


class Vault:
    """Implements `integrations.ports.SecretStore`."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._mounted = False

    def breaker_state(self) -> str:
        return self._api.breaker_state()

    async def check(self) -> Sequence[Finding]:
        return await check_all(self._api, self._settings)

    # ------------------------------------------------------------ access

    async def ensure_access(self, spec: SecretSpec, *, request_id: str) -> str:
        """Empty where access is given by a template and nothing has to be made."""
        shapes.require_names(spec, request_id)
        if self._settings.access == "by-template":
            return ""
        name = shapes.access_name(spec)
        await self._ensure_policy(name, spec, request_id)
        await self._ensure_role(name, spec)
        return name

    async def remove_access(self, spec: SecretSpec, *, request_id: str) -> None:
        shapes.require_names(spec)
        if self._settings.access == "by-template":
            return
        name = shapes.access_name(spec)
        text = await self._policy(name)
        if text is None or shapes.policy_owner(text) != request_id:
            return
        # The role first: the policy says whose both are, so it stays until the rest is gone.
        role = await self._role(name, spec)
        if role is not None and role.policies == (name,):
            await self._delete(self._role_path(name, spec))
            if await self._role(name, spec) is not None:
                raise _not_done(f"role {name} is still there")
        await self._delete(_policy_path(name))
        if await self._policy(name) is not None:
            raise _not_done(f"policy {name} is still there")

    async def list_marked(self) -> Sequence[Marked]:
        """Access only: what became of a key is its owner's business, and undone requests leave theirs behind."""
        if self._settings.access == "by-template":
            return []
        call = Call("GET", "/sys/policies/acl", {"list": "true"}, accept=_ABSENT)
        names = shapes.parse_names(await self._api.send(call))
        ours = [name for name in names if name.startswith(f"{shapes.MANAGER}.")]
        texts = await asyncio.gather(*(self._policy(name) for name in ours))
        found = (shapes.to_marked(name, text or "") for name, text in zip(ours, texts, strict=True))
        return [marked for marked in found if marked is not None]

    async def _ensure_policy(self, name: str, spec: SecretSpec, request_id: str) -> None:
        path = shapes.fill(self._settings.path, spec)
        wanted = shapes.policy_text(spec, mount=self._settings.mount, path=path, request_id=request_id)
        found = await self._policy(name)
        if found is None:
            call = Call("POST", _policy_path(name), body={"policy": wanted}, repeatable=True)
            await self._api.send(call)
            found = await self._policy(name)
            if found is None:
                raise _not_done(f"policy {name} is not there")
        if shapes.policy_owner(found) is None:
            raise _taken("policy", name)
        if not shapes.same_rules(found, wanted):
            raise _changed("policy", name, fix=f"vault policy read {name}")

    async def _ensure_role(self, name: str, spec: SecretSpec) -> None:
        wanted = self._wanted_role(name, spec)
        found = await self._role(name, spec)
        if found is None:
            # Not repeatable: the bot may create roles and not change them, so a second try would be refused.
            await self._api.send(Call("POST", self._role_path(name, spec), body=wanted.body()))
            found = await self._role(name, spec)
            if found is None:
                raise _not_done(f"role {name} is not there")
        if found.policies != wanted.policies:
            raise _taken("role", name)
        if found != wanted:
            raise _changed("role", name, fix=f"vault read {self._role_path(name, spec).lstrip('/')}")

    def _wanted_role(self, name: str, spec: SecretSpec) -> Role:
        settings = self._settings
        return Role(
            service_accounts=(shapes.fill(settings.service_account, spec),),
            namespaces=(shapes.fill(settings.kubernetes_namespace, spec),),
            audience=settings.audience,
            policies=(name,),
            token_ttl_seconds=settings.token_ttl_seconds,
        )

    async def _policy(self, name: str) -> str | None:
        return shapes.parse_policy(await self._api.send(_look(_policy_path(name))))

    async def _role(self, name: str, spec: SecretSpec) -> Role | None:
        return shapes.parse_role(await self._api.send(_look(self._role_path(name, spec))))

    async def _delete(self, path: str) -> None:
        """Vault says yes, too, where nothing is there."""
        await self._api.send(Call("DELETE", path, accept=_ABSENT, repeatable=True))

    def _role_path(self, name: str, spec: SecretSpec) -> str:
        return f"/auth/{shapes.fill(self._settings.services_auth_mount, spec)}/role/{quote(name)}"

    # ------------------------------------------------------------ keys

    async def ensure_placeholders(self, spec: SecretSpec, *, request_id: str) -> Sequence[StoredKey]:
        shapes.require_names(spec, request_id)
        await self._require_version_2()
        return [await self._ensure_key(spec, key, request_id) for key in spec.keys]

    async def list_keys(self, service: str, environment: str, *, team: str) -> Sequence[StoredKey]:
        spec = SecretSpec(service, environment, team, ())
        shapes.require_names(spec)
        names = [name for name in await self._names(spec) if shapes.is_key(name)]
        entries = await asyncio.gather(*(self._entry(spec, name) for name in names))
        return [self._stored(spec, name, entry) for name, entry in zip(names, entries, strict=True)]

    async def _ensure_key(self, spec: SecretSpec, key: str, request_id: str) -> StoredKey:
        entry = await self._entry(spec, key)
        if entry is not None:
            return self._stored(spec, key, entry)
        body = {
            "options": {"cas": 0},
            "data": {shapes.VALUE: "", f"{shapes.PLACEHOLDER}{request_id}": ""},
        }
        # Repeatable: a second creation is refused, and what is there then is looked at.
        call = Call("POST", self._kv("data", spec, key), body=body, repeatable=True)
        try:
            await self._api.send(call)
        except PermanentBackendError:
            # Somebody was faster, our own first answer was lost, or there is an entry without any version.
            entry = await self._entry(spec, key)
            if entry is None and key not in await self._names(spec):
                raise
            return self._stored(spec, key, entry)
        entry = await self._entry(spec, key)
        if entry is None:
            raise _not_done(f"{key} is not there")
        return self._stored(spec, key, entry)

    async def _entry(self, spec: SecretSpec, key: str) -> Entry | None:
        return shapes.parse_entry(await self._api.send(_look(self._kv("subkeys", spec, key))))

    async def _names(self, spec: SecretSpec) -> Sequence[str]:
        # A GET instead of LIST: not every proxy lets the latter through.
        call = Call("GET", self._kv("metadata", spec), {"list": "true"}, accept=_ABSENT)
        return shapes.parse_names(await self._api.send(call))

    def _kv(self, kind: str, spec: SecretSpec, key: str = "") -> str:
        whole = f"/{self._settings.mount}/{kind}/{shapes.fill(self._settings.path, spec)}"
        return quote(f"{whole}/{key}" if key else whole)

    def _stored(self, spec: SecretSpec, key: str, entry: Entry | None) -> StoredKey:
        page = self._settings.key_page(shapes.fill(self._settings.path, spec), key)
        return shapes.to_key(key, entry, web_url=page)

    async def _require_version_2(self) -> None:
        """Once: a version 1 engine would store our request itself under a name made of our path."""
        if self._mounted:
            return
        if problem := await mount_problem(self._api, self._settings.mount):
            raise PermanentBackendError(
                f"Vault: {problem}.",
                backend=BACKEND,
                kind=BackendErrorKind.INVALID,
                fix="The platform team corrects `mount`; `python -m bot check` says more.",
            )
        self._mounted = True


# ---------------------------------------------------------------- parts


def _look(path: str) -> Call:
    return Call("GET", path, accept=_ABSENT)


def _policy_path(name: str) -> str:
    return f"/sys/policies/acl/{quote(name)}"


def _not_done(what: str) -> TemporaryBackendError:
    """Vault said yes and a look says no: a standby that has not heard of it, or something that lies."""
    return TemporaryBackendError(
        f"Vault said yes, but {what}.", backend=BACKEND, kind=BackendErrorKind.NOT_READY
    )


def _taken(what: str, name: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"The {what} {name} exists already in Vault, and the bot did not make it.",
        backend=BACKEND,
        kind=BackendErrorKind.ALREADY_EXISTS,
        fix="Somebody who administers Vault renames it, or deletes it if nobody needs it.",
    )


def _changed(what: str, name: str, *, fix: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"The {what} {name} was changed since the bot made it, or the settings were. Nothing was overwritten.",
        backend=BACKEND,
        kind=BackendErrorKind.CONFLICT,
        fix=f"Look at it with `{fix}`; delete it to let the bot make it anew.",
    )


# ---------------------------------------------------------------- opening


def identity_of(settings: Settings, surroundings: Surroundings) -> Identity:
    """Raises StartError where a named variable holds no token."""
    if settings.token_variable is None:
        jwt_file = surroundings.base_folder / settings.jwt_file
        return KubernetesIdentity(settings.auth_mount, settings.role, jwt_file)
    token = surroundings.secrets.get(settings.token_variable, "").strip()
    if not token or not token.isascii():
        raise StartError(
            f"{settings.token_variable} holds no token for Vault.",
            fix="docs/backends/vault.md says how to make one; leave token_variable out to sign in by Kubernetes.",
        )
    return TokenIdentity(token, settings.token_variable)


def _trusted(settings: Settings, base: Path) -> ssl.SSLContext:
    file = base / settings.ca_file if settings.ca_file else None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise StartError(f"{file} cannot be read: {error}", fix="Correct `ca_file`.") from error


@asynccontextmanager
async def connect(
    settings: Settings,
    surroundings: Surroundings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Vault]:
    """Nothing is asked yet: Vault may be away or sealed while the bot starts."""
    identity = identity_of(settings, surroundings)
    tls = _trusted(settings, surroundings.base_folder)
    async with httpx.AsyncClient(
        base_url=f"{settings.address}/v1", verify=tls, transport=transport
    ) as client:
        yield Vault(Api(client, identity, settings.namespace, timing or Timing()), settings)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[SecretStore]:  # noqa: A001
    async with connect(settings, surroundings) as vault:
        yield vault
