"""Pauses of models that the upstream forbids: what is kept of its 403s, and the rows of `pauses` that come of them.

Lock order: the model (an advisory lock), `forbidden_answers`, `pauses`; jobs and queues come after these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from app.admission.forbidden import KEPT_SECONDS, PROBE_SECONDS, Forbidden, Scope
from app.admission.models import What
from app.admission.operations import lock_pauses
from app.core.db import Session, columns

BY_UPSTREAM = "upstream"
"""Who has set such a pause; nobody's name decides anything: `probe_at` does."""
NOTE_MAX = 500
FORGOTTEN_MAX = 1_000
LOCK_KEY = 403
"""Keeps the advisory locks on models apart from all others."""

ANYTHING_FORBIDDEN = """(
    SELECT EXISTS (SELECT FROM forbidden_answers) OR EXISTS (SELECT FROM pauses WHERE probe_at IS NOT NULL)
)"""
"""SQL for whether anything at all may stand against the acceptance of a submit. See `find_refuted`."""

# Which of these acceptances has something against it?
_FIND_REFUTED = """
SELECT accepted.model, accepted.tenant_id
FROM unnest($1::text[], $2::uuid[]) AS accepted (model, tenant_id)
WHERE EXISTS (
    SELECT FROM forbidden_answers AS told
    WHERE told.model = accepted.model AND (told.tenant_id = accepted.tenant_id OR NOT told.alone)
) OR EXISTS (
    SELECT FROM pauses AS pause
    WHERE pause.probe_at IS NOT NULL AND pause.model = accepted.model
        AND (pause.tenant_id IS NULL OR pause.tenant_id = accepted.tenant_id)
)
"""

_LOCK_MODEL = "SELECT pg_advisory_xact_lock($1::integer, hashtext($2))"

# The tenant's own row first. Of the others one that counts is enough.
_ANSWERS = """
SELECT
    tenant_id = $2 AS own, extract(epoch FROM last_at)::double precision AS last_at, last_body,
    extract(epoch FROM other_at)::double precision AS other_at, alone
FROM forbidden_answers
WHERE model = $1 AND (tenant_id = $2 OR NOT alone)
ORDER BY tenant_id = $2 DESC, last_at DESC LIMIT 2
"""

_KEEP = """
INSERT INTO forbidden_answers (tenant_id, model, last_at, last_body, other_at, alone)
VALUES ($1, $2, to_timestamp($3), $4, to_timestamp($5), $6)
ON CONFLICT (tenant_id, model) DO UPDATE SET
    last_at = excluded.last_at, last_body = excluded.last_body, other_at = excluded.other_at, alone = excluded.alone
"""

_FORGET_OLD = """
DELETE FROM forbidden_answers WHERE (tenant_id, model) IN (
    SELECT tenant_id, model FROM forbidden_answers WHERE last_at < now() - make_interval(secs => $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""

_FORGET_OWN = "DELETE FROM forbidden_answers WHERE model = $1 AND ($2::uuid IS NULL OR tenant_id = $2)"

_LEAVE_ALONE = "UPDATE forbidden_answers SET alone = true WHERE model = $1 AND tenant_id <> $2 AND NOT alone"

# A model that is paused for everybody is not paused for one tenant beside that: no job would be left to find out whether
# either is over.
_PAUSE = """
INSERT INTO pauses (tenant_id, model, what, paused_by, note, probe_at)
SELECT $1, $2, $3, $4, $5, now() + make_interval(secs => $6)
WHERE NOT EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model = $2)
ON CONFLICT ON CONSTRAINT pauses_scope_key DO NOTHING
RETURNING id
"""

_LIFT_NARROWER = "DELETE FROM pauses WHERE model = $1 AND tenant_id IS NOT NULL AND probe_at IS NOT NULL"

_REFUSED = """
UPDATE pauses SET
    probe_job_id = NULL, refusals = least(refusals + 1, 1000),
    probe_at = now() + make_interval(secs => least($3, $2 * power(2, least(refusals + 1, 20))))
