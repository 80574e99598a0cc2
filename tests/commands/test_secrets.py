"""secrets: names get a place, values have no way in; done and undone step by step, and a lost answer makes nothing twice."""

from __future__ import annotations

from typing import Any

import people_made as made
import pytest
from fake_context import REQUEST_ID, FakeContext, FakeKnowledge, FakeRun, make_service, step_record
from memory_secrets import MemorySecretStore, MemorySecretSync

from bot import forms, policy, slack_text
from bot.command import Done, Pending, Scope
from bot.domain import Change, Verdict, plan_hash
from bot.errors import (
    BackendErrorKind,
    NotFoundError,
    PermanentBackendError,
    PolicyDeniedError,
    TemporaryBackendError,
    UsageError,
)
from commands import secrets
from commands.secrets import Secrets, command, plan, scope
from integrations.ports import Phase

KEY, OTHER = "STRIPE_API_KEY", "MAIL_PASSWORD"
ARGS = Secrets(service="orders", add=f"{KEY},{OTHER}", to="staging")
HUNTER = "hunter2-Sw0rdfish"
"""A value that went astray."""


@pytest.fixture
def store() -> MemorySecretStore:
    return MemorySecretStore()


@pytest.fixture
def sync() -> MemorySecretSync:
    return MemorySecretSync()


@pytest.fixture
def ctx(store: MemorySecretStore, sync: MemorySecretSync) -> FakeContext:
    ctx = FakeContext(request_id=REQUEST_ID, knowledge=FakeKnowledge(services=[make_service()]))
    ctx.backends.secret_store, ctx.backends.secret_sync = store, sync
    return ctx


def parse(text: str) -> Secrets:
    """As typed behind `/platform secrets`."""
    args = forms.parse(command, slack_text.words(text))
    assert isinstance(args, Secrets)
    return args


# ---------------------------------------------------------------- names, and values that went astray


@pytest.mark.parametrize(
    "text",
    [
        f"orders --add {KEY},{OTHER} --to staging",
        f"orders --add {KEY}, {OTHER} --to staging",
        f"orders --to staging --add '{KEY} {OTHER}'",
        f"orders {KEY} {OTHER} --to staging",
        f"orders --add {KEY},,{OTHER},{KEY}, --to staging",
        f"--add {KEY},{OTHER} --to staging orders",
    ],
)
def test_keys_are_understood_however_they_are_separated(text: str) -> None:
    assert parse(text) == ARGS


@pytest.mark.parametrize(
    "text",
    [
        f"orders --add {KEY}={HUNTER} --to staging",
        f"orders --add {KEY} {HUNTER} --to staging",
        f"orders --add {HUNTER} --to staging",
        f"orders {KEY}={HUNTER} --to staging",
        f"orders --add {KEY}:{HUNTER}",
        f"--add {KEY}={HUNTER}",
        f"{KEY}={HUNTER}",
        f"orders hunter2 --add {KEY}",
        f"orders --add={KEY}={HUNTER} --to staging",
        f"orders --add '{KEY}, {HUNTER}'",
        "orders --add AKIAIOSFODNN7EXAMPLE --to staging",
        "orders --add JBSWY3DPEHPK3PXP --to staging",
        "orders --add sk_live_4eC39HqLyjWDarjtT1zdp7dc --to staging",
        "orders --add stripe_api_key --to staging",
    ],
)
def test_what_is_no_name_is_refused_and_comes_back_in_no_form(text: str) -> None:
    with pytest.raises(UsageError, match="Only names of keys") as refused:
        parse(text)
    error = refused.value
    said = " ".join([error.sentence, str(error.fields), str(error.given), repr(error), *map(str, error.args)])
    assert "Never type a value into Slack" in said
    for typed in (HUNTER, "hunter2", "AKIA", "JBSWY", "sk_live", "stripe_api_key"):
        assert typed not in said
    assert error.given, "an empty one would have the form filled with what was typed"
    assert (error.__cause__, error.__context__) == (None, None), "a chained error would carry it into a log"


