"""Submits that did not become a job, recorded before they are answered; equal ones of a minute share a row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.batch import Batcher, Overloaded
from app.core.db import Database, Session, columns
from app.core.errors import StoreUnavailable
from app.core.log import get_logger

log = get_logger(__name__)

MODEL_MAX = 128

_RECORD = """
INSERT INTO refusals (
    minute, tenant_id, key_id, surface, model, status_code, code, job_id, received_at, last_at, count
)
SELECT date_trunc('minute', received_at), * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::uuid[], $8::timestamptz[],
    $9::timestamptz[], $10::bigint[]
) AS t (tenant_id, key_id, surface, model, status_code, code, job_id, received_at, last_at, count)
ORDER BY tenant_id, key_id, surface, model, status_code, code, job_id
ON CONFLICT ON CONSTRAINT refusals_equal_key DO UPDATE SET
    count = refusals.count + excluded.count, last_at = greatest(refusals.last_at, excluded.last_at)
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A submit that was turned down, or replayed (`code` is then `replayed`, with its job)."""

    tenant_id: UUID | None
    key_id: UUID | None
    surface: str
    model: str | None
    status_code: int
    code: str
    job_id: UUID | None = None


async def record_refusals(session: Session, *, refused: Sequence[tuple[Refused, datetime]]) -> None:
    """Write a group down, equal ones as one row. One statement."""
    first: dict[tuple[Refused, datetime], datetime] = {}
    last: dict[tuple[Refused, datetime], datetime] = {}
    counts: Counter[tuple[Refused, datetime]] = Counter()
    for one, at in refused:
        equal = (one, at - timedelta(seconds=at.second, microseconds=at.microsecond))
        first[equal] = min(at, first.get(equal, at))
        last[equal] = max(at, last.get(equal, at))
        counts[equal] += 1
    rows = [
        (
            one.tenant_id, one.key_id, one.surface, one.model, one.status_code, one.code, one.job_id,
            first[one, minute], last[one, minute], count,
        )
        for (one, minute), count in counts.items()
    ]  # fmt: skip
    await session.execute(_RECORD, *columns(rows, 10))


class RefusalBook:
    """One process's way of writing refusals down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[tuple[Refused, datetime], None] = Batcher(self._flush, size_max=500)

    async def record(self, refused: Refused, *, received_at: datetime) -> None:
        """Committed when it returns. While the store is away a refusal cannot be kept; the log has it then."""
        try:
            await self._batcher.put((refused, received_at))
        except (StoreUnavailable, Overloaded):
            log.warning("refusal.not_recorded", surface=refused.surface, code=refused.code, status=refused.status_code)

    async def _flush(self, group: Sequence[tuple[Refused, datetime]]) -> Sequence[None | Exception]:
        async with self._database.statement() as session:
            await record_refusals(session, refused=group)
        return [None] * len(group)
