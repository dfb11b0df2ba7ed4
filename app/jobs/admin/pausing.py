"""The effect of pauses on jobs: claims skip paused jobs, and jobs of a paused tenant or model are parked.

Otherwise each claim would skip the same 50,000 jobs of a paused tenant. A job parked here has `due_at = infinity`. A pause
always holds it: the transaction that parks it locks the pause, and the one that lifts the last pause unparks it. (Claims park
jobs in the same way at a limit of their key.) A pause of everything parks nothing: claims then read no jobs at all.
"""

from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.pace.models import What
from app.pace.pauses.model_pauses import forget_answers
from app.pace.pauses.operations import checked_scope, lift_pause, lock_pauses, set_pause
from app.pace.pauses.queries import POLLS_PAUSED_PART, SUBMITS_PAUSED_PART, Pause

BATCH_MAX = 5_000

_SQL = SqlFolder(__file__)
_PARK_PAUSED = _SQL.query("park_paused", int)
_UNPARK_QUEUED = _SQL.query("unpark_queued", int, parts={"submits_paused": SUBMITS_PAUSED_PART})
_PUT_BACK_RUNNING = _SQL.command("put_back_running", parts={"polls_paused": POLLS_PAUSED_PART})


async def park_paused_jobs(session: Session) -> int:
    """Park up to BATCH_MAX jobs that a pause of their tenant or model holds. Returns how many. One statement."""
    return await session.get_value(_PARK_PAUSED, jobs_max=BATCH_MAX)


async def put_back(session: Session) -> int:
    """Unpark the jobs that no pause holds any more. Returns how many. Running jobs first: their statement locks no queue, and no
    job may be waited for after a queue is locked."""
    running = await session.run(_PUT_BACK_RUNNING)
    return running + await session.get_value(_UNPARK_QUEUED)


async def pause_jobs(
    session: Session, *, tenant_id: UUID | None, model: str | None, what: What, paused_by: str, note: str
) -> tuple[Pause, int]:
    """Pause a scope. Returns the pause, and how many jobs were parked or unparked. Raises Malformed, TenantNotFound.

    The workers' sweeps park the remaining jobs.
    """
    await lock_pauses(session)
    pause = await set_pause(session, tenant_id=tenant_id, model=model, what=what, paused_by=paused_by, note=note)
    # if a pause of everything becomes one of submits, polls continue, and submits do not
    return pause, await session.run(_PUT_BACK_RUNNING) + await park_paused_jobs(session)


async def resume_jobs(session: Session, *, tenant_id: UUID | None, model: str | None) -> tuple[Pause | None, int]:
    """Lift the pause of a scope, if there is one. Returns it, and how many jobs were unparked. Raises Malformed.

    The stored 403s of the model are deleted: it is paused again after two new ones.
    """
    if (slug := checked_scope(model)) is not None:
        await forget_answers(session, model=slug, tenant_id=tenant_id)
    await lock_pauses(session)
    return await lift_pause(session, tenant_id=tenant_id, model=model), await put_back(session)
