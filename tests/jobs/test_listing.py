"""A tenant's list: right for every combination of filters, and by an index whatever the filters are."""

import importlib.util
import itertools
import json
import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from alembic import command

from app.core.database.db import Database
from app.core.database.migrate import alembic_config, open_engine
from app.core.database.session import Made, ReadSession
from app.core.database.sql import Query
from app.jobs.models import STATUS, State, Status
from app.jobs.reading import listing
from app.jobs.reading.listing import COUNT_MAX, JobFilter, Way, choose_way, list_jobs, ways_of
from tests.conftest import NewDatabase
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine
from tests.house.source import ROOT

EVERYTHING = JobFilter(after=None, states=None, model=None, created_after=None, created_before=None, metadata={})

_FILL = """
INSERT INTO jobs (
    id, tenant_id, created_at, due_at, rank_at, ready, surface, model, state, attempt, upstream_id, submitted_at, sent_at,
    finished_at, error_code, cancel_requested_at
)
SELECT
    id, $1, at, CASE WHEN NOT done THEN at END, at, state = 'queued' AND NOT parked, 'native', model, state, 1,
    CASE WHEN state IN ('running', 'completed') THEN id::text END, at, at, CASE WHEN done THEN at END,
    CASE WHEN state = 'failed' THEN 'upstream_failed' END, CASE WHEN state = 'canceled' THEN at END
FROM (
    SELECT *, state IN ('completed', 'failed', 'canceled') AS done
    FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::boolean[]) AS t (id, at, model, state, parked)
) AS job
"""


async def fill(url: str, tenant_id: UUID, jobs: list[dict[str, Any]]) -> None:
    """Store these jobs by hand, oldest first; all of a kind, there are too many for the engine."""
    owner = await asyncpg.connect(url)
    await owner.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    named = [[job[name] for job in jobs] for name in ("id", "created_at", "model", "state", "parked")]
    await owner.execute(_FILL, tenant_id, *named)
    await owner.execute(
        "INSERT INTO job_inputs (job_id, body, metadata) SELECT id, '{}', m FROM unnest($1::uuid[], $2::jsonb[]) AS t (id, m)",
        named[0],
        [job["metadata"] for job in jobs],
    )
    await owner.execute("ANALYZE")
    await owner.close()


def made(number: int, **fields: Any) -> dict[str, Any]:
    """A job; ids and times grow with the number."""
    at = datetime.fromisoformat("2026-11-01T00:00:00Z").timestamp() + number
    return {
        "id": UUID(int=(round(at * 1000) << 80) | (7 << 76) | (2 << 62) | number),
        "created_at": datetime.fromisoformat("2026-11-01T00:00:00Z").fromtimestamp(at).astimezone(),
        "model": "common",
        "state": "completed",
        "parked": False,
        "metadata": None,
        **fields,
    }


def states_of(status: Status) -> list[str]:
    return [state for state, shown in STATUS.items() if shown == status]


async def pages(database: Database, tenant_id: UUID, wanted: JobFilter, limit: int) -> list[UUID]:
    """The ids of all pages, as a client walks them that asks for one more than it shows."""
    found: list[UUID] = []
    after = wanted.after
    for _ in range(10_000):
        async with database.snapshot() as session:
            page = await list_jobs(
                session,
                tenant_id=tenant_id,
                wanted=JobFilter(
                    after, wanted.states, wanted.model, wanted.created_after, wanted.created_before, wanted.metadata
                ),
                limit=limit + 1,
            )
        ids = [row.id for row in page.rows]
        assert len(ids) <= limit + 1
        found += ids[:limit]
        if page.scanned_to is not None:
            assert len(ids) <= limit
            after = page.scanned_to
        elif len(ids) > limit:
            after = found[-1]
        else:
            return found
    raise AssertionError("no end")


def matches(job: dict[str, Any], wanted: JobFilter) -> bool:
    """Whether the job is wanted, said without SQL."""
    return (
        (wanted.states is None or job["state"] in wanted.states)
        and (wanted.model is None or job["model"] == wanted.model)
        and (wanted.created_after is None or job["created_at"] > wanted.created_after)
        and (wanted.created_before is None or job["created_at"] < wanted.created_before)
        and all((job["metadata"] or {}).get(key) == value for key, value in wanted.metadata.items())
    )


