"""Reading what the database says of itself, stopping everything when that is in doubt, and going on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.admission.operations import lock_pauses
from app.books.decide import Found, Known
from app.books.models import RESTORED, WORDS, Doubt
from app.core.db import ReadSession, Session, columns
from app.jobs.pausing import put_back

MARK = "waystation"
"""Who set the pause. One that somebody had set before keeps its name, and stays when the doubt is over."""
RECENT_SECONDS = 60.0
"""A worker that had spoken so shortly before the last word of all was alive at the end."""

SERVER = """(
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN concat_ws(
        '/', (SELECT system_identifier FROM pg_control_system()), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    ) END
)"""
"""Which server, timeline and database this is; null on a standby."""

_UNACCOUNTED = """EXISTS (
    SELECT FROM processes AS worker
    WHERE worker.kind = 'worker' AND worker.stopped_at IS NULL AND worker.id <> {process}
        AND worker.vouched_for IS DISTINCT FROM {server}
        AND worker.beat_at > (SELECT max(beat_at) FROM processes WHERE beat_at <= {at}) - make_interval(secs => {seconds})
)"""

# What do these books say, and is everything there that we know?
_FIND = f"""
SELECT
    books.books_id, {SERVER} AS server, books.server AS stamped, books.recoveries, books.doubt, now() AS now,
    EXISTS (SELECT FROM pauses WHERE reason = '{RESTORED}') AS stopped,
    EXISTS (SELECT FROM jobs WHERE ready)
        OR EXISTS (SELECT FROM jobs WHERE state = 'queued' AND NOT ready) AS waiting,
    EXISTS (
        SELECT FROM processes
        WHERE id <> $1 AND stopped_at IS NULL AND beat_at > now() - make_interval(secs => $2)
    ) AS alive,
    {_UNACCOUNTED.format(process="$1", server="''", at="now()", seconds=RECENT_SECONDS)} AS unaccounted,
    (
        SELECT count(*)
        FROM unnest($3::uuid[], $4::uuid[], $5::integer[], $6::integer[], $7::uuid[], $8::integer[])
            AS known (books_id, process_id, recoveries, beats, job_id, attempt)
        WHERE known.books_id = books.books_id AND known.recoveries = books.recoveries AND (
            (known.beats IS NOT NULL AND NOT EXISTS (
                SELECT FROM processes WHERE id = known.process_id AND processes.beats >= known.beats
            )) OR (known.job_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM attempts WHERE job_id = known.job_id AND attempts.attempt = known.attempt
            ))
        )
    ) AS missing
FROM books
"""  # noqa: S608

_ADOPT = f"""
UPDATE books SET books_id = coalesce(books_id, $1), server = {SERVER}
WHERE doubt IS NULL
RETURNING books_id
"""  # noqa: S608

_DOUBT = """
UPDATE books SET
    doubt = CASE WHEN doubt IS NULL OR doubt = 'unvouched' OR $1 = 'older' THEN $1 ELSE doubt END,
    doubted_at = coalesce(doubted_at, now())
"""

_STOP = f"""
INSERT INTO pauses (what, paused_by, note, reason) VALUES ('submits', $1, $2, '{RESTORED}')
ON CONFLICT ON CONSTRAINT pauses_scope_key DO UPDATE SET
    reason = '{RESTORED}', probe_at = NULL, probe_job_id = NULL, refusals = 0
"""  # noqa: S608

_RELEASED = f"DELETE FROM pauses WHERE reason = '{RESTORED}' AND paused_by = $1"  # noqa: S608
_KEPT = f"UPDATE pauses SET reason = NULL WHERE reason = '{RESTORED}'"  # noqa: S608
_SETTLED = f"UPDATE books SET doubt = NULL, doubted_at = NULL, server = {SERVER}, recoveries = recoveries + $1"  # noqa: S608

_STOPPED = f"SELECT doubt FROM books WHERE EXISTS (SELECT FROM pauses WHERE reason = '{RESTORED}')"  # noqa: S608
_TAKE_OVER = f"UPDATE pauses SET paused_by = $1 WHERE reason = '{RESTORED}' AND paused_by = $2"  # noqa: S608

# Since when may something have been sent that is not in these books?
_LOST_TIME = """
SELECT
    doubted_at, doubted_at IS NOT NULL AS doubted, now() AS now,
    coalesce(
        (
            SELECT max(beat_at) FROM processes
            WHERE beat_at < coalesce(books.doubted_at, now()) - make_interval(secs => 1)
        ),
        now() - make_interval(days => $1)
    ) AS last_at
