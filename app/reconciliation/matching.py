"""Pure functions: match requests of the upstream that no job has with jobs that may have been sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.upstream.history_rows import HistoryRow, holds

CLOCKS = timedelta(seconds=120)
"""The highest difference between our clock and the upstream's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that may have been sent. `body`: its parameters."""

    id: UUID
    tenant_id: UUID
    model: str
    created_at: datetime
    body: Any


@dataclass(slots=True)
class Matches:
    """The result of a match. `adopted`: the request of each job, by job id. `never_sent`: jobs that no request fits; if the
    history is complete, they were not sent. `unsure`: jobs that share requests. `orphans`: requests without a job."""

    adopted: dict[UUID, HistoryRow] = field(default_factory=dict)
    never_sent: list[UUID] = field(default_factory=list)
    unsure: list[UUID] = field(default_factory=list)
    orphans: list[HistoryRow] = field(default_factory=list)


def may_be(row: HistoryRow, job: Candidate) -> bool:
    """Return whether this request may be the job's. A value that the history lacks fits every job."""
    if row.model is not None and row.model != job.model:
        return False
    if row.created_at is not None and row.created_at < job.created_at - CLOCKS:
        return False
    return row.body is None or row.body == job.body or (bool(job.body) and holds(row.body, job.body))


def match(rows: Sequence[HistoryRow], jobs: Sequence[Candidate]) -> Matches:
    """Assign requests to jobs if only one assignment is possible, or if all possible ones are equivalent and of one tenant.

    `jobs` are in the order of their acceptance: of a tenant's equal jobs, the oldest were sent.
    """
    by_model: dict[str, list[Candidate]] = {}
    for job in jobs:
        by_model.setdefault(job.model, []).append(job)
    fits: dict[tuple[UUID, ...], list[HistoryRow]] = {}
    for row in rows:
        asked = jobs if row.model is None else by_model.get(row.model, [])
        fits.setdefault(tuple(job.id for job in asked if may_be(row, job)), []).append(row)
    known = {job.id: job for job in jobs}
    groups = [set(ids) for ids in fits if ids]
    matches = Matches(orphans=fits.pop((), []))
    unsure: set[UUID] = set()
    # a group of jobs is certain only if no other group shares a job with it: otherwise a request could belong to either
    for ids, requests in fits.items():
        alone = sum(bool(group & set(ids)) for group in groups) == 1
        tenants = {known[one].tenant_id for one in ids}
        exact = all(row.body is not None and row.model is not None for row in requests)
        if alone and exact and len(requests) <= len(ids) and len(tenants) == 1:
            matches.adopted |= dict(zip(ids, requests, strict=False))
        else:
            unsure |= set(ids)
            matches.orphans += requests
    taken = unsure | matches.adopted.keys()
    fitted = {one for ids in fits for one in ids}
    matches.unsure = [job.id for job in jobs if job.id in unsure]
    # of equal jobs, those without a request after all requests are assigned were not sent
    matches.never_sent = [
        job.id for job in jobs if job.id not in taken and (job.id not in fitted or job.id not in unsure)
    ]
    return matches
