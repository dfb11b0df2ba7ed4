"""Who is let in, for how long that is believed, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.database.session import ReadSession
from app.core.errors import Refusal, StoreUnavailable, Unauthorized
from app.core.ids import new_id
from app.tenants import auth
from app.tenants.auth import BELIEVED_SECONDS, Keyring, Principal, ScopeMissing, TenantSuspended
from app.tenants.decide import Rate
from app.tenants.keys import issue_key
from app.tenants.models import ALL_SCOPES, Scope
from app.tenants.operations import revoke_key, update_tenant
from tests.factories.callers import NewCaller
from tests.stopwatch import Stopwatch


class Counted:
    """A database that counts how often it is asked."""

    def __init__(self, database: Database) -> None:
        self.asked = 0
        self._database = database

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadSession]:
        self.asked += 1
        async with self._database.snapshot() as session:
            yield session


@pytest.fixture
def counted(database: Database) -> Counted:
    return Counted(database)


@pytest.fixture
def keyring(counted: Counted, secret: bytes) -> Keyring:
    return Keyring(counted, secrets=[secret])  # type: ignore[arg-type]


async def enter(keyring: Keyring, text: str | None) -> Principal:
    return await keyring.authenticate(x_api_key=text, authorization=None)


async def refused(keyring: Keyring, text: str | None) -> str:
    with pytest.raises(Unauthorized) as refusal:
        await enter(keyring, text)
    return refusal.value.message


async def test_a_good_key_by_either_header(keyring: Keyring, counted: Counted, new_caller: NewCaller) -> None:
    caller = await new_caller(scopes=[Scope.JOBS_READ])
    principal = await enter(keyring, caller.text)
    assert principal == Principal(
        tenant_id=caller.tenant.id,
        tenant_name=caller.tenant.name,
        key_id=caller.key.id,
        scopes=frozenset({Scope.JOBS_READ}),
        suspended=False,
        rate=Rate(600, 100),
    )
    for header in (f"Bearer {caller.text}", f"bearer  {caller.text} "):
        assert await keyring.authenticate(x_api_key=None, authorization=header) is principal
    assert counted.asked == 1


async def test_refusals_say_no_more_than_they_should(
    keyring: Keyring, counted: Counted, new_caller: NewCaller, database: Database
) -> None:
    for nothing in (None, ""):
        assert "no API key" in await refused(keyring, nothing)
    for header in ("Basic abc", "Bearer", "Bearer "):
        with pytest.raises(Unauthorized, match="no API key"):
            await keyring.authenticate(x_api_key=None, authorization=header)
    for junk in ("x", "ws_live_", issue_key().text[:-1] + "!", "é" * 66, "x" * 100_000):
        assert await refused(keyring, junk) == auth.MALFORMED
    assert counted.asked == 0, "junk is refused without asking"

    revoked = await new_caller()
    async with database.transaction() as session:
        await revoke_key(session, key_id=revoked.key.id)
    expired = await new_caller(expires_at=clock.now() + timedelta(seconds=0.2))
    await asyncio.sleep(0.3)
    texts = {await refused(keyring, text) for text in (issue_key().text, revoked.text, expired.text)}
    assert texts == {auth.REFUSED}, "unknown, revoked and expired look the same"


async def test_what_was_revoked_bites_everywhere_within_five_seconds(
    database: Database, secret: bytes, new_caller: NewCaller
) -> None:
    one, other = Keyring(database, secrets=[secret]), Keyring(database, secrets=[secret])
    revoked, suspended, fine = await new_caller(), await new_caller(), await new_caller()
    for keyring in (one, other):
        for caller in (revoked, suspended, fine):
            await enter(keyring, caller.text)
    watch = Stopwatch()
    async with database.transaction() as session:
        await revoke_key(session, key_id=revoked.key.id)
        await update_tenant(session, tenant_id=suspended.tenant.id, suspended=True)
    for keyring in (one, other):
        while True:
            try:
                await enter(keyring, revoked.text)  # in use all along: use must not prolong it
            except Unauthorized:
                break
            assert watch.own_seconds < 5
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        assert (await enter(keyring, suspended.text)).suspended
        assert not (await enter(keyring, fine.text)).suspended
    assert watch.own_seconds < 5


async def test_a_key_ends_with_its_expiry_though_it_was_just_seen(keyring: Keyring, new_caller: NewCaller) -> None:
    caller = await new_caller(expires_at=clock.now() + timedelta(seconds=0.5))
    watch = Stopwatch()
    while True:
        try:
            await enter(keyring, caller.text)
        except Unauthorized:
            break
        assert watch.own_seconds < 1.5
        await asyncio.sleep(0.02)
    assert watch.own_seconds < BELIEVED_SECONDS


async def test_callers_at_once_share_one_look_up(keyring: Keyring, counted: Counted, new_caller: NewCaller) -> None:
    callers = [await new_caller() for _ in range(20)]
    entered = await asyncio.gather(*(enter(keyring, caller.text) for caller in callers for _ in range(20)))
    assert {principal.key_id for principal in entered} == {caller.key.id for caller in callers}
    assert counted.asked <= 2, "one while the rest gather, one for the rest"


async def test_a_caller_that_goes_away_takes_nobody_with_it(keyring: Keyring, new_caller: NewCaller) -> None:
    caller = await new_caller()
    hasty = asyncio.create_task(enter(keyring, caller.text))
    patient = asyncio.create_task(enter(keyring, caller.text))
    await asyncio.sleep(0)
    hasty.cancel()
    assert (await patient).key_id == caller.key.id
    assert hasty.cancelled() or hasty.cancelling()


async def test_invented_keys_are_remembered_within_bounds(
    keyring: Keyring, counted: Counted, new_caller: NewCaller
) -> None:
    caller = await new_caller()
    principal = await enter(keyring, caller.text)
    invented = [issue_key().text for _ in range(auth.UNKNOWN_MAX + 500)]
    answers = await asyncio.gather(*(enter(keyring, text) for text in invented[:8000]), return_exceptions=True)
    answers += await asyncio.gather(*(enter(keyring, text) for text in invented[8000:]), return_exceptions=True)
    assert all(isinstance(answer, Unauthorized) for answer in answers)
    assert len(keyring._unknown) == auth.UNKNOWN_MAX
    assert not keyring._asked
    asked = counted.asked
    assert asked < 100, "they were asked for in groups"
    assert await enter(keyring, caller.text) is principal or counted.asked == asked + 1
    asked = counted.asked
    assert await refused(keyring, invented[-1]) == auth.REFUSED
    assert counted.asked == asked, "an unknown key is not asked for twice"


async def test_a_key_in_use_waits_behind_no_invented_ones(
    keyring: Keyring, new_caller: NewCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "BELIEVED_SECONDS", 0.0)
    caller = await new_caller()
    await enter(keyring, caller.text)
    flood = [asyncio.create_task(enter(keyring, issue_key().text)) for _ in range(5_000)]
    await asyncio.sleep(0)
    assert (await enter(keyring, caller.text)).key_id == caller.key.id
    answered = sum(task.done() for task in flood)
    assert answered < 4_500, "not at the end of the flood, where all but the last group are answered"
    # a machine that does not keep up answers some of the flood that the store is away
    refusals = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(one, Unauthorized | StoreUnavailable) for one in refusals)


async def test_keys_outlive_a_new_secret_until_the_old_one_goes(database: Database, new_caller: NewCaller) -> None:
    old, new = b"o" * 32, b"n" * 32
    before, after = await new_caller(secret=old), await new_caller(secret=new)
    both = Keyring(database, secrets=[new, old])
    assert (await enter(both, before.text)).key_id == before.key.id
    assert (await enter(both, after.text)).key_id == after.key.id
    assert await refused(Keyring(database, secrets=[new]), before.text) == auth.REFUSED


async def test_without_the_store_nobody_is_believed_for_long(
    database_url: str, secret: bytes, new_caller: NewCaller
) -> None:
    own = await Database.open(database_url, name="test-away", writers_max=1, readers_max=1)
    keyring = Keyring(own, secrets=[secret])
    caller = await new_caller()
    await enter(keyring, caller.text)
    await own.close()
    assert (await enter(keyring, caller.text)).key_id == caller.key.id
    await asyncio.sleep(BELIEVED_SECONDS + 0.1)
    with pytest.raises(StoreUnavailable):
        await enter(keyring, caller.text)
    with pytest.raises(StoreUnavailable):
        await enter(keyring, issue_key().text)


def principal(*, suspended: bool, scopes: tuple[Scope, ...] = ALL_SCOPES) -> Principal:
    return Principal(
        tenant_id=new_id(),
        tenant_name="acme",
        key_id=new_id(),
        scopes=frozenset(scopes),
        suspended=suspended,
        rate=Rate(600, 100),
    )


def test_scopes_open_only_their_own_door() -> None:
    for scope in ALL_SCOPES:
        holder = principal(suspended=False, scopes=(scope,))
        holder.require(scope)
        for other in set(ALL_SCOPES) - {scope}:
            with pytest.raises(ScopeMissing, match=other) as refusal:
                holder.require(other)
            assert (refusal.value.status, refusal.value.code) == (403, "scope_missing")


def test_a_suspended_tenant_may_read() -> None:
    suspended = principal(suspended=True)
    for scope in (Scope.JOBS_READ, Scope.WEBHOOKS, Scope.BILLING_READ):
        suspended.require(scope)
    writes: list[tuple[Scope, bool]] = [(Scope.JOBS_WRITE, False), (Scope.WEBHOOKS, True)]
    for scope, explicit in writes:
        with pytest.raises(TenantSuspended) as refusal:
            suspended.require(scope, writes=explicit)
        assert isinstance(refusal.value, Refusal)
        assert (refusal.value.status, refusal.value.code) == (403, "tenant_suspended")
