"""`/api/v1/models`: the models that a tenant may use, and their prices."""

from collections.abc import Mapping

from fastapi import APIRouter, Request

from app.api.callers import ALWAYS, Caller, JobsReader
from app.api.model_schemas import OfferOut
from app.catalog.check import SLUG
from app.catalog.decide import Terms, quote
from app.catalog.queries import Model, ModelFilter, ModelNotFound, list_models
from app.core.database.session import ReadSession
from app.jobs.queries import list_run_times
from app.jobs.submit.quoting import PausedBy
from app.pace.pauses.queries import list_paused_models
from app.tenants.auth import Principal
from app.web.paging import LIMIT_DEFAULT, Page, cut_page
from app.web.problems import documented
from app.web.query import CheckedRoute, Limit
from app.web.requests import malformed

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=CheckedRoute)


@router.get("/models", responses=documented(*ALWAYS))
async def read_models(
    request: Request, caller: JobsReader, cursor: str | None = None, limit: Limit = LIMIT_DEFAULT
) -> Page[OfferOut]:
    """The models that this tenant may use, in the order of their slugs."""
    if cursor is not None and not SLUG.fullmatch(cursor):
        raise malformed("query cursor", "expected a `next_cursor` of this list")
    models = caller.principal.models
    return await _page(request, caller, None if models is None else sorted(models), after=cursor, limit=limit)


@router.get("/models/{slug}", responses=documented(*ALWAYS, ModelNotFound))
async def read_model(request: Request, caller: JobsReader, slug: str) -> OfferOut:
    """One model that this tenant may use."""
    models = caller.principal.models
    if not SLUG.fullmatch(slug) or (models is not None and slug not in models):
        raise ModelNotFound
    page = await _page(request, caller, [slug], after=None, limit=1)
    if not page.items:
        raise ModelNotFound
    return page.items[0]


async def _page(
    request: Request, caller: Caller, slugs: list[str] | None, *, after: str | None, limit: int
) -> Page[OfferOut]:
    settings = request.app.state.settings
    wanted = ModelFilter(slugs=slugs, offered=True, priced=settings.unpriced_models == "refuse")

    async def read(session: ReadSession) -> Page[OfferOut]:
        found = await list_models(session, wanted=wanted, after=after, limit=limit + 1)
        page = cut_page(found, limit=limit, cursor_of=lambda model: model.slug)
        shown = [model.slug for model in page.items]
        samples = {slug: seconds for slug, seconds, _ in await list_run_times(session, models=shown)}
        paused = await list_paused_models(session, models=shown, tenant_id=caller.tenant_id)
        offers = [
            OfferOut.of(
                model,
                _price(model, caller.principal, settings.default_price_micro),
                samples[model.slug],
                paused_by=_paused_by(paused, model.slug),
            )
            for model in page.items
        ]
        return Page(items=offers, next_cursor=page.next_cursor)

    return await caller.read(read)


def _paused_by(paused: Mapping[str, bool], slug: str) -> PausedBy | None:
    if slug not in paused:
        return None
    return PausedBy.UPSTREAM if paused[slug] else PausedBy.OPERATOR


def _price(model: Model, principal: Principal, fallback: int) -> int:
    terms = Terms(model.price_micro, model.price_rule, model.markup_micro)
    return quote(terms, default_price_micro=principal.default_price_micro, fallback_micro=fallback)
