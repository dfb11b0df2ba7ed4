"""Decide what a read of the history means for the attempts that may have arrived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.off_loop import run_sized
from app.jobs.models import FINAL, State
from app.probe.queries import list_lost_probes
from app.resolution.absence import Quiet
from app.resolution.matching.assigning import Assigned, assign, needing_settled
from app.resolution.matching.fitting import CLOCKS, SEND, Candidate, could_be
from app.resolution.matching.index import COST_EACH
from app.resolution.queries import CANDIDATES_MAX, UnknownAttempt, list_bodies, list_schemas
from app.resolution.reading import Reading
from app.resolution.settled import SettledAttempts
from app.upstream.history_rows import HistoryRow

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
    session: ReadSession,
    reading: Reading,
    attempts: Sequence[UnknownAttempt],
    *,
    settled: SettledAttempts,
    settle_seconds: float,
) -> Decided:
    """Compare the orphans of a read with these attempts, which were listed after it. Reads parameters and schemas. `settled`: kept
    between reads."""
    by_key = {attempt.key: attempt for attempt in attempts}
    orphans = [rows[0] for rows in reading.orphans.values()]
    assigned = await assign_orphans(session, orphans, attempts, settled)
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
    session: ReadSession,
    orphans: Sequence[HistoryRow],
    attempts: Sequence[UnknownAttempt],
    settled: SettledAttempts,
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
    comparable = [candidate for candidate in candidates if candidate.body is not NOTHING]
    cost = COST_EACH * (len(orphans) + len(comparable))
    needing = await run_sized(cost, needing_settled, orphans, comparable, schema_of=schemas.get)
    left_out = {row.upstream_id for row in await settled.load(session, needing)}
    left_out |= {row.upstream_id for row in orphans if any(could_be(row, candidate) for candidate in unread)}
    compared = [row for row in orphans if row.upstream_id not in left_out]
    assigned = await run_sized(cost, assign, compared, comparable, schema_of=schemas.get, settled=settled)
    assigned.doubtful |= {candidate.key for candidate in unread}
    assigned.strangers += [row for row in orphans if row.upstream_id in left_out] + beyond
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


def _candidate(attempt: UnknownAttempt, body: Any) -> Candidate:
    begin = attempt.created_at if attempt.recovered else attempt.sent_at
    until = max(attempt.sent_at + SEND, attempt.quiet_at or attempt.sent_at)
    waits = attempt.on_the_wire or attempt.quiet_at is None
    return Candidate(attempt.job_id, attempt.attempt, attempt.tenant_id, attempt.model, begin, until, body, waits)
