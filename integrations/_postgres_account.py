"""Who PostgreSQL's programs run as, and running them as that user.

PostgreSQL refuses to run as root. Started by root, it runs as an existing user without rights, who is given the files made
for it and nothing else. Started by anybody else, it runs as that person.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError

BACKEND: Final = "local PostgreSQL"
NOT_EXECUTABLE: Final = 126


@dataclass(frozen=True)
class Account:
    """`identity` None: the bot's own user."""

    name: str
    identity: tuple[int, int] | None = None

    def give(self, path: Path) -> None:
        """Make the file or folder the account's own."""
        if self.identity is not None:
            os.chown(path, *self.identity)

    async def can_enter(self, folder: Path) -> bool:
        if self.identity is None:
            return True
        code, _ = await self.execute("/bin/sh", "-c", 'cd "$1"', "sh", str(folder))
        return code == 0

    async def execute(self, program: str, *arguments: str) -> tuple[int, str]:
        """Exit code and output. `NOT_EXECUTABLE` where the account cannot run the program."""
        whom: dict[str, Any] = {}
        if self.identity is not None:
            whom = {"user": self.identity[0], "group": self.identity[1], "extra_groups": []}
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in the terminal reaches the bot, which then stops the server in order.
                start_new_session=True,
                **whom,
            )
        except OSError as error:
            return NOT_EXECUTABLE, str(error)
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode or 0, output.decode("utf-8", "replace")


def find_account(run_as: str) -> Account:
    """Raises PermanentBackendError(INVALID) for root without such a user."""
    if os.geteuid() != 0:
        return Account(name="the bot's user")
    try:
        entry = pwd.getpwnam(run_as)
    except KeyError as error:
        raise PermanentBackendError(
            f"PostgreSQL does not run as root, and there is no user {run_as} to run it as.",
            backend=BACKEND,
            kind=BackendErrorKind.INVALID,
            fix="Set `run_as` to an existing user, or start the bot as an ordinary user.",
        ) from error
    return Account(name=run_as, identity=(entry.pw_uid, entry.pw_gid))
