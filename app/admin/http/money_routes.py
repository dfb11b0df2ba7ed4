"""`/admin/v1`: credits, prices, exposure and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.admin.actions.money import adjust_credits, grant_credits
from app.admin.actions.pricing import set_model
from app.admin.auth import Operator, OperatorRoute
from app.admin.decide import checked_amount
from app.admin.http.money_schemas import EntryOut, ExposureOut, TransferOut
from app.admin.http.routes import READS, SECURITY, WRITES, PageQuery
from app.admin.http.schemas import AdjustmentIn, AuditQuery, ExposureQuery, GrantIn, ModelIn
from app.admin.listing import EntryFilter, ExposureFilter, list_audit, list_exposure
from app.catalog.check import SLUG, SlugInvalid
from app.catalog.queries import ModelFilter, ModelNotFound, list_models
from app.catalog.schemas import ModelOut
from app.core.database.session import ReadSession
from app.core.ids import find_id
from app.jobs.admin.charges import ChargeCorrected
from app.jobs.operations import JobNotFound
from app.ledger.operations import OverdraftExceeded, ReferenceTaken
from app.tenants.queries import TenantNotFound, get_tenant
from app.web.dependencies import TheDatabase
from app.web.paging import Page, cut_page, parse_number_cursor
from app.web.problems import documented
from app.web.requests import malformed

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)


@router.post(
    "/tenants/{tenant}/credits",
    status_code=201,
    responses={
        200: {"model": TransferOut, "description": "A grant with this reference existed already; it is returned."},
        **documented(*WRITES, TenantNotFound, ReferenceTaken),
    },
)
async def create_grant(
    database: TheDatabase, by: Operator, response: Response, tenant: str, body: GrantIn
) -> TransferOut:
    """Grant credits. A repeated reference makes no second grant, and the expiry of the first stays; with another
    amount it is a conflict."""
    amount = checked_amount(body.amount, field="amount")
    async with database.transaction() as session:
        found, transfer, new = await grant_credits(
            session,
            by=by,
            tenant=tenant,
            amount=amount,
            reference=body.reference,
            note=body.note,
            expires_at=body.expires_at,
        )
    response.status_code = 201 if new else 200
    return TransferOut.of(found, transfer)


@router.post(
    "/tenants/{tenant}/adjustments",
    status_code=201,
    responses=documented(*WRITES, TenantNotFound, JobNotFound, OverdraftExceeded, ChargeCorrected),
)
async def create_adjustment(database: TheDatabase, by: Operator, tenant: str, body: AdjustmentIn) -> TransferOut:
    """Correct a balance, with a reason. A positive amount is a gain of the tenant, a negative one a loss.

    With a job, its charge is lowered by so much; once.
    """
    job_id = None if body.job_id is None else find_id("job", body.job_id)
    if body.job_id is not None and job_id is None:
        raise JobNotFound
    amount = checked_amount(body.amount, field="amount", signed=job_id is None)
    async with database.transaction() as session:
        found, transfer = await adjust_credits(
            session, by=by, tenant=tenant, amount=amount, note=body.note, job_id=job_id
        )
    return TransferOut.of(found, transfer)


@router.get("/exposure", responses=documented(*READS, TenantNotFound))
async def read_exposure(database: TheDatabase, query: Annotated[ExposureQuery, Query()]) -> Page[ExposureOut]:
    """What the upstream charged, or may have charged, that no tenant pays; newest first."""
    before_id = parse_number_cursor(query.cursor)
    async with database.snapshot() as session:
        tenant_id = None if query.tenant is None else (await get_tenant(session, name_or_id=query.tenant)).id
        wanted = ExposureFilter(tenant_id=tenant_id, reason=query.reason, since=query.since)
        found = await list_exposure(session, wanted=wanted, before_id=before_id, limit=query.limit + 1)
    page = cut_page(found, limit=query.limit, cursor_of=lambda exposure: str(exposure.id))
    return Page(items=[ExposureOut.of(exposure) for exposure in page.items], next_cursor=page.next_cursor)


@router.get("/audit", responses=documented(*READS, TenantNotFound))
async def read_audit(database: TheDatabase, query: Annotated[AuditQuery, Query()]) -> Page[EntryOut]:
    """Writes by operators, over HTTP and at the command line; newest first."""
    before_id = parse_number_cursor(query.cursor)
    async with database.snapshot() as session:
        wanted = await _entries(session, query)
        found = await list_audit(session, wanted=wanted, before_id=before_id, limit=query.limit + 1)
    page = cut_page(found, limit=query.limit, cursor_of=lambda entry: str(entry.id))
    return Page(items=[EntryOut.of(entry) for entry in page.items], next_cursor=page.next_cursor)


async def _entries(session: ReadSession, query: AuditQuery) -> EntryFilter:
    return EntryFilter(
        operator=query.operator,
        action=query.action,
        target=query.target,
        tenant_id=None if query.tenant is None else (await get_tenant(session, name_or_id=query.tenant)).id,
        since=query.since,
        before=query.before,
    )


@router.put("/models/{slug}", responses=documented(*WRITES, SlugInvalid))
async def put_model(database: TheDatabase, by: Operator, slug: str, body: ModelIn) -> ModelOut:
    """Add a model to the catalogue, or change the settings that are sent."""
    async with database.transaction() as session:
        model = await set_model(session, by=by, slug=slug, changes=body.changes())
    return ModelOut.of(model)


@router.get("/models", responses=documented(*READS))
async def read_models(database: TheDatabase, query: PageQuery) -> Page[ModelOut]:
    """The catalogue, in the order of the slugs; a cursor is a slug."""
    if query.cursor is not None and not SLUG.fullmatch(query.cursor):
        raise malformed("query cursor", "expected a `next_cursor` of this list")
    async with database.snapshot() as session:
        found = await list_models(session, after=query.cursor, limit=query.limit + 1)
    return cut_page([ModelOut.of(one) for one in found], limit=query.limit, cursor_of=lambda model: model.slug)


@router.get("/models/{slug}", responses=documented(*READS, ModelNotFound))
async def read_model(database: TheDatabase, slug: str) -> ModelOut:
    """One model of the catalogue, as operators see it."""
    async with database.snapshot() as session:
        found = await list_models(session, wanted=ModelFilter(slugs=[slug])) if "\0" not in slug else []
    if not found:
        raise ModelNotFound
    return ModelOut.of(found[0])
