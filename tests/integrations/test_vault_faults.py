"""Vault when answers are lost, it is sealed, limited, away or lies, and when the bot's token ends: the right state in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from fake_vault import JWT, FakeVault, Fault, Key, garbage, hangs, lost, said
from vaulting import NAME, POLICY, House, fake_house, settings, spec, surroundings

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import vault
from integrations.vault import Vault

KEY = "STRIPE_API_KEY"
PLACE = f"secret/orders/orders/staging/{KEY}"


@pytest.fixture
def fake() -> FakeVault:
    return FakeVault()


async def everything(bot: Vault) -> None:
    await bot.ensure_access(spec(), request_id="r-1")
    await bot.ensure_placeholders(spec(KEY), request_id="r-1")


async def until_done(fake: FakeVault, do: Callable[[], Awaitable[object]], tries: int = 12) -> None:
    """What the loop around a step does with temporary failures."""
    for _ in range(tries):
        try:
            await do()
        except TemporaryBackendError as error:
            await fake.clock.sleep(error.retry_after_seconds or 10.0)
        else:
            return
    raise AssertionError("never done")


def made(fake: FakeVault) -> None:
    """One of each, and one version of the key."""
    assert [name for name in fake.policies if name != "bot"] == [NAME]
    assert list(fake.roles) == [f"kubernetes/{NAME}"]
    assert {place: len(key.versions) for place, key in fake.keys.items()} == {PLACE: 1}


# ---------------------------------------------------------------- lost answers

WRITES = (
    "sys/policies/acl/",
    "auth/kubernetes/role/",
    "secret/data/",
)


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("path", WRITES)
async def test_lost_answers_of_a_creation_make_everything_once(
    fake: FakeVault, path: str, times: int
) -> None:
    fake.faults.append(Fault("POST", path, lost, executed=True, times=times))
    async with fake_house(fake) as house:
        await until_done(fake, lambda: everything(house.bot))
    made(fake)


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("path", WRITES[:2])
async def test_lost_answers_of_an_undo_end_in_nothing_there(fake: FakeVault, path: str, times: int) -> None:
    async with fake_house(fake) as house:
        await everything(house.bot)
        fake.faults.append(Fault("DELETE", path, lost, executed=True, times=times))
        await until_done(fake, lambda: house.bot.remove_access(spec(), request_id="r-1"))
    assert (list(fake.policies), fake.roles) == (["bot"], {})


async def test_an_undo_that_was_cut_off_in_the_middle_is_finished(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        await everything(house.bot)
        fake.faults.append(Fault("DELETE", "sys/policies/acl/", said(500, "internal error"), times=2))
        await until_done(fake, lambda: house.bot.remove_access(spec(), request_id="r-1"))
    assert (list(fake.policies), fake.roles) == (["bot"], {})


# ---------------------------------------------------------------- a Vault that is away, full, or lies


@pytest.mark.parametrize(
    ("happen", "kind"),
    [
        (said(503, "Vault is sealed"), BackendErrorKind.UNAVAILABLE),
        (said(500, "internal error"), BackendErrorKind.UNAVAILABLE),
        (said(472), BackendErrorKind.UNAVAILABLE),
        (said(473), BackendErrorKind.UNAVAILABLE),
        (said(412, "required index state not present"), BackendErrorKind.UNAVAILABLE),
        (said(429, 'request path "secret/": rate limit quota exceeded'), BackendErrorKind.RATE_LIMITED),
        (hangs, BackendErrorKind.UNAVAILABLE),
        (garbage, BackendErrorKind.UNKNOWN),
        (lambda _: httpx.Response(404, text="<html>default backend</html>"), BackendErrorKind.UNKNOWN),
    ],
    ids=["sealed", "500", "472", "473", "412", "429", "hangs", "garbage", "ingress"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_passes_is_a_temporary_failure_and_is_done_afterwards(
    fake: FakeVault,
    method: str,
    happen: Callable[[httpx.Request], httpx.Response],
    kind: BackendErrorKind,
) -> None:
    """Garbage after a write is not asked for, because the write is looked at: the look is what counts."""
    places = ("secret/subkeys", "sys/policies") if method == "GET" else WRITES
    async with fake_house(fake) as house:
        fake.faults += [Fault(method, path, happen, times=99) for path in places]
        failures: list[BackendError] = []
        for do in _calls(house):
            try:
                await do()
            except TemporaryBackendError as error:
                failures.append(error)
        assert len(failures) == 2
        assert {one.kind for one in failures} <= {kind, BackendErrorKind.NOT_READY}
        fake.faults.clear()
        await fake.clock.sleep(60)
        await until_done(fake, lambda: everything(house.bot))
    made(fake)


def _calls(house: House) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: house.bot.ensure_access(spec(), request_id="r-1"),
        lambda: house.bot.ensure_placeholders(spec(KEY), request_id="r-1"),
    ]


async def test_a_sealed_vault_says_so_and_who_can_help(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        fake.sealed = True
        with pytest.raises(TemporaryBackendError, match=r"^Vault is sealed\.$") as sealed:
            await house.bot.list_keys("orders", "staging", team="orders")
    assert "unseal" in sealed.value.sentence


@pytest.mark.parametrize("path", WRITES)
async def test_a_vault_that_says_yes_and_did_nothing_is_not_believed(fake: FakeVault, path: str) -> None:
    fake.faults.append(Fault("POST", path, lambda _: httpx.Response(204)))
    async with fake_house(fake) as house:
        with pytest.raises(TemporaryBackendError, match="said yes"):
            await everything(house.bot)
        await until_done(fake, lambda: everything(house.bot))
    made(fake)


async def test_an_undo_that_did_nothing_is_not_believed(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        await everything(house.bot)
        fake.faults.append(Fault("DELETE", "auth/", lambda _: httpx.Response(204)))
        with pytest.raises(TemporaryBackendError, match="still there"):
            await house.bot.remove_access(spec(), request_id="r-1")


async def test_a_right_that_is_missing_is_final_and_names_the_way_out(fake: FakeVault) -> None:
    policy = POLICY.replace('"create"', '"list"', 1)
    async with fake_house(fake, policy) as house:
        with pytest.raises(PermanentBackendError, match="permission denied") as refused:
            await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert refused.value.kind is BackendErrorKind.DENIED
    assert "`python -m bot check`" in refused.value.sentence
    assert fake.keys == {}


async def test_an_entry_without_any_version_is_a_key_that_waits_for_its_value(fake: FakeVault) -> None:
    """Somebody wrote metadata first; Vault then lets nobody create who may create only."""
    async with fake_house(fake) as house:
        fake.faults.append(Fault("POST", "secret/data/", said(403, "permission denied"), times=9))
        fake.keys[PLACE] = Key()
        (key,) = await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert key.filled is False


async def test_a_version_1_engine_is_refused_before_anything_is_written(fake: FakeVault) -> None:
    fake.mounts["secret"] = "1"
    async with fake_house(fake) as house:
        with pytest.raises(PermanentBackendError, match="kv version 1"):
            await house.bot.ensure_placeholders(spec(KEY), request_id="r-1")
    assert fake.writes() == []


# ---------------------------------------------------------------- who the bot is


@pytest.fixture
def jwt_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{JWT}\n")
    return file


def signed_in(fake: FakeVault, jwt_file: Path) -> AbstractAsyncContextManager[Vault]:
    """The bot as it signs in inside a cluster."""
    return vault.connect(
        settings(token_variable=None, jwt_file=str(jwt_file)),
        surroundings(),
        transport=fake.transport(),
        timing=fake.clock.timing(),
    )


async def test_in_a_cluster_the_bot_signs_in_once_and_renews_before_the_end(
    fake: FakeVault, jwt_file: Path
) -> None:
    fake.policies["bot"], fake.accounts[JWT] = POLICY, "bot"
    async with signed_in(fake, jwt_file) as bot:
        for _ in range(5):
            await everything(bot)
            await fake.clock.sleep(fake.lease_seconds * 0.7)
    made(fake)
    asked = [call for call in fake.calls if "login" in call or "renew" in call]
    assert asked == ["POST auth/kubernetes/login", *["POST auth/token/renew-self"] * 4]


async def test_a_token_that_is_revoked_is_replaced_by_signing_in_with_the_file_as_it_is_now(
    fake: FakeVault, jwt_file: Path
) -> None:
    fake.policies["bot"], fake.accounts[JWT] = POLICY, "bot"
    async with signed_in(fake, jwt_file) as bot:
        await bot.list_keys("orders", "staging", team="orders")
        fake.tokens.clear()
        fake.accounts = {"the.next-token": "bot"}
        jwt_file.write_text("the.next-token")
        await everything(bot)
    made(fake)


async def test_a_lease_that_cannot_be_renewed_any_more_is_replaced(fake: FakeVault, jwt_file: Path) -> None:
    fake.policies["bot"], fake.accounts[JWT] = POLICY, "bot"
    fake.faults.append(Fault("POST", "auth/token/renew-self", said(400, "lease is not renewable")))
    async with signed_in(fake, jwt_file) as bot:
        await everything(bot)
        await fake.clock.sleep(fake.lease_seconds * 0.9)
        await everything(bot)
    assert [call for call in fake.calls if "login" in call] == ["POST auth/kubernetes/login"] * 2


async def test_who_may_not_sign_in_is_told_so(fake: FakeVault, jwt_file: Path) -> None:
    async with signed_in(fake, jwt_file) as bot:
        with pytest.raises(PermanentBackendError, match="permission denied"):
            await everything(bot)


async def test_a_missing_service_account_token_is_a_temporary_failure(
    fake: FakeVault, tmp_path: Path
) -> None:
    async with signed_in(fake, tmp_path / "nothing") as bot:
        with pytest.raises(TemporaryBackendError, match="cannot be read"):
            await everything(bot)


async def test_a_token_of_the_environment_is_kept_alive(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        fake.grant(POLICY, ttl=3600)
        for _ in range(4):
            await everything(house.bot)
            await fake.clock.sleep(3600 * 0.7)
    assert "POST auth/token/renew-self" in fake.calls


async def test_a_token_of_the_environment_that_ended_names_its_variable_and_not_itself(
    fake: FakeVault,
) -> None:
    async with fake_house(fake) as house:
        await everything(house.bot)
        fake.tokens.pop(house.token)
        with pytest.raises(PermanentBackendError, match="has ended") as ended:
            await everything(house.bot)
    assert "VAULT_TOKEN" in ended.value.sentence
    assert house.token not in repr(ended.value)


async def test_calls_go_to_the_namespace_of_the_settings(fake: FakeVault) -> None:
    fake.namespace = "platform/eu"
    async with fake_house(fake, namespace="platform/eu") as house:
        await everything(house.bot)
        assert all(finding.ok for finding in await house.bot.check())
    made(fake)
