"""What `python -m bot check` says of Vault: is it there, who is the bot, and may it do what it needs and nothing more.

Changes nothing and raises no BackendError. Vault says what a token may do with a path without trying it. A bot that could read,
overwrite or delete a value is a failure like one that could not write a placeholder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import BackendError
from integrations._http import Call
from integrations._vault_api import UNSEALED_BY, Api
from integrations._vault_settings import Settings
from integrations._vault_shapes import BACKEND, MANAGER, data_of, fill, readable
from integrations.ports import Finding

SAMPLE_KEY: Final = "PLATFORM_BOT_CHECK"
_READS: Final = frozenset({"read", "root"})


@dataclass(frozen=True)
class Right:
    """`path`: one that the right is asked of; `line`: how the bot's policy writes it. `allowed`: all that may be there."""

    subject: str
    path: str
    line: str
    needed: frozenset[str]
    allowed: frozenset[str]
    too_much: str = ""

    def finding(self, held: frozenset[str]) -> Finding:
        lacking = sorted(self.needed - held) if "root" not in held else []
        beyond = sorted(held - self.allowed - {"deny"}) if self.too_much else []
        if beyond:
            reads = "/data/" in self.path and _READS & set(beyond)
            what = "may read values; it must not" if reads else self.too_much
            return Finding(self.subject, ok=False, detail=f"{what}: {', '.join(beyond)}", fix=self._narrow())
        if lacking:
            detail = f"missing: {', '.join(lacking)}"
            return Finding(
                self.subject, ok=False, detail=detail, fix=f"Add to the bot's policy: {self.rule()}"
            )
        return Finding(
            self.subject, ok=True, detail=", ".join(sorted(held & self.allowed)) or "nothing, rightly"
        )

    def rule(self) -> str:
        words = ", ".join(f'"{one}"' for one in sorted(self.needed))
        return f'path "{self.line}" {{ capabilities = [{words}] }}'

    def _narrow(self) -> str:
        if self.needed:
            return f"Let the bot's policies say of it no more than: {self.rule()}"
        return f'Take it out of the bot\'s policies: path "{self.line}".'


def rights(settings: Settings) -> Sequence[Right]:
    mount, pattern = settings.mount, settings.pattern()
    create, nothing = frozenset({"create"}), frozenset[str]()
    found = []
    for sample in settings.samples():
        path = fill(settings.path, sample)
        found += [
            Right("Vault: create placeholders", f"{mount}/data/{path}/{SAMPLE_KEY}", f"{mount}/data/{pattern}/+",
                  create, create, "may overwrite or delete values; it must not"),
            Right("Vault: structure without values", f"{mount}/subkeys/{path}/{SAMPLE_KEY}",
                  f"{mount}/subkeys/{pattern}/+", frozenset({"read"}), frozenset({"read"})),
            Right("Vault: list keys", f"{mount}/metadata/{path}", f"{mount}/metadata/{pattern}",
                  frozenset({"list"}), frozenset({"list"})),
            Right("Vault: metadata of keys", f"{mount}/metadata/{path}/{SAMPLE_KEY}",
                  f"{mount}/metadata/{pattern}/+", nothing, frozenset({"read", "list"}),
                  "may delete values with their history; it must not"),
            Right("Vault: versions of keys", f"{mount}/destroy/{path}/{SAMPLE_KEY}", f"{mount}/destroy/{pattern}/+",
                  nothing, nothing, "may destroy values; it must not"),
        ]  # fmt: skip
    return [*found, *(_access_rights(settings) if settings.access == "per-service" else ())]