def combinations(jobs: list[dict[str, Any]]) -> Iterator[JobFilter]:
    """Every status, model, time and metadata with each other."""
    times = [(None, None), (jobs[20]["created_at"], jobs[70]["created_at"]), (jobs[50]["created_at"], None)]
    for status, model, (after, before), metadata, cursor in itertools.product(
        [None, *Status],
        [None, "common", "rare", "none"],
        times,
        [{}, {"team": "a"}, {"team": "a", "order": "7"}, {"never": "x"}],
        [None, jobs[60]["id"]],
    ):
        yield JobFilter(cursor, None if status is None else states_of(status), model, after, before, metadata)


async def test_every_combination_of_filters(
    url: str, database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCAN_MAX", 13)
    chance = random.Random(4)
    jobs = [
        made(
            number,
            model=chance.choice(["common"] * 9 + ["rare"]),
            state=chance.choice(list(State)),
            parked=chance.random() < 0.3,
            metadata=chance.choice([None, {"team": "a"}, {"team": "b"}, {"team": "a", "order": str(number % 10)}]),
        )
        for number in range(100)
    ]
    for one in (10, 11, 12):  # equal times: the id decides
        jobs[one]["created_at"] = jobs[10]["created_at"]
    await fill(url, caller.tenant.id, jobs)
    checked = 0
    for wanted in combinations(jobs):
        order = sorted(jobs, key=lambda job: (job["created_at"], job["id"]), reverse=True)
        if wanted.after is not None:
            order = order[[job["id"] for job in order].index(wanted.after) + 1 :]
        right = [job["id"] for job in order if matches(job, wanted)]
        assert await pages(database, caller.tenant.id, wanted, limit=4) == right, wanted
        checked += 1
    assert checked == 6 * 4 * 3 * 4 * 2


class Explained(ReadSession):
    """Reads as its session does, and counts the pages of 8 KiB that the statements touched."""

    def __init__(self, session: ReadSession) -> None:
        super().__init__(session._connection)
        self.touched = 0

    async def rows(self, query: Query[Made], /, **given: object) -> list[Made]:
        await self._explain(query.text, *query.arguments(given))
        return await super().rows(query, **given)

    async def find_row(self, query: Query[Made], /, **given: object) -> Made | None:
        await self._explain(query.text, *query.arguments(given))
        return await super().find_row(query, **given)

    async def _explain(self, sql: str, *args: object) -> None:
        (plan,) = await self._connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
        self.touched += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


MANY = 30_000
TOUCHED_MAX = 1_200
"""Of some 30,000 jobs with their inputs, each read by an index costs three to four pages: reading all costs 100,000."""
SELECTIVE = {
    "metadata that no job has": {"metadata": {"k": "nope"}},
    "metadata of one job": {"metadata": {"order": "17"}},
    "metadata of all": {"metadata": {"team": "a"}},
    "metadata of all and of one": {"metadata": {"team": "a", "order": "17"}},
    "a rare status": {"states": ["failed"]},
    "a status that no job has": {"states": ["canceled"]},
    "in flight": {"states": states_of(Status.PROCESSING)},
    "queued": {"states": ["queued"]},
    "a rare model": {"model": "rare"},
    "a model that no job has": {"model": "none"},
    "a rare status and metadata of all": {"states": ["failed"], "metadata": {"team": "a"}},
    "a rare model and a frequent status": {"states": ["completed"], "model": "rare"},
}


@pytest.fixture
async def many(url: str, caller: Caller) -> list[dict[str, Any]]:
    """A tenant's jobs, the rare ones among the oldest."""
    jobs = [
        made(
            number,
            model="odd" if number % 2 else "common",
            metadata={"team": "a", "order": str(number), "half": "odd" if number % 2 else "even"},
        )
        for number in range(MANY)
    ]
    for number, changes in enumerate(
        [
            {"state": "failed"},
            {"state": "running"},
            {"state": "queued"},
            {"state": "queued", "parked": True},
            {"model": "rare"},
        ]
    ):
        jobs[number] |= changes
    await fill(url, caller.tenant.id, jobs)
    return jobs


async def test_no_filter_reads_all_jobs(database: Database, caller: Caller, many: list[dict[str, Any]]) -> None:
    touched = {}
    for name, filters in SELECTIVE.items():
        wanted = JobFilter(**{**vars_of(EVERYTHING), **filters})
        async with database.snapshot() as session:
            explained = Explained(session)
            page = await list_jobs(explained, tenant_id=caller.tenant.id, wanted=wanted, limit=51)
        right = [job["id"] for job in reversed(many) if matches(job, wanted)][:51]
        assert [row.id for row in page.rows] == right, name
        assert page.scanned_to is None, name
        touched[name] = explained.touched
    assert {name: pages for name, pages in touched.items() if not 0 < pages <= TOUCHED_MAX} == {}


async def test_filters_that_no_index_brings_together_are_followed_a_page_at_a_time(
    database: Database, caller: Caller, many: list[dict[str, Any]]
) -> None:
    """Both are frequent and no job has both: the look ends after a bounded number of jobs, and says where."""
    wanted = JobFilter(**{**vars_of(EVERYTHING), "model": "odd", "metadata": {"half": "even"}})
    async with database.snapshot() as session:
        explained = Explained(session)
        page = await list_jobs(explained, tenant_id=caller.tenant.id, wanted=wanted, limit=51)
    assert page.rows == []
    even = [job["id"] for job in reversed(many) if job["metadata"]["half"] == "even"]
    assert page.scanned_to == even[listing.SCAN_MAX - 1]
    assert 0 < explained.touched < 10 * listing.SCAN_MAX
    assert await pages(database, caller.tenant.id, wanted, limit=50) == []


def vars_of(wanted: JobFilter) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in JobFilter.__slots__}