def test_a_form_that_opens_for_the_repair_is_empty_where_the_value_was() -> None:
    with pytest.raises(UsageError) as refused:
        parse(f"orders --add {KEY}={HUNTER} --to staging")
    opened = forms.modal(
        command, given=refused.value.given, choices={}, metadata="", problem=refused.value.sentence
    )
    assert HUNTER not in str(opened)
    assert forms.can_ask(command, refused.value.fields)


def test_what_is_missing_is_asked_for() -> None:
    with pytest.raises(UsageError) as asked:
        parse(f"orders --add {KEY}")
    assert set(asked.value.fields) == {"to"}
    with pytest.raises(UsageError) as asked:
        parse("orders --to staging")
    assert set(asked.value.fields) == {"add"}


def test_arguments_that_were_recorded_are_read_back_as_they_were() -> None:
    assert Secrets.model_validate(ARGS.model_dump(mode="json")) == ARGS


# ---------------------------------------------------------------- scope


async def test_it_is_about_one_service_in_one_environment(ctx: FakeContext) -> None:
    assert await scope(ARGS, ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="secrets:staging",
        team="orders",
        service="orders",
        environment="staging",
        active_key="secrets:orders:staging",
    )


async def test_a_service_or_environment_that_is_none_is_not_repeated(ctx: FakeContext) -> None:
    with pytest.raises(NotFoundError) as unknown:
        await scope(ARGS.model_copy(update={"service": "hunter2"}), ctx.actor, ctx.platform, ctx.knowledge)
    assert "hunter2" not in unknown.value.sentence
    with pytest.raises(UsageError, match="no such environment") as elsewhere:
        await scope(ARGS.model_copy(update={"to": HUNTER}), ctx.actor, ctx.platform, ctx.knowledge)
    assert "staging, production" in elsewhere.value.sentence
    assert HUNTER not in f"{elsewhere.value.sentence}{elsewhere.value.given}{elsewhere.value.fields}"


# ---------------------------------------------------------------- the plan


async def test_the_plan_says_what_each_key_gets_and_asks_for_no_value(ctx: FakeContext) -> None:
    planned = await plan(ctx, ARGS)
    assert planned.title == "Secrets for orders in staging"
    detail = "an empty place in the store, synced to the workload"
    assert planned.changes == (
        Change(
            kind="access",
            action="grant",
            name="orders in staging",
            environment="staging",
            detail="the service reads its own keys and no others",
        ),
        Change(kind="secret", action="add", name=KEY, environment="staging", detail=detail),
        Change(kind="secret", action="add", name=OTHER, environment="staging", detail=detail),
    )
    assert [step.key for step in planned.steps] == ["access", "placeholders", "sync"]
    assert set(command.steps) == {"access", "placeholders", "sync"}
    assert all(step.undo_title for step in planned.steps)
    assert ctx.backends.effects == []


async def test_what_is_there_already_is_kept_and_said(ctx: FakeContext, store: MemorySecretStore) -> None:
    store.fill_in("orders", "staging", KEY, HUNTER)
    planned = await plan(ctx, ARGS)
    assert [(one.name, one.detail) for one in planned.changes if one.kind == "secret"] == [
        (KEY, "synced to the workload"),
        (OTHER, "an empty place in the store, synced to the workload"),
    ]
    assert planned.notes == (f"Kept as in the store already: {KEY}.",)
    assert HUNTER not in planned.model_dump_json()


async def test_whether_a_value_was_filled_in_meanwhile_changes_no_plan(
    ctx: FakeContext, store: MemorySecretStore
) -> None:
    store.keys["orders", "staging"] = {KEY: "r-before"}
    before = plan_hash(await plan(ctx, ARGS), ())
    store.fill_in("orders", "staging", KEY, HUNTER)
    assert plan_hash(await plan(ctx, ARGS), ()) == before


