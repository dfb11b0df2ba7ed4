"""A worker's part of the webhooks on a database: endpoints, events, and a deliverer that runs when told to."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import orjson

from app.core.config.settings import split_networks
from app.core.database.db import Database
from app.core.database.session import ReadSession, Row
from app.core.ids import new_id
from app.core.redis.doorbell import Doorbell
from app.http_client.guard import Guard
from app.webhooks.claims import EventHead
from app.webhooks.decide import event_body
from app.webhooks.delivery.deliver import Deliverer
from app.webhooks.delivery.secret_cache import SigningSecretCache
from app.webhooks.delivery.sender import Sender
from app.webhooks.delivery.sweep import WebhookSweeper
from app.webhooks.emit import JobEvent, emit_job_events, target_of_job_url
from app.webhooks.models import BY_DEFAULT, EventType
from app.webhooks.operations import create_endpoint, ensure_secret
from app.webhooks.secrets import Vault
from app.webhooks.signing import show_secret
from tests.factories.callers import SECRET, Caller

LOOPBACK = split_networks("127.0.0.0/8")


async def render(_session: ReadSession, events: Sequence[EventHead]) -> dict[UUID, bytes]:
    """A body for each; with a member that is new each time, so that a body made twice would show."""
    return {
        event.id: event_body(
            type_=event.type,
            at=event.created_at,
            sequence=event.sequence,
            data=[orjson.dumps({"id": event.job_id.hex, "nonce": os.urandom(8).hex()})],
        )
        for event in events
    }


class Hooks:
    """The webhooks of one worker."""

    def __init__(
        self, database: Database, redis_url: str, *, total_seconds: float = 15.0, guard: Guard | None = None
    ) -> None:
        self.database = database
        self.vault = Vault([SECRET])
        self.doorbell = Doorbell(redis_url)
        self.secret_cache = SigningSecretCache(database, self.vault)
        self.owner = new_id()
        self.sender = Sender(guard or Guard(LOOPBACK), total_seconds=total_seconds)
        self.deliverer = Deliverer(
            database=database,
            doorbell=self.doorbell,
            sender=self.sender,
            secret_cache=self.secret_cache,
            render=render,
            owner=self.owner,
        )
        self.sweeper = WebhookSweeper(database=database, deliver=self.deliverer.pump, sweep_seconds=0.2)

    async def close(self) -> None:
        await self.doorbell.close()
        await self.sender.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliverer and sweeper at work."""
        pumps = [asyncio.create_task(pump.run()) for pump in (self.deliverer.pump, self.sweeper.pump)]
        try:
            yield
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await self.deliverer.drain(1.0)

    async def once(self) -> None:
        """Everything that is due, one attempt each."""
        await self.deliverer._step()
        await self.deliverer._slots.drain(60)
        await self.deliverer._recorder.drained()

    async def endpoint(self, caller: Caller, url: str, events: Sequence[str] = BY_DEFAULT) -> tuple[UUID, str]:
        """A new endpoint: its id and its secret."""
        async with self.database.transaction() as session:
            endpoint_id, secret = await create_endpoint(
                session, vault=self.vault, tenant_id=caller.tenant.id, url=url, events=events
            )
        return endpoint_id, show_secret(secret)

    async def tenant_secret(self, caller: Caller) -> str:
        async with self.database.transaction() as session:
            return show_secret(await ensure_secret(session, vault=self.vault, tenant_id=caller.tenant.id))

    async def emit(
        self, caller: Caller, number: int = 1, *, type_: EventType = EventType.JOB_COMPLETED, url: str | None = None
    ) -> list[UUID]:
        """Events of as many jobs, which have a URL of their own where one is given; the jobs' ids."""
        job_ids = [new_id() for _ in range(number)]
        async with self.database.transaction() as session:
            if url is not None:
                for job_id in job_ids:
                    await session.execute(
                        "INSERT INTO job_webhooks (job_id, target_id, url, events) VALUES ($1, $2, $3, $4)",
                        job_id,
                        target_of_job_url(caller.tenant.id, url),
                        url,
                        list(BY_DEFAULT),
                    )
            events = [JobEvent(caller.tenant.id, job_id, type_, 4) for job_id in job_ids]
            await emit_job_events(session, events=events)
        self.deliverer.pump.ring()
        return job_ids

    async def rows(self, sql: str, *args: object) -> list[Row]:
        async with self.database.snapshot() as session:
            return await session.fetch(sql, *args)

    async def set(self, sql: str, *args: object) -> int:
        async with self.database.statement() as session:
            return await session.execute(sql, *args)

    async def counts(self) -> dict[str, int]:
        """Deliveries by status."""
        rows = await self.rows("SELECT status, count(*) AS number FROM webhook_deliveries GROUP BY status")
        return {row["status"]: row["number"] for row in rows}

    async def target(self, target_id: UUID) -> Any:
        return (await self.rows("SELECT * FROM webhook_targets WHERE id = $1", target_id))[0]