FROM books
"""
LOST_DAYS_MAX = 7

_VOUCH = f"UPDATE processes SET vouched_for = {SERVER} WHERE id = $1"  # noqa: S608

# Have all workers that were alive when the books moved found all that they knew, and had time to object?
_VOUCHED = f"""
SELECT doubt = 'moved' AND doubted_at < now() - make_interval(secs => $2)
    AND NOT {_UNACCOUNTED.format(process="$1", server=SERVER, at="doubted_at", seconds=f"greatest(4 * $2, {RECENT_SECONDS})")}
FROM books
"""  # noqa: S608


async def find_books(session: ReadSession, *, process_id: UUID, lease_seconds: float, known: Sequence[Known]) -> Found:
    """What the database says of itself, and whether it has what is `known`. One statement."""
    facts = [
        (one.books_id, one.process_id, one.recoveries, one.beats, *attempt)
        for one in known
        for attempt in (one.attempts or [(None, None)])
    ]
    row = await session.fetchrow(_FIND, process_id, lease_seconds, *columns(facts, 6))
    assert row is not None, "the migration made the row"
    return Found(**{**row, "doubt": Doubt(row["doubt"]) if row["doubt"] else None})


async def adopt_books(session: Session, *, books_id: UUID) -> UUID | None:
    """Write down that they are complete where they are; gives their id, `books_id` where they had none. None: somebody has
    come to doubt them meanwhile. One statement."""
    adopted: UUID | None = await session.fetchval(_ADOPT, books_id)
    return adopted


async def stop_sending(session: Session, *, doubt: Doubt) -> None:
    """Pause submits of everything until the doubt is over; a pause that somebody has set already becomes this one."""
    await lock_pauses(session)
    await session.execute(_DOUBT, doubt)
    note = f"the database may be older than what was sent: {WORDS[doubt]}; run `waystation recover`"
    await session.execute(_STOP, MARK, note)


async def vouch(session: Session, *, process_id: UUID) -> None:
    """Say that this process has found all that it knew. One statement."""
    await session.execute(_VOUCH, process_id)


async def settle_if_vouched(session: Session, *, process_id: UUID, lease_seconds: float) -> bool:
    """Go on where every worker has vouched for moved books; gives whether that is so. The caller has vouched."""
    await lock_pauses(session)
    if not await session.fetchval(_VOUCHED, process_id, lease_seconds):
        return False
    await settle(session)
    return True


async def settle(session: Session, *, recovered: bool = False) -> None:
    """The doubt is over, and the books are complete where they are. `recovered`: by treating everything as unknown that may
    have been sent; what processes knew from before counts no more."""
    await lock_pauses(session)
    await session.execute(_SETTLED, int(recovered))
    await session.execute(_RELEASED, MARK)
    await session.execute(_KEPT)
    await put_back(session)


async def take_over_pause(session: Session, *, by: str) -> None:
    """The pause that a doubt has set is of whoever recovers, from now on. One statement."""
    await session.execute(_TAKE_OVER, by, MARK)


@dataclass(frozen=True, slots=True)
class LostTime:
    """`last_at`: the last word of a process in the books before they came to be doubted. `doubted_at`: `now` where they are
    not."""

    last_at: datetime
    doubted_at: datetime
    now: datetime


async def find_lost_time(session: ReadSession) -> LostTime:
    """In which time something may have been sent that is not in the books. One statement."""
    row = await session.fetchrow(_LOST_TIME, LOST_DAYS_MAX)
    assert row is not None, "the migration made the row"
    return LostTime(row["last_at"], row["doubted_at"] or row["now"], row["now"])


async def find_doubt(session: ReadSession) -> Doubt | None:
    """Why sending is stopped; None: it is not. One statement."""
    doubt = await session.fetchval(_STOPPED)
    return None if doubt is None else Doubt(doubt)
