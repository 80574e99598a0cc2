"""What a service started on this machine is given, and what its log says when it fails.

A service gets its own small environment and nothing of the bot's: no token, no configuration, no home folder of a person.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from bot.errors import foreign_text
from integrations._runtime_application import ApplicationState, Instance

LOG_LIMIT_BYTES: Final = 5 * 1024 * 1024
_TAIL_BYTES: Final = 16 * 1024
_LAST_LINES: Final = 3


def service_environment(
    state: ApplicationState, instance: Instance, *, search_path: str, home: Path, go_cache: Path | None
) -> dict[str, str]:
    """A secret file named DATABASE_URL is announced as DATABASE_URL_FILE: the path, never the content."""
    environment = {
        "PATH": search_path,
        "HOME": str(home),
        "HOST": "127.0.0.1",
        "PORT": str(instance.port),
        "ENVIRONMENT": state.environment,
        "SERVICE_NAME": state.service,
        "SERVICE_VERSION": instance.revision,
    }
    environment |= {f"{Path(secret).name}_FILE": secret for secret in state.secrets}
    if go_cache is not None:
        # Without it every deployment would compile Go's standard library again.
        environment["GOCACHE"] = str(go_cache)
    return environment


def last_words(log: str, *, hidden: Sequence[str]) -> str:
    """The gist of the end of a log, on one line, without the secrets in `hidden` and without what looks like one."""
    for secret in hidden:
        log = log.replace(secret, "[removed]")
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return foreign_text(" / ".join(lines[-_LAST_LINES:]))


def secret_words(content: str) -> list[str]:
    """What must not be repeated of a secret file: all of it, and the password in it where it is a URL."""
    text = content.strip()
    words = [text]
    with contextlib.suppress(ValueError):
        password = urlsplit(text).password
        words += [password, unquote(password)] if password else []
    return [word for word in words if len(word) >= 4]


class ServiceLogs:
    """One log per revision below `folder`; `current.log` points to the one that serves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, revision: str) -> Path:
        """Start a new file where the old one has grown large; one old file is kept."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self.path(revision)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        return path

    def path(self, revision: str) -> Path:
        return self._folder / f"{revision[:12]}.log"

    def gist(self, revision: str, *, secrets: Sequence[str]) -> str:
        hidden: list[str] = []
        for secret in secrets:
            with contextlib.suppress(OSError):
                hidden += secret_words(Path(secret).read_text(encoding="utf-8"))
        try:
            with self.path(revision).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return last_words(tail, hidden=hidden)

    def prune(self, keep: Mapping[str, object] | frozenset[str]) -> None:
        names = {self.path(revision).name for revision in keep}
        for path in self._folder.glob("*.log*"):
            if not path.is_symlink() and path.name.removesuffix(".1") not in names:
                path.unlink(missing_ok=True)


async def answers(client: httpx.AsyncClient, instance: Instance) -> bool:
    """Whether the health endpoint says yes, now. The client carries the deadline."""
    try:
        response = await client.get(f"http://127.0.0.1:{instance.port}{instance.health_path}")
    except httpx.HTTPError:
        return False
    return response.is_success
