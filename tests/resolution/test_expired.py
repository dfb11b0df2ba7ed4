"""A request whose record has expired is served from the history. On a gateway that knows nothing of the upstream's clock yet."""

from collections.abc import AsyncIterator

import pytest

from tests.gateway import Gateway, ended
from tests.resolution.lost import LOST, assert_verified, caller, losing_gateway, submit, until_unknown, uuid
from tests.servers import Urls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with losing_gateway(servers, redis_url, tmp_path_factory.mktemp("lost")) as gateway:
        yield gateway


async def test_an_expired_record_is_served_from_the_history(gateway: Gateway) -> None:
    async with caller(gateway) as client:
        await gateway.configure_upstream(history_lag_seconds=1e6)
        async with gateway.faults({**LOST, "slug": "expired-one"}):
            job = await submit(client, "expired-one", {"number": 1})
            await until_unknown(gateway, job)
        # as if it had been sent more than an hour ago: its record has expired, and its row comes only now
        await gateway.configure_upstream(history_lag_seconds=0.0, clock_offset_seconds=-3700.0, retention_seconds=0.001)
        await gateway.sql("UPDATE jobs SET sent_at = sent_at - interval '3700 s' WHERE id = $1", uuid(job))
        await gateway.sql("UPDATE attempts SET sent_at = sent_at - interval '3700 s' WHERE job_id = $1", uuid(job))
        try:
            shown = await ended(client, job)
        finally:
            await gateway.configure_upstream(clock_offset_seconds=0.0, retention_seconds=3600.0)
        assert (shown["status"], shown["recovered"]) == ("COMPLETED", True), shown
        assert str(shown["output"]).startswith("http")
        assert shown["credits"]["charged"] != "0.000000"
    await assert_verified(gateway)
