"""`/api/v1/models`: what a tenant may ask for, and what a job of it is quoted."""

from collections.abc import Mapping

from fastapi import APIRouter, Request

from app.admission.queries import list_paused_models
from app.api.model_schemas import OfferOut
from app.api.routes import ALWAYS, authenticated, page_limit
from app.catalog.check import SLUG
from app.catalog.decide import Terms, quote
from app.catalog.queries import Model, ModelFilter, ModelNotFound, list_models
from app.core.db import patiently
from app.core.paging import Page, cut_page
from app.core.problems import documented
from app.core.query import CheckedRoute
from app.core.requests import malformed
from app.jobs.queries import list_run_times
from app.jobs.quoting import PausedBy
from app.tenants.auth import Principal
from app.tenants.models import Scope

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=CheckedRoute)


@router.get("/models", responses=documented(*ALWAYS))
async def read_models(request: Request, cursor: str | None = None, limit: str | None = None) -> Page[OfferOut]:
    """The models that this tenant may ask for, in the order of their slugs."""
    principal = await patiently(lambda: authenticated(request, Scope.JOBS_READ))
    most = page_limit(limit)
    if cursor is not None and not SLUG.fullmatch(cursor):
        raise malformed("query cursor", "expected a `next_cursor` of this list")
    wanted = _offered(request, principal)

    async def read() -> Page[OfferOut]:
        return await _page(request, principal, wanted, cursor, most)

    return await patiently(read)


@router.get("/models/{slug}", responses=documented(*ALWAYS, ModelNotFound))
async def read_model(request: Request, slug: str) -> OfferOut:
    """One model that this tenant may ask for."""
    principal = await patiently(lambda: authenticated(request, Scope.JOBS_READ))
    if not SLUG.fullmatch(slug) or (principal.models is not None and slug not in principal.models):
        raise ModelNotFound
    wanted = _offered(request, principal, slug)
    page = await patiently(lambda: _page(request, principal, wanted, None, 1))
    if not page.items:
        raise ModelNotFound
    return page.items[0]


def _offered(request: Request, principal: Principal, slug: str | None = None) -> ModelFilter:
    slugs = sorted(principal.models) if principal.models is not None else None
    refuses = request.app.state.settings.unpriced_models == "refuse"
    return ModelFilter(slugs=slugs if slug is None else [slug], offered=True, priced=refuses)


async def _page(
    request: Request, principal: Principal, wanted: ModelFilter, after: str | None, most: int
) -> Page[OfferOut]:
    async with request.app.state.database.snapshot(principal.tenant_id) as session:
        found = await list_models(session, wanted=wanted, after=after, limit=most + 1)
        page = cut_page(found, limit=most, cursor_of=lambda model: model.slug)
        samples = {
            slug: seconds
            for slug, seconds, _ in await list_run_times(session, models=[model.slug for model in page.items])
        }
        paused = await list_paused_models(
            session, models=[model.slug for model in page.items], tenant_id=principal.tenant_id
        )
    fallback = request.app.state.settings.default_price_micro
    return Page(
        items=[
            OfferOut.of(
                model, _price(model, principal, fallback), samples[model.slug], paused_by=_paused_by(paused, model.slug)
            )
            for model in page.items
        ],
        next_cursor=page.next_cursor,
    )


def _paused_by(paused: Mapping[str, bool], slug: str) -> PausedBy | None:
    if slug not in paused:
        return None
    return PausedBy.UPSTREAM if paused[slug] else PausedBy.OPERATOR


def _price(model: Model, principal: Principal, fallback: int) -> int:
    terms = Terms(model.price_micro, model.price_rule, model.markup_micro)
    return quote(terms, default_price_micro=principal.default_price_micro, fallback_micro=fallback)
