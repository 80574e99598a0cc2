"""The local infrastructure against a real PostgreSQL, a Redis that speaks the protocol, and a real kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import asyncpg  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import local_postgres
from integrations._claim_files import claim_key, parse_identifier, parse_mark
from integrations._postgres_binaries import copy_wheel, find_binaries, parse_version
from integrations._scram import scram_matches, scram_verifier
from integrations.local_postgres import Settings
from integrations.ports import Claim, ClaimSpec, EntityStore, Infrastructure, Inventory, Phase, Surroundings

ROOT = Path(__file__).resolve().parents[2]


class Place:
    """A state folder, ways to open the infrastructure on it, and a look behind its back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(
        self, settings: Settings | None = None, **secrets: str
    ) -> AbstractAsyncContextManager[Infrastructure]:
        nothing = cast("EntityStore", object())
        around = Surroundings(self.folder, self.folder, entities=nothing, secrets=secrets)
        return local_postgres.open(settings or Settings(), around)

    @property
    def server(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads((self.folder / "postgres" / "server.json").read_text()))

    @property
    def pid(self) -> int:
        return int((Path(self.server["home"]) / "data" / "postmaster.pid").read_text().split("\n")[0])

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self.server["port"],
            user="platform_bot",
            password=(self.folder / "postgres" / "superuser").read_text().strip(),
            database="postgres",
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def execute(self, statement: str) -> None:
        async with self.superuser() as connection:
            await connection.execute(statement)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One server for the module, stopped between tests: making one takes longer than any test."""
    # pytest's own folder is closed to other users, which one test below wants and the others do not.
    folder = Path(tempfile.mkdtemp(prefix="infrastructure-"))
    folder.chmod(0o755)
    yield Place(folder)
    shutil.rmtree(folder)


@pytest.fixture
async def infrastructure(place: Place) -> AsyncIterator[Infrastructure]:
    async with place.open() as infrastructure:
        yield infrastructure


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> ClaimSpec:
    """A claim of its own for each test."""
    name = f"s{abs(hash(request.node.name)) % 10**8}"
    return ClaimSpec(name=f"{name}-db", kind="postgresql", service=name, environment="staging", team="orders")


async def connect(claim: Claim) -> Any:
    return await asyncpg.connect(Path(claim.secret).read_text().strip())


async def can_log_in(claim: Claim) -> bool:
    try:
        connection = await connect(claim)
    except asyncpg.PostgresError:
        return False
    await connection.close()
    return True


# ---------------------------------------------------------------- a database on claim


async def test_a_claim_becomes_a_database_that_the_service_can_use(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    assert await infrastructure.refusal(spec) is None
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    assert (claim.phase, claim.request_id, claim.service) == (Phase.READY, "req-1", spec.service)
    connection = await connect(claim)
    await connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
    assert await connection.fetchval("SELECT current_database()") == claim.external_id
    assert not await connection.fetchval(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    await connection.close()
    assert await infrastructure.get_claim(spec.name, environment="staging") == claim
    assert await infrastructure.list_claims(spec.service) == [claim]
    assert await infrastructure.list_claims("another") == []
    assert isinstance(infrastructure, Inventory)
    (marked,) = [one for one in await infrastructure.list_marked() if one.name == spec.name]
    assert (marked.kind, marked.request_id, marked.environment) == ("claim", claim.request_id, "staging")
    assert marked.place == claim.external_id


async def test_the_secret_lies_in_a_file_for_the_owner_only(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    path = Path(claim.secret)
    assert path == place.folder / "secrets" / f"{spec.name}-staging" / "DATABASE_URL"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((place.folder / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((place.folder / "postgres" / "superuser").stat().st_mode) == 0o600


async def test_the_server_listens_on_this_machine_only(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place
) -> None:
    await infrastructure.ensure_claim(spec, request_id="req-1")
    async with place.superuser() as connection:
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""


async def test_no_password_is_written_to_the_servers_log(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    password = Path(claim.secret).read_text().split(":")[2].split("@")[0]
    async with place.superuser() as connection:
        await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(f'ALTER ROLE "{claim.external_id}" PASSWORD NULL')
    await infrastructure.ensure_claim(spec, request_id="req-1")
    log = (Path(place.server["home"]) / "postgres.log").read_text()
    await place.execute("ALTER SYSTEM RESET log_statement")
    assert "SCRAM-SHA-256" in log
    assert password not in log
    assert await can_log_in(claim)


async def test_one_service_cannot_reach_the_database_of_another(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    mine = await infrastructure.ensure_claim(spec, request_id="req-1")
    theirs = await infrastructure.ensure_claim(replace(spec, name="others-db"), request_id="req-2")
    url = Path(mine.secret).read_text().strip().rsplit("/", 1)[0] + f"/{theirs.external_id}"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url)


async def test_ensuring_twice_changes_nothing(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place
) -> None:
    async def facts() -> tuple[Any, str]:
        async with place.superuser() as connection:
            verifier = await connection.fetchval(
                "SELECT rolpassword FROM pg_authid WHERE rolname = $1",
                parse_identifier(f"{spec.name}-staging"),
            )
        return verifier, Path(first.secret).read_text()

    first, second = await asyncio.gather(
        infrastructure.ensure_claim(spec, request_id="req-1"),
        infrastructure.ensure_claim(spec, request_id="req-1"),
    )
    before = await facts()
    assert await infrastructure.ensure_claim(spec, request_id="req-1") == first == second
    assert await facts() == before


async def test_the_same_name_in_two_environments_is_two_databases(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    staging = await infrastructure.ensure_claim(spec, request_id="req-1")
    production = await infrastructure.ensure_claim(
        replace(spec, environment="production"), request_id="req-1"
    )
    assert staging.external_id != production.external_id
    assert staging.secret != production.secret


# ---------------------------------------------------------------- whose it is


async def test_a_claim_of_another_request_is_never_adopted(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    await infrastructure.ensure_claim(spec, request_id="req-1")
    with pytest.raises(PermanentBackendError) as refused:
        await infrastructure.ensure_claim(spec, request_id="req-2")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS


@pytest.mark.parametrize("statement", ["CREATE ROLE {}", "CREATE DATABASE {}"])
async def test_what_a_person_made_by_hand_is_never_adopted(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place, statement: str
) -> None:
    await infrastructure.ensure_claim(replace(spec, name="warm-up"), request_id="req-0")
    identifier = parse_identifier(claim_key(spec.name, spec.environment))
    await place.execute(statement.format(identifier))
    with pytest.raises(PermanentBackendError) as refused:
        await infrastructure.ensure_claim(spec, request_id="req-1")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert await infrastructure.get_claim(spec.name, environment="staging") is None
    await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")
    async with place.superuser() as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM (SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database) n WHERE rolname = $1",
            identifier,
        )


async def test_two_claims_that_share_an_identifier_do_not_share_a_database(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    await infrastructure.ensure_claim(replace(spec, name="a", environment="b-c"), request_id="req-1")
    with pytest.raises(PermanentBackendError) as refused:
        await infrastructure.ensure_claim(replace(spec, name="a-b", environment="c"), request_id="req-1")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert await infrastructure.get_claim("a-b", environment="c") is None


# ---------------------------------------------------------------- what a kill leaves behind


async def test_a_lost_secret_file_is_said_and_ensuring_makes_a_new_password(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    old = Path(claim.secret).read_text()
    Path(claim.secret).unlink()
    found = await infrastructure.get_claim(spec.name, environment="staging")
    assert found is not None
    assert (found.phase, found.message) == (Phase.PENDING, "Its secret file is missing.")

    assert (await infrastructure.ensure_claim(spec, request_id="req-1")).phase is Phase.READY
    assert Path(claim.secret).read_text() != old
    assert await can_log_in(claim)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER ROLE {0} PASSWORD 'other'",
        "ALTER ROLE {0} NOLOGIN",
        "DROP DATABASE {0}",
        "COMMENT ON DATABASE {0} IS NULL",
    ],
    ids=["password not set", "removal broke off", "no database yet", "database without a mark"],
)
async def test_a_claim_that_was_interrupted_is_completed(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place, damage: str
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    secret = Path(claim.secret).read_text()
    await place.execute(damage.format(claim.external_id))
    found = await infrastructure.get_claim(spec.name, environment="staging")
    assert found is not None
    assert found.phase is Phase.PENDING

    assert await infrastructure.ensure_claim(spec, request_id="req-1") == claim
    assert Path(claim.secret).read_text() == secret
    assert await can_log_in(claim)
    assert (await infrastructure.list_claims(spec.service))[0].phase is Phase.READY


@pytest.mark.crash
async def test_the_server_outlives_a_killed_bot_and_is_found_again(place: Place, spec: ClaimSpec) -> None:
    async with place.open() as infrastructure:
        claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    script = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from integrations import local_postgres
        from integrations.ports import Surroundings

        async def main():
            folder = Path(sys.argv[1])
            around = Surroundings(state_folder=folder, base_folder=folder, entities=None, secrets={})
            async with local_postgres.open(local_postgres.Settings(), around):
                print("open", flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(place.folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    pid = place.pid
    child.kill()
    child.wait()
    assert await can_log_in(claim)

    async with place.open() as infrastructure:
        assert place.pid == pid
        assert await infrastructure.get_claim(spec.name, environment="staging") == claim
    with pytest.raises(OSError, match=r".*"):
        await connect(claim)


async def test_data_and_address_survive_an_orderly_restart(place: Place, spec: ClaimSpec) -> None:
    async with place.open() as infrastructure:
        claim = await infrastructure.ensure_claim(spec, request_id="req-1")
        connection = await connect(claim)
        await connection.execute("CREATE TABLE orders AS SELECT 1 AS id")
        await connection.close()
    async with place.open():
        # Nobody asked for anything: services that start now need their database.
        connection = await connect(claim)
        assert await connection.fetchval("SELECT id FROM orders") == 1
        await connection.close()


async def test_a_pid_file_that_names_another_programs_process_does_not_stop_the_start(
    place: Place, spec: ClaimSpec
) -> None:
    async with place.open() as infrastructure:
        claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    data = Path(place.server["home"]) / "data"
    owner = data.stat()
    stranger = subprocess.Popen(["sleep", "600"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        pid_file = data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{data}\n1\n{place.server['port']}\n\n127.0.0.1\n\nready\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        async with place.open():
            assert await can_log_in(claim)
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_taken_port_is_said_with_the_way_out(tmp_path: Path, place: Place, spec: ClaimSpec) -> None:
    async with place.open() as infrastructure:
        await infrastructure.ensure_claim(spec, request_id="req-1")
    port = place.server["port"]
    squatter = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with squatter, place.open() as infrastructure:
        with pytest.raises(TemporaryBackendError) as refused:
            await infrastructure.get_claim(spec.name, environment="staging")
        assert f"127.0.0.1:{port}" in refused.value.sentence


async def test_two_bots_on_one_folder_are_refused(place: Place) -> None:
    async with place.open():
        with pytest.raises(StartError):
            async with place.open():
                pytest.fail("a second bot opened the folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")
async def test_a_folder_that_the_servers_user_may_not_enter_is_left_closed(
    tmp_path: Path, spec: ClaimSpec
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    place = Place(closed)
    try:
        async with place.open() as infrastructure:
            assert await can_log_in(await infrastructure.ensure_claim(spec, request_id="req-1"))
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert not Path(place.server["home"]).is_relative_to(closed)
    finally:
        shutil.rmtree(place.server["home"], ignore_errors=True)


# ---------------------------------------------------------------- undo


async def test_an_undo_removes_an_empty_database_its_role_and_its_secret(
    infrastructure: Infrastructure, spec: ClaimSpec, place: Place
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    connection = await connect(claim)
    await connection.execute("CREATE TABLE orders (id int)")

    await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-other")
    assert await infrastructure.get_claim(spec.name, environment="staging") == claim
    await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")
    await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")

    assert await infrastructure.get_claim(spec.name, environment="staging") is None
    assert not Path(claim.secret).parent.exists()
    async with place.superuser() as admin:
        assert not await admin.fetchval(
            "SELECT count(*) FROM pg_database WHERE datname = $1", claim.external_id
        )
        assert not await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", claim.external_id)


async def test_an_undo_refuses_to_delete_data_and_says_how_to_do_it_by_hand(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    claim = await infrastructure.ensure_claim(spec, request_id="req-1")
    connection = await connect(claim)
    await connection.execute('CREATE SCHEMA shop; CREATE TABLE shop."Odd name" AS SELECT 1 AS id')
    await connection.close()
    with pytest.raises(PermanentBackendError) as refused:
        await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")
    assert refused.value.kind is BackendErrorKind.DENIED
    assert 'shop."Odd name"' in refused.value.message
    assert f"DROP DATABASE {claim.external_id}" in refused.value.sentence
    assert await can_log_in(claim)


async def test_nothing_is_started_to_answer_that_nothing_is_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.open() as infrastructure:
        assert await infrastructure.get_claim("orders-db", environment="staging") is None
        assert await infrastructure.list_claims("orders") == []
        await infrastructure.remove_claim("orders-db", environment="staging", request_id="req-1")
    assert not (tmp_path / "postgres" / "server.json").exists()


# ---------------------------------------------------------------- redis


class FakeRedis:
    """Speaks the protocol on a port: AUTH, SELECT, DBSIZE, PING, and remembers who logged in."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.passwords: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while header := await reader.readline():
            words = []
            for _ in range(int(header[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].decode())
            reply = "+OK"
            if words[0] == "AUTH":
                self.passwords.append(words[-1])
            elif words[0] == "SELECT":
                number = int(words[1])
                reply = "+OK" if number < 4 else "-ERR DB index is out of range"
            elif words[0] == "DBSIZE":
                reply = f":{self.sizes.get(number, 0)}"
            writer.write(f"{reply}\r\n".encode())
        writer.close()


@pytest.fixture
async def redis() -> AsyncIterator[tuple[FakeRedis, str]]:
    fake = FakeRedis()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        yield fake, f"redis://:p%40ss@127.0.0.1:{server.sockets[0].getsockname()[1]}"


WITH_REDIS = Settings(redis_url_variable="REDIS_URL")


async def test_redis_without_a_server_is_refused_with_the_way_out(
    infrastructure: Infrastructure, spec: ClaimSpec
) -> None:
    wish = replace(spec, kind="redis")
    refusal = await infrastructure.refusal(wish)
    assert refusal is not None
    assert "redis_url_variable" in refusal
    with pytest.raises(PermanentBackendError) as refused:
        await infrastructure.ensure_claim(wish, request_id="req-1")
    assert refused.value.kind is BackendErrorKind.INVALID
    unknown = await infrastructure.refusal(replace(spec, kind="oracle"))
    assert unknown is not None
    assert "postgresql" in unknown


async def test_redis_claims_get_a_number_of_their_own(
    tmp_path: Path, spec: ClaimSpec, redis: tuple[FakeRedis, str]
) -> None:
    fake, url = redis
    fake.sizes[1] = 7
    wish = replace(spec, kind="redis")
    async with Place(tmp_path).open(WITH_REDIS, REDIS_URL=url) as infrastructure:
        assert await infrastructure.refusal(wish) is None
        claim = await infrastructure.ensure_claim(wish, request_id="req-1")
        assert await infrastructure.ensure_claim(wish, request_id="req-1") == claim
        assert claim.external_id == "db2"
        assert Path(claim.secret).name == "REDIS_URL"
        assert Path(claim.secret).read_text().strip() == f"{url}/2"
        assert stat.S_IMODE(Path(claim.secret).stat().st_mode) == 0o600
        assert set(fake.passwords) == {"p@ss"}
        assert await infrastructure.get_claim(spec.name, environment="staging") == claim
        assert await infrastructure.list_claims(spec.service) == [claim]
        assert isinstance(infrastructure, Inventory)
        assert [one.place for one in await infrastructure.list_marked()] == [claim.external_id]
        with pytest.raises(PermanentBackendError) as foreign:
            await infrastructure.ensure_claim(wish, request_id="req-2")
        assert foreign.value.kind is BackendErrorKind.ALREADY_EXISTS

        other = await infrastructure.ensure_claim(replace(wish, name="other"), request_id="req-2")
        assert other.external_id == "db3"
        with pytest.raises(PermanentBackendError):
            await infrastructure.ensure_claim(replace(wish, name="third"), request_id="req-3")


async def test_an_undo_of_a_redis_claim_refuses_to_forget_keys(
    tmp_path: Path, spec: ClaimSpec, redis: tuple[FakeRedis, str]
) -> None:
    fake, url = redis
    async with Place(tmp_path).open(WITH_REDIS, REDIS_URL=url) as infrastructure:
        claim = await infrastructure.ensure_claim(replace(spec, kind="redis"), request_id="req-1")
        fake.sizes[1] = 3
        with pytest.raises(PermanentBackendError) as refused:
            await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")
        assert refused.value.kind is BackendErrorKind.DENIED
        fake.sizes[1] = 0
        await infrastructure.remove_claim(spec.name, environment="staging", request_id="req-1")
        assert await infrastructure.get_claim(spec.name, environment="staging") is None
        assert not Path(claim.secret).exists()


async def test_a_redis_that_is_away_is_a_temporary_failure(tmp_path: Path, spec: ClaimSpec) -> None:
    async with Place(tmp_path).open(WITH_REDIS, REDIS_URL="redis://127.0.0.1:1") as infrastructure:
        with pytest.raises(TemporaryBackendError):
            await infrastructure.ensure_claim(replace(spec, kind="redis"), request_id="req-1")
        findings = {each.subject: each.ok for each in await infrastructure.check()}
        assert findings == {"PostgreSQL": True, "data folder": True, "Redis": False}


# ---------------------------------------------------------------- pure


async def test_check_names_the_version_and_where_it_lies(infrastructure: Infrastructure) -> None:
    findings = {each.subject: each for each in await infrastructure.check()}
    assert all(each.ok for each in findings.values())
    assert "PostgreSQL" in findings["PostgreSQL"].detail


async def test_a_folder_without_postgresql_is_said_before_anything_is_made(
    tmp_path: Path, spec: ClaimSpec
) -> None:
    settings = Settings(bin_folder=str(tmp_path / "nowhere"))
    async with Place(tmp_path).open(settings) as infrastructure:
        assert "no PostgreSQL" in (await infrastructure.refusal(spec) or "")
        assert not (await infrastructure.check())[0].ok


@pytest.mark.parametrize(
    ("name", "environment", "identifier"),
    [
        ("orders-db", "staging", "orders_db_staging"),
        ("orders-staging", "staging", "orders_staging"),
        ("1st", "staging", "d_1st_staging"),
    ],
)
def test_identifiers_need_no_quoting(name: str, environment: str, identifier: str) -> None:
    assert parse_identifier(claim_key(name, environment)) == identifier


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
def test_every_claim_name_gives_an_identifier_within_the_limit(name: str) -> None:
    identifier = parse_identifier(claim_key(name, "production"))
    assert len(identifier) <= 63
    assert identifier.isidentifier()
    assert identifier.islower()


@pytest.mark.parametrize("name", ["", "Orders", "a b", 'a"; DROP', "-a", "a" * 64])
def test_names_that_are_no_dns_label_are_refused(name: str) -> None:
    with pytest.raises(PermanentBackendError):
        claim_key(name, "staging")


def test_a_cut_identifier_is_told_apart_by_its_hash() -> None:
    assert parse_identifier("a" * 63 + "-x") != parse_identifier("a" * 63 + "-y")


@given(st.text("abcXYZ019-_", min_size=1), st.binary(min_size=1, max_size=32))
def test_a_verifier_matches_its_password_only(password: str, salt: bytes) -> None:
    verifier = scram_verifier(password, salt=salt, iterations=1)
    assert scram_matches(verifier, password)
    assert not scram_matches(verifier, password + "x")


@pytest.mark.parametrize("text", [None, "", "md5abc", "SCRAM-SHA-256$x:y$z", "SCRAM-SHA-256$1:*$a:b"])
def test_what_is_no_verifier_matches_nothing(text: str | None) -> None:
    assert not scram_matches(text, "")


@pytest.mark.parametrize("text", [None, "", "a remark of a person", '{"managed-by": "somebody"}', "[]"])
def test_a_comment_that_is_not_ours_is_no_mark(text: str | None) -> None:
    assert parse_mark(text) is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("postgres (PostgreSQL) 18.6\n", 18), ("postgres (PostgreSQL) 15.18 (Debian 15)", 15), ("what?", None)],
)
def test_the_major_version_is_read_from_the_programs_answer(text: str, version: int | None) -> None:
    assert parse_version(text) == version


def test_a_copy_of_the_wheels_programs_runs_where_it_was_copied_to(tmp_path: Path) -> None:
    wheel = next(each for each in find_binaries(None) if each.is_wheel)
    copied = copy_wheel(wheel, tmp_path / "binaries")
    assert copied.folder.is_relative_to(tmp_path)
    for program in ("postgres", "initdb"):
        answer = subprocess.run(
            [copied.folder / program, "--version"], capture_output=True, text=True, check=True
        )
        assert "(PostgreSQL)" in answer.stdout
    marker = copied.folder / "postgres"
    before = marker.stat().st_ino
    assert copy_wheel(wheel, tmp_path / "binaries") == copied
    assert marker.stat().st_ino == before