async def test_a_key_that_somebody_added_meanwhile_is_another_plan(
    ctx: FakeContext, store: MemorySecretStore
) -> None:
    before = plan_hash(await plan(ctx, ARGS), ())
    store.keys["orders", "staging"] = {KEY: "r-before"}
    assert plan_hash(await plan(ctx, ARGS), ()) != before


async def test_where_nothing_would_change_nothing_is_asked_for(
    ctx: FakeContext, store: MemorySecretStore, sync: MemorySecretSync
) -> None:
    spec = secrets._spec(
        {"service": "orders", "team": "orders", "environment": "staging", "keys": [KEY, OTHER]}
    )
    await store.ensure_placeholders(spec, request_id="r-before")
    await sync.ensure_secret(spec, request_id="r-before")
    with pytest.raises(PolicyDeniedError, match="already; nothing would change") as refused:
        await plan(ctx, ARGS)
    assert "`/platform status orders`" in refused.value.sentence


async def test_a_platform_without_a_store_says_what_to_configure(ctx: FakeContext) -> None:
    ctx.backends.secret_store = None
    with pytest.raises(PolicyDeniedError, match="no place for secrets") as refused:
        await plan(ctx, ARGS)
    assert "`integrations.secret_store` in platform.yml" in refused.value.sentence
    assert command.needs == "secret_store"


async def test_a_platform_that_syncs_nothing_makes_the_places_only(ctx: FakeContext) -> None:
    ctx.backends.secret_sync = None
    planned = await plan(ctx, ARGS)
    assert [step.key for step in planned.steps] == ["access", "placeholders"]
    assert planned.changes[1].detail == "an empty place in the store"


async def test_too_many_keys_at_once_are_refused(ctx: FakeContext) -> None:
    many = ",".join(f"KEY_{number}" for number in range(21))
    with pytest.raises(UsageError, match="21 keys at once"):
        await plan(ctx, ARGS.model_copy(update={"add": many}))


@pytest.mark.parametrize("method", ["list_keys", "get_secret"])
async def test_a_backend_that_is_away_is_never_taken_for_an_answer(
    ctx: FakeContext, store: MemorySecretStore, sync: MemorySecretSync, method: str
) -> None:
    for backend in (store, sync):
        backend.faults[method] = TemporaryBackendError("away", backend="secrets")
    with pytest.raises(TemporaryBackendError):
        await plan(ctx, ARGS)


@pytest.mark.parametrize(
    ("environment", "verdict"), [("staging", Verdict.PASS), ("production", Verdict.NEEDS_APPROVAL)]
)
async def test_who_approves_changes_of_an_environment_approves_its_secrets(
    ctx: FakeContext, environment: str, verdict: Verdict
) -> None:
    planned = await plan(ctx, ARGS.model_copy(update={"to": environment}))
    gates = policy.evaluate(planned, policy.Facts(made.alice(), ctx.platform, made.NOW))
    approval = {gate.rule: gate for gate in gates}[f"{environment}-approval"]
    assert approval.verdict is verdict
    assert not policy.blocking(gates)


# ---------------------------------------------------------------- the steps


@pytest.fixture
def run(ctx: FakeContext) -> FakeRun:
    return FakeRun(backends=ctx.backends)


async def arguments(ctx: FakeContext, key: str) -> dict[str, Any]:
    planned = await plan(ctx, ARGS)
    return next(step.arguments for step in planned.steps if step.key == key)


async def done(run: FakeRun, key: str, given: dict[str, Any]) -> Done:
    outcome = await command.steps[key].do(run, given)
    assert isinstance(outcome, Done)
    run.outputs[key] = outcome.output
    return outcome


