"""Placeholders and access in Vault: on a fake that enforces policies and on a real OpenBao, with the policy of the docs only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import openbao
import pytest
from fake_vault import FakeVault
from openbao import OpenBao
from pydantic import ValidationError
from vaulting import ADDRESS, BY_TEMPLATE, NAME, House, fake_house, real_house, settings, spec, surroundings

from bot.errors import BackendErrorKind, PermanentBackendError, StartError
from integrations import vault
from integrations.ports import Inventory, Marked, SecretSpec, SecretStore, StoredKey

KEY = "STRIPE_API_KEY"


@pytest.fixture(scope="module")
def bao() -> Iterator[OpenBao]:
    with openbao.running() as server:
        yield server


@pytest.fixture
def fake() -> FakeVault:
    return FakeVault()


@pytest.fixture(params=["fake", "openbao"])
async def house(request: pytest.FixtureRequest, fake: FakeVault) -> AsyncIterator[House]:
    """The same on both: where they differ, the fake is wrong."""
    if request.param == "fake":
        async with fake_house(fake) as house:
            yield house
    else:
        async with real_house(request.getfixturevalue("bao")) as house:
            yield house


def states(keys: list[StoredKey] | tuple[StoredKey, ...]) -> dict[str, bool | None]:
    return {one.name: one.filled for one in keys}


# ---------------------------------------------------------------- placeholders


async def test_a_new_key_is_an_empty_placeholder_that_says_whose_it_is(house: House) -> None:
    made = await house.bot.ensure_placeholders(spec(KEY, "MAIL_PASSWORD"), request_id="r-1")
    assert states(list(made)) == {KEY: False, "MAIL_PASSWORD": False}
    assert await house.people.value(KEY) == {"value": "", "platform-bot-placeholder-r-1": ""}
    assert made[0].web_url.endswith(f"/ui/vault/secrets/secret/kv/orders%2Forders%2Fstaging%2F{KEY}/details")


async def test_asking_again_writes_nothing_more(house: House) -> None:
    for _ in range(2):
        await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert await house.people.version(KEY) == 1


async def test_a_value_that_a_person_filled_in_is_never_touched(house: House) -> None:
    await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    await house.people.write(KEY, value="live")
    again = await house.bot.ensure_placeholders(spec(KEY, "MAIL_PASSWORD"), request_id="r-2")
    assert states(list(again)) == {KEY: True, "MAIL_PASSWORD": False}
    assert await house.people.value(KEY) == {"value": "live"}


async def test_a_key_that_somebody_made_before_the_bot_is_filled_at_its_first_version(house: House) -> None:
    await house.people.write(KEY, value="live")
    (key,) = await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert key.filled is True
    assert await house.people.version(KEY) == 1


async def test_a_value_in_a_field_of_another_name_does_not_count(house: House) -> None:
    await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    await house.people.write(KEY, password="live")
    assert states(list(await house.bot.list_keys("orders", "staging", team="orders"))) == {KEY: False}


async def test_a_value_that_was_deleted_is_not_there_and_not_written_anew(house: House) -> None:
    await house.people.write(KEY, value="live")
    await house.people.forget(KEY)
    (key,) = await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert key.filled is False
    assert states(list(await house.bot.list_keys("orders", "staging", team="orders"))) == {KEY: False}


async def test_the_list_has_the_keys_of_this_service_only(house: House) -> None:
    assert await house.bot.list_keys("orders", "staging", team="orders") == []
    await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    await house.bot.ensure_placeholders(spec("OTHER", service="orders-api"), request_id="r-1")
    await house.people.write("lower-case", value="x")
    await house.people.write("BELOW/THIS", value="x")
    keys = await house.bot.list_keys("orders", "staging", team="orders")
    assert states(list(keys)) == {KEY: False}


async def test_requests_at_the_same_instant_make_one_placeholder(house: House) -> None:
    await asyncio.gather(
        *(house.bot.ensure_placeholders(spec(KEY), request_id=each) for each in ("r-1", "r-2", "r-3"))
    )
    assert await house.people.version(KEY) == 1


# ---------------------------------------------------------------- access


async def test_a_service_gets_a_policy_for_its_keys_and_a_role_for_its_service_account(house: House) -> None:
    assert await house.bot.ensure_access(spec(), request_id="r-1") == NAME
    policy = await house.people.policy()
    assert policy == (
        "# managed-by: platform-bot; service: orders; environment: staging; request-id: r-1\n"
        '\npath "secret/data/orders/orders/staging/+" {\n  capabilities = ["read"]\n}\n'
        '\npath "secret/metadata/orders/orders/staging/+" {\n  capabilities = ["read"]\n}\n'
    )
    role = await house.people.role()
    assert role is not None
    assert role["bound_service_account_names"] == ["orders"]
    assert role["bound_service_account_namespaces"] == ["orders-staging"]
    assert (role["audience"], role["token_policies"], role["token_ttl"]) == ("vault", [NAME], 3600)


async def test_with_its_policy_a_service_reads_its_own_keys_and_no_others(bao: OpenBao) -> None:
    async with real_house(bao) as house:
        await house.bot.ensure_access(spec(), request_id="r-1")
        for place in ("orders/orders/staging", "orders/orders/production", "orders/orders-api/staging"):
            await house.people.call("POST", f"/secret/data/{place}/{KEY}", {"data": {"value": "live"}})
        made = await house.people.raw("POST", "/auth/token/create", {"policies": [NAME]})
        theirs = {"X-Vault-Token": made.json()["auth"]["client_token"]}
        read = [
            (await house.people.raw("GET", f"/secret/data/{place}/{KEY}", headers=theirs)).status_code
            for place in ("orders/orders/staging", "orders/orders/production", "orders/orders-api/staging")
        ]
        over = await house.people.raw(
            "POST", f"/secret/data/orders/orders/staging/{KEY}", {"data": {"value": ""}}, headers=theirs
        )
    assert (read, over.status_code) == ([200, 403, 403], 403)


async def test_the_bot_itself_is_refused_what_it_must_not_do(house: House) -> None:
    """The policy of the docs, and not the bot's good manners, is what protects values."""
    await house.people.write(KEY, value="live")
    place = f"orders/orders/staging/{KEY}"
    bot = {"X-Vault-Token": house.token}
    refused = [
        await house.people.raw("GET", f"/secret/data/{place}", headers=bot),
        await house.people.raw("POST", f"/secret/data/{place}", {"data": {"value": ""}}, headers=bot),
        await house.people.raw("DELETE", f"/secret/data/{place}", headers=bot),
        await house.people.raw("DELETE", f"/secret/metadata/{place}", headers=bot),
        await house.people.raw("POST", f"/secret/destroy/{place}", {"versions": [1]}, headers=bot),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert await house.people.value(KEY) == {"value": "live"}


async def test_another_request_uses_the_access_that_is_there_and_does_not_undo_it(house: House) -> None:
    await house.bot.ensure_access(spec(), request_id="r-1")
    assert await house.bot.ensure_access(spec(), request_id="r-2") == NAME
    await house.bot.remove_access(spec(), request_id="r-2")
    assert "request-id: r-1" in (await house.people.policy() or "")
    assert await house.people.role() is not None


async def test_undo_removes_access_and_leaves_every_key(house: House) -> None:
    await house.bot.ensure_access(spec(), request_id="r-1")
    await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    for _ in range(2):
        await house.bot.remove_access(spec(KEY), request_id="r-1")
    assert (await house.people.policy(), await house.people.role()) == (None, None)
    assert await house.people.value(KEY) is not None


async def test_a_policy_that_the_bot_did_not_make_is_neither_used_nor_removed(house: House) -> None:
    theirs = 'path "secret/data/other" {\n  capabilities = ["read"]\n}\n'
    await house.people.write_policy(theirs)
    with pytest.raises(PermanentBackendError, match="did not make it") as refused:
        await house.bot.ensure_access(spec(), request_id="r-1")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    await house.bot.remove_access(spec(), request_id="r-1")
    assert await house.people.policy() == theirs
    assert await house.people.role() is None


async def test_a_policy_that_somebody_widened_is_shown_and_not_overwritten(house: House) -> None:
    await house.bot.ensure_access(spec(), request_id="r-1")
    wider = (await house.people.policy() or "").replace("staging/+", "+/+")
    await house.people.write_policy(wider)
    with pytest.raises(PermanentBackendError, match="was changed") as refused:
        await house.bot.ensure_access(spec(), request_id="r-2")
    assert f"`vault policy read {NAME}`" in refused.value.sentence
    assert refused.value.kind is BackendErrorKind.CONFLICT
    assert await house.people.policy() == wider


async def test_a_role_of_somebody_else_is_neither_used_nor_removed(house: House) -> None:
    await house.people.write_role(["admins"])
    with pytest.raises(PermanentBackendError, match=f"role {NAME} exists already"):
        await house.bot.ensure_access(spec(), request_id="r-1")
    await house.bot.remove_access(spec(), request_id="r-1")
    role = await house.people.role()
    assert role is not None
    assert role["token_policies"] == ["admins"]
    assert await house.people.policy() is None, "the policy was this request's own"


async def test_a_role_that_somebody_changed_is_shown_and_not_overwritten(house: House) -> None:
    await house.bot.ensure_access(spec(), request_id="r-1")
    await house.people.write_role([NAME], audience="elsewhere")
    with pytest.raises(PermanentBackendError, match="was changed") as refused:
        await house.bot.ensure_access(spec(), request_id="r-2")
    assert refused.value.kind is BackendErrorKind.CONFLICT


async def test_access_is_listed_with_the_request_that_made_it(house: House) -> None:
    await house.bot.ensure_access(spec(), request_id="r-1")
    await house.bot.ensure_access(spec(service="payments", environment="production"), request_id="r-2")
    await house.people.write_policy("# of somebody else\n", name="platform-bot.theirs")
    assert sorted(await house.bot.list_marked(), key=lambda one: one.request_id) == [
        Marked("access", "orders", "r-1", "staging", place=f"policy and role {NAME}"),
        Marked(
            "access",
            "payments",
            "r-2",
            "production",
            place="policy and role platform-bot.payments.production",
        ),
    ]


async def test_names_that_share_their_letters_share_no_access(house: House) -> None:
    one = await house.bot.ensure_access(spec(service="a-b", environment="c"), request_id="r-1")
    other = await house.bot.ensure_access(spec(service="a", environment="b-c"), request_id="r-1")
    assert one != other


async def test_by_template_nothing_is_made_and_no_right_to_make_it_is_needed(fake: FakeVault) -> None:
    async with fake_house(fake, BY_TEMPLATE, access="by-template") as house:
        assert await house.bot.ensure_access(spec(), request_id="r-1") == ""
        assert await house.bot.list_marked() == []
        await house.bot.remove_access(spec(), request_id="r-1")
        await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
        assert all(finding.ok for finding in await house.bot.check())
    assert list(fake.policies) == ["bot"]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "hostile",
    [
        replace(spec(), service='orders" { capabilities = ["sudo"] } path "'),
        replace(spec(), team="../other"),
        replace(spec(), environment="staging/+"),
        replace(spec(), service="*"),
        replace(spec(), team=""),
        spec("hunter2"),
        spec("A/B"),
        spec("STRIPE_API_KEY=sk_live_1"),
    ],
)
async def test_a_name_that_is_no_name_reaches_neither_a_path_nor_a_policy(
    fake: FakeVault, hostile: SecretSpec
) -> None:
    async with fake_house(fake) as house:
        for call in (house.bot.ensure_access, house.bot.ensure_placeholders):
            with pytest.raises(PermanentBackendError) as refused:
                await call(hostile, request_id="r-1")
            assert refused.value.kind is BackendErrorKind.INVALID
            assert "hunter2" not in refused.value.sentence
            assert "sk_live" not in refused.value.sentence
    assert fake.calls == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "vault.example.com"},
        {"address": "https://user:secret@vault.example.com"},
        {"path": "{service}-{environment}"},
        {"path": "{team}/{service}"},
        {"path": "{team}/../{service}/{environment}"},
        {"path": "{team}/{service}/{environment}/*"},
        {"mount": "secret/../sys"},
        {"mount": '"'},
        {"services_auth_mount": "kubernetes-{team}"},
        {"service_account": "*"},
        {"kubernetes_namespace": "{namespace}"},
        {"key_url": "javascript:alert(1)"},
        {"key_url": "{address}/{token}"},
    ],
)
def test_settings_that_could_lead_to_another_path_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


