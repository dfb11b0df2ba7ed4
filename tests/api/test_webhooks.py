"""Webhooks over HTTP, as a tenant's team meets them: the gateway is running, and so is their receiver."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.doubles.receiver import Received, receiving, says
from tests.gateway import LATER, Gateway, ended, eventually

URL = "/api/v1/webhook-endpoints"
SLOW = "happyhorse-1.1"
"""Runs for some seconds, also at the simulator's speed."""


async def endpoint(client: httpx.AsyncClient, url: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def job(client: httpx.AsyncClient, model: str = "sim-instant", **fields: Any) -> str:
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": {}, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def feed(client: httpx.AsyncClient, after: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = (await client.get("/api/v1/events", params={"after": after, "limit": 2})).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        after = page["next_cursor"]


async def test_a_finished_job_is_told_to_endpoints_and_its_own_url(client: httpx.AsyncClient) -> None:
    async with receiving() as team, receiving() as own:
        made = await endpoint(client, team.url)
        job_id = await job(client, webhook_url=own.url, metadata={"order": "1"})
        [received] = await team.until(1)
        [same] = await own.until(1)
        assert received.verified_by(made["secret"])
        secret = (await client.get("/api/v1/webhook-secret")).json()["secret"]
        assert same.verified_by(secret)
        assert (received.id, received.body) == (same.id, same.body)
        body = httpx.Response(200, content=received.body).json()
        assert list(body) == ["type", "timestamp", "data", "sequence"]
        assert body["type"] == "job.completed"
        shown = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        assert body["data"] == {name: value for name, value in shown.items() if name != "input"}
        assert shown["webhook_url"] == own.url
        assert [event["id"] for event in await feed(client)] == [received.id]


async def test_the_upstream_shaped_surface_takes_webhooks_by_header(client: httpx.AsyncClient) -> None:
    async with receiving() as own:
        headers = {"X-Webhook-Url": own.url, "X-Webhook-Events": "job.failed, job.completed"}
        for model in ("sim-instant", "sim-fail"):
            assert (await client.post(f"/v2/{model}", json={}, headers=headers)).status_code == 200
        received = await own.until(2)
        assert {one.type for one in received} == {"job.completed", "job.failed"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Webhook-Url", "http://10.0.0.1/"),
        ("X-Webhook-Url", "https://user@example.com/"),
        ("X-Webhook-Url", "ftp://example.com/"),
        ("X-Webhook-Events", "job.completed"),
    ],
)
async def test_what_cannot_be_a_receiver_is_refused_at_once(client: httpx.AsyncClient, name: str, value: str) -> None:
    answer = await client.post("/v2/sim-instant", json={}, headers={name: value})
    assert answer.status_code == 400
    assert name in answer.json()["error"]


