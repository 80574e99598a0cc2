"""A Vault at the transport: tokens with policies that are enforced, KV version 2, the Kubernetes auth method, and faults.

Texts and statuses were read from a running OpenBao 2.7.2 and from Vault's api-docs; `openbao.py` runs the same tests against the
real thing where it is installed. Strict: a path, a field or a header that Vault would not take fails the test.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from integrations._http import Timing

ROOT = "root"
JWT = "a.service.account-token"
EVERYTHING = frozenset({"create", "read", "update", "patch", "delete", "list", "sudo"})
DENIED = "1 error occurred:\n\t* permission denied\n\n"
_BLOCK = re.compile(r'path\s+"([^"]*)"\s*\{\s*capabilities\s*=\s*\[([^\]]*)\]\s*\}')
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


class Clock:
    """Moves only when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)

    def timing(self) -> Timing:
        return Timing(monotonic=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 0.5)


@dataclass
class Token:
    policies: tuple[str, ...]
    name: str = "token"
    ttl: float = 0.0
    """Seconds of each lease; 0: for ever."""
    ends: float = float("inf")
    renewable: bool = True


@dataclass
class Key:
    """Versions of one entry; None: soft-deleted."""

    versions: list[dict[str, Any] | None] = field(default_factory=list)


@dataclass
class Fault:
    """What happens to the next `times` matching requests. `executed`: it is done, and the answer never arrives."""

    method: str
    path: str
    happen: Callable[[httpx.Request], httpx.Response]
    executed: bool = False
    times: int = 1

    def fits(self, request: httpx.Request, path: str) -> bool:
        return self.times > 0 and request.method == self.method and path.startswith(self.path)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset by peer", request=request)


