"""Pure choices: which of the upstream's requests that no job has belong to jobs that may have been sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.upstream.history_rows import HistoryRow, holds

CLOCKS = timedelta(seconds=120)
"""How far our clock and the upstream's may lie apart."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that may have been sent; `body`: its parameters."""

    id: UUID
    tenant_id: UUID
    model: str
    created_at: datetime
    body: Any


@dataclass(slots=True)
class Matches:
    """`adopted`: by job id, the request that is its own. `never_sent`: jobs that no request fits, so that, if the history is
    complete, none of them was sent. `unsure`: jobs that share requests with others. `orphans`: requests without a job."""

    adopted: dict[UUID, HistoryRow] = field(default_factory=dict)
    never_sent: list[UUID] = field(default_factory=list)
    unsure: list[UUID] = field(default_factory=list)
    orphans: list[HistoryRow] = field(default_factory=list)


def may_be(row: HistoryRow, job: Candidate) -> bool:
    """Whether that request may be this job's; what the history does not say may be anything."""
    if row.model is not None and row.model != job.model:
        return False
    if row.created_at is not None and row.created_at < job.created_at - CLOCKS:
        return False
    return row.body is None or row.body == job.body or (bool(job.body) and holds(row.body, job.body))


def match(rows: Sequence[HistoryRow], jobs: Sequence[Candidate]) -> Matches:
    """Give requests to jobs where only one assignment is possible, or all possible ones are within one tenant and alike.

    `jobs` in the order of their acceptance: of equal jobs of a tenant, the oldest were sent.
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
    # of equal jobs, those that are left over when every request has found its own were not sent
    matches.never_sent = [
        job.id for job in jobs if job.id not in taken and (job.id not in fitted or job.id not in unsure)
    ]
    return matches