WHERE probe_job_id = $1 AND probe_at IS NOT NULL
"""

_IS_PAUSED = """
SELECT EXISTS (
    SELECT FROM pauses WHERE probe_at IS NOT NULL AND model = $1 AND (tenant_id IS NULL OR tenant_id = $2)
)
"""

_LIFT = """
DELETE FROM pauses WHERE probe_at IS NOT NULL AND model = $1 AND (tenant_id IS NULL OR tenant_id = $2)
RETURNING tenant_id, extract(epoch FROM now() - since)::double precision AS seconds, refusals
"""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A pause that is over: of which tenant (None: of all), after how long, and how many probes it took beside the last."""

    tenant_id: UUID | None
    seconds: float
    refusals: int


async def lock_model(session: Session, *, model: str) -> None:
    """One change of what is kept of a model's 403s at a time, until the transaction ends."""
    await session.execute(_LOCK_MODEL, LOCK_KEY, model)


async def list_answers(session: Session, *, model: str, tenant_id: UUID) -> tuple[Forbidden | None, list[Forbidden]]:
    """What is kept of this tenant's 403s for the model, and of another tenant's that counts for all."""
    own, others = None, []
    for row in await session.fetch(_ANSWERS, model, tenant_id):
        kept = Forbidden(row["last_at"], row["last_body"], row["other_at"], row["alone"])
        if row["own"]:
            own = kept
        else:
            others.append(kept)
    return own, others


async def keep_answer(session: Session, *, model: str, tenant_id: UUID, answer: Forbidden) -> None:
    """Write down what is kept of a tenant's 403s for a model, and forget what is old."""
    await session.execute(_KEEP, tenant_id, model, answer.last_at, answer.last_body, answer.other_at, answer.alone)
    await session.execute(_FORGET_OLD, KEPT_SECONDS, FORGOTTEN_MAX)


async def forget_answers(session: Session, *, model: str, tenant_id: UUID | None) -> None:
    """Forget the 403s of a tenant (None: of all) for a model. Before `lock_pauses`, where both are asked for."""
    await lock_model(session, model=model)
    await session.execute(_FORGET_OWN, model, tenant_id)


async def find_refuted(session: Session, *, accepted: Iterable[tuple[str, UUID]]) -> list[tuple[str, UUID]]:
    """Those among these models and tenants, whose submits were accepted, against which 403s or a pause stand. One
    statement."""
    rows = await session.fetch(_FIND_REFUTED, *columns(sorted(set(accepted)), 2))
    return [(row["model"], row["tenant_id"]) for row in rows]


async def note_accepted(session: Session, *, model: str, tenant_id: UUID) -> None:
    """A submit of this tenant for the model was accepted: 403s before it say nothing about the model any more."""
    await forget_answers(session, model=model, tenant_id=tenant_id)
    await session.execute(_LEAVE_ALONE, model, tenant_id)


async def pause_model(session: Session, *, model: str, tenant_id: UUID, scope: Scope, note: str) -> bool:
    """Pause submits of a model until a probe is accepted; gives whether it was not paused before. The first probe goes
    PROBE_SECONDS[0] later."""
    await lock_pauses(session)
    whose = None if scope is Scope.EVERYBODY else tenant_id
    paused = await session.fetchval(_PAUSE, whose, model, What.SUBMITS, BY_UPSTREAM, note[:NOTE_MAX], PROBE_SECONDS[0])
    if paused is not None and scope is Scope.EVERYBODY:
        await session.execute(_LIFT_NARROWER, model)
    return paused is not None


async def refuse_probe(session: Session, *, job_id: UUID) -> bool:
    """This job's submit was answered 403. If it was a probe, the next one goes after twice the time of the last, up to
    PROBE_SECONDS[1]; gives whether it was. One statement."""
    return await session.execute(_REFUSED, job_id, *PROBE_SECONDS) > 0


async def is_paused_by_upstream(session: Session, *, model: str, tenant_id: UUID) -> bool:
    """Whether the upstream has caused a pause of this tenant's submits of the model. One statement."""
    return bool(await session.fetchval(_IS_PAUSED, model, tenant_id))


async def lift_model_pauses(session: Session, *, model: str, tenant_id: UUID) -> list[Lifted]:
    """Lift the pauses that the upstream has caused of this tenant's submits of the model; gives them. The jobs that they
    held are put back by whoever calls this."""
    await lock_pauses(session)
    rows = await session.fetch(_LIFT, model, tenant_id)
    return [Lifted(row["tenant_id"], row["seconds"], row["refusals"]) for row in rows]
