"""Equal refusals of a minute are one row; nothing is lost or counted twice on the way."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.database.db import Database
from app.jobs.submit import refusals as refusals_module
from app.jobs.submit.refusals import MODELS_MAX, ModelNames, RefusalBook, RefusedSubmit, Tally

BEGIN = datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC)
refusals = st.builds(
    RefusedSubmit,
    tenant_id=st.sampled_from([None, UUID(int=1)]),
    key_id=st.just(UUID(int=2)),
    surface=st.sampled_from(["segmind", "native"]),
    model=st.sampled_from([None, "a", "b"]),
    status_code=st.sampled_from([400, 404]),
    code=st.just("x"),
)
moments = st.integers(0, 150_000).map(lambda milliseconds: BEGIN + timedelta(milliseconds=milliseconds))


@given(st.lists(st.tuples(refusals, moments), max_size=60))
def test_a_tally_has_every_refusal_once(seen: list[tuple[RefusedSubmit, datetime]]) -> None:
    tally = Tally()
    for refused, at in seen:
        tally.add(refused, at)
    rows = tally.rows()
    assert len(rows) == len(tally)
    assert sum(row[-1] for row in rows) == len(seen)  # type: ignore[misc]
    expected = Counter((refused, at.replace(second=0, microsecond=0)) for refused, at in seen)
    assert len(rows) == len(expected)
    assert sorted(row[-1] for row in rows) == sorted(expected.values())  # type: ignore[type-var]
    for row in rows:
        first, last = row[-3], row[-2]
        assert first <= last  # type: ignore[operator]
        assert first.replace(second=0, microsecond=0) == last.replace(second=0, microsecond=0)  # type: ignore[attr-defined]


def test_one_tenants_rows_of_a_minute_are_bounded() -> None:
    names, tally = ModelNames(), Tally()
    one = RefusedSubmit(UUID(int=1), UUID(int=2), "native", "m", 404, "x")
    for number in range(10 * MODELS_MAX):
        tally.add(names.bounded(replace(one, model=f"m{number}"), BEGIN), BEGIN)
    assert len(tally) == MODELS_MAX + 1, "beyond that they share a row without a model"
    assert sum(row[-1] for row in tally.rows()) == 10 * MODELS_MAX  # type: ignore[misc]
    assert names.bounded(replace(one, model="m0"), BEGIN).model == "m0", "one that was named before"
    assert names.bounded(replace(one, model="new"), BEGIN).model is None
    assert names.bounded(replace(one, model="new", tenant_id=UUID(int=9)), BEGIN).model == "new", "another tenant"
    assert names.bounded(replace(one, model="new"), BEGIN + timedelta(minutes=1)).model == "new", "another minute"
    replayed = replace(one, model="new", job_id=UUID(int=3))
    assert names.bounded(replayed, BEGIN) == replayed


@pytest.mark.parametrize("flood", [False, True])
async def test_an_answer_does_not_wait_for_a_store_that_hangs(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch, flood: bool
) -> None:
    monkeypatch.setattr(refusals_module, "RECORD_SECONDS", 0.2)
    book = RefusalBook(database)
    refused = RefusedSubmit(None, None, "native", None, 401, f"hung_{flood}")
    hanging = await asyncpg.connect(url)
    try:
        async with hanging.transaction():
            await hanging.execute("LOCK TABLE refusals IN EXCLUSIVE MODE")
            async with asyncio.timeout(60):
                await book.record(refused, received_at=BEGIN, flood=flood)
                await book.record(refused, received_at=BEGIN, flood=flood)
        await book.drained(20)
        assert await hanging.fetchval("SELECT sum(count) FROM refusals WHERE code = $1", refused.code) == 2
    finally:
        await hanging.close()
