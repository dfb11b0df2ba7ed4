"""The invariants of the webhooks hold on what the engine writes, and find what is tampered with."""

import asyncpg

from app.ops.webhook_invariants import OF_WEBHOOKS
from tests.doubles.receiver import receiving, says
from tests.factories.callers import Caller, make_caller
from tests.factories.hooks import Hooks
from tests.factories.jobs import Engine, wrong
from tests.webhooks.conftest import caller, database, hooks, url

__all__ = ["caller", "database", "hooks", "url"]

LOOSE = "ALTER TABLE webhook_deliveries DROP CONSTRAINT webhook_deliveries_{}_check;"
SPOILS = {
    "events": "DELETE FROM webhook_events WHERE job_id IN (SELECT id FROM jobs WHERE finished_at IS NOT NULL)",
    "feeds": "UPDATE event_feeds SET last = last + 1",
    "owed": "DELETE FROM webhook_deliveries WHERE url IS NOT NULL",
    "belong": "UPDATE webhook_deliveries SET tenant_id = gen_random_uuid()",
    "frozen": "UPDATE webhook_events SET body = NULL WHERE job_id IS NOT NULL",
    "tried": LOOSE.format("exhausted")
    + "UPDATE webhook_deliveries SET status = 'exhausted', due_at = NULL, last_error = NULL",
    "delivered": "DELETE FROM webhook_attempts",
}


async def test_all_hold_and_each_finds_what_is_spoilt(
    hooks: Hooks, caller: Caller, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    engine = Engine(hooks.database)
    [job_id] = await engine.submit(caller)
    from app.jobs.operations import request_cancel

    async with hooks.database.transaction() as session:
        await request_cancel(session, tenant_id=caller.tenant.id, job_id=job_id)
    async with receiving() as good, receiving(says("500 Internal Server Error")) as bad:
        await hooks.emit(caller, 2, url=good.url)
        await hooks.emit(await make_caller(hooks.database), 2, url=bad.url)
        await hooks.once()
    assert await hooks.counts() == {"delivered": 2, "pending": 2}
    names = {one.name for one in OF_WEBHOOKS}
    assert names & (await wrong(hooks.database)).keys() == set()
    assert SPOILS.keys() == names
    for name, sql in SPOILS.items():
        transaction = owner.transaction()
        await transaction.start()
        for statement in filter(None, sql.split(";")):
            await owner.execute(statement)
        [invariant] = [one for one in OF_WEBHOOKS if one.name == name]
        row = await owner.fetchrow(invariant.query.text, *invariant.arguments())
        assert row is not None
        assert row["wrong"] > 0, name
        assert row["examples"], name
        await transaction.rollback()