async def test_done_says_which_keys_wait_for_a_value_and_where_to_fill_it_in(
    ctx: FakeContext, run: FakeRun, store: MemorySecretStore
) -> None:
    given = await arguments(ctx, "access")
    store.fill_in("orders", "staging", OTHER, HUNTER)
    assert (await done(run, "access", given)).detail == "platform-bot.orders.staging"
    places = await done(run, "placeholders", given)
    assert places.detail == f"waiting for a value: {KEY}"
    (link,) = places.links
    assert (link.title, link.url) == (
        f"Fill in {KEY}",
        f"https://vault.example.com/orders/staging/{KEY}",
    )
    synced = await done(run, "sync", given)
    assert synced.detail == f"in the Secret orders-secrets; empty until filled in: {KEY}"


async def test_the_operator_is_waited_for_and_what_it_says_is_shown(
    ctx: FakeContext, run: FakeRun, sync: MemorySecretSync
) -> None:
    given = await arguments(ctx, "sync")
    sync.phase, sync.message = Phase.FAILED, "Not synced: SecretSyncedError: could not get secret data"
    assert await command.steps["sync"].do(run, given) == Pending(sync.message, after_seconds=2.0)
    sync.phase, sync.message = Phase.UNKNOWN, ""
    assert await command.steps["sync"].do(run, given) == Pending("unknown", after_seconds=2.0)
    sync.phase = Phase.READY
    assert (await done(run, "sync", given)).external_id == "orders-secrets"


@pytest.mark.parametrize("key", ["access", "placeholders", "sync"])
async def test_a_lost_answer_makes_nothing_twice(
    ctx: FakeContext, run: FakeRun, store: MemorySecretStore, sync: MemorySecretSync, key: str
) -> None:
    given = {**await arguments(ctx, key), "keys": [KEY]}
    lost = {"access": "ensure_access", "placeholders": "ensure_placeholders", "sync": "ensure_secret"}[key]
    store.lost, sync.lost = {lost}, {lost}
    with pytest.raises(TemporaryBackendError):
        await command.steps[key].do(run, given)
    await done(run, key, given)
    assert len(ctx.backends.effects) == 1


async def test_undo_takes_back_access_and_syncing_and_leaves_every_value(
    ctx: FakeContext, run: FakeRun, store: MemorySecretStore, sync: MemorySecretSync
) -> None:
    given = await arguments(ctx, "access")
    for key in ("access", "placeholders", "sync"):
        await done(run, key, given)
    store.fill_in("orders", "staging", KEY, HUNTER)
    for _ in range(2):
        for key in ("sync", "placeholders", "access"):
            undo = command.steps[key].undo
            assert undo is not None
            assert isinstance(await undo(run, given, step_record(key)), Done)
    assert (store.access, sync.secrets) == ({}, {})
    assert set(store.keys["orders", "staging"]) == {KEY, OTHER}
    assert store.values == {("orders", "staging", KEY): HUNTER}


async def test_undo_leaves_what_another_request_made(
    ctx: FakeContext, run: FakeRun, store: MemorySecretStore, sync: MemorySecretSync
) -> None:
    given = await arguments(ctx, "access")
    before = FakeRun(backends=ctx.backends, request_id="r-before")
    for key in ("access", "sync"):
        await done(before, key, {**given, "keys": [KEY]})
        await done(run, key, given)
        undo = command.steps[key].undo
        assert undo is not None
        await undo(run, given, step_record(key))
    assert store.access == {("orders", "staging"): "r-before"}
    assert sync.secrets["orders", "staging"].keys == (KEY,)


@pytest.mark.parametrize("key", ["access", "sync"])
async def test_a_backend_that_was_taken_out_since_is_named(ctx: FakeContext, run: FakeRun, key: str) -> None:
    given = await arguments(ctx, key)
    run.backends.secret_store = run.backends.secret_sync = None
    with pytest.raises(PermanentBackendError, match="taken out") as gone:
        await command.steps[key].do(run, given)
    assert gone.value.kind is BackendErrorKind.NOT_FOUND