def _access_rights(settings: Settings) -> Sequence[Right]:
    """Vault asks `update` of a new policy, and `create` of a new role."""
    mount = settings.services_auth_mount
    sample = settings.samples()[0]
    policy, role = f"sys/policies/acl/{MANAGER}.", f"role/{MANAGER}."
    both, listing = frozenset({"create", "read", "update", "delete"}), frozenset({"list"})
    return [
        Right("Vault: names of policies", "sys/policies/acl", "sys/policies/acl", listing, listing),
        Right("Vault: policies of services", f"{policy}check", f"{policy}*", both, both),
        Right("Vault: roles of services", f"auth/{fill(mount, sample)}/{role}check",
              f"auth/{mount.replace('{environment}', '+')}/{role}*", both - {"update"}, both),
    ]  # fmt: skip


async def check_all(api: Api, settings: Settings) -> Sequence[Finding]:
    """The first part that cannot be asked at all ends it: the others would only say the same again."""
    findings: list[Finding] = []
    try:
        findings.append(await _reachable(api, settings))
        if findings[-1].ok:
            findings.append(await _signed_in(api))
            findings.append(await _mounted(api, settings))
            findings += await _permitted(api, settings)
    except BackendError as error:
        detail = error.message
        if (state := api.breaker_state()) != "closed":
            detail = f"{detail} Circuit breaker: {state}."
        fix = error.fix or f"Check that {settings.address} can be reached from here."
        findings.append(Finding(BACKEND, ok=False, detail=detail, fix=fix))
    return findings


async def _reachable(api: Api, settings: Settings) -> Finding:
    answer = await api.health()
    with readable("its health"):
        health: dict[str, Any] = dict(answer.json())
        sealed, version = health["sealed"] is not False, str(health.get("version", "?"))
    where = f"{version} at {settings.address}"
    if health.get("initialized") is False:
        return Finding(
            BACKEND, ok=False, detail=f"{where} is not initialised", fix="Run `vault operator init`."
        )
    if sealed:
        return Finding(BACKEND, ok=False, detail=f"{where} is sealed", fix=UNSEALED_BY)
    return Finding(BACKEND, ok=True, detail=where)


async def _signed_in(api: Api) -> Finding:
    data = data_of(await api.send(Call("GET", "/auth/token/lookup-self")), "a token")
    with readable("a token"):
        name, policies = str(data["display_name"]), [str(one) for one in data["policies"]]
    subject = "Vault: sign-in"
    if "root" in policies:
        fix = "Give the bot a token with its own policy only; docs/backends/vault.md has it."
        return Finding(subject, ok=False, detail="a root token, which may do everything", fix=fix)
    return Finding(subject, ok=True, detail=f"{name}, policies {', '.join(policies)}")


async def _mounted(api: Api, settings: Settings) -> Finding:
    problem = await mount_problem(api, settings.mount)
    fix = f"Run `vault secrets enable -path={settings.mount} kv-v2`, or correct `mount`." if problem else ""
    return Finding(
        "Vault: mount", ok=not problem, detail=problem or f"{settings.mount}, KV version 2", fix=fix
    )


async def mount_problem(api: Api, mount: str) -> str:
    """A version 1 engine would take our path for a name and store what we write there; empty: it is version 2.

    Vault tells nobody of a mount who has no right below it: that looks like one that is not there.
    """
    call = Call("GET", f"/sys/internal/ui/mounts/{mount}", accept=frozenset({403}))
    answer = await api.send(call)
    if answer.status == 403:
        return f"there is no mount {mount}, or the bot's policy names nothing below it"
    data = data_of(answer, "a mount")
    with readable("a mount"):
        kind, version = str(data["type"]), (data.get("options") or {}).get("version")
    return (
        ""
        if (kind, version) == ("kv", "2")
        else f"{mount} is {kind} version {version or 1}, not kv version 2"
    )


async def _permitted(api: Api, settings: Settings) -> Sequence[Finding]:
    asked = rights(settings)
    body = {"paths": sorted({one.path for one in asked})}
    answer = await api.send(Call("POST", "/sys/capabilities-self", body=body, repeatable=True))
    data = data_of(answer, "capabilities")
    with readable("capabilities"):
        return [one.finding(frozenset(data[one.path])) for one in asked]
