"""The bot in a Vault with the policy of docs/backends/vault.md and no other right, and the hands of people around it.

Two Vaults: the fake at the transport, and a real OpenBao where one is installed. People speak to both over the same HTTP.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import fake_vault
import httpx
import openbao
from fake_vault import FakeVault
from openbao import OpenBao

from integrations import vault
from integrations._http import Timing
from integrations.ports import EntityStore, SecretSpec, Surroundings
from integrations.vault import Settings, Vault

PAGE = Path(__file__).parents[1] / "docs" / "backends" / "vault.md"
ADDRESS = "https://vault.example.com"
_PASTED = re.findall(r"```hcl\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
POLICY = "\n".join(line.strip() for line in _PASTED.splitlines() if line.strip())
"""What the page says to paste."""
BY_TEMPLATE = "\n".join(POLICY.splitlines()[:-3])
NAME = "platform-bot.orders.staging"


def spec(
    *keys: str, service: str = "orders", team: str = "orders", environment: str = "staging"
) -> SecretSpec:
    return SecretSpec(service, environment, team, keys)


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"address": ADDRESS, "token_variable": "VAULT_TOKEN", **more})


def surroundings(folder: Path = Path(), **secrets: str) -> Surroundings:
    """Vault keeps no entities of the catalog."""
    return Surroundings(folder, folder, entities=cast("EntityStore", None), secrets=secrets)


class People:
    """Everything that persons do in Vault, with every right."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def raw(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self._client.request(method, f"/v1{path}", json=body, headers=headers)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.raw(method, path, body)
        if answer.status_code == 404:
            return None
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()["data"] if answer.content else None

    async def write(self, key: str, **fields: str) -> None:
        await self.call("POST", f"/secret/data/orders/orders/staging/{key}", {"data": fields})

    async def value(self, key: str) -> dict[str, Any] | None:
        found = await self.call("GET", f"/secret/data/orders/orders/staging/{key}")
        return dict(found["data"]) if found else None

    async def version(self, key: str) -> int:
        found = await self.call("GET", f"/secret/subkeys/orders/orders/staging/{key}")
        return int(found["metadata"]["version"])

    async def forget(self, key: str) -> None:
        await self.call("DELETE", f"/secret/data/orders/orders/staging/{key}")

    async def policy(self, name: str = NAME) -> str | None:
        found = await self.call("GET", f"/sys/policies/acl/{name}")
        return str(found["policy"]) if found else None

    async def write_policy(self, text: str, name: str = NAME) -> None:
        await self.call("POST", f"/sys/policies/acl/{name}", {"policy": text})

    async def role(self, name: str = NAME) -> dict[str, Any] | None:
        found = await self.call("GET", f"/auth/kubernetes/role/{name}")
        return dict(found) if found else None

    async def write_role(self, policies: list[str], audience: str = "vault") -> None:
        body = {
            "bound_service_account_names": ["orders"],
            "bound_service_account_namespaces": ["orders-staging"],
            "audience": audience,
            "token_policies": policies,
            "token_ttl": 3600,
        }
        await self.call("POST", f"/auth/kubernetes/role/{NAME}", body)


@dataclass
class House:
    """`bot` is the backend as it works there."""

    bot: Vault
    people: People
    token: str


@asynccontextmanager
async def fake_house(fake: FakeVault, policy: str = POLICY, **more: Any) -> AsyncIterator[House]:
    token = fake.grant(policy)
    headers = {"X-Vault-Token": fake_vault.ROOT, "X-Vault-Request": "true"}
    async with (
        httpx.AsyncClient(base_url=ADDRESS, headers=headers, transport=fake.transport()) as client,
        vault.connect(
            settings(**more),
            surroundings(VAULT_TOKEN=token),
            transport=fake.transport(),
            timing=fake.clock.timing(),
        ) as bot,
    ):
        yield House(bot, People(client), token)


@asynccontextmanager
async def real_house(bao: OpenBao, policy: str = POLICY, **more: Any) -> AsyncIterator[House]:
    """In a namespace of its own."""
    namespace = bao.make_namespace()
    token = bao.grant(policy, namespace=namespace)
    configured = settings(**{"address": bao.address, "namespace": namespace, **more})
    headers = {"X-Vault-Token": openbao.ROOT, "X-Vault-Namespace": namespace}
    quick = Timing(sleep=lambda _seconds: asyncio.sleep(0))
    async with (
        httpx.AsyncClient(base_url=bao.address, headers=headers) as client,
        vault.connect(configured, surroundings(VAULT_TOKEN=token), timing=quick) as bot,
    ):
        yield House(bot, People(client), token)
