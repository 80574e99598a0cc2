"""`/platform secrets`: keys that a service needs get an empty place in the secret store, and come to the workload by themselves.

Names only. A value has no way in here: what does not have the form of a name is refused before it is judged, repeated, recorded or
logged, because nobody can tell a mistyped name from a secret. Which keys there are, and which still wait, is `status`'s answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import model_validator

from bot import views
from bot.command import Args, Command, Context, Done, Knowledge, Pending, Run, Scope, StepKind, argument
from bot.domain import JSON, Actor, Change, Link, Plan, PlannedStep, Platform, Service, StepRecord
from bot.errors import (
    BackendErrorKind,
    NotFoundError,
    PermanentBackendError,
    PolicyDeniedError,
    UsageError,
)
from integrations.ports import KEY_NAME, Phase, SecretSpec, SecretStore, SecretSync, StoredKey, SyncedSecret

SYNC_TIMEOUT_SECONDS = 900
MOST_KEYS = 20
LINKS_SHOWN = 5
LONGEST_WORD = 15
"""Letters of a name without an underscore: access keys and base32 secrets look like long single words."""
NAMES_ONLY: Final = (
    "Only names of keys can be given here, such as STRIPE_API_KEY, separated by commas. Something else was typed; "
    "it was not kept."
)
NO_VALUES: Final = (
    "Never type a value into Slack: ask for the name, and fill the value in where the secrets live. "
    "If it was a real one, change it, because Slack has seen it."
)
_LABEL: Final = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_KEY: Final = re.compile(KEY_NAME)
_SEPARATORS: Final = re.compile(r"[,;\s]+")


class Secrets(Args):
    service: str = argument("Service", "What needs them.", positional=True, rest=True, choices="services")
    add: str = argument("Keys", "Names only, such as STRIPE_API_KEY, separated by commas. Never a value.")
    to: str = argument("Environment", "Where the service needs them.", choices="environments")

    @model_validator(mode="before")
    @classmethod
    def _names_only(cls, given: Any) -> Any:
        """Before any other check, whose complaint would repeat what was typed."""
        return sorted_out(given) if isinstance(given, Mapping) else given


def sorted_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """Loose words are names of keys, too (`orders KEY_A KEY_B`). Raises UsageError for what is neither, without repeating it."""
    words = str(given.get("service", "")).split()
    services = [word for word in words if _LABEL.fullmatch(word)]
    loose = [word for word in words if not _LABEL.fullmatch(word)]
    keys = [*_SEPARATORS.split(str(given.get("add", ""))), *loose]
    named = list(dict.fromkeys(filter(None, (key.strip(",;") for key in keys))))
    if len(services) > 1 or not all(is_name(key) for key in named):
        # `given` is what a form would be filled with: what was typed must not come back that way either.
        raise UsageError(NAMES_ONLY, fix=NO_VALUES, fields={"add": NO_VALUES}, given={"add": ""})
    sorted_given = {**given, "service": "".join(services), "add": ",".join(named)}
    return {name: value for name, value in sorted_given.items() if value != ""}


def is_name(word: str) -> bool:
    """Whether it can only be a name, as far as form tells."""
    return _KEY.fullmatch(word) is not None and ("_" in word or len(word) <= LONGEST_WORD)


async def scope(args: Secrets, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    service = await _service(knowledge, args)
    if platform.environment(args.to) is None:
        accepted = f"Accepted: {', '.join(one.name for one in platform.environments)}."
        given = {"service": args.service, "add": args.add}
        raise UsageError("There is no such environment.", fix=accepted, fields={"to": accepted}, given=given)
    return Scope(
        permission=f"secrets:{args.to}",
        team=service.team,
        service=service.name,
        environment=args.to,
        active_key=f"secrets:{service.name}:{args.to}",
    )


async def _service(knowledge: Knowledge, args: Secrets) -> Service:
    """What was typed is not repeated: a value in the wrong place may look like a name."""
    service = await knowledge.find_service(args.service)
    if service is None:
        raise NotFoundError(
            "There is no service of that name.", fix="`/platform services` lists what exists."
        )
    return service


# ---------------------------------------------------------------- the plan


async def plan(ctx: Context, args: Secrets) -> Plan:
    service = await _service(ctx.knowledge, args)
    store, sync = ctx.backends.secret_store, ctx.backends.secret_sync
    if store is None:
        raise PolicyDeniedError(
            "This platform has no place for secrets yet.",
            rule="configured",
            fix="The platform team names one under `integrations.secret_store` in platform.yml.",
        )
    keys = args.add.split(",")
    if len(keys) > MOST_KEYS:
        raise UsageError(f"{len(keys)} keys at once are too many.", fix=f"Ask for at most {MOST_KEYS}.")
    new = await _new(keys, store, sync, service=service, environment=args.to)
    if not any(new.values()):
        raise PolicyDeniedError(
            f"`{service.name}` has {_listed(keys)} in {args.to} already; nothing would change.",
            rule="something-new",
            fix=f"`/platform status {service.name}` shows which of them wait for a value, and where to fill it in.",
        )
    return Plan(
        command="secrets",
        title=f"Secrets for {service.name} in {args.to}",
        summary=f"{_listed(keys)}: a place for each; people fill the values in, never in Slack.",
        service=service.name,
        team=service.team,
        environment=args.to,
        arguments=args.model_dump(),
        changes=_changes(service, args.to, keys=keys, new=new),
        steps=_steps(service, args.to, keys=keys, synced=sync is not None),
        facts={f"new_{part}": ",".join(names) for part, names in new.items()},
        notes=_notes(keys, new),
    )


async def _new(
    keys: Sequence[str], store: SecretStore, sync: SecretSync | None, *, service: Service, environment: str
) -> dict[str, list[str]]:
    """The keys that are not `stored` yet, and not `synced`; the latter only where the platform syncs."""
    stored = {key.name for key in await store.list_keys(service.name, environment, team=service.team)}
    new = {"stored": [key for key in keys if key not in stored]}
    if sync is not None:
        found = await sync.get_secret(service.name, environment)
        new["synced"] = [key for key in keys if found is None or key not in found.keys]
    return new


def _changes(
    service: Service, environment: str, *, keys: Sequence[str], new: Mapping[str, Sequence[str]]
) -> tuple[Change, ...]:
    access = Change(
        kind="access",
        action="grant",
        name=f"{service.name} in {environment}",
        environment=environment,
        detail="the service reads its own keys and no others",
    )
    changes = [access]
    for key in keys:
        parts = ["an empty place in the store"] if key in new["stored"] else []
        parts += ["synced to the workload"] if key in new.get("synced", ()) else []
        if parts:
            detail = ", ".join(parts)
            changes.append(
                Change(kind="secret", action="add", name=key, environment=environment, detail=detail)
            )
    return tuple(changes)


def _notes(keys: Sequence[str], new: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    kept = [key for key in keys if key not in new["stored"]]
    return (f"Kept as in the store already: {_listed(kept)}.",) if kept else ()


def _steps(
    service: Service, environment: str, *, keys: Sequence[str], synced: bool
) -> tuple[PlannedStep, ...]:
    arguments: JSON = {
        "service": service.name,
        "team": service.team,
        "environment": environment,
        "keys": list(keys),
    }
    planned = [
        PlannedStep(
            key="access",
            title=f"Access for {service.name}",
            undo_title="Take the access back",
            arguments=arguments,
        ),
        PlannedStep(
            key="placeholders",
            title=f"A place for {views.count(len(keys), 'key')}",
            undo_title="Leave the places, which hold nothing",
            arguments=arguments,
        ),
    ]
    if synced:
        planned.append(
            PlannedStep(
                key="sync",
                title="Synced to the workload",
                undo_title="Stop syncing these keys",
                arguments=arguments,
                timeout_seconds=SYNC_TIMEOUT_SECONDS,
            )
        )
    return tuple(planned)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


# ---------------------------------------------------------------- the steps


def _spec(arguments: JSON) -> SecretSpec:
    return SecretSpec(
        service=arguments["service"],
        environment=arguments["environment"],
        team=arguments["team"],
        keys=tuple(arguments["keys"]),
    )


def _store(run: Run) -> SecretStore:
    if run.backends.secret_store is None:
        raise _taken_out("secret_store")
    return run.backends.secret_store


def _sync(run: Run) -> SecretSync:
    if run.backends.secret_sync is None:
        raise _taken_out("secret_sync")
    return run.backends.secret_sync


def _taken_out(port: str) -> PermanentBackendError:
    return PermanentBackendError(
        "It was taken out of platform.yml since this was planned.",
        backend=port,
        kind=BackendErrorKind.NOT_FOUND,
        fix=f"Configure `integrations.{port}` again, or ask anew.",
    )


async def do_access(run: Run, arguments: JSON) -> Done:
    name = await _store(run).ensure_access(_spec(arguments), request_id=run.request_id)
    return Done(detail=name or "by the platform's own rule", external_id=name)


async def undo_access(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await _store(run).remove_access(_spec(arguments), request_id=run.request_id)
    return Done(detail="taken back, if this request gave it")


async def do_placeholders(run: Run, arguments: JSON) -> Done:
    keys = await _store(run).ensure_placeholders(_spec(arguments), request_id=run.request_id)
    waiting = [key for key in keys if not key.filled]
    return Done(
        detail=_waiting(waiting) or "all of them have a value",
        output={"waiting": [key.name for key in waiting]},
        links=tuple(Link(f"Fill in {key.name}", key.web_url) for key in waiting if key.web_url)[:LINKS_SHOWN],
    )


async def undo_placeholders(_run: Run, _arguments: JSON, _done: StepRecord) -> Done:
    """Somebody may have filled one in meanwhile, so nothing is ever taken out of the store."""
    return Done(detail="left where they are: a value is never removed")


async def do_sync(run: Run, arguments: JSON) -> Done | Pending:
    synced = await _sync(run).ensure_secret(_spec(arguments), request_id=run.request_id)
    if synced.phase is not Phase.READY:
        return Pending(synced.message or synced.phase.value, after_seconds=2.0)
    return Done(detail=_synced(run, synced), external_id=synced.secret)


async def undo_sync(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await _sync(run).remove_keys(_spec(arguments), request_id=run.request_id)
    return Done(detail="these keys are not synced any more")


def _synced(run: Run, synced: SyncedSecret) -> str:
    """An empty placeholder is synced like a value: who reads "done" must not believe that the values are there."""
    waiting = run.output("placeholders").get("waiting", [])
    empty = f"; empty until filled in: {_listed(waiting)}" if waiting else ""
    return f"in the Secret {synced.secret}{empty}" if synced.secret else f"synced{empty}"


def _waiting(keys: Sequence[StoredKey]) -> str:
    return f"waiting for a value: {_listed([key.name for key in keys])}" if keys else ""


command = Command(
    name="secrets",
    summary="Add secrets",
    example="/platform secrets orders --add STRIPE_API_KEY,MAIL_PASSWORD --to staging",
    args=Secrets,
    scope=scope,
    permission="secrets:{environment}",
    plan=plan,
    steps={
        "access": StepKind(do_access, undo_access),
        "placeholders": StepKind(do_placeholders, undo_placeholders),
        "sync": StepKind(do_sync, undo_sync),
    },
    confirm=True,
    confirm_label="Add",
    position=45,
    needs="secret_store",
)
