"""`POST /api/v1/jobs/quote`: what a job would cost, whether it would be accepted, and when it would end."""

from fastapi import APIRouter, Request

from app.api.callers import ALWAYS
from app.api.jobs.asked import asked_job
from app.api.jobs.quote_schemas import QuoteOut
from app.api.jobs.schemas import JobIn
from app.catalog.check import ModelDisabled, ModelRetired, ModelUnknown, ModelUnpriced, ParametersInvalid
from app.core.errors import Refusal
from app.core.faults import Faults
from app.limits.refused import TooManyRefused
from app.limits.strangers import submitter
from app.tenants.auth import TenantSuspended
from app.tenants.models import Scope
from app.web.bodies import BODY_REFUSED
from app.web.problems import documented
from app.web.query import check_query

router = APIRouter(prefix="/api/v1", tags=["jobs"])
UNQUOTED = (
    *BODY_REFUSED, ParametersInvalid, ModelDisabled, ModelUnknown, ModelUnpriced, ModelRetired, TooManyRefused,
)  # fmt: skip
"""Refusals of the quote itself, the same as of a submit."""


@router.post(
    "/jobs/quote",
    responses=documented(*ALWAYS, TenantSuspended, *UNQUOTED),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": JobIn.model_json_schema()}}}
    },
)
async def quote_job(request: Request) -> QuoteOut:
    """What `POST /jobs` with the same body would be answered now. Nothing is stored or held. A quote does not
    count as a submit; a refused quote counts as a refused submit."""
    state = request.app.state
    principal = await submitter(request)
    state.submit_service.admit(principal)
    try:
        principal.require(Scope.JOBS_WRITE)
        body = await state.bodies.read(request, principal.allowance)
        given = await state.bodies.parse(body, principal.allowance)
        faults = Faults()
        with faults:
            check_query(request)
        asked = await asked_job(principal, given, body, None, state.guard, faults)
        return QuoteOut.of(await state.quoter.quote(asked))
    except Refusal as refusal:
        state.submit_service.charge_refusal(principal, refusal)
        raise
