"""What `check` says of Vault: every right that is missing by its line, and every one that is too much as a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import openbao
import pytest
from fake_vault import ROOT, FakeVault, Fault, garbage, hangs, said
from openbao import OpenBao
from vaulting import POLICY, fake_house, real_house, settings, surroundings

from integrations import vault
from integrations.ports import Finding
from integrations.vault import Vault

LINES = POLICY.splitlines()


@pytest.fixture(scope="module")
def bao() -> Iterator[OpenBao]:
    with openbao.running() as server:
        yield server


@pytest.fixture
def fake() -> FakeVault:
    return FakeVault()


def shown(findings: list[Finding] | tuple[Finding, ...]) -> dict[str, str]:
    """Subject -> detail, of what fails."""
    return {one.subject: one.detail for one in findings if not one.ok}


async def checked(fake: FakeVault, policy: str) -> list[Finding]:
    async with fake_house(fake, policy) as house:
        return list(await house.bot.check())


async def test_with_the_policy_of_the_docs_nothing_is_missing_and_nothing_too_much(fake: FakeVault) -> None:
    findings = await checked(fake, POLICY)
    assert shown(findings) == {}
    assert len(findings) == 11
    assert fake.writes() == [], "a check changes nothing"


async def test_openbao_itself_says_the_same(bao: OpenBao) -> None:
    async with real_house(bao) as house:
        findings = await house.bot.check()
    assert shown(list(findings)) == {}
    assert len(findings) == 11


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("path")])
async def test_each_line_that_is_missing_is_named_so_that_it_can_be_pasted(
    fake: FakeVault, line: str
) -> None:
    findings = await checked(fake, "\n".join(one for one in LINES if one != line))
    (failed,) = [one for one in findings if not one.ok]
    assert failed.detail.startswith("missing: ")
    path = line.split('"')[1]
    assert failed.fix.startswith(f'Add to the bot\'s policy: path "{path}" {{ capabilities = [')


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        ("read", "may read values; it must not: read"),
        ("update", "may overwrite or delete values; it must not: update"),
        ("patch", "may overwrite or delete values; it must not: patch"),
        ("delete", "may overwrite or delete values; it must not: delete"),
    ],
)
async def test_a_right_to_values_is_a_failure(fake: FakeVault, capability: str, words: str) -> None:
    findings = await checked(fake, POLICY.replace('["create"] }', f'["create", "{capability}"] }}', 1))
    assert shown(findings) == {"Vault: create placeholders": words}


async def test_reading_values_is_a_failure_on_openbao_too(bao: OpenBao) -> None:
    async with real_house(bao, POLICY.replace('["create"] }', '["create", "read"] }', 1)) as house:
        findings = list(await house.bot.check())
    assert shown(findings) == {"Vault: create placeholders": "may read values; it must not: read"}


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ('path "secret/metadata/+/+/+/+" { capabilities = ["delete"] }', "Vault: metadata of keys"),
        ('path "secret/destroy/+/+/+/+" { capabilities = ["update"] }', "Vault: versions of keys"),
    ],
)
async def test_a_right_to_the_history_of_values_is_a_failure(
    fake: FakeVault, line: str, subject: str
) -> None:
    failed = shown(await checked(fake, f"{POLICY}\n{line}"))
    assert list(failed) == [subject]
    assert "must not" in failed[subject]


async def test_a_root_token_is_a_failure(fake: FakeVault) -> None:
    async with vault.connect(
        settings(),
        surroundings(VAULT_TOKEN=ROOT),
        transport=fake.transport(),
        timing=fake.clock.timing(),
    ) as bot:
        failed = shown(list(await bot.check()))
    assert failed["Vault: sign-in"] == "a root token, which may do everything"
    assert "may read values; it must not" in failed["Vault: create placeholders"]


async def test_rights_are_asked_for_the_teams_that_the_policy_names(fake: FakeVault) -> None:
    policy = POLICY.replace("/+/+/+/+", "/orders/+/+/+").replace("metadata/+/+/+", "metadata/orders/+/+")
    assert "missing: create" in shown(await checked(fake, policy))["Vault: create placeholders"]
    async with fake_house(fake, policy, check_teams=["orders"]) as house:
        assert shown(list(await house.bot.check())) == {}


@pytest.mark.parametrize(
    ("version", "words"),
    [("1", "secret is kv version 1, not kv version 2"), (None, "there is no mount secret")],
)
async def test_a_mount_of_another_kind_is_named_and_nothing_is_written_there(
    fake: FakeVault, version: str | None, words: str
) -> None:
    fake.mounts = {"secret": version} if version else {}
    assert words in shown(await checked(fake, POLICY))["Vault: mount"]


async def trouble(bot: Vault) -> Finding:
    """The only line: what cannot be asked at all is said once."""
    (finding,) = await bot.check()
    assert not finding.ok
    assert finding.fix
    return finding


async def test_a_sealed_vault_is_one_line_with_who_can_help(fake: FakeVault) -> None:
    fake.sealed = True
    async with fake_house(fake) as house:
        finding = await trouble(house.bot)
    assert finding.detail == "1.20.0 at https://vault.example.com is sealed"
    assert "unseal" in finding.fix


@pytest.mark.parametrize("happen", [hangs, garbage, said(500, "internal error")])
async def test_a_vault_that_cannot_answer_is_one_line(
    fake: FakeVault, happen: Callable[[httpx.Request], httpx.Response]
) -> None:
    fake.faults.append(Fault("GET", "sys/health", happen, times=99))
    async with fake_house(fake) as house:
        await trouble(house.bot)


async def test_a_token_that_has_ended_is_named_with_its_variable(fake: FakeVault) -> None:
    async with fake_house(fake) as house:
        fake.tokens.pop(house.token)
        *_, finding = await house.bot.check()
    assert finding.detail == "Vault does not know the bot's token, or it has ended."
    assert "VAULT_TOKEN" in finding.fix
    assert house.token not in str(finding)
