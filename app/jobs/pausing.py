"""A pause, as jobs feel it: claims pass them over, and those of a paused tenant or model are set aside.

A claim would otherwise pass over the same 50,000 jobs of a paused tenant each time. Set aside is `due_at = infinity`;
such a job always has a pause that holds it, since whoever sets it aside locks the pause, and whoever lifts the last one
puts it back in the same transaction. A pause of everything needs none of it: claims ask for no row at all then.
"""

from uuid import UUID

from app.admission.model_pauses import forget_answers
from app.admission.models import What
from app.admission.operations import checked_scope, lift_pause, lock_pauses, set_pause
from app.admission.queries import POLLS_PAUSED_PART, SUBMITS_PAUSED, Pause
from app.core.db import Session
from app.core.sql import SqlFolder
from app.jobs.transitions import WAS, Move, transition

BATCH_MAX = 5_000

# Which due jobs wait for a pause of their tenant or model, and are still in the claims' way?
_SET_ASIDE = f"""
WITH held AS (
    SELECT * FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL FOR SHARE
), due AS (
    SELECT job.id, {WAS} FROM jobs AS job
    WHERE (
            (job.ready AND job.owner IS NULL)
            OR (job.state = 'running' AND job.due_at <= now() AND (job.lease_until IS NULL OR job.lease_until < now()))
        )
        AND EXISTS (
            SELECT FROM held
            WHERE (held.tenant_id IS NULL OR held.tenant_id = job.tenant_id)
                AND (held.model IS NULL OR held.model = job.model)
                AND (held.what = 'all' OR job.state = 'queued')
                AND held.probe_job_id IS DISTINCT FROM job.id
        )
    LIMIT $1
    FOR UPDATE OF job SKIP LOCKED
), {transition(Move(rows="due", sets="due_at = 'infinity', ready = false"))}
SELECT count(*) FROM moved
"""  # noqa: S608

# Which jobs set aside are held by no pause any more? They had been due: back in line by age.
_PUT_BACK_QUEUED = f"""
WITH aside AS (
    SELECT job.id, {WAS} FROM jobs AS job
    WHERE job.state = 'queued' AND NOT job.ready AND job.due_at = 'infinity' AND NOT {SUBMITS_PAUSED}
    FOR UPDATE OF job
), {transition(Move(rows="aside", sets="due_at = jobs.created_at, ready = true"))}
SELECT count(*) FROM moved
"""  # noqa: S608

_SQL = SqlFolder(__file__)
_PUT_BACK_RUNNING = _SQL.command("put_back_running", parts={"polls_paused": POLLS_PAUSED_PART})


async def set_aside(session: Session) -> int:
    """Set up to BATCH_MAX jobs aside that a pause of their tenant or model holds; gives how many. One statement."""
    aside: int = await session.fetchval(_SET_ASIDE, BATCH_MAX)
    return aside


async def put_back(session: Session) -> int:
    """Put the jobs back in line that no pause holds any more; gives how many. Jobs alone first: who has counted holds
    queues, and waits for no job any more."""
    running = await session.run(_PUT_BACK_RUNNING)
    queued: int = await session.fetchval(_PUT_BACK_QUEUED)
    return running + queued


async def pause_jobs(
    session: Session, *, tenant_id: UUID | None, model: str | None, what: What, paused_by: str, note: str
) -> tuple[Pause, int]:
    """Pause a scope; gives how many jobs were set aside or put back. Raises Malformed, TenantNotFound.

    What is left to set aside is found by the workers' sweeps.
    """
    await lock_pauses(session)
    pause = await set_pause(session, tenant_id=tenant_id, model=model, what=what, paused_by=paused_by, note=note)
    # a pause of all that becomes one of submits frees polls, and no submits
    return pause, await session.run(_PUT_BACK_RUNNING) + await set_aside(session)


async def resume_jobs(session: Session, *, tenant_id: UUID | None, model: str | None) -> tuple[Pause | None, int]:
    """Lift the pause of a scope, if there is one; gives it and how many jobs were put back in line. Raises Malformed.

    403s of a model are forgotten with it: the upstream pauses it again when two new ones say so.
    """
    if (slug := checked_scope(model)) is not None:
        await forget_answers(session, model=slug, tenant_id=tenant_id)
    await lock_pauses(session)
    return await lift_pause(session, tenant_id=tenant_id, model=model), await put_back(session)
