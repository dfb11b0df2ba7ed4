"""POST /v2/{slug}: what is accepted, what is refused at once, and what fails only after queueing."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.simulator.surface.serve import RunningSimulator

SEED_PAYLOAD: dict[str, Any] = {
    "input_image": "https://segmind-sd-models.s3.amazonaws.com/display_images/motion-control-svd/motionctrl_ip.png",
    "fps": 7,
    "motion": "CW",
    "motion_bucket_id": 127,
    "cond_aug": 0.02,
    "seed": 985445,
    "decoding_t": 1,
    "maintain_aspect_ratio": True,
    "motion_speed": 1,
    "base64": False,
}


async def test_an_accepted_submit_has_five_strings(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    response = await client.post("/v2/motionctrl-svd", json=SEED_PAYLOAD)
    body = response.json()
    request_id = body["request_id"]
    assert response.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert body == {
        "request_id": request_id,
        "status": "QUEUED",
        "poll_url": f"{sim.url}/v1/requests/{request_id}",
        "status_url": f"{sim.url}/v2/requests/{request_id}/status",
        "response_url": f"{sim.url}/v2/requests/{request_id}",
    }


async def test_urls_begin_with_the_configured_base(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.base_url = "https://upstream.example"
    body = (await client.post("/v2/sim-hang", json={})).json()
    status = (await client.get(f"/v2/requests/{body['request_id']}/status")).json()
    assert body["status_url"].startswith("https://upstream.example/v2/requests/")
    assert (status["status_url"], status["response_url"]) == (body["status_url"], body["response_url"])


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "Missing"),
        ({"x-api-key": ""}, "Missing"),
        ({"x-api-key": "SG_wrong"}, "Unauthorized"),
        ({"authorization": "Bearer SG_good"}, "Unauthorized"),
    ],
)
@pytest.mark.parametrize("path", ["POST /v2/sim-instant", "GET /v2/requests/x/status", "GET /v1/get-user-credits"])
async def test_a_key_is_needed(sim: RunningSimulator, headers: dict[str, str], words: str, path: str) -> None:
    sim.config.api_keys = ("SG_good",)
    method, target = path.split()
    async with httpx.AsyncClient(base_url=sim.url, timeout=60) as bare:
        response = await bare.request(method, target, headers=headers)
        good = await bare.get("/v1/get-user-credits", headers={"x-api-key": "SG_good"})
    assert response.status_code == 401
    assert response.json()["error"].startswith(words)
    assert good.status_code == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_other_content_types_are_406(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await client.post("/v2/sim-instant", content=b"{}", headers=headers)
    assert (response.status_code, response.json()) == (406, {"error": "Invalid content type"})


async def test_multipart_is_taken_and_validated(
    client: httpx.AsyncClient, finished: Callable[[str], Awaitable[httpx.Response]]
) -> None:
    fields = {name: (None, str(value)) for name, value in SEED_PAYLOAD.items()}
    good = await client.post("/v2/motionctrl-svd", files=fields)
    bad = await client.post("/v2/motionctrl-svd", files=fields | {"fps": (None, "99")})
    assert (good.status_code, bad.status_code) == (200, 200)
    assert (await finished(good.json()["request_id"])).status_code == 200
    assert (await finished(bad.json()["request_id"])).json()["error"] == "fps must be between 5 and 30"
    torn = await client.post("/v2/x", content=b"--", headers={"content-type": "multipart/form-data"})
    assert torn.status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"a":NaN}', b'{"a":1}x', b'{"a":"\xff"}', b'{"a":01}'])
async def test_malformed_json_is_400(client: httpx.AsyncClient, sim: RunningSimulator, body: bytes) -> None:
    response = await client.post("/v2/sim-instant", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert isinstance(response.json()["error"], str)
    assert (sim.book.started_ids(), sim.book.refusals()[0]["status"]) == ([], 400)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e131071}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\u0000"}',
    ],
)
async def test_extreme_json_is_taken(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v2/any-image", content=body, headers={"content-type": "application/json; a=b"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("slug", "status"),
    [("sim-unknown", 404), ("sim-retired", 410), ("sim-forbidden", 403), ("sim-reject", 406), ("a", 404), ("b", 410), ("c", 403)],
)  # fmt: skip
async def test_models_that_cannot_be_run(
    client: httpx.AsyncClient, sim: RunningSimulator, slug: str, status: int
) -> None:
    sim.config.unknown_slugs, sim.config.retired_slugs, sim.config.forbidden_slugs = ("a",), ("b",), ("c",)
    response = await client.post(f"/v2/{slug}", json={})
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert [(fact["slug"], fact["status"]) for fact in sim.book.refusals()] == [(slug, status)]


async def test_a_strict_catalogue_knows_its_models_only(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    assert (await client.post("/v2/never-heard-of", json={})).status_code == 200
    sim.config.strict_catalogue = True
    refused = await client.post("/v2/never-heard-of", json={})
    assert (refused.status_code, refused.json()["error"]) == (404, "Model information not found")
    assert (await client.post("/v2/sdxl1.0-txt2img", json={})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/sim-instant"), ("PUT", "/v1/sim-instant"), ("POST", "/v2/requests/x/status"), ("DELETE", "/v2/requests/x")],
)  # fmt: skip
async def test_a_wrong_verb_is_405_in_html(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/v2/", "/v2/a/b", "/v2/requests", "/v1/requests/x/status"])
async def test_an_unknown_path_is_400(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={})
    assert (response.status_code, set(response.json())) == (400, {"error"})


async def test_a_body_beyond_the_limit_is_413(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.body_bytes_max = 100
    response = await client.post("/v2/sim-instant", json={"a": "x" * 200})
    assert (response.status_code, sim.book.started_ids()) == (413, [])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"input_image": None}, "input_image is Mandatory and must be uri"),
        ({"input_image": "ftp://x"}, "Reference media rejected: URL must be a valid HTTP or HTTPS URL."),
        ({"fps": 31}, "fps must be between 5 and 30"),
        ({"fps": 7.5}, "fps must be integer"),
        ({"fps": True}, "fps must be integer"),
        ({"motion": "Up"}, "motion must be one of Pan Up, Pan Down, Pan Right, Pan Left, Zoom In, Zoom Out, CW, ACW"),
        ({"motion_bucket_id": 126}, "motion_bucket_id must be between 127 and 255"),
        ({"cond_aug": 1.1}, "cond_aug must be between 0 and 1"),
        ({"cond_aug": []}, "cond_aug must be number"),
        ({"motion_speed": -1}, "motion_speed must be between 0 and 10"),
        ({"base64": 1.5}, "base64 must be boolean"),
        ({"seed": "x"}, "seed must be integer"),
    ],
)
async def test_validation_comes_after_queueing(
    client: httpx.AsyncClient,
    finished: Callable[[str], Awaitable[httpx.Response]],
    change: dict[str, Any],
    error: str,
) -> None:
    accepted = await client.post("/v2/motionctrl-svd", json=SEED_PAYLOAD | change)
    assert (accepted.status_code, accepted.json()["status"]) == (200, "QUEUED")
    failed = await finished(accepted.json()["request_id"])
    assert failed.status_code == 422
    assert (failed.json()["status"], failed.json()["error"]) == ("FAILED", error)
    assert set(failed.json()["metrics"]) == {"inference_time", "queue_time"}


@pytest.mark.parametrize("change", [{}, {"fps": "7"}, {"seed": None}, {"strange": 1}])
async def test_the_seed_payload_completes(
    client: httpx.AsyncClient, finished: Callable[[str], Awaitable[httpx.Response]], change: dict[str, Any]
) -> None:
    accepted = await client.post("/v2/motionctrl-svd", json=SEED_PAYLOAD | change)
    assert (await finished(accepted.json()["request_id"])).json()["status"] == "COMPLETED"


async def test_chunked_bodies_and_expectations(
    sim: RunningSimulator, raw: Callable[..., Awaitable[tuple[bytes, str]]]
) -> None:
    head = b"POST /v2/sim-instant HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nContent-Type: application/json\r\n"
    chunked = b'Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
    came, _ = await raw(head + chunked, seconds=0.5)
    assert came.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert len(sim.book.starts(b'{"a":1}')) == 1


async def test_bytes_that_are_no_request_are_400(raw: Callable[..., Awaitable[tuple[bytes, str]]]) -> None:
    came, end = await raw(b"hello\r\n\r\n")
    assert (came[:12], end) == (b"HTTP/1.1 400", "close")


async def test_a_client_may_ask_for_the_end_of_the_connection(
    raw: Callable[..., Awaitable[tuple[bytes, str]]], get_bytes: Callable[[str], bytes]
) -> None:
    came, end = await raw(get_bytes("/v1/get-user-credits")[:-2] + b"connection: close\r\n\r\n")
    assert (came[:12], end) == (b"HTTP/1.1 200", "close")
