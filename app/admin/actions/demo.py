"""The tenant that `waystation up` and `waystation demo` create."""

from app.admin.actions.money import grant_credits
from app.admin.actions.tenancy import change_tenant, create_key, create_tenant
from app.admin.decide import TenantSettings
from app.admin.queries import find_grant
from app.core.config.settings import split_secrets
from app.core.credits import MICRO
from app.core.database.db import Database
from app.tenants.decide import DEFAULT_LIMITS
from app.tenants.keys import hash_key
from app.tenants.queries import find_tenant, list_known_keys

NAME = "demo"
CREDITS = 1_000 * MICRO
LIMITS = TenantSettings(rate_per_minute=60_000, burst=10_000, max_in_flight=10_000, max_queued=100_000)
"""High enough that nobody reaches them. Limits that an operator has set are not changed."""
BY = "waystation up"
REFERENCE = "up"
"""Constant, so that repeated starts make one grant."""


async def ensure_demo_tenant(database_url: str, secret_key: str, stored_key: str | None) -> tuple[str, str]:
    """Create the demo tenant unless it exists. Return its name and a key: the stored one while it is valid, else a new one."""
    secrets = split_secrets(secret_key)
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.transaction() as session:
            tenant = await find_tenant(session, name_or_id=NAME)
            if tenant is None:
                tenant = await create_tenant(session, by=BY, name=NAME)
            if {name: getattr(tenant, name) for name in DEFAULT_LIMITS} == DEFAULT_LIMITS:
                tenant = await change_tenant(session, by=BY, tenant=NAME, settings=LIMITS)
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
