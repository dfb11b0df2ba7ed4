"""FAILED: 422 with the upstream's own words, our cause in `code`; and what a canceled job reads."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.gateway import LATER, Gateway, ended, eventually
from tests.segmind.conftest import Final, Submit

PATHS = ("/v2/requests/{}/status", "/v2/requests/{}", "/v1/requests/{}")


async def test_a_run_that_fails(client: httpx.AsyncClient, submit: Submit, final: Final) -> None:
    shown = await submit("sim-fail")
    await final(shown)
    for path in PATHS:
        answer = await client.get(path.format(shown))
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body.pop("metrics").keys() == {"inference_time", "queue_time"}
        assert body == {
            "status": "FAILED",
            "request_id": shown,
            "error": "The model could not process this request.",
            "code": "upstream_failed",
        }
    job = await ended(client, shown)
    assert job["status"] == "FAILED"
    assert job["error"] == {"code": "upstream_failed", "message": "The model could not process this request."}
    assert job["output"] is None


WORDS = {
    "quotes": r'"say \"no\" \\ / \/"',
    "escapes": r'"\u0000 \ud800 \u00e9"',
    "unicode": '"nön 漢 😀"',
    "object": '{"code": "x", "nested": [1e999, 123456789012345678901234567890]}',
    "list": '["a", "b"]',
    "empty": '""',
    "long": '"' + "w" * 20_000 + '"',
    "number": "17",
}


@pytest.mark.parametrize("name", WORDS)
async def test_the_upstreams_words_are_verbatim(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit, name: str
) -> None:
    body = f'{{"status":"FAILED","error":{WORDS[name]},"metrics":{{"cost":1e-7,"remaining_credits":98765}}}}'
    answer, _job = await _failed_with(stack, client, submit, body.encode())
    assert f'"error":{WORDS[name]},"code":"upstream_failed"'.encode() in answer.content
    assert b'"metrics":{"cost":1e-7}' in answer.content
    assert b"98765" not in answer.content


async def _failed_with(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit, body: bytes
) -> tuple[httpx.Response, dict[str, Any]]:
    encoded = base64.b64encode(body).decode()
    async with stack.faults(
        {"match": "status", "slug": "sim-odd", "fault": "answer", "status": 422, "body_base64": encoded}
    ):
        shown = await submit("sim-odd")
        job = await ended(client, shown)
    assert job["status"] == "FAILED"
    answer = await client.get(f"/v2/requests/{shown}/status")
    assert answer.status_code == 422
    assert (await client.get(f"/v2/requests/{shown}")).content == answer.content
    return answer, job


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"status":"FAILED","error":null}', None),
        ('{"status":"FAILED"}', None),
        ('{"status":"FAILED","error_message":{"why":"x"}}', '{"why":"x"}'),
        ('{"status":"FAILED","error":null,"message":"by another name"}', "by another name"),
    ],
)
async def test_error_is_a_sentence_where_the_upstream_gave_none(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit, body: str, error: str | None
) -> None:
    answer, job = await _failed_with(stack, client, submit, body.encode())
    said = json.loads(answer.content)["error"]
    assert isinstance(said, str)
    assert said
    assert said == job["error"]["message"]
    if error is not None:
        assert said == error


@pytest.mark.parametrize("words", ["content_policy_violation", "Blocked by the safety filter", "NSFW content"])
async def test_blocked_content_has_its_own_code(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit, words: str
) -> None:
    body = json.dumps({"status": "FAILED", "error": words}).encode()
    answer, job = await _failed_with(stack, client, submit, body)
    assert answer.json()["code"] == job["error"]["code"] == "content_blocked"
    assert answer.json()["error"] == words


@pytest.mark.parametrize("slug", ["sim-unknown", "sim-retired", "sim-forbidden", "sim-reject"])
async def test_a_submit_the_upstream_rejects(
    client: httpx.AsyncClient, submit: Submit, final: Final, slug: str
) -> None:
    shown = await submit(slug)
    answer = await final(shown)
    assert answer.status_code == 422
    assert answer.json()["code"] == "upstream_rejected"
    assert isinstance(answer.json()["error"], str)


async def test_a_canceled_job_reads_failed(stack: Gateway, client: httpx.AsyncClient) -> None:
    body = {"model": "sim-instant", "input": {}, "not_before": LATER}
    shown = (await client.post("/api/v1/jobs", json=body)).json()["id"]
    assert (await client.get(f"/v2/requests/{shown}/status")).json()["status"] == "QUEUED"
    assert (await client.post(f"/api/v1/jobs/{shown}/cancel")).status_code == 200
    for path in PATHS:
        answer = await client.get(path.format(shown))
        assert answer.status_code == 422
        body = answer.json()
        assert (body["status"], body["code"], body["request_id"]) == ("FAILED", "canceled", shown)
        assert isinstance(body["error"], str)


async def test_sending_unknown_and_cancel_pending_read_processing(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    rules = [
        {"match": "submit", "slug": "sent-slowly", "fault": "delay", "seconds": 3},
        {"match": "submit", "slug": "answer-lost", "fault": "lose_answer"},
    ]
    async with stack.faults(*rules):
        shown = {slug: await submit(slug) for slug in ("sent-slowly", "answer-lost", "sim-hang")}
        states = {"sent-slowly": "sending", "answer-lost": "unknown", "sim-hang": "running"}
        for slug, state in states.items():
            await eventually(lambda slug=slug, state=state: _is(stack, shown[slug], state))
            answer = await client.get(f"/v2/requests/{shown[slug]}/status")
            assert answer.status_code == 200
            if slug != "sim-hang":
                assert answer.json()["status"] == "PROCESSING"
        for slug in ("answer-lost", "sim-hang"):
            canceled = await client.post(f"/api/v1/jobs/{shown[slug]}/cancel")
            assert canceled.status_code == 202
            assert canceled.json()["cancel_requested_at"]
            answer = await client.get(f"/v2/requests/{shown[slug]}/status")
            assert answer.status_code == 200
            assert answer.json()["status"] == "PROCESSING"


async def _is(stack: Gateway, shown: str, state: str) -> bool:
    return bool(await stack.sql("SELECT FROM jobs WHERE id = $1::text::uuid AND state = $2", shown[4:], state))
