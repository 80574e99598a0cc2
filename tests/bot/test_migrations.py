"""The schema: from nothing and from every earlier revision to the present one, and nothing of anybody else's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from database import Clock

from bot.database import MIGRATIONS, VERSION_TABLE, known_revisions, sync_url
from bot.errors import StartError
from bot.migrating import migrate
from bot.migrations.scope import include_name
from bot.rows import searchable
from bot.store import Store
from bot.tables import Table


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(sync_url(url))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def differences(url: str) -> list[object]:
    """What autogenerate would write."""
    with connected(url) as connection:
        options = {"version_table": VERSION_TABLE, "include_name": include_name, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata))


@pytest.mark.parametrize("revision", known_revisions())
def test_every_revision_migrates_forward_to_the_tables_of_the_code(
    empty_database_url: str, revision: str
) -> None:
    migrate(empty_database_url, revision=revision)

    migrate(empty_database_url)

    assert differences(empty_database_url) == []


def test_a_missing_column_would_be_noticed(database_url: str) -> None:
    with connected(database_url) as connection:
        connection.execute(sa.text("ALTER TABLE services DROP COLUMN web_url"))

    assert "web_url" in str(differences(database_url))


def test_tables_of_others_are_neither_touched_nor_proposed_to_be_dropped(empty_database_url: str) -> None:
    with connected(empty_database_url) as connection:
        connection.execute(sa.text("CREATE TABLE workflow_status (id TEXT PRIMARY KEY, name TEXT)"))
        connection.execute(sa.text("CREATE INDEX workflow_by_name ON workflow_status (name)"))
        connection.execute(sa.text("INSERT INTO workflow_status VALUES ('w1', 'run')"))

    migrate(empty_database_url)

    assert differences(empty_database_url) == []
    with connected(empty_database_url) as connection:
        assert connection.execute(sa.text("SELECT * FROM workflow_status")).all() == [("w1", "run")]


async def test_services_of_an_earlier_release_are_found_by_parts_of_their_texts(
    empty_database_url: str, clock: Clock
) -> None:
    migrate(empty_database_url, revision="0005")
    columns = [column for column in Table.metadata.tables["services"].columns if column.name != "created_at"]
    values = {column.name: "" for column in columns}
    with connected(empty_database_url) as connection:
        for name, description in (("orders", "Nimmt Bestellungen an, auch große"), ("billing", "")):
            service = {
                **values,
                "name": name,
                "search_text": searchable(name, description),
                "created_at": clock(),
            }
            connection.execute(sa.insert(Table.metadata.tables["services"]), service)

    migrate(empty_database_url)

    async with Store.open(empty_database_url, clock=clock) as store:
        for text, found in (
            ("GROSSE", ["orders"]),
            ("bestellungen an, auch", ["orders"]),
            ("i", ["billing", "orders"]),
        ):
            assert [one.name for one in await store.list_services(text=text)] == found


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)

    assert differences(database_url) == []


def test_several_starting_at_once_migrate_once(empty_database_url: str) -> None:
    barrier = threading.Barrier(6)

    def start() -> None:
        barrier.wait()
        migrate(empty_database_url)

    with ThreadPoolExecutor(6) as starters:
        for started in [starters.submit(start) for _ in range(6)]:
            started.result()

    with connected(empty_database_url) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM audit_head")).scalar_one() == 1


async def test_a_running_bot_does_not_mind_a_second_migration(database_url: str, clock: Clock) -> None:
    async with Store.open(database_url, clock=clock) as store:
        migrate(database_url)
        await store.ping()


def test_a_failing_migration_leaves_nothing_behind(empty_database_url: str) -> None:
    with connected(empty_database_url) as connection:
        connection.execute(sa.text("CREATE TABLE audit_head (id INTEGER)"))

    with pytest.raises(StartError, match="audit_head"):
        migrate(empty_database_url)

    with connected(empty_database_url) as connection:
        assert sa.inspect(connection).get_table_names() == ["audit_head"]


def test_a_migrations_file_is_named_after_its_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    history = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert known_revisions() == history[::-1]
