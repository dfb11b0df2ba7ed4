"""What a row of the history says about our books, case by case."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.jobs.models import State
from app.reconciliation.decide import Agrees, NotYet, OurJob, Stranger, Told, judge, place
from app.reconciliation.models import DiscrepancyKind
from app.upstream.history_rows import HistoryRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROW = HistoryRow("up-1", "svd", "COMPLETED", NOW - HOUR, NOW - HOUR, 89_300, {"fps": 7}, None, None)
JOB = OurJob(
    id=UUID(int=1), tenant_id=UUID(int=2), key_id=None, model="svd", state=State.COMPLETED, upstream_id="up-1",
    sent_at=NOW - HOUR, finished_at=NOW - HOUR, cost=89_300, held=133_950, charged=89_300, price_rule="metered",
    markup_micro=1_000_000,
)  # fmt: skip


def told(row: dict[str, Any], job: dict[str, Any] | None) -> Any:
    ours = None if job is None else dataclasses.replace(JOB, **job)
    return judge(dataclasses.replace(ROW, **row), ours, judged_before=NOW)


@pytest.mark.parametrize(
    ("row", "job", "verdict"),
    [
        ({}, {}, Agrees),
        ({"created_at": NOW}, {}, NotYet),
        ({"created_at": None}, None, NotYet),
        ({"status": "PENDING", "cost_micro": None}, {}, NotYet),
        ({"status": None}, {}, NotYet),
        ({}, {"state": State.RUNNING, "finished_at": None, "cost": None}, NotYet),
        ({}, {"finished_at": NOW}, NotYet),
        ({"cost_micro": None}, {}, NotYet),
        ({}, None, Stranger),
        ({}, {"cost": None}, Told),
        ({}, {"cost": None, "state": State.FAILED}, Told),
        ({"status": "FAILED", "cost_micro": None}, {"cost": None, "state": State.FAILED}, Agrees),
        ({"status": "FAILED", "cost_micro": 0}, {"cost": None, "state": State.FAILED}, Agrees),
        ({"status": "FAILED", "cost_micro": None}, {"cost": None, "state": State.CANCELED}, Told),
    ],
)
def test_verdicts(row: dict[str, Any], job: dict[str, Any] | None, verdict: type) -> None:
    assert isinstance(told(row, job), verdict)


@pytest.mark.parametrize(
    ("row", "job", "kind", "ours", "theirs"),
    [
        ({}, {"cost": 1}, DiscrepancyKind.COST, 1, 89_300),
        ({"status": "FAILED", "cost_micro": None}, {}, DiscrepancyKind.COST, 89_300, 0),
        ({"cost_micro": None}, {"cost": None}, DiscrepancyKind.COST_UNKNOWN, None, None),
    ],
)
def test_discrepancies(row: dict[str, Any], job: dict[str, Any], kind: DiscrepancyKind, ours: int, theirs: int) -> None:
    found = told(row, job)
    assert (found.kind, found.subject, found.job_id, found.ours, found.theirs) == (kind, "up-1", JOB.id, ours, theirs)


def test_whose_a_stranger_may_be() -> None:
    unknown = dataclasses.replace(JOB, id=UUID(int=3), upstream_id=None, sent_at=NOW - 2 * HOUR)
    nearer = dataclasses.replace(JOB, id=UUID(int=4), upstream_id="up-4")
    farther = dataclasses.replace(JOB, id=UUID(int=5), upstream_id="up-5", sent_at=NOW - 3 * HOUR)
    another = dataclasses.replace(nearer, id=UUID(int=6), upstream_id="up-6", tenant_id=UUID(int=9))

    def placed(
        *candidates: tuple[OurJob, Any], named: set[UUID] | None = None, **changes: Any
    ) -> tuple[DiscrepancyKind, UUID | None]:
        found = place(dataclasses.replace(ROW, **changes), candidates, named=set() if named is None else named)
        return found.kind, found.job_id

    assert placed() == (DiscrepancyKind.NOT_OURS, None)
    assert placed((nearer, {"fps": 8})) == (DiscrepancyKind.NOT_OURS, None)
    assert placed((nearer, {"fps": 7}), body=None) == (DiscrepancyKind.NOT_OURS, None)
    assert placed((farther, {"fps": 7}), (nearer, {"fps": 7})) == (DiscrepancyKind.SECOND_START, nearer.id)
    assert placed((unknown, {"fps": 7})) == (DiscrepancyKind.NOT_OURS, None), (
        "the assignment of orphans has looked at it"
    )
    assert placed((nearer, {})) == (DiscrepancyKind.NOT_OURS, None), "everything holds nothing"
    assert placed((nearer, {}), body={}) == (DiscrepancyKind.SECOND_START, nearer.id)
    assert placed((nearer, {"fps": 7}), (another, {"fps": 7})) == (DiscrepancyKind.NOT_OURS, None), "of two tenants"
    assert placed((nearer, {"fps": 7}), (farther, {"fps": "7"})) == (DiscrepancyKind.NOT_OURS, None), "other parameters"
    twins, named = ((farther, {"fps": 7}), (nearer, {"fps": 7})), set[UUID]()
    assert [placed(*twins, named=named)[1] for _ in range(3)] == [nearer.id, farther.id, None], "each is named once"
