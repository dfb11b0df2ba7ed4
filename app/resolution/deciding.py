"""Decide what a read of the history means for the attempts that may have arrived."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from app.core.database.session import ReadSession
from app.jobs.models import FINAL, State
from app.probe.queries import list_lost_probes
from app.resolution.absence import Quiet
from app.resolution.assigning import Assigned, assign
from app.resolution.fitting import CLOCKS, SEND, Candidate, could_be
from app.resolution.queries import CANDIDATES_MAX, SETTLED_MAX, UnknownAttempt, list_bodies, list_schemas, list_settled
from app.resolution.reading import Reading
from app.upstream.history_rows import HistoryRow, read_body

NOTHING: Final = object()
"""The parameters of a job that were not loaded."""

Attempt = tuple[UUID, int]


@dataclass(slots=True)
class Decided:
    """adopt: requests for unknown jobs. late: requests of attempts that were resolved in another way. contested: requests that several
    tenants may have made, each with its attempts. over: those of them whose attempts are all resolved. absent: attempts of which
    the read proves that they did not arrive."""

    adopt: dict[str, Attempt] = field(default_factory=dict)
    late: dict[str, Attempt] = field(default_factory=dict)
    contested: dict[str, list[Attempt]] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    absent: list[Attempt] = field(default_factory=list)


async def decide(
    session: ReadSession, reading: Reading, attempts: Sequence[UnknownAttempt], *, settle_seconds: float
) -> Decided:
    """Compare the orphans of a read with these attempts, which were listed after it. Reads parameters and schemas."""
    by_key = {attempt.key: attempt for attempt in attempts}
    orphans = [rows[0] for rows in reading.orphans.values()]
    assigned = await assign_orphans(session, orphans, attempts)
    evidence = reading.evidence([(row.model, row.created_at) for row in assigned.strangers])
    decided = Decided(contested=assigned.contested)
    for upstream_id, key in assigned.adopted.items():
        if key not in by_key:  # a lost probe's; the reconciliation gives it to it
            continue
        resolved = by_key[key].state != State.UNKNOWN or by_key[key].last_attempt != by_key[key].attempt
        (decided.late if resolved else decided.adopt)[upstream_id] = key
    decided.over = [
        upstream_id
        for upstream_id, keys in assigned.contested.items()
        if all(State(by_key[key].state) in FINAL for key in keys if key in by_key)
    ]
    taken = set(assigned.adopted.values()) | assigned.doubtful
    decided.absent = [
        attempt.key
        for attempt in attempts
        if attempt.key not in taken
        and attempt.state == State.UNKNOWN
        and attempt.attempt == attempt.last_attempt
        and not attempt.recovered
        and evidence.proves_absent(
            Quiet(attempt.sent_at, attempt.quiet_at, attempt.model), settle_seconds=settle_seconds
        )
    ]
    return decided


async def assign_orphans(
    session: ReadSession, orphans: Sequence[HistoryRow], attempts: Sequence[UnknownAttempt]
) -> Assigned:
    """Assign the orphans to these attempts. What cannot be compared is a stranger, and its attempts are doubtful: an orphan that may be
    an attempt's whose parameters are too large, or one of a time with more attempts than were listed."""
    if len(attempts) >= CANDIDATES_MAX:
        last_at = attempts[-1].sent_at - CLOCKS
        beyond = [row for row in orphans if row.created_at is None or row.created_at >= last_at]
        orphans = [row for row in orphans if row not in beyond]
    else:
        beyond = []
    timed = [(attempt, _candidate(attempt, NOTHING)) for attempt in attempts]
    near = [attempt for attempt, candidate in timed if any(could_be(row, candidate) for row in orphans)]
    bodies = await list_bodies(session, job_ids=[attempt.job_id for attempt in near])
    candidates = [_candidate(attempt, bodies.get(attempt.job_id, NOTHING)) for attempt in near]
    candidates += await _probes(session, orphans)
    unread = [candidate for candidate in candidates if candidate.body is NOTHING]
    models = sorted({candidate.model for candidate in candidates})
    schemas: Mapping[str, Any] = await list_schemas(session, models=models) if models else {}
    settled, unsure = await _settled(session, orphans, candidates, schemas)
    left_out = [row for row in orphans if row.model in unsure or any(could_be(row, candidate) for candidate in unread)]
    assigned = assign(
        [row for row in orphans if row not in left_out],
        [candidate for candidate in candidates if candidate.body is not NOTHING],
        schema_of=schemas.get,
        settled=settled,
    )
    assigned.doubtful |= {candidate.key for candidate in unread}
    assigned.strangers += [*left_out, *beyond]
    return assigned


async def _probes(session: ReadSession, orphans: Sequence[HistoryRow]) -> list[Candidate]:
    """Our own probes whose answers were lost: a request that may be one is nobody else's."""
    instants = [row.created_at for row in orphans if row.created_at is not None]
    if not instants:
        return []
    lost = await list_lost_probes(session, since=min(instants) - CLOCKS - SEND, until=max(instants) + CLOCKS)
    return [
        Candidate(probe.id, 0, None, probe.model, probe.sent_at, probe.sent_at + SEND, probe.body) for probe in lost
    ]


async def _settled(
    session: ReadSession, orphans: Sequence[HistoryRow], candidates: Sequence[Candidate], schemas: Mapping[str, Any]
) -> tuple[list[Candidate], set[str]]:
    """The attempts with known requests that may fit an orphan better, of models without a schema; and the models with too many."""
    instants = defaultdict(list)
    for row in orphans:
        if row.created_at is not None and row.model is not None and row.model not in schemas:
            instants[row.model].append(row.created_at)
    found: list[Candidate] = []
    unsure: set[str] = set()
    for model in {candidate.model for candidate in candidates} & instants.keys():
        since, until = min(instants[model]) - CLOCKS - SEND - timedelta(minutes=1), max(instants[model]) + CLOCKS
        jobs = await list_settled(session, model=model, since=since, until=until)
        if len(jobs) == SETTLED_MAX:
            unsure.add(model)
            continue
        found += [
            Candidate(
                job.job_id, job.attempt, job.tenant_id, model, job.sent_at, job.sent_at + SEND, read_body(job.body)
            )
            for job in jobs
        ]
    return found, unsure


def _candidate(attempt: UnknownAttempt, body: Any) -> Candidate:
    begin = attempt.created_at if attempt.recovered else attempt.sent_at
    until = max(attempt.sent_at + SEND, attempt.quiet_at or attempt.sent_at)
    waits = attempt.on_the_wire or attempt.quiet_at is None
    return Candidate(attempt.job_id, attempt.attempt, attempt.tenant_id, attempt.model, begin, until, body, waits)
