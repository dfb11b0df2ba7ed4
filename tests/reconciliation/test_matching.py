"""Which requests of the upstream's belong to which jobs that may have been sent."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.reconciliation.matching import Candidate, match
from app.upstream.history_rows import HistoryRow

AT = datetime(2030, 1, 1, tzinfo=UTC)
ACME, BOLT = UUID(int=1), UUID(int=2)


def job(number: int, body: Any, *, tenant: UUID = ACME, model: str = "m", at: datetime = AT) -> Candidate:
    return Candidate(UUID(int=100 + number), tenant, model, at + timedelta(seconds=number), body)


def row(
    name: str, body: Any, *, model: str | None = "m", at: datetime | None = AT + timedelta(minutes=5)
) -> HistoryRow:
    return HistoryRow(name, model, "PENDING", at, None, None, body, None, None)


def test_a_request_goes_to_the_one_job_that_it_fits() -> None:
    found = match([row("r1", {"a": 1, "default": 2})], [job(1, {"a": 1}), job(2, {"a": 2})])
    assert {one.int: it.upstream_id for one, it in found.adopted.items()} == {101: "r1"}
    assert [one.int for one in found.never_sent] == [102]
    assert (found.unsure, found.orphans) == ([], [])


def test_equal_jobs_of_one_tenant_are_paired_the_oldest_first() -> None:
    found = match([row("r1", {"a": 1}), row("r2", {"a": 1})], [job(n, {"a": 1}) for n in range(3)])
    assert {one.int: it.upstream_id for one, it in found.adopted.items()} == {100: "r1", 101: "r2"}
    assert [one.int for one in found.never_sent] == [102]


def test_nothing_is_guessed_across_tenants() -> None:
    found = match([row("r1", {"a": 1})], [job(1, {"a": 1}), job(2, {"a": 1}, tenant=BOLT)])
    assert (found.adopted, found.never_sent) == ({}, [])
    assert [one.int for one in found.unsure] == [101, 102]
    assert [one.upstream_id for one in found.orphans] == ["r1"]


def test_more_requests_than_jobs_leave_all_unsure() -> None:
    found = match([row("r1", {"a": 1}), row("r2", {"a": 1})], [job(1, {"a": 1})])
    assert [one.int for one in found.unsure] == [101]
    assert [one.upstream_id for one in found.orphans] == ["r1", "r2"]


def test_what_the_history_does_not_say_may_be_anything() -> None:
    jobs = [job(1, {"a": 1}), job(2, {"b": 1}, model="other")]
    assert [one.int for one in match([row("r1", None)], jobs).unsure] == [101]
    assert [one.int for one in match([row("r1", {"a": 1}, model=None, at=None)], jobs).unsure] == [101]
    assert match([row("r1", {"a": 1}, model=None, at=None)], jobs).adopted == {}


def test_a_job_that_two_different_requests_fit_is_unsure() -> None:
    found = match([row("r1", {"a": 1, "b": 1}), row("r2", {"a": 1})], [job(1, {"a": 1}), job(2, {"a": 1, "b": 1})])
    assert {one.int for one in found.unsure} == {101, 102}
    assert (found.adopted, found.never_sent) == ({}, [])


def test_a_request_before_the_job_was_accepted_is_not_its() -> None:
    found = match([row("r1", {"a": 1}, at=AT - timedelta(hours=1))], [job(1, {"a": 1})])
    assert [one.int for one in found.never_sent] == [101]
    assert [one.upstream_id for one in found.orphans] == ["r1"]
