"""The actions of operators during an incident. Each writes the audit log; `by` is who acts."""

from uuid import UUID

from app.audit.operations import record_audit
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.database.vault import Vault
from app.core.ids import show_id
from app.jobs.admin.originals import get_original
from app.jobs.admin.pausing import pause_jobs, resume_jobs
from app.jobs.admin.resolve import adopt_submission, release_submission
from app.jobs.models import State
from app.pace.models import What
from app.pace.pauses.queries import Pause, list_pauses
from app.tenants.queries import get_tenant

_TENANT_OF_JOB = SqlFolder(__file__).query("find_tenant_of_job", UUID)


async def pause(
    session: Session, *, by: str, paused_by: str, tenant: str | None, model: str | None, what: What, note: str
) -> tuple[Pause, int, list[Pause]]:
    """Pause a scope. Return the pause, the number of jobs that it moved, and all current pauses. Raises Malformed,
    TenantNotFound."""
    tenant_id = await _tenant_id(session, tenant)
    changed, count = await pause_jobs(
        session, tenant_id=tenant_id, model=model, what=what, paused_by=paused_by, note=note
    )
    detail = {"tenant": tenant, "model": model, "what": what, "note": note}
    await record_audit(session, by=by, action="pause.set", target=model or "", tenant_id=tenant_id, detail=detail)
    return changed, count, await list_pauses(session)


async def resume(
    session: Session, *, by: str, tenant: str | None, model: str | None
) -> tuple[Pause | None, int, list[Pause]]:
    """Lift the pause of a scope. Return it, the number of jobs that this moved, and all current pauses. Raises
    TenantNotFound."""
    tenant_id = await _tenant_id(session, tenant)
    changed, count = await resume_jobs(session, tenant_id=tenant_id, model=model)
    detail = {"tenant": tenant, "model": model, "was_paused": changed is not None}
    await record_audit(session, by=by, action="pause.lift", target=model or "", tenant_id=tenant_id, detail=detail)
    return changed, count, await list_pauses(session)


async def resolve(session: Session, *, by: str, job_id: UUID, adopt: str | None, force: bool = False) -> State:
    """Decide on an unknown submission: it is the upstream's request `adopt`, which the caller has confirmed or was `force`d to
    believe; None: it never started. Return the job's new state. Raises as `adopt_submission` and `release_submission`."""
    if adopt is not None:
        state = await adopt_submission(session, job_id=job_id, upstream_id=adopt)
    else:
        state = await release_submission(session, job_id=job_id)
    tenant_id = await session.find_value(_TENANT_OF_JOB, job_id=job_id)
    detail = {"adopt": adopt, **({"force": True} if force else {})} if adopt is not None else {"release": True}
    await record_audit(
        session, by=by, action="job.resolve", target=show_id("job", job_id), tenant_id=tenant_id, detail=detail
    )
    return state


async def read_original(session: Session, *, by: str, job_id: UUID, vault: Vault) -> bytes:
    """Return the upstream's original error of a job. Raises JobNotFound, NoOriginal, SecretUnreadable."""
    tenant_id, original = await get_original(session, vault=vault, job_id=job_id)
    await record_audit(session, by=by, action="job.read_original", target=show_id("job", job_id), tenant_id=tenant_id)
    return original


async def _tenant_id(session: Session, tenant: str | None) -> UUID | None:
    return None if tenant is None else (await get_tenant(session, name_or_id=tenant)).id
