"""Flows through a real PgBouncer in session mode, with the configuration of deploy/pgbouncer: some of them here, and all
with `poe pooled`. Transaction mode is refused: tests/core/test_pgbouncer.py, tests/flows/test_pooler.py."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.doubles.pgbouncer import PORT
from tests.flows.test_stack import test_a_job_goes_through
from tests.flows.test_stopping import test_every_wait_is_answered_with_the_job_as_it_is
from tests.flows.test_store_away import test_submits_are_503_and_reads_wait_while_postgres_is_away
from tests.gateway import Gateway, running_gateway
from tests.servers import Urls, temporary_database

__all__ = [
    "test_a_job_goes_through",
    "test_every_wait_is_answered_with_the_job_as_it_is",
    "test_submits_are_503_and_reads_wait_while_postgres_is_away",
]


@pytest.fixture(scope="session")
async def stack(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """In place of the one of all other modules."""
    directory = tmp_path_factory.mktemp("pooled")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory, pooled=True) as gateway,
    ):
        await gateway.sql("INSERT INTO models (slug, run_seconds) VALUES ('sim-instant', 0.02), ('sim-echo', 0.02)")
        yield gateway


async def test_its_processes_are_behind_the_pooler(stack: Gateway) -> None:
    """They know no other URL; Postgres sees them by the names that they gave the pooler."""
    assert urlsplit(stack.database_url).port == PORT
    [row] = await stack.sql(
        "SELECT count(*) FILTER (WHERE application_name = 'waystation-api') AS apis,"
        " count(*) FILTER (WHERE application_name = 'waystation-worker') AS workers"
        " FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert row["apis"] >= 2
    assert row["workers"] >= 1
