"""Names and ids as operators type them: ids in every form, and unknown names told with the one that may be meant."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from app.admin.queries import OperatorNotFound, find_operator, list_operators
from app.catalog.queries import list_slugs
from app.core.database.session import ReadSession
from app.core.errors import Malformed, NotFound
from app.core.ids import PREFIXES, Prefix, find_id, show_id
from app.core.near import did_you_mean
from app.tenants.queries import Tenant, TenantNotFound, find_tenant, list_tenant_names

NOUNS: Final[dict[str, str]] = {
    "job": "job", "ten": "tenant", "key": "key", "opr": "operator", "trf": "transfer", "whe": "webhook endpoint",
    "evt": "event", "dlv": "delivery",
}  # fmt: skip
MODELS_TOLD_MAX = 10


class ModelsUnknown(NotFound):
    """404: the catalogue does not have these models."""

    code = "model_not_found"


def find_any_id(prefix: Prefix, text: str) -> UUID | None:
    """The id in `job_…`, as a UUID with hyphens, or as 32 hexadecimal digits; None where it is none of these."""
    digits = text.replace("-", "") if text.count("-") == 4 else text
    return find_id(prefix, text) or find_id(prefix, f"{prefix}_{digits}")


def parse_id(prefix: Prefix, text: str) -> UUID:
    """The same; raises Malformed saying what is expected."""
    found = find_any_id(prefix, text)
    if found is not None:
        return found
    noun, head = NOUNS[prefix], text.partition("_")[0]
    if head in PREFIXES - {prefix}:
        raise Malformed(f"no such {noun}: {text} is the id of a {NOUNS[head]}")
    raise Malformed(
        f"no such {noun}: {text}; expected an id such as {prefix}_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e, a UUID, or 32"
        " hexadecimal digits"
    )


async def tenant_named(session: ReadSession, text: str) -> Tenant:
    """The tenant of this name or id; raises TenantNotFound with the name that may be meant."""
    found = await find_tenant(session, name_or_id=text)
    if found is None and (tenant_id := find_any_id("ten", text)) is not None:
        found = await find_tenant(session, name_or_id=show_id("ten", tenant_id))
    if found is None:
        hint = did_you_mean(text, await list_tenant_names(session))
        raise TenantNotFound(f"no such tenant: {text}{hint}")
    return found


async def operator_named(session: ReadSession, text: str) -> str:
    """The `opr_…` id of the operator of this name or id; raises OperatorNotFound with the name that may be meant."""
    found = await find_operator(session, name_or_id=text)
    if found is None and (operator_id := find_any_id("opr", text)) is not None:
        found = await find_operator(session, name_or_id=show_id("opr", operator_id))
    if found is None:
        names = [one.name for one in await list_operators(session)]
        raise OperatorNotFound(f"no such operator: {text}{did_you_mean(text, names)}")
    return show_id("opr", found.id)


async def check_models(session: ReadSession, slugs: Iterable[str], *, force: bool, besides: Iterable[str] = ()) -> None:
    """Raises ModelsUnknown where neither the catalogue nor `besides` has one of these models, unless it is to be forced."""
    wanted = list(dict.fromkeys(slugs))
    if force or not wanted:
        return
    known = {*await list_slugs(session), *besides}
    unknown = [slug for slug in wanted if slug not in known]
    if unknown:
        told = "; ".join(f"{slug}{did_you_mean(slug, known)}" for slug in unknown[:MODELS_TOLD_MAX])
        more = len(unknown) - MODELS_TOLD_MAX
        raise ModelsUnknown(
            f"no such model in the catalogue: {told}{f'; and {more} more' if more > 0 else ''}; with --force it is done all"
            " the same"
        )
