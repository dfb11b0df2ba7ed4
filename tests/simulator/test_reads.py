"""Status, result, files, credits and models, as the upstream shows them."""

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable

import httpx
import orjson
import pytest

from app.simulator.surface.serve import RunningSimulator

Submit = Callable[..., Awaitable[str]]
Finished = Callable[[str], Awaitable[httpx.Response]]


async def test_states_come_in_order(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.config.speed, sim.config.sigma, sim.config.queue_mean_seconds = 1, 0, 0.1
    sim.config.default_run_seconds = 0.15
    request_id = await submit("some-image")
    seen: list[str] = []
    while not seen or seen[-1] != "COMPLETED":
        status = await client.get(f"/v2/requests/{request_id}/status")
        result = await client.get(f"/v2/requests/{request_id}")
        body = status.json()
        assert status.status_code == result.status_code == 200
        if body["status"] not in seen:
            seen.append(body["status"])
        if body["status"] != "COMPLETED":
            urls = {f"{name}_url": body[f"{name}_url"] for name in ("status", "response")}
            assert body == {"status": body["status"], "request_id": request_id, **urls, "metrics": {}}
            assert "output" in result.json() or set(result.json()) == set(body)
        await asyncio.sleep(0.01)
    assert seen == ["QUEUED", "PROCESSING", "COMPLETED"]


async def test_completed_status_has_metrics_and_no_output(
    client: httpx.AsyncClient, submit: Submit, finished: Finished, sim: RunningSimulator
) -> None:
    status = await finished(await submit("motionctrl-svd-like"))
    body = status.json()
    assert status.status_code == 200
    assert set(body) == {"status", "request_id", "metrics"}
    metrics = body["metrics"]
    assert set(metrics) == {"inference_time", "queue_time", "total_time", "cost", "remaining_credits"}
    assert metrics["total_time"] == pytest.approx(metrics["inference_time"] + metrics["queue_time"], abs=2e-6)
    cost = sim.book.charged()[body["request_id"]]
    assert (metrics["cost"], metrics["remaining_credits"]) == (cost / 1e6, (10**12 - cost) / 1e6)


async def test_failed_is_422_everywhere(client: httpx.AsyncClient, submit: Submit, finished: Finished) -> None:
    request_id = await submit("sim-fail")
    status = await finished(request_id)
    for path in (f"/v2/requests/{request_id}", f"/v1/requests/{request_id}"):
        result = await client.get(path)
        assert (result.status_code, result.json()) == (422, status.json())
    assert status.status_code == 422
    assert set(status.json()) == {"status", "error", "metrics"}
    assert set(status.json()["metrics"]) == {"inference_time", "queue_time"}


async def test_a_hanging_run_never_ends(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.config.speed = 1e6
    request_id = await submit("sim-hang")
    await asyncio.sleep(0.02)
    assert (await client.get(f"/v2/requests/{request_id}/status")).json()["status"] == "PROCESSING"
    assert sim.simulator.in_flight == 1


async def test_unknown_and_expired_are_404(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    known = await submit()
    assert (await client.get(f"/v2/requests/{known}")).status_code == 200
    sim.config.retention_seconds = 0.01
    await asyncio.sleep(0.02)
    for request_id in (known, "0" * 32, "never"):
        for tail in ("", "/status"):
            response = await client.get(f"/v2/requests/{request_id}{tail}")
            assert (response.status_code, response.json()) == (404, {"error": f"Request {request_id} not found"})
    first_version = await client.get(f"/v1/requests/{known}")
    assert first_version.status_code == 404
    assert first_version.json()["error"].endswith("Not Found")


async def test_the_result_of_an_image_model(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit("sim-instant", prompt="a cat", seed=12)
    body = (await client.get(f"/v2/requests/{request_id}")).json()
    url = f"{sim.url}/files/{request_id}.png"
    file = {"url": url, "content_type": "image/png", "file_name": f"{request_id}.png", "file_size": "2048"}
    metrics = body.pop("metrics")
    assert body == {
        "status": "COMPLETED",
        "request_id": request_id,
        "output": url,
        "images": [file],
        "seed": 12,
        "prompt": "a cat",
        "timings": {},
    }
    assert "cost" in metrics
    assert (await client.get(f"/v1/requests/{request_id}")).json()["output"] == url


async def test_the_result_of_a_video_model(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished
) -> None:
    request_id = await submit("sim-video")
    await finished(request_id)
    body = (await client.get(f"/v2/requests/{request_id}")).json()
    assert body["output"] == body["video"]["url"] == f"{sim.url}/files/{request_id}.mp4"
    assert body["video"]["content_type"] == "video/mp4"


@pytest.mark.parametrize(
    ("slug", "member"),
    [("gpt-5", "choices"), ("claude-4.5-sonnet", "content"), ("gemini-3-pro", "candidates"), ("text-embedding-3-small", "data")],
)  # fmt: skip
async def test_the_output_of_a_text_model_is_stringified_json(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished, slug: str, member: str
) -> None:
    sim.config.speed = 1e5
    request_id = await submit(slug)
    await finished(request_id)
    body = (await client.get(f"/v2/requests/{request_id}")).json()
    assert member in orjson.loads(body["output"])


async def test_the_output_of_an_audio_model_is_its_url(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished
) -> None:
    request_id = await submit("myshell-tts")
    await finished(request_id)
    body = (await client.get(f"/v2/requests/{request_id}")).json()
    assert body["output"] == f"{sim.url}/files/{request_id}.mp3"


@pytest.mark.parametrize(
    "value",
    [
        b"1e-400",
        b"123456789012345678901234567890",
        b"-0.0",
        b'"\\u0000 \\ud800 \\/ \xc3\xa9"',
        b'{"b" :  1,\n"a":[ 1.50 ,2 ],"b":2}',
        b"null",
        b"[" * 3000 + b"]" * 3000,
        b'"}{,:\\"echo\\":"',
    ],
)
async def test_echo_gives_back_the_very_bytes(client: httpx.AsyncClient, finished: Finished, value: bytes) -> None:
    body = b'{"x":{"echo":1,"y":[{"echo":2}]}, "echo" :  ' + value + b' ,"z":"echo"}'
    accepted = await client.post("/v2/sim-echo", content=body, headers={"content-type": "application/json"})
    request_id = accepted.json()["request_id"]
    await finished(request_id)
    result = await client.get(f"/v2/requests/{request_id}")
    head = b'{"status":"COMPLETED","request_id":"%b","output":' % request_id.encode()
    assert result.content.startswith(head + value + b',"metrics":{')


async def test_files_have_their_kind_and_size(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished
) -> None:
    sim.config.output_bytes = 100_000
    request_id = await submit("sim-images")
    await finished(request_id)
    images = (await client.get(f"/v2/requests/{request_id}")).json()["images"]
    async with httpx.AsyncClient(timeout=60) as keyless:
        answers = [await keyless.get(image["url"]) for image in images]
        again = await keyless.get(images[0]["url"])
    assert len({answer.content for answer in answers}) == 3
    assert again.content == answers[0].content
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert len(answer.content) == 100_000
    _check_png(answers[0].content)


def _check_png(data: bytes) -> None:
    """Every chunk up to IEND has its right checksum."""
    at = 8
    names: list[bytes] = []
    while not names or names[-1] != b"IEND":
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(chunk),)
        names.append(chunk[:4])
        at += 12 + size
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert names == [b"IHDR", b"IDAT", b"IEND"]


async def test_there_are_no_other_files(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit()
    running = await submit("sim-hang")
    for name in (f"{request_id}.mp4", f"{request_id}_2.png", f"{request_id}_0.png", f"{running}.png", "x.png", ""):
        assert (await client.get(f"/files/{name}")).status_code == 404
    assert (await client.get(f"/files/{request_id}.png")).status_code == 200
    sim.config.output_retention_seconds = 0
    assert (await client.get(f"/files/{request_id}.png")).status_code == 404


async def test_credits_are_shown_in_credits(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.credits_micros, sim.config.free_credits_micros = 1_500_000, 18_492
    response = await client.get("/v1/get-user-credits")
    assert (response.status_code, response.json()) == (200, {"credits": 1.5, "free-credits": 0.018492})


async def test_the_model_list_needs_no_key(sim: RunningSimulator) -> None:
    async with httpx.AsyncClient(base_url=sim.url, timeout=60) as keyless:
        (models,) = (await keyless.get("/inference-model-information/list")).json().values()
    by_slug = {model["slug"]: model for model in models}
    assert len(by_slug) == 503
    assert len(by_slug["motionctrl-svd"]["parameters_schema"]) == 10
    assert by_slug["svd"]["is_depreciated"] is False