def hangs(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


def garbage(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>Sign in</html>")


def said(status: int, *errors: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: refused(status, *errors)


def refused(status: int, *errors: str) -> httpx.Response:
    return httpx.Response(status, json={"errors": list(errors)})


def answered(data: Any = None, *, auth: Any = None, status: int = 200) -> httpx.Response:
    body = {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0}
    return httpx.Response(
        status, json={**body, "data": data, "auth": auth, "wrap_info": None, "warnings": None}
    )


NOTHING = httpx.Response(204)


@dataclass
class FakeVault:
    """`old` mounts are KV version 1. `accounts`: JWT -> token that a login with it gives, and for which role."""

    clock: Clock = field(default_factory=Clock)
    namespace: str = ""
    sealed: bool = False
    tokens: dict[str, Token] = field(default_factory=lambda: {ROOT: Token(("root",), name="root")})
    policies: dict[str, str] = field(default_factory=dict)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=lambda: {"secret": "2"})
    accounts: dict[str, str] = field(default_factory=dict)
    """JWT -> policy of who signs in with it."""
    lease_seconds: float = 3600.0
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    # ------------------------------------------------------------ what a test sees and sets

    def grant(self, policy: str, *, token: str = "s.bot", ttl: float = 0.0) -> str:
        """A token with exactly this policy."""
        self.policies["bot"] = policy
        ends = self.clock.seconds + ttl if ttl else float("inf")
        self.tokens[token] = Token(("bot", "default"), ttl=ttl, ends=ends)
        return token

    def writes(self) -> list[str]:
        asked = [call for call in self.calls if call.split()[0] in {"POST", "DELETE"}]
        return [call for call in asked if not re.search(r"auth/token|login|capabilities", call)]

    # ------------------------------------------------------------ the transport

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        assert request.url.path.startswith("/v1/")
        assert request.headers["X-Vault-Request"] == "true"
        path = unquote(request.url.path.removeprefix("/v1/"))
        self.calls.append(f"{request.method} {path}")
        fault = next((one for one in self.faults if one.fits(request, path)), None)
        if fault is not None:
            fault.times -= 1
            if fault.executed:
                self._answer(request, path)
            return fault.happen(request)
        return self._answer(request, path)

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        if path == "sys/health":
            assert "X-Vault-Namespace" not in request.headers
            return self._health()
        if self.sealed:
            return refused(503, "Vault is sealed")
        if request.headers.get("X-Vault-Namespace", "") != self.namespace:
            return refused(404, "namespace not found")
        if re.fullmatch(r"auth/[^/]+/login", path):
            return self._login(body)
        used = request.headers.get("X-Vault-Token", "")
        token = self.tokens.get(used)
        if token is None or token.ends <= self.clock.seconds:
            return refused(403, "permission denied")
        return self._permitted(request, path, body, (used, token))

    def _permitted(
        self, request: httpx.Request, path: str, body: Any, who: tuple[str, Token]
    ) -> httpx.Response:
        used, token = who
        if path.startswith("auth/token/"):
            return self._own_token(path, used, token)
        if path == "sys/capabilities-self":
            return answered({one: sorted(self.may(token, one)) or ["deny"] for one in body["paths"]})
        if path.startswith("sys/internal/ui/mounts/"):
            return self._mount(path.rpartition("/")[2], token)
        listing = request.url.params.get("list") == "true"
        if self._wanted(request.method, path, listing=listing) not in self.may(token, path):
            return refused(403, DENIED)
        if path == "sys/policies/acl" and listing:
            return answered({"keys": sorted(["default", "root", *self.policies])})
        if path.startswith("sys/policies/acl/"):
            return self._policy(request.method, path.rpartition("/")[2], body)
        if match := re.fullmatch(r"auth/([\w-]+)/role/([\w.-]+)", path):
            return self._role(request.method, "/".join(match.groups()), body)
        return self._kv(request.method, path, body, listing=listing)

    # ------------------------------------------------------------ who may what

    def may(self, token: Token, path: str) -> frozenset[str]:
        """The most specific rule of each policy, added up; Vault's own way of choosing, as far as it is used here."""
        if "root" in token.policies:
            return frozenset({"root"}) | EVERYTHING
        held: set[str] = set()
        rules = [
            rule
            for name in token.policies
            for rule in parse_policy(self.policies.get(name, ""))
            if fits(rule[0], path)
        ]
        if rules:
            best = max(rank(pattern) for pattern, _ in rules)
            held = {one for pattern, words in rules if rank(pattern) == best for one in words}
        return frozenset(held)

    def _wanted(self, method: str, path: str, *, listing: bool) -> str:
        """What an operation asks for: creating where Vault can tell that nothing is there, else updating."""
        if method == "POST":
            kind, _, name = path.partition("/data/")
            there = path in self.keys or f"{kind}/{name}" in self.keys
            if "/role/" in path:
                there = path.removeprefix("auth/").replace("/role/", "/") in self.roles
            return "update" if there or path.startswith("sys/") else "create"
        return "list" if listing else {"GET": "read", "DELETE": "delete"}[method]

    # ------------------------------------------------------------ the system

    def _health(self) -> httpx.Response:
        body = {"initialized": True, "sealed": self.sealed, "standby": self.sealed, "version": "1.20.0"}
        return httpx.Response(503 if self.sealed else 200, json=body)

    def _login(self, body: Mapping[str, Any]) -> httpx.Response:
        assert set(body) == {"role", "jwt"}
        policy = self.accounts.get(body["jwt"])
        if policy is None:
            return refused(403, "permission denied")
        used = f"s.{uuid.uuid4().hex}"
        ends = self.clock.seconds + self.lease_seconds
        self.tokens[used] = Token((policy, "default"), "kubernetes", self.lease_seconds, ends)
        return answered(auth=self._auth(used, self.tokens[used]))

    def _auth(self, used: str, token: Token) -> dict[str, Any]:
        return {
            "client_token": used,
            "lease_duration": int(token.ttl),
            "renewable": token.renewable,
            "policies": list(token.policies),
        }

    def _own_token(self, path: str, used: str, token: Token) -> httpx.Response:
        if path.endswith("lookup-self"):
            left = int(token.ends - self.clock.seconds) if token.ttl else 0
            about = {"display_name": token.name, "policies": list(token.policies), "ttl": left}
            return answered({**about, "renewable": token.renewable and bool(token.ttl)})
        assert path.endswith("renew-self")
        if not token.ttl or not token.renewable:
            return refused(400, "lease is not renewable")
        token.ends = self.clock.seconds + token.ttl
        return answered(auth=self._auth(used, token))

    def _mount(self, name: str, token: Token) -> httpx.Response:
        below = any(
            pattern.startswith((f"{name}/", "+/", "*"))
            for policy in token.policies
            for pattern, _ in parse_policy(self.policies.get(policy, ""))
        )
        if name not in self.mounts or not (below or "root" in token.policies):
            why = f'please ensure client\'s policies grant access to path "{name}/"'
            return refused(403, f"preflight capability check returned 403, {why}")
        version = self.mounts[name]
        options = {"version": version} if version == "2" else {}
        return answered({"path": f"{name}/", "type": "kv", "options": options})

    def _policy(self, method: str, name: str, body: Mapping[str, Any]) -> httpx.Response:
        if method == "POST":
            assert set(body) == {"policy"}
            try:
                parse_policy(body["policy"])
            except ValueError as error:
                return refused(400, f"failed to parse policy: {error}")
            self.policies[name] = body["policy"]
            return NOTHING
        if method == "DELETE":
            self.policies.pop(name, None)
            return NOTHING
        if name not in self.policies:
            return refused(404)
        return answered({"name": name, "policy": self.policies[name]})

    def _role(self, method: str, name: str, body: Mapping[str, Any]) -> httpx.Response:
        if method == "POST":
            assert set(body) == {
                "bound_service_account_names",
                "bound_service_account_namespaces",
                "audience",
                "token_policies",
                "token_ttl",
            }
            self.roles[name] = {"alias_name_source": "serviceaccount_uid", "token_max_ttl": 0, **body}
            return NOTHING
        if method == "DELETE":
            self.roles.pop(name, None)
            return NOTHING
        return answered(self.roles[name]) if name in self.roles else refused(404)

    # ------------------------------------------------------------ keys and values

    def _kv(self, method: str, path: str, body: Any, *, listing: bool) -> httpx.Response:
        mount, kind, name = path.split("/", 2)
        if self.mounts.get(mount) != "2":
            return refused(404, f'no handler for route "{path}". route entry not found.')
        place = f"{mount}/{name}"
        if listing:
            return self._listed(place)
        key = self.keys.get(place)
        if (method, kind) == ("POST", "data"):
            return self._write(place, body)
        if (method, kind) == ("DELETE", "data") and key:
            key.versions[-1] = None
            return NOTHING
        if key is None or not key.versions:
            return refused(404)
        about = self._about(key)
        newest = key.versions[-1]
        if kind == "subkeys":
            fields = None if newest is None else dict.fromkeys(newest)
            return answered({"subkeys": fields, "metadata": about}, status=404 if newest is None else 200)
        assert (method, kind) == ("GET", "data")
        return answered({"data": newest, "metadata": about}, status=404 if newest is None else 200)

    def _listed(self, folder: str) -> httpx.Response:
        below = [one.removeprefix(f"{folder}/") for one in self.keys if one.startswith(f"{folder}/")]
        names = {head + ("/" if rest else "") for head, _, rest in (one.partition("/") for one in below)}
        return answered({"keys": sorted(names)}) if names else refused(404)

    def _write(self, place: str, body: Mapping[str, Any]) -> httpx.Response:
        assert set(body) <= {"options", "data"}
        key = self.keys.get(place, Key())
        cas = body.get("options", {}).get("cas")
        if cas is not None and cas != len(key.versions):
            return refused(400, "check-and-set parameter did not match the current version")
        key.versions.append(dict(body["data"]))
        self.keys[place] = key
        return answered(self._about(key))

    def _about(self, key: Key) -> dict[str, Any]:
        deleted = "2026-03-02T09:00:00Z" if key.versions[-1] is None else ""
        return {
            "version": len(key.versions),
            "deletion_time": deleted,
            "destroyed": False,
            "custom_metadata": None,
        }


# ---------------------------------------------------------------- policies


def parse_policy(text: str) -> Sequence[tuple[str, frozenset[str]]]:
    """Raises ValueError for what is no list of paths with capabilities."""
    plain = _COMMENT.sub("", text)
    if _BLOCK.sub("", plain).strip():
        raise ValueError("unexpected text")
    rules = []
    for pattern, inside in _BLOCK.findall(plain):
        words = frozenset(re.findall(r'"([^"]*)"', inside))
        if words - EVERYTHING - {"deny"}:
            raise ValueError(f'path "{pattern}": invalid capability')
        rules.append((pattern, words))
    return rules


def fits(pattern: str, path: str) -> bool:
    """`+` is one part, a `*` at the end any rest. A folder may be asked about with or without its slash."""
    whole = re.escape(pattern.rstrip("/")).replace(r"\+", "[^/]+")
    if whole.endswith(r"\*"):
        whole = whole.removesuffix(r"\*") + ".*"
    return re.fullmatch(whole, path.rstrip("/")) is not None


def rank(pattern: str) -> tuple[int, int]:
    """How specific: what comes before the first wildcard counts first, then the length."""
    first = re.search(r"[+*]", pattern)
    return (first.start() if first else len(pattern) + 1, len(pattern))
