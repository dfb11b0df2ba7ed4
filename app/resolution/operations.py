"""Writes of the resolution: whose turn it is, what the reads have shown, and the cost of requests that nobody gets."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.ledger.models import ExposureReason
from app.ledger.settling import Exposure, expose
from app.resolution.queries import LATENESS_DAYS, OurRequest
from app.upstream.history_rows import HistoryRow

SOONEST_SECONDS = 3.0
"""The least time between two reads."""


class Turn(NamedTuple):
    """It is this worker's turn. at: the database clock. may_resubmit: no request that was proven absent has appeared so far."""

    at: datetime
    may_resubmit: bool


class _Contested(NamedTuple):
    upstream_id: str
    model: str
    happened_at: datetime


_SQL = SqlFolder(__file__)
_CLAIM_TURN = _SQL.query("claim_turn", Turn)
_RENEW_TURN = _SQL.command("renew_turn")
_END_TURN = _SQL.command("end_turn")
_REFUTE_RESUBMITS = _SQL.command("refute_resubmits")
_NOTE_MISSED = _SQL.command("note_missed")
_NOTE_SEEN = _SQL.command("note_seen")
_FORGET_MISSED = _SQL.command("forget_missed")
_NOTE_CONTESTED = _SQL.command("note_contested")
_SETTLE_CONTESTED = _SQL.command("settle_contested")


async def claim_turn(
    session: Session, *, owner: UUID, lease_seconds: float, horizon_seconds: float, watched_seconds: float
) -> Turn | None:
    """Begin a read, if one is due and no other worker reads. One statement."""
    return await session.find_row(
        _CLAIM_TURN, owner=owner, lease_seconds=lease_seconds, soonest_seconds=SOONEST_SECONDS,
        horizon_seconds=horizon_seconds, watched_seconds=watched_seconds,
    )  # fmt: skip


async def renew_turn(session: Session, *, owner: UUID, lease_seconds: float) -> None:
    """Continue a read. One statement."""
    await session.run(_RENEW_TURN, owner=owner, lease_seconds=lease_seconds)


async def end_turn(
    session: Session,
    *,
    owner: UUID,
    wait_seconds: float,
    read_at: datetime | None,
    lag_seconds: float | None,
    unreadable: bool = False,
) -> None:
    """End a read. `read_at`: when it began; None: it was not finished. `unreadable`: nobody reads within `wait_seconds`. One
    statement."""
    await session.run(
        _END_TURN, owner=owner, wait_seconds=wait_seconds, read_at=read_at, lag_seconds=lag_seconds, unreadable=unreadable
    )  # fmt: skip


async def refute_resubmits(session: Session) -> bool:
    """Resubmit nothing from now on. Returns whether this is new. One statement."""
    return await session.run(_REFUTE_RESUBMITS) > 0


async def note_lateness(session: Session, *, missed: Sequence[OurRequest], seen: Sequence[str]) -> None:
    """Record which requests of ours a read did not have, and which of those missed before it had."""
    if seen:
        await session.run(_NOTE_SEEN, upstream_ids=list(seen))
    if missed:
        await session.run(_NOTE_MISSED, **columns_of(OurRequest, missed))
    await session.run(_FORGET_MISSED, days=LATENESS_DAYS)


async def note_contested(session: Session, *, rows: Sequence[HistoryRow]) -> None:
    """Record requests that may belong to attempts of several tenants. One statement."""
    noted = [
        _Contested(row.upstream_id, row.model, row.created_at)
        for row in rows
        if row.model is not None and row.created_at is not None
    ]
    await session.run(_NOTE_CONTESTED, **columns_of(_Contested, noted))


async def settle_contested(session: Session, *, costs: dict[str, int], horizon_seconds: float) -> int:
    """Settle contested requests: those that have an owner by now, those beyond the horizon, and these, whose costs become exposure without a job and a tenant,
    once. Returns how many were open."""
    if costs:
        exposures = [
            Exposure(None, None, ExposureReason.UNASSIGNED, cost, upstream_id)
            for upstream_id, cost in sorted(costs.items())
        ]
        await expose(session, exposures=exposures)
    return await session.run(_SETTLE_CONTESTED, upstream_ids=list(costs), horizon_seconds=horizon_seconds)
