"""The tenant that `waystation up` and `waystation demo` bring along."""

from app.admin.money import grant_credits
from app.admin.queries import find_grant
from app.admin.tenancy import create_key, create_tenant
from app.core.credits import MICRO
from app.core.db import Database
from app.core.settings import split_secrets
from app.tenants.keys import hash_key
from app.tenants.queries import find_tenant, list_known_keys

NAME = "demo"
CREDITS = 1_000 * MICRO
BY = "waystation up"
REFERENCE = "up"
"""One grant, however often it is started."""


async def ensure_demo_tenant(database_url: str, secret_key: str, stored_key: str | None) -> tuple[str, str]:
    """The tenant's name and a key that opens: the stored one while it does, else a new one."""
    secrets = split_secrets(secret_key)
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.transaction() as session:
            tenant = await find_tenant(session, name_or_id=NAME)
            if tenant is None:
                tenant = await create_tenant(session, by=BY, name=NAME)
            if await find_grant(session, tenant_id=tenant.id, reference=REFERENCE) is None:
                await grant_credits(session, by=BY, tenant=NAME, amount=CREDITS, reference=REFERENCE)
            if stored_key is not None:
                hashes = [hash_key(secret, stored_key) for secret in secrets]
                if await list_known_keys(session, hashes=hashes):
                    return NAME, stored_key
            _key, text = await create_key(session, by=BY, tenant=NAME, secret=secrets[0], name="up")
            return NAME, text
    finally:
        await database.close()