@pytest.mark.slow
async def test_canceled_and_processing(client: httpx.AsyncClient) -> None:
    async with receiving() as team:
        await endpoint(client, team.url, events=["job.canceled", "job.processing"])
        job_id = await job(client, not_before=LATER)
        assert (await client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
        [received] = await team.until(1)
        assert received.type == "job.canceled"
        credits_ = httpx.Response(200, content=received.body).json()["data"]["credits"]
        assert credits_ == {"hold": "0.100000", "held": "0.000000", "charged": "0.000000"}
        slow = await job(client, model=SLOW)
        await team.until(2, seconds=40)
        assert team.received[1].type == "job.processing"
        data = httpx.Response(200, content=team.received[1].body).json()["data"]
        assert (data["id"], data["status"], data["output"]) == (slow, "PROCESSING", None)
        await ended(client, slow)
        events = [event for event in await feed(client) if event["data"]["id"] == slow]
        assert [event["type"] for event in events] == ["job.processing", "job.completed"]
        assert events[0]["sequence"] < events[1]["sequence"]
        began = events[0]["data"]["credits"]
        assert began["held"] == began["hold"] != "0.000000" == began["charged"], "as it was when it began to run"
        assert events[1]["data"]["credits"]["held"] == "0.000000" != events[1]["data"]["credits"]["charged"]


async def test_the_feed_has_everything_also_without_an_endpoint(client: httpx.AsyncClient) -> None:
    job_ids = [await job(client, model) for model in ("sim-instant", "sim-fail", "sim-instant")]
    for job_id in job_ids:
        await ended(client, job_id)
    events = await feed(client)
    assert sorted(event["data"]["id"] for event in events) == sorted(job_ids)
    assert await feed(client) == events
    assert await feed(client, after=events[0]["id"]) == events[1:]
    assert (await client.get("/api/v1/events?after=evt_" + "0" * 32)).status_code == 400


async def test_the_delivery_log_and_redelivery(client: httpx.AsyncClient) -> None:
    async with receiving(says("500 Internal Server Error", body=b"out of order")) as team:
        made = await endpoint(client, team.url)
        job_id = await job(client)
        await team.until(1)

        async def recorded() -> dict[str, Any] | None:
            items = (await client.get("/api/v1/deliveries", params={"job_id": job_id})).json()["items"]
            return items[0] if items and items[0]["status"] == "pending" else None

        delivery = await eventually(recorded)
        assert (delivery["endpoint_id"], delivery["last_status_code"], delivery["attempts"]) == (made["id"], 500, 1)
        told = (await client.get(f"/api/v1/deliveries/{delivery['id']}")).json()
        assert told["attempt_log"][0]["answer"] == "out of order"
        team.reply = says("200 OK")
        assert (await client.post(f"/api/v1/deliveries/{delivery['id']}/redeliver")).status_code == 202
        first, second = await team.until(2)
        assert (first.id, first.body) == (second.id, second.body)

        async def delivered() -> bool:
            found = (await client.get("/api/v1/deliveries", params={"status": "delivered"})).json()["items"]
            return [one["id"] for one in found] == [delivery["id"]]

        assert await eventually(delivered)


async def test_test_rotate_patch_recover_and_delete(client: httpx.AsyncClient) -> None:
    async with receiving() as team:
        made = await endpoint(client, team.url, description="orders")
        one = f"{URL}/{made['id']}"
        assert (await client.post(f"{one}/test")).status_code == 202
        [received] = await team.until(1)
        assert received.type == "webhook.test"
        rotated = (await client.post(f"{one}/rotate-secret")).json()
        await asyncio.sleep(2.1)  # what a worker remembers of secrets
        await client.post(f"{one}/test")
        _, received = await team.until(2)
        assert received.verified_by(made["secret"])
        assert received.verified_by(rotated["secret"])
        assert (await client.patch(one, json={"enabled": False})).json()["disabled_reason"] == "tenant"
        assert (await client.post(f"{one}/test")).status_code == 409
        missed = await job(client)
        await ended(client, missed)
        assert (await client.post(f"{one}/recover", json={"since": made["created_at"]})).status_code == 409
        assert (await client.patch(one, json={"enabled": True})).json()["enabled"] is True
        answer = await client.post(f"{one}/recover", json={"since": made["created_at"]})
        assert answer.json() == {"recovered": 1}
        *_, received = await team.until(3)
        assert httpx.Response(200, content=received.body).json()["data"]["id"] == missed
        assert [found["id"] for found in (await client.get(URL)).json()["items"]] == [made["id"]]
        assert "secret" not in (await client.get(one)).json()
        assert (await client.delete(one)).status_code == 204
        assert (await client.get(one)).status_code == 404
        assert (await client.get(URL)).json()["items"] == []


async def test_a_large_output_is_linked(client: httpx.AsyncClient) -> None:
    async with receiving() as own:
        answer = await client.post("/v2/sim-echo", json={"echo": "x" * 30_000}, headers={"X-Webhook-Url": own.url})
        assert answer.status_code == 200, answer.text
        [received] = await own.until(1)
        assert len(received.body) < 20_000
        output = httpx.Response(200, content=received.body).json()["data"]["output"]
        assert output["url"].endswith(answer.json()["request_id"])
        assert output["size_bytes"] > 30_000


async def test_nobody_sees_anothers(stack: Gateway, client: httpx.AsyncClient) -> None:
    async with receiving() as team:
        made = await endpoint(client, team.url)
        await client.post(f"{URL}/{made['id']}/test")
        await team.until(1)
        delivery = (await client.get("/api/v1/deliveries")).json()["items"][0]
        event = (await client.get("/api/v1/events")).json()["items"][0]
        other = await stack.tenant()
        async with httpx.AsyncClient(base_url=stack.url, headers=other.headers, timeout=30) as stranger:
            for method, path in (
                ("GET", f"{URL}/{made['id']}"),
                ("DELETE", f"{URL}/{made['id']}"),
                ("POST", f"{URL}/{made['id']}/test"),
                ("POST", f"{URL}/{made['id']}/rotate-secret"),
                ("GET", f"/api/v1/deliveries/{delivery['id']}"),
                ("POST", f"/api/v1/deliveries/{delivery['id']}/redeliver"),
            ):
                assert (await stranger.request(method, path)).status_code == 404, path
            assert (await stranger.patch(f"{URL}/{made['id']}", json={"enabled": False})).status_code == 404
            recover = {"since": "2026-01-01T00:00:00Z"}
            assert (await stranger.post(f"{URL}/{made['id']}/recover", json=recover)).status_code == 404
            assert (await stranger.get("/api/v1/events", params={"after": event["id"]})).status_code == 400
            for path in (URL, "/api/v1/deliveries", "/api/v1/events"):
                assert (await stranger.get(path)).json()["items"] == []
            mine = (await client.get("/api/v1/webhook-secret")).json()["secret"]
            assert (await stranger.get("/api/v1/webhook-secret")).json()["secret"] != mine


async def test_a_body_that_is_not_what_it_must_be(client: httpx.AsyncClient) -> None:
    for body in (
        {"url": "http://169.254.169.254/"},
        {"url": "https://[fd00::1]/"},
        {"url": "https://example.com/", "events": []},
        {"url": "https://example.com/", "events": ["job.exploded"]},
        {"url": "https://example.com/", "secret": "mine"},
        {},
    ):
        answer = await client.post(URL, json=body)
        assert answer.status_code == 400, body
        assert answer.json()["errors"]


@pytest.mark.parametrize("of", ["whe_mistyped", f"whe_{'0' * 32}"])
async def test_a_wrong_body_is_told_before_an_endpoint_that_is_not_there(client: httpx.AsyncClient, of: str) -> None:
    for method, path in (("PATCH", f"{URL}/{of}"), ("POST", f"{URL}/{of}/recover")):
        assert (await client.request(method, path, json={"nope": 1})).status_code == 400, path
    assert (await client.patch(f"{URL}/{of}", json={"enabled": True})).status_code == 404


def test_received_is_verified_by_nothing_else() -> None:
    assert not Received("/", {"webhook-id": "evt_1"}, b"{}", 0.0).verified_by("whsec_AAAA")
