"""Take a request of the upstream from a job that has it by inference, for the job to which the upstream itself has given it.

Lock order: the job that gets the request, then the balance and the ended job that loses it.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.audit.operations import GATEWAY, record_audit
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.ids import show_id
from app.jobs.models import FINAL, State
from app.ledger.accounts import lock_accounts
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.operations import correct_charge
from app.ledger.settling import correct_exposure

NOTE = "the result belonged to another request, and was withdrawn"
LEAST_SECONDS = 60.0
"""A job that becomes unknown again stays so for at least this long, so that another request can be found for it."""


@dataclass(frozen=True, slots=True)
class _Inferred:
    """A row of `find_inferred.sql`."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    model: str
    state: str
    attempt: int
    finished_at: datetime | None
    cost_micro: int | None
    charged_micro: int


_SQL = SqlFolder(__file__)
_LOCK_OWNER = _SQL.query("lock_owner", str)
_FREE_INFERRED = _SQL.query("free_inferred", str)
_FIND_INFERRED = _SQL.query("find_inferred", _Inferred)
_MAKE_UNKNOWN_AGAIN = _SQL.query("make_unknown_again", UUID)
_LOCK_HELD = _SQL.query("lock_held_request", int)
_WITHDRAW = _SQL.command("withdraw_result")


async def lock_owner(session: Session, *, job_id: UUID) -> str | None:
    """Lock the job that is to get a request, before everything else. Returns the request that it has."""
    return await session.find_value(_LOCK_OWNER, job_id=job_id)


async def free_inferred(
    session: Session, *, job_id: UUID, attempt: int, upstream_id: str, unknown_max_seconds: float
) -> bool:
    """Make this job unknown again if it runs with another request than `upstream_id`, by inference. Its attempt then waits for its
    own answer. Returns whether it was so."""
    inferred = await session.find_value(_FREE_INFERRED, job_id=job_id, attempt=attempt, upstream_id=upstream_id)
    return inferred is not None and await _made_unknown(session, job_id, inferred, unknown_max_seconds)


async def evict(session: Session, *, upstream_id: str, owner: UUID, unknown_max_seconds: float) -> UUID | None:
    """Free this request for the job `owner`. Returns the job that had it, or None if no job has it by inference alone.

    A running job becomes unknown again. The status of an ended one stays; its charge is returned and its result withdrawn. Both are
    audited. The caller has locked the owner (`lock_owner`).
    """
    job = await session.find_row(_FIND_INFERRED, upstream_id=upstream_id)
    if job is None or job.id == owner:
        return None
    if State(job.state) in FINAL:
        freed = await _withdraw(session, job, upstream_id)
    else:
        freed = await _made_unknown(session, job.id, upstream_id, unknown_max_seconds)
    if not freed:  # it ended meanwhile, or its charge was corrected
        return await evict(session, upstream_id=upstream_id, owner=owner, unknown_max_seconds=unknown_max_seconds)
    detail = {"upstream_id": upstream_id, "owner": show_id("job", owner), "state": job.state}
    await record_audit(
        session, by=GATEWAY, action="job.request_given_back", target=show_id("job", job.id), tenant_id=job.tenant_id,
        detail=detail,
    )  # fmt: skip
    return job.id


async def _made_unknown(session: Session, job_id: UUID, upstream_id: str, unknown_max_seconds: float) -> bool:
    """Make a running job unknown again, and free its request. Returns False if it does not run with it any more."""
    made = await session.find_value(
        _MAKE_UNKNOWN_AGAIN, job_id=job_id, upstream_id=upstream_id, unknown_max_seconds=unknown_max_seconds,
        least_seconds=LEAST_SECONDS,
    )  # fmt: skip
    return made is not None


async def _withdraw(session: Session, job: _Inferred, upstream_id: str) -> bool:
    await lock_accounts(session, tenant_ids=[job.tenant_id])
    if await session.find_value(_LOCK_HELD, job_id=job.id, upstream_id=upstream_id) != job.charged_micro:
        return False  # another transaction was first
    returned = job.charged_micro
    if returned:
        await correct_charge(
            session,
            tenant_id=job.tenant_id,
            job_id=job.id,
            amount_micro=returned,
            note=NOTE,
            name=f"adjust {upstream_id}",
        )
        await return_to_budgets(session, job_id=job.id, returned_micro=returned)
    await session.run(_WITHDRAW, job_id=job.id, upstream_id=upstream_id)
    assert job.finished_at is not None
    await recount_usage(
        session, tenant_id=job.tenant_id, key_id=job.key_id, model=job.model, ended_at=job.finished_at,
        returned_micro=returned, cost_micro=-(job.cost_micro or 0),
    )  # fmt: skip
    await correct_exposure(session, job_id=job.id, tenant_id=job.tenant_id, upstream_id=upstream_id, true_micro=0)
    return True
