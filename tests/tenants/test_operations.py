"""Tenants and keys in the database."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.errors import Malformed
from app.core.ids import new_id, show_id
from app.tenants.decide import KeyChanges, TenantChanges
from app.tenants.keys import MARK, parse_key
from app.tenants.models import Scope
from app.tenants.operations import (
    QUEUE_SETTINGS,
    TENANT_SETTINGS,
    TenantExists,
    create_key,
    create_tenant,
    revoke_key,
    update_key,
    update_tenant,
)
from app.tenants.queries import (
    KeyNotFound,
    TenantNotFound,
    find_tenant,
    get_tenant,
    list_keys,
    list_known_keys,
    list_tenants,
)
from tests.factories.callers import NewCaller


async def test_a_tenant_is_found_by_name_and_by_id(database: Database, new_caller: NewCaller) -> None:
    tenant = (await new_caller()).tenant
    async with database.snapshot() as session:
        assert await get_tenant(session, name_or_id=tenant.name) == tenant
        assert await get_tenant(session, name_or_id=show_id("ten", tenant.id)) == tenant
        for stranger in ("nobody", "", "\x00", "\ud800", "é", show_id("ten", new_id()), show_id("key", tenant.id)):
            assert await find_tenant(session, name_or_id=stranger) is None
        with pytest.raises(TenantNotFound):
            await get_tenant(session, name_or_id="nobody")


async def test_names_are_unique(database: Database, new_caller: NewCaller) -> None:
    one, other = (await new_caller()).tenant, (await new_caller()).tenant
    with pytest.raises(TenantExists, match=one.name):
        async with database.transaction() as session:
            await create_tenant(session, name=one.name)
    with pytest.raises(TenantExists, match=one.name):
        async with database.transaction() as session:
            await update_tenant(session, tenant_id=other.id, name=one.name)


async def test_suspension_keeps_its_first_instant(database: Database, new_caller: NewCaller) -> None:
    tenant = (await new_caller()).tenant
    async with database.transaction() as session:
        suspended = await update_tenant(session, tenant_id=tenant.id, suspended=True)
    async with database.transaction() as session:
        again = await update_tenant(session, tenant_id=tenant.id, suspended=True, name=f"n{uuid4().hex}")
    assert suspended.suspended_at is not None
    assert again.suspended_at == suspended.suspended_at
    assert again.name != tenant.name
    async with database.transaction() as session:
        assert (await update_tenant(session, tenant_id=tenant.id, suspended=False)).suspended_at is None
    with pytest.raises(TenantNotFound):
        async with database.transaction() as session:
            await update_tenant(session, tenant_id=new_id(), suspended=True)


TENANT_CHANGES: TenantChanges = {
    "max_price": 5,
    "default_price": 4,
    "models": ["one", "two"],
    "weight": 2.5,
    "rate_per_minute": 7,
    "burst": 3,
    "refused_per_minute": 9,
    "max_in_flight": 1,
    "max_queued": 2,
}
KEY_CHANGES: KeyChanges = {
    "name": "ci",
    "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
    "rate_per_minute": 7,
    "burst": 3,
    "max_in_flight": 1,
    "max_queued": 2,
}


def one_by_one(changes: TenantChanges | KeyChanges) -> list[dict[str, Any]]:
    """Each of these alone, and with each what may be null is made null again."""
    nullable = {"max_price", "default_price", "models", "refused_per_minute", "expires_at"}
    return [{name: value} for name, value in changes.items()] + [{name: None} for name in changes if name in nullable]


async def test_a_change_of_a_tenant_changes_nothing_else(database: Database, new_caller: NewCaller) -> None:
    tenant = (await new_caller()).tenant
    async with database.transaction() as session:
        assert await update_tenant(session, tenant_id=tenant.id) == tenant
        for change in one_by_one(TENANT_CHANGES):
            expected = replace(tenant, **{TENANT_SETTINGS[name]: value for name, value in change.items()})
            tenant = await update_tenant(session, tenant_id=tenant.id, **change)
            assert tenant == expected
    async with database.snapshot() as session:
        assert await get_tenant(session, name_or_id=tenant.name) == tenant


async def test_a_change_of_a_key_changes_nothing_else(database: Database, new_caller: NewCaller) -> None:
    key = (await new_caller()).key
    async with database.transaction() as session:
        assert await update_key(session, key_id=key.id) == key
        for change in one_by_one(KEY_CHANGES):
            expected = replace(key, **change)
            key = await update_key(session, key_id=key.id, **change)
            assert key == expected
        assert (await update_key(session, key_id=key.id, max_queued=None, burst=None)).max_queued is None


async def test_only_a_change_of_what_queues_have_touches_a_queue(database: Database, new_caller: NewCaller) -> None:
    """Who claims may hold the lock on a queue."""
    tenant = (await new_caller()).tenant
    async with database.transaction() as session:
        touched = set()
        for change in [{"suspended": True}, {"name": f"n{uuid4().hex}"}, *one_by_one(TENANT_CHANGES)]:
            before = await session.fetchval("SELECT ctid FROM queues WHERE subject_id = $1", tenant.id)
            await update_tenant(session, tenant_id=tenant.id, **change)
            if before != await session.fetchval("SELECT ctid FROM queues WHERE subject_id = $1", tenant.id):
                touched |= set(change)
        columns = await session.fetch(
            "SELECT attname FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum = ANY (tgattr)"
            " WHERE tgname IN ('tenants_queue', 'api_keys_queue')"
        )
    assert touched == QUEUE_SETTINGS == {row["attname"] for row in columns}


async def test_lists_are_in_order_and_continue(database: Database, new_caller: NewCaller) -> None:
    made = [(await new_caller()).tenant for _ in range(3)]
    async with database.snapshot() as session:
        after = await list_tenants(session, after=made[0].id, limit=2)
        everyone = await list_tenants(session)
    assert after == made[1:]
    assert everyone[-3:] == made


async def test_keys_of_a_tenant(database: Database, new_caller: NewCaller, secret: bytes) -> None:
    caller = await new_caller(scopes=[Scope.JOBS_READ])
    expires_at = clock.now() + timedelta(days=1)
    async with database.transaction() as session:
        second, text = await create_key(
            session, tenant_id=caller.tenant.id, secret=secret, name="ci", expires_at=expires_at
        )
    assert parse_key(text) is not None
    assert second.expires_at == expires_at
    assert caller.key.scopes == (Scope.JOBS_READ,)
    async with database.snapshot() as session:
        assert await list_keys(session, tenant_id=caller.tenant.id) == [caller.key, second]
        assert await list_keys(session, tenant_id=caller.tenant.id, after=caller.key.id, limit=1) == [second]
        assert second in await list_keys(session)


async def test_a_key_needs_a_tenant_and_a_future(database: Database, new_caller: NewCaller, secret: bytes) -> None:
    with pytest.raises(TenantNotFound):
        async with database.transaction() as session:
            await create_key(session, tenant_id=new_id(), secret=secret)
    with pytest.raises(Malformed, match="in the future"):
        await new_caller(expires_at=clock.now() - timedelta(seconds=1))


async def test_revoking_twice_keeps_the_first_instant(database: Database, new_caller: NewCaller) -> None:
    key = (await new_caller()).key
    async with database.transaction() as session:
        revoked = await revoke_key(session, key_id=key.id)
    async with database.transaction() as session:
        assert await revoke_key(session, key_id=key.id) == revoked
    assert revoked.revoked_at is not None
    with pytest.raises(KeyNotFound):
        async with database.transaction() as session:
            await revoke_key(session, key_id=new_id())


async def test_a_dump_of_the_table_holds_no_usable_key(
    database: Database, new_caller: NewCaller, secret: bytes
) -> None:
    callers = [await new_caller() for _ in range(5)]
    async with database.snapshot() as session:
        dump = "\n".join(await session.fetchval("SELECT array_agg(api_keys::text) FROM api_keys"))
        hashes = await session.fetchval("SELECT array_agg(hash) FROM api_keys")
        for caller in callers:
            assert caller.key.prefix in dump
            assert caller.text[len(caller.key.prefix) :] not in dump
            assert base64.urlsafe_b64decode(caller.text[17:60] + "=").hex() not in dump
        assert not [word for word in re.findall(rf"{MARK}[\w-]+", dump) if parse_key(word)]
        # what a thief could present, the stored hash itself, is no key either
        assert all(parse_key(hash_.hex()) is None for hash_ in hashes)
        assert await list_known_keys(session, hashes=[hash_[::-1] for hash_ in hashes]) == []
