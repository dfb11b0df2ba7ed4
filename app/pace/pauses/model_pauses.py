"""Pauses of models that the upstream forbids: what is kept of its 403s, and the rows of `pauses` that come of them.

Lock order: the model (an advisory lock), `forbidden_answers`, `pauses`; jobs and queues come after these.
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
"""Who has set such a pause; nobody's name decides anything: `probe_at` does."""
NOTE_MAX = 500
FORGOTTEN_MAX = 1_000
LOCK_KEY = 403
"""Keeps the advisory locks on models apart from all others."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A pause that is over: of which tenant (None: of all), after how long, and how many probes it took beside the last."""

    tenant_id: UUID | None
    seconds: float
    refusals: int


class _Answer(NamedTuple):
    """As `list_answers.sql` gives a Forbidden. own: of the tenant that was asked about."""

    own: bool
    last_at: float
    last_body: bytes
    other_at: float | None
    alone: bool


class _Accepted(NamedTuple):
    """As `find_refuted.sql` asks for it, and gives it."""

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
    """One change of what is kept of a model's 403s at a time, until the transaction ends."""
    await session.run(_LOCK_MODEL, lock_key=LOCK_KEY, model=model)


async def list_answers(session: Session, *, model: str, tenant_id: UUID) -> tuple[Forbidden | None, list[Forbidden]]:
    """What is kept of this tenant's 403s for the model, and of another tenant's that counts for all."""
    own, others = None, []
    for row in await session.rows(_ANSWERS, model=model, tenant_id=tenant_id):
        kept = Forbidden(row.last_at, row.last_body, row.other_at, row.alone)
        if row.own:
            own = kept
        else:
            others.append(kept)
    return own, others


async def keep_answer(session: Session, *, model: str, tenant_id: UUID, answer: Forbidden) -> None:
    """Write down what is kept of a tenant's 403s for a model, and forget what is old."""
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
    """Forget the 403s of a tenant (None: of all) for a model. Before `lock_pauses`, where both are asked for."""
    await lock_model(session, model=model)
    await session.run(_FORGET, model=model, tenant_id=tenant_id)


async def find_refuted(session: Session, *, accepted: Iterable[tuple[str, UUID]]) -> list[tuple[str, UUID]]:
    """Those among these models and tenants, whose submits were accepted, against which 403s or a pause stand. One
    statement."""
    rows = await session.rows(_FIND_REFUTED, **columns_of(_Accepted, sorted(set(accepted))))
    return [(row.model, row.tenant_id) for row in rows]


async def note_accepted(session: Session, *, model: str, tenant_id: UUID) -> None:
    """A submit of this tenant for the model was accepted: 403s before it say nothing about the model any more."""
    await forget_answers(session, model=model, tenant_id=tenant_id)
    await session.run(_LEAVE_ALONE, model=model, tenant_id=tenant_id)


async def pause_model(session: Session, *, model: str, tenant_id: UUID, scope: Scope, note: str) -> bool:
    """Pause submits of a model until a probe is accepted; gives whether it was not paused before. The first probe goes
    PROBE_SECONDS[0] later."""
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
    """This job's submit was answered 403. If it was a probe, the next one goes after twice the time of the last, up to
    PROBE_SECONDS[1]; gives whether it was. One statement."""
    first, most = PROBE_SECONDS
    return await session.run(_REFUSE_PROBE, job_id=job_id, seconds_first=first, seconds_max=most) > 0


async def is_paused_by_upstream(session: Session, *, model: str, tenant_id: UUID) -> bool:
    """Whether the upstream has caused a pause of this tenant's submits of the model. One statement."""
    return await session.get_value(_IS_PAUSED, model=model, tenant_id=tenant_id)


async def lift_model_pauses(session: Session, *, model: str, tenant_id: UUID) -> list[Lifted]:
    """Lift the pauses that the upstream has caused of this tenant's submits of the model; gives them. The jobs that they
    held are put back by whoever calls this."""
    await lock_pauses(session)
    return await session.rows(_LIFT, model=model, tenant_id=tenant_id)