async def test_mounts_paths_and_service_accounts_follow_the_settings(fake: FakeVault) -> None:
    fake.mounts["kv/apps"] = "2"
    more = {
        "path": "apps/{environment}/{service}",
        "services_auth_mount": "kubernetes-{environment}",
        "service_account": "{service}-runtime",
        "kubernetes_namespace": "{environment}",
    }
    policy = (
        'path "sys/policies/acl/platform-bot.*" { capabilities = ["read", "update", "delete"] }\n'
        'path "auth/+/role/platform-bot.*" { capabilities = ["create", "read", "delete"] }'
    )
    async with fake_house(fake, policy, **more) as house:
        await house.bot.ensure_access(spec(), request_id="r-1")
    assert '"secret/data/apps/staging/orders/+"' in fake.policies[NAME]
    role = fake.roles[f"kubernetes-staging/{NAME}"]
    assert role["bound_service_account_names"] == ["orders-runtime"]
    assert role["bound_service_account_namespaces"] == ["staging"]


async def test_it_offers_what_the_port_asks(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        store: SecretStore = house.bot
        assert store is house.bot
        assert isinstance(house.bot, Inventory)
        assert house.bot.breaker_state() == "closed"


async def test_a_variable_without_a_token_stops_the_start_and_is_named() -> None:
    with pytest.raises(StartError, match="VAULT_TOKEN holds no token"):
        async with vault.open(settings(), surroundings()):
            raise AssertionError("opened")


async def test_opening_asks_nothing_because_vault_may_be_away() -> None:
    async with vault.open(settings(address=f"{ADDRESS}/v1/"), surroundings(VAULT_TOKEN="s.any")) as opened:
        assert opened is not None
