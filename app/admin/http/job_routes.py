"""`/admin/v1`: pause and resume, show one job, and resolve unknown submissions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from app.admin.actions import incidents
from app.admin.auth import Operator, OperatorRoute
from app.admin.http.routes import READS, SECURITY, WRITES
from app.admin.http.schemas import PauseIn, PauseScope, ResolveIn
from app.core.ids import find_id, show_id
from app.core.logs.log import get_logger
from app.jobs.admin.resolve import JobNotUnknown, UpstreamIdTaken, checked_upstream_id
from app.jobs.admin.schemas import JobResolved, JobStory
from app.jobs.admin.story import get_story
from app.jobs.models import STATUS
from app.jobs.operations import JobNotFound
from app.pace.models import What
from app.pace.pauses.operations import PausedUntilRecovered
from app.pace.pauses.schemas import PausesOut
from app.resolution.checking import RequestDiffers, RequestUnconfirmed, confirm_request
from app.tenants.queries import TenantNotFound
from app.upstream.history import HistoryClient
from app.web.dependencies import TheDatabase, TheDoorbell
from app.web.problems import documented

log = get_logger(__name__)

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)


@router.post("/pause", responses=documented(*WRITES, TenantNotFound))
async def pause(database: TheDatabase, by: Operator, doorbell: TheDoorbell, body: PauseIn) -> PausesOut:
    """Stop sending to the upstream. Tenants' submits are still accepted; their jobs wait, and nothing is lost.

    A second pause of the same scope replaces the first.
    """
    what = What.ALL if body.all else What.SUBMITS
    async with database.transaction() as session:
        changed, count, pauses = await incidents.pause(
            session, by=by, paused_by=by, tenant=body.tenant, model=body.model, what=what, note=body.note
        )
    log.warning("operator.paused", tenant=changed.tenant_name, model=changed.model, what=what, note=body.note)
    doorbell.ring("poll")
    return PausesOut.told(changed, count, pauses)


@router.post("/resume", responses=documented(*WRITES, PausedUntilRecovered, TenantNotFound))
async def resume(database: TheDatabase, by: Operator, doorbell: TheDoorbell, body: PauseScope) -> PausesOut:
    """End the pause of exactly this scope; `changed` is null if there was none."""
    async with database.transaction() as session:
        changed, count, pauses = await incidents.resume(session, by=by, tenant=body.tenant, model=body.model)
    log.warning("operator.resumed", tenant=body.tenant, model=body.model, was_paused=changed is not None)
    for task in ("dispatch", "poll"):
        doorbell.ring(task)
    return PausesOut.told(changed, count, pauses)


@router.get("/jobs/{job}", responses=documented(*READS, JobNotFound))
async def read_job(database: TheDatabase, job: str) -> JobStory:
    """One job of any tenant with its events, attempts and transfers, without its input and output."""
    job_id = find_id("job", job)
    if job_id is None:
        raise JobNotFound
    async with database.snapshot() as session:
        return JobStory.of(await get_story(session, job_id=job_id))


async def _history(request: Request) -> HistoryClient | None:
    history: HistoryClient | None = request.app.state.history
    return history


TheHistory = Annotated[HistoryClient | None, Depends(_history)]


@router.post(
    "/jobs/{job}/resolve",
    responses=documented(*WRITES, JobNotFound, JobNotUnknown, UpstreamIdTaken, RequestUnconfirmed, RequestDiffers),
)
async def resolve_job(
    database: TheDatabase, by: Operator, doorbell: TheDoorbell, history: TheHistory, job: str, body: ResolveIn
) -> JobResolved:
    """Decide whether an unknown submission arrived. It is not sent again in either case. A request to adopt is looked up in the
    upstream's history first."""
    job_id = find_id("job", job)
    if job_id is None:
        raise JobNotFound
    if body.adopt is not None:
        upstream_id = checked_upstream_id(body.adopt)
        await confirm_request(database, history, job_id=job_id, upstream_id=upstream_id, force=body.force)
    async with database.transaction() as session:
        state = await incidents.resolve(session, by=by, job_id=job_id, adopt=body.adopt, force=body.force)
    log.warning("operator.resolved", job_id=show_id("job", job_id), adopted=body.adopt, state=state)
    if body.adopt is not None:
        doorbell.ring("poll")
    else:
        doorbell.announce([job_id])
    return JobResolved(id=show_id("job", job_id), status=STATUS[state], state=state)