def test_the_way_with_the_fewest_jobs_is_taken() -> None:
    wanted = JobFilter(**{**vars_of(EVERYTHING), "states": ["failed"], "model": "m", "metadata": {"a": "1", "b": "2"}})
    ways = ways_of(wanted)
    assert ways == [Way.METADATA, Way.METADATA, Way.FINISHED, Way.MODEL]
    assert choose_way(ways, [5, 3, 4, 3]) == 1
    assert choose_way(ways, [COUNT_MAX] * 4) == 0
    assert ways_of(EVERYTHING) == []


async def test_two_members_of_one_number(database: Database, engine: Engine, caller: Caller, url: str) -> None:
    """What is found by a term is looked at: another member may have the same."""
    (job_id,) = await engine.submit(caller, metadata={"team": "a"})
    owner = await asyncpg.connect(url)
    await owner.execute("UPDATE job_metadata SET term = metadata_term('k', 'v') WHERE job_id = $1", job_id)
    await owner.close()
    wanted = JobFilter(**{**vars_of(EVERYTHING), "metadata": {"k": "v"}})
    assert await pages(database, caller.tenant.id, wanted, limit=5) == []


async def test_metadata_is_found_as_it_is_shown(database: Database, engine: Engine, caller: Caller) -> None:
    other = await make_caller(database)
    members = {"text": "é😀", "whole": 1, "part": 1.5, "yes": True, "none": None, "empty": ""}
    (job_id,) = await engine.submit(caller, metadata=members)
    await engine.submit(caller)
    await engine.submit(other, metadata=members)
    shown = {"text": "é😀", "whole": "1", "part": "1.5", "yes": "true", "empty": ""}
    for key, value in shown.items():
        wanted = JobFilter(**{**vars_of(EVERYTHING), "metadata": {key: value}})
        assert await pages(database, caller.tenant.id, wanted, limit=5) == [job_id], key
    for key, value in {"none": "null", "whole": "1.0", "text": "e"}.items():
        wanted = JobFilter(**{**vars_of(EVERYTHING), "metadata": {key: value}})
        assert await pages(database, caller.tenant.id, wanted, limit=5) == [], key
    async with database.snapshot() as session:
        assert await session.fetchval("SELECT count(*) FROM job_metadata WHERE job_id = $1", job_id) == len(shown)
        assert await session.fetchval("SELECT count(DISTINCT job_id) FROM job_metadata") == 2


async def test_jobs_from_before_are_found(new_database: NewDatabase) -> None:
    """What was stored before the migration, and by a process of the version before after it."""
    url = await new_database()
    (path,) = (ROOT / "migrations/versions").glob("*_lists.py")
    spec = importlib.util.spec_from_file_location("lists", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    owner = await asyncpg.connect(url)
    tenant_id = UUID(int=1)
    await owner.execute("INSERT INTO tenants (id, name) VALUES ($1, 'early')", tenant_id)
    await owner.close()
    engine = open_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), module.down_revision))
    await fill(url, tenant_id, [made(1, metadata={"when": "before"}), made(2)])
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
    await engine.dispose()
    await fill(url, tenant_id, [made(3, metadata={"when": "after"})])
    database = await Database.open(url, name="test", writers_max=1, readers_max=1)
    for when, number in (("before", 1), ("after", 3)):
        wanted = JobFilter(**{**vars_of(EVERYTHING), "metadata": {"when": when}})
        assert await pages(database, tenant_id, wanted, limit=5) == [made(number)["id"]]
    await database.close()
