"""A pause, as jobs feel it: claims pass them over, and those of a paused tenant or model are set aside.

A claim would otherwise pass over the same 50,000 jobs of a paused tenant each time. Set aside is `due_at = infinity`;
such a job always has a pause that holds it, since whoever sets it aside locks the pause, and whoever lifts the last one
puts it back in the same transaction. A pause of everything needs none of it: claims ask for no row at all then.
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


async def set_aside(session: Session) -> int:
    """Set up to BATCH_MAX jobs aside that a pause of their tenant or model holds; gives how many. One statement."""
    return await session.get_value(_PARK_PAUSED, jobs_max=BATCH_MAX)


async def put_back(session: Session) -> int:
    """Put the jobs back in line that no pause holds any more; gives how many. Jobs alone first: who has counted holds
    queues, and waits for no job any more."""
    running = await session.run(_PUT_BACK_RUNNING)
    return running + await session.get_value(_UNPARK_QUEUED)


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
