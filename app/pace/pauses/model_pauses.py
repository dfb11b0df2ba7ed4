"""Pauses of models that the upstream forbids: the 403s that are kept, and the rows of `pauses` that they cause.

Lock order: the model (an advisory lock), `forbidden_answers`, `pauses`; then jobs and queues.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.pace.models import What
from app.pace.pauses.forbidden import KEPT_SECONDS, PROBE_SECONDS, Forbidden, Scope
from app.pace.pauses.operations import lock_pauses

BY_UPSTREAM = "upstream"
"""`paused_by` of such a pause, for people. The code looks only at `probe_at`."""
NOTE_MAX = 500
FORGOTTEN_MAX = 1_000
LOCK_KEY = 403
"""Separates the advisory locks on models from all other advisory locks."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A pause that has ended: its tenant (None: all), how long it lasted, and how many probes were refused before."""

    tenant_id: UUID | None
    seconds: float
    refusals: int


class _Answer(NamedTuple):
    """A row of `list_answers.sql`: a Forbidden. own: it belongs to the tenant that was asked about."""

    own: bool
    last_at: float
    last_body: bytes
    other_at: float | None
    alone: bool


class _Accepted(NamedTuple):
    """A parameter row and a result row of `find_refuted.sql`."""

    model: str
    tenant_id: UUID


_SQL = SqlFolder(__file__)
_LOCK_MODEL = _SQL.command("lock_model")
_ANSWERS = _SQL.query("list_answers", _Answer)
_KEEP = _SQL.command("keep_answer")
_FORGET_OLD = _SQL.command("forget_old_answers")
_FORGET = _SQL.command("forget_answers")
_FIND_REFUTED = _SQL.query("find_refuted", _Accepted)
_LEAVE_ALONE = _SQL.command("leave_answers_alone")
_PAUSE = _SQL.query("pause_model", int)
_LIFT_NARROWER = _SQL.command("lift_narrower_pauses")
_REFUSE_PROBE = _SQL.command("refuse_probe")
_IS_PAUSED = _SQL.query("is_paused_by_upstream", bool)
_LIFT = _SQL.query("lift_model_pauses", Lifted)


async def lock_model(session: Session, *, model: str) -> None:
    """Lock the kept 403s of a model until the transaction ends."""
    await session.run(_LOCK_MODEL, lock_key=LOCK_KEY, model=model)


async def list_answers(session: Session, *, model: str, tenant_id: UUID) -> tuple[Forbidden | None, list[Forbidden]]:
    """Return the kept 403s for the model: this tenant's, and another tenant's that count for all."""
    own, others = None, []
    for row in await session.rows(_ANSWERS, model=model, tenant_id=tenant_id):
        kept = Forbidden(row.last_at, row.last_body, row.other_at, row.alone)
        if row.own:
            own = kept
        else:
            others.append(kept)
    return own, others


async def keep_answer(session: Session, *, model: str, tenant_id: UUID, answer: Forbidden) -> None:
    """Store the kept 403s of a tenant for a model, and delete old ones."""
    await session.run(
        _KEEP,
        tenant_id=tenant_id,
        model=model,
        last_at=answer.last_at,
        last_body=answer.last_body,
        other_at=answer.other_at,
        alone=answer.alone,
    )
    await session.run(_FORGET_OLD, kept_seconds=KEPT_SECONDS, most=FORGOTTEN_MAX)


async def forget_answers(session: Session, *, model: str, tenant_id: UUID | None) -> None:
    """Delete the 403s of a tenant (None: of all) for a model. If both are needed, call it before `lock_pauses`."""
    await lock_model(session, model=model)
    await session.run(_FORGET, model=model, tenant_id=tenant_id)


async def find_refuted(session: Session, *, accepted: Iterable[tuple[str, UUID]]) -> list[tuple[str, UUID]]:
    """Return the accepted models and tenants that contradict kept 403s or a pause. One statement."""
    rows = await session.rows(_FIND_REFUTED, **columns_of(_Accepted, sorted(set(accepted))))
    return [(row.model, row.tenant_id) for row in rows]


async def note_accepted(session: Session, *, model: str, tenant_id: UUID) -> None:
    """Record an accepted submit of this tenant for the model. Earlier 403s then say nothing about the model."""
    await forget_answers(session, model=model, tenant_id=tenant_id)
    await session.run(_LEAVE_ALONE, model=model, tenant_id=tenant_id)


async def pause_model(session: Session, *, model: str, tenant_id: UUID, scope: Scope, note: str) -> bool:
    """Pause submits of a model until a probe is accepted, the first one PROBE_SECONDS[0] later. Returns whether it
    was not paused before."""
    await lock_pauses(session)
    whose = None if scope is Scope.EVERYBODY else tenant_id
    paused = await session.find_value(
        _PAUSE,
        tenant_id=whose,
        model=model,
        what=What.SUBMITS,
        paused_by=BY_UPSTREAM,
        note=note[:NOTE_MAX],
        probe_seconds=PROBE_SECONDS[0],
    )
    if paused is not None and scope is Scope.EVERYBODY:
        await session.run(_LIFT_NARROWER, model=model)
    return paused is not None


async def refuse_probe(session: Session, *, job_id: UUID) -> bool:
    """Record that this job's submit was answered 403. Returns whether it was a probe. One statement.

    Then the next probe is sent after twice the last time, up to PROBE_SECONDS[1].
    """
    first, most = PROBE_SECONDS
    return await session.run(_REFUSE_PROBE, job_id=job_id, seconds_first=first, seconds_max=most) > 0


async def is_paused_by_upstream(session: Session, *, model: str, tenant_id: UUID) -> bool:
    """Whether the upstream has caused a pause of this tenant's submits of the model. One statement."""
    return await session.get_value(_IS_PAUSED, model=model, tenant_id=tenant_id)


async def lift_model_pauses(session: Session, *, model: str, tenant_id: UUID) -> list[Lifted]:
    """Lift the pauses that the upstream has caused of this tenant's submits of the model, and return them. The
    caller must unpark their jobs."""
    await lock_pauses(session)
    return await session.rows(_LIFT, model=model, tenant_id=tenant_id)
