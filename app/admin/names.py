"""Resolve names and ids that operators type. Ids may have any form. Errors for an unknown name suggest a similar one."""

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
    """404: these models are not in the catalog."""

    code = "model_not_found"


def find_any_id(prefix: Prefix, text: str) -> UUID | None:
    """Return the id if the text is `job_…`, a UUID with hyphens, or 32 hexadecimal digits; else None."""
    digits = text.replace("-", "") if text.count("-") == 4 else text
    return find_id(prefix, text) or find_id(prefix, f"{prefix}_{digits}")


def parse_id(prefix: Prefix, text: str) -> UUID:
    """Like find_any_id, but raises Malformed, which says what is expected."""
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
    """Return the tenant with this name or id. Raises TenantNotFound with a suggested name."""
    found = await find_tenant(session, name_or_id=text)
    if found is None and (tenant_id := find_any_id("ten", text)) is not None:
        found = await find_tenant(session, name_or_id=show_id("ten", tenant_id))
    if found is None:
        hint = did_you_mean(text, await list_tenant_names(session))
        raise TenantNotFound(f"no such tenant: {text}{hint}")
    return found


async def operator_named(session: ReadSession, text: str) -> str:
    """Return the `opr_…` id of the operator with this name or id. Raises OperatorNotFound with a suggested name."""
    found = await find_operator(session, name_or_id=text)
    if found is None and (operator_id := find_any_id("opr", text)) is not None:
        found = await find_operator(session, name_or_id=show_id("opr", operator_id))
    if found is None:
        names = [operator.name for operator in await list_operators(session)]
        raise OperatorNotFound(f"no such operator: {text}{did_you_mean(text, names)}")
    return show_id("opr", found.id)


async def check_models(session: ReadSession, slugs: Iterable[str], *, force: bool, besides: Iterable[str] = ()) -> None:
    """Raise ModelsUnknown if one of these models is neither in the catalog nor in `besides`. `force` skips the check."""
    wanted = list(dict.fromkeys(slugs))
    if force or not wanted:
        return
    known = {*await list_slugs(session), *besides}
    unknown = [slug for slug in wanted if slug not in known]
    if unknown:
        told = "; ".join(f"{slug}{did_you_mean(slug, known)}" for slug in unknown[:MODELS_TOLD_MAX])
        more = len(unknown) - MODELS_TOLD_MAX
        raise ModelsUnknown(
            f"unknown model: {told}{f'; and {more} more' if more > 0 else ''}; --force accepts models that are not in the catalogue"
        )
