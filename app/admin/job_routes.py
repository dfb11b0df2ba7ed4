"""`/admin/v1`: the incident switch, one job's story, and decisions on unknown submissions."""

from fastapi import APIRouter, Request

from app.admin.auth import OperatorRoute
from app.admin.routes import SECURITY, database_of
from app.admin.schemas import PauseIn, PauseScope, ResolveIn
from app.admission.models import What
from app.admission.queries import list_pauses
from app.admission.schemas import PausesOut
from app.core.doorbell import Doorbell
from app.core.errors import Malformed, StoreUnavailable, Unauthorized
from app.core.ids import find_id, show_id
from app.core.log import get_logger
from app.core.problems import documented
from app.jobs.models import STATUS
from app.jobs.operations import JobNotFound
from app.jobs.pausing import pause_jobs, resume_jobs
from app.jobs.resolve import JobNotUnknown, UpstreamIdTaken, adopt_submission, release_submission
from app.jobs.schemas import JobResolved, JobStory
from app.jobs.story import get_story
from app.tenants.queries import TenantNotFound, get_tenant

log = get_logger(__name__)

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)

OPERATOR = "admin key"
"""Who speaks: there is one key."""


def _doorbell(request: Request) -> Doorbell:
    doorbell: Doorbell = request.app.state.doorbell
    return doorbell


@router.post("/pause", responses=documented(Malformed, Unauthorized, TenantNotFound, StoreUnavailable))
async def pause(request: Request, body: PauseIn) -> PausesOut:
    """Stop sending to the upstream. Tenants may go on submitting; accepted jobs wait, and nothing is lost.

    Said again of the same scope, the last word holds.
    """
    what = What.ALL if body.all else What.SUBMITS
    async with database_of(request).transaction() as session:
        tenant_id = None if body.tenant is None else (await get_tenant(session, name_or_id=body.tenant)).id
        changed, count = await pause_jobs(
            session, tenant_id=tenant_id, model=body.model, what=what, paused_by=OPERATOR, note=body.note
        )
        pauses = await list_pauses(session)
    log.warning("operator.paused", tenant=changed.tenant_name, model=changed.model, what=what, note=body.note)
    _doorbell(request).ring("poll")
    return PausesOut.told(changed, count, pauses)


@router.post("/resume", responses=documented(Malformed, Unauthorized, TenantNotFound, StoreUnavailable))
async def resume(request: Request, body: PauseScope) -> PausesOut:
    """Lift the pause of exactly this scope, whole; `changed` is null where there was none."""
    async with database_of(request).transaction() as session:
        tenant_id = None if body.tenant is None else (await get_tenant(session, name_or_id=body.tenant)).id
        changed, count = await resume_jobs(session, tenant_id=tenant_id, model=body.model)
        pauses = await list_pauses(session)
    log.warning("operator.resumed", tenant=body.tenant, model=body.model, was_paused=changed is not None)
    for task in ("dispatch", "poll"):
        _doorbell(request).ring(task)
    return PausesOut.told(changed, count, pauses)


@router.get("/jobs/{job}", responses=documented(Unauthorized, JobNotFound, StoreUnavailable))
async def read_job(request: Request, job: str) -> JobStory:
    """One job's whole story, of any tenant, without its input and output."""
    job_id = find_id("job", job)
    if job_id is None:
        raise JobNotFound
    async with database_of(request).snapshot() as session:
        return JobStory.of(await get_story(session, job_id=job_id))


@router.post(
    "/jobs/{job}/resolve",
    responses=documented(Malformed, Unauthorized, JobNotFound, JobNotUnknown, UpstreamIdTaken, StoreUnavailable),
)
async def resolve_job(request: Request, job: str, body: ResolveIn) -> JobResolved:
    """Decide on a submission of which nobody could say whether it arrived. Either way it is not sent again."""
    job_id = find_id("job", job)
    if job_id is None:
        raise JobNotFound
    async with database_of(request).transaction() as session:
        if body.adopt is not None:
            state = await adopt_submission(session, job_id=job_id, upstream_id=body.adopt)
        else:
            state = await release_submission(session, job_id=job_id)
    log.warning("operator.resolved", job_id=job_id.hex, adopted=body.adopt, state=state)
    if body.adopt is not None:
        _doorbell(request).ring("poll")
    else:
        _doorbell(request).announce([job_id])
    return JobResolved(id=show_id("job", job_id), status=STATUS[state], state=state)
