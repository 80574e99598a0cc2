"""Vault's paths, policies and answers as values. Pure; nothing here ever holds a secret's value.

Names come from outside and end up in paths and in a policy's text: each is judged here, by its whole form, before it is put
anywhere. Sources: hashicorp/vault api-docs (kv-v2, policies, auth/kubernetes), the KV plugin's code, and answers read from a
running OpenBao 2.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._http import Answer, unreadable
from integrations.ports import KEY_NAME, Marked, SecretSpec, StoredKey

BACKEND: Final = "Vault"
MANAGER: Final = "platform-bot"
VALUE: Final = "value"
"""The field of a key that holds its value: each key is a KV entry of its own, so that adding one touches no other."""
PLACEHOLDER: Final = "platform-bot-placeholder-"
"""Begins a field beside the empty value, and ends with the request's id. Written with it in one go, and readable without any
right to read values, because the structure of an entry may be read alone."""
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_KEY: Final = re.compile(KEY_NAME)
_MARK: Final = re.compile(
    rf"# managed-by: {MANAGER}; service: ([a-z0-9-]+); environment: ([a-z0-9-]+); request-id: ([A-Za-z0-9-]+)"
)


@dataclass(frozen=True)
class Entry:
    """What may be known of one key without reading it. `fields` are names; none for a version that was deleted."""

    version: int
    fields: tuple[str, ...]

    @property
    def filled(self) -> bool:
        """Somebody wrote a value: a later version, or one that is not our placeholder. Without the field there is none."""
        ours = any(name.startswith(PLACEHOLDER) for name in self.fields)
        return VALUE in self.fields and (self.version > 1 or not ours)


@dataclass(frozen=True)
class Role:
    """A role of the Kubernetes auth method, as far as the bot sets it."""

    service_accounts: tuple[str, ...]
    namespaces: tuple[str, ...]
    audience: str
    policies: tuple[str, ...]
    token_ttl_seconds: int

    def body(self) -> dict[str, Any]:
        return {
            "bound_service_account_names": list(self.service_accounts),
            "bound_service_account_namespaces": list(self.namespaces),
            "audience": self.audience,
            "token_policies": list(self.policies),
            "token_ttl": self.token_ttl_seconds,
        }


# ---------------------------------------------------------------- names


def require_names(spec: SecretSpec, request_id: str = "") -> None:
    """Raises PermanentBackendError(INVALID). What is refused is not repeated: it may be a value that went astray."""
    for what, name in (("team", spec.team), ("service", spec.service), ("environment", spec.environment)):
        if not _LABEL.fullmatch(name):
            raise _invalid(f"The {what}'s name is no DNS label, so it cannot be part of a path.")
    if not all(_KEY.fullmatch(key) for key in spec.keys):
        raise _invalid("A key's name has capital letters, digits and underscores, beginning with a letter.")
    if request_id and not _REQUEST_ID.fullmatch(request_id):
        raise _invalid("The request's id has a form that cannot be written into a policy.")


def _invalid(message: str) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=BackendErrorKind.INVALID)


def fill(rule: str, spec: SecretSpec) -> str:
    """A rule such as `{team}/{service}/{environment}` for one service. `require_names` comes first."""
    return rule.format(team=spec.team, service=spec.service, environment=spec.environment)


def access_name(spec: SecretSpec) -> str:
    """Of policy and role. A dot stands in no DNS label, so that `a-b` in `c` is never `a` in `b-c`."""
    return f"{MANAGER}.{spec.service}.{spec.environment}"


def is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None


# ---------------------------------------------------------------- policies


def policy_text(spec: SecretSpec, *, mount: str, path: str, request_id: str) -> str:
    """Read of this service's keys, and nothing else; whose it is stands in its first line."""
    mark = (
        f"# managed-by: {MANAGER}; service: {spec.service}; environment: {spec.environment}; "
        f"request-id: {request_id}"
    )
    blocks = [
        f'path "{mount}/{kind}/{path}/+" {{\n  capabilities = ["read"]\n}}' for kind in ("data", "metadata")
    ]
    return "\n\n".join([mark, *blocks]) + "\n"


def policy_owner(text: str) -> str | None:
    """The request that wrote it; None for a policy that is not ours."""
    mark = to_marked("", text)
    return mark.request_id if mark else None


def to_marked(name: str, text: str) -> Marked | None:
    match = _MARK.fullmatch(text.partition("\n")[0].strip())
    if match is None:
        return None
    service, environment, request_id = match.groups()
    return Marked("access", service, request_id, environment, place=f"policy and role {name}")


def same_rules(text: str, other: str) -> bool:
    """Whether two policies grant the same, in the same words, whoever wrote them."""
    return text.partition("\n")[2].split() == other.partition("\n")[2].split()


# ---------------------------------------------------------------- answers


@contextmanager
def readable(what: str) -> Iterator[None]:
    """An answer of another shape is garbage, not a mistake of ours: proxies and sign-in pages answer 200, too."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(BACKEND, f"not {what}") from error


def data_of(answer: Answer, what: str) -> Mapping[str, Any]:
    with readable(what):
        return dict(answer.json()["data"])


def errors_of(answer: Answer) -> tuple[str, ...] | None:
    """Vault's `errors`; None where the answer is not Vault's."""
    try:
        return tuple(str(one) for one in json.loads(answer.content)["errors"])
    except (ValueError, KeyError, TypeError):
        return None


def parse_entry(answer: Answer) -> Entry | None:
    """Of `subkeys`. A 404 is an entry whose newest version was deleted, or, with nothing in it, none at all."""
    if answer.status == 404 and errors_of(answer) == ():
        return None
    with readable("the structure of an entry"):
        data = answer.json()["data"]
        return Entry(int(data["metadata"]["version"]), tuple(data["subkeys"] or ()))


def parse_policy(answer: Answer) -> str | None:
    if answer.status == 404 and errors_of(answer) == ():
        return None
    data = data_of(answer, "a policy")
    with readable("a policy"):
        return str(data["policy"])


def parse_role(answer: Answer) -> Role | None:
    if answer.status == 404 and errors_of(answer) == ():
        return None
    data = data_of(answer, "a role")
    with readable("a role"):
        return Role(
            service_accounts=_texts(data["bound_service_account_names"]),
            namespaces=_texts(data["bound_service_account_namespaces"]),
            audience=str(data.get("audience") or ""),
            policies=_texts(data["token_policies"]),
            token_ttl_seconds=int(data.get("token_ttl") or 0),
        )


def parse_names(answer: Answer) -> tuple[str, ...]:
    if answer.status == 404 and errors_of(answer) == ():
        return ()
    data = data_of(answer, "a list of names")
    with readable("a list of names"):
        return _texts(data["keys"])


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError("a list")
    return tuple(str(one) for one in values or ())


def to_key(name: str, entry: Entry | None, *, web_url: str) -> StoredKey:
    """An entry without any version is listed and holds nothing."""
    return StoredKey(name, filled=entry is not None and entry.filled, web_url=web_url)
