"""The demo's job goes through docker-compose.yml, whose services run as plain processes: there is no Docker here."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.stack.running.demo import MODEL, PAYLOAD
from tests.deploy.composed import PATIENCE_SECONDS, Composed
from tests.gateway import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture
async def composed(tmp_path: Path) -> AsyncIterator[Composed]:
    composed = Composed(
        tmp_path,
        UPSTREAM_URL="http://simulator:8090",
        WAYSTATION_UPSTREAM_HISTORY_URL="",
        PUBLIC_URL="http://proxy:8080",
        SIMULATOR_SPEED="20",
    )
    try:
        await composed.up()
        yield composed
    finally:
        await composed.down()


async def customer(composed: Composed) -> str:
    """A new tenant's key, made as an operator makes it."""
    api = composed.of("api")[0]
    await composed.execute(api, "tenant", "create", "video-team")
    await composed.execute(api, "credits", "grant", "video-team", "10", "--reference", "first")
    made: str = json.loads(await composed.execute(api, "key", "create", "video-team", "--json"))["key"]
    return made


async def test_the_demos_job_goes_through(composed: Composed) -> None:
    key = await customer(composed)
    async with httpx.AsyncClient(base_url=composed.url, headers={"x-api-key": key}, timeout=120) as client:
        submitted = await client.post(f"/v2/{MODEL}", json=PAYLOAD)
        assert submitted.status_code == 200, submitted.text
        accepted = submitted.json()
        assert accepted["status_url"].startswith(composed.url)
        job = await ended(client, accepted["request_id"])
        assert job["status"] == "COMPLETED", job
        assert job["credits"]["charged"] is not None
        assert job["credits"]["held"] == "0.000000"
        assert (await client.get(accepted["response_url"])).json()["status"] == "COMPLETED"

        # what is too large is refused by the gateway, in its own words, and the proxy lets it come that far
        large = await client.post("/api/v1/jobs", content=b'{"model": "x", "input": "' + b"a" * 11_000_000 + b'"}',
                                  headers={"content-type": "application/json"})  # fmt: skip
        assert large.status_code == 413
        assert large.json()["code"] == "body_too_large"
        await addresses_come_through(composed)
        await proxy_speaks_json(composed, client)
    codes = await composed.down()
    assert codes == {"proxy": [0], "api": [0, 0], "worker": [0, 0], "simulator": [0], "valkey": [0], "postgres": [0]}


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, dict[str, str]]:
    """The job by a long poll, which the proxy lets wait."""
    answer: dict[str, dict[str, str]] = (await client.get(f"/api/v1/jobs/{job_id}?wait=60")).json()
    return answer


async def addresses_come_through(composed: Composed) -> None:
    """The gateway logs who guesses at an operator's key: the client, not the proxy."""
    stranger = composed.address("proxy").rpartition(".")[0] + ".99"
    transport = httpx.AsyncHTTPTransport(local_address=stranger)
    async with httpx.AsyncClient(base_url=composed.url, transport=transport, timeout=30) as client:
        answer = await client.get("/admin/v1/tenants", headers={"authorization": "Bearer " + "x" * 40})
    assert answer.status_code == 401

    async def logged() -> bool:
        return any(stranger in api.log.read_text() for api in composed.of("api"))

    await eventually(logged, seconds=PATIENCE_SECONDS)


async def proxy_speaks_json(composed: Composed, client: httpx.AsyncClient) -> None:
    """One API gone: nobody notices. Both: 503 in the shape of each surface, never HTML."""
    first, second = composed.of("api")
    assert await composed.stop(first) == 0
    for _ in range(6):
        assert (await client.get("/api/v1/balance")).status_code == 200
    assert await composed.stop(second) == 0
    native, upstream = await client.get("/api/v1/balance"), await client.post(f"/v2/{MODEL}", json=PAYLOAD)
    assert (native.status_code, upstream.status_code) == (503, 503)
    assert native.headers["content-type"] == "application/problem+json"
    assert upstream.headers["content-type"] == "application/json"
    assert native.json()["code"] == upstream.json()["code"] == "unavailable"
    assert native.headers["retry-after"] == upstream.headers["retry-after"] == "2"
