"""The official SDK in three versions, unchanged: only its `base_url` points here."""

import asyncio
import re
from uuid import uuid4

import pytest

from tests.flows.sdk import Sdk
from tests.gateway import Gateway, TenantKey

SEED = """
from segmind import SegmindClient, InferenceFailed, InferenceTimeout

# Async (v2) — recommended for long-running / video models.
# run() blocks up to 600s; submit_async + job.wait(timeout=...) sets a longer
# deadline and keeps the request_id so you can re-poll later.
client = SegmindClient(base_url=BASE_URL)     # reads SEGMIND_API_KEY
payload = {
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
job = client.submit_async("motionctrl-svd", **payload)
print(job.request_id)                         # available immediately
try:
    result = job.wait(timeout=900, interval=2.0)
    print(result["status"])                  # COMPLETED
    print(result.get("output"))              # model output (e.g. video URL)
except InferenceTimeout as e:
    print("still running:", e.request_id)    # re-poll later with this id
except InferenceFailed as e:
    print("failed:", e.detail)
"""

HEAD = """
import segmind
from segmind import SegmindClient, SegmindError, InferenceFailed, InferenceTimeout
client = SegmindClient(base_url=BASE_URL)
"""

pytestmark = pytest.mark.slow


async def test_the_seeds_snippet_to_the_letter(stack: Gateway, sdk: Sdk, tenant: TenantKey) -> None:
    ran = await sdk.run(SEED, api_key=tenant.key)
    assert ran.code == 0, ran.output
    request_id, status, output = ran.output.splitlines()
    assert re.fullmatch(r"job_[0-9a-f]{32}", request_id)
    assert status == "COMPLETED"
    assert output.startswith("http")
    assert output.endswith(".mp4")
    (row,) = await stack.sql("SELECT * FROM ops.jobs WHERE tenant = $1", tenant.name)
    assert (row["model"], row["status"], row["attempts"]) == ("motionctrl-svd", "COMPLETED", 1)
    started = [fact for fact in stack.book.facts("started") if fact["request_id"] == row["upstream_id"]]
    assert len(started) == 1


async def test_a_failure_has_the_upstreams_detail(sdk: Sdk, tenant: TenantKey) -> None:
    ran = await sdk.run(
        HEAD
        + """
try:
    client.submit_async("sim-fail", prompt="x").wait(timeout=60, interval=0.2)
except InferenceFailed as e:
    print(e.detail)
    print(sorted(e.status_body))
""",
        api_key=tenant.key,
    )
    assert ran.output.splitlines() == [
        "The model could not process this request.",
        "['code', 'error', 'metrics', 'request_id', 'status']",
    ]


async def test_the_seeds_model_failing_after_its_upstream_queued_it(sdk: Sdk, tenant: TenantKey) -> None:
    script = SEED.replace(
        "https://segmind-sd-models.s3.amazonaws.com/display_images/motion-control-svd/motionctrl_ip.png", "not-a-url"
    )
    ran = await sdk.run(script, api_key=tenant.key)
    assert ran.output.splitlines()[1:] == ["failed: Reference media rejected: URL must be a valid HTTP or HTTPS URL."]


async def test_a_timeout_leaves_an_id_that_can_be_asked_for_later(
    stack: Gateway, newest: Sdk, tenant: TenantKey
) -> None:
    processing = {"match": "status", "slug": "sim-video", "fault": "state", "state": "PROCESSING"}
    async with stack.faults(processing):
        ran = await newest.run(
            HEAD
            + """
try:
    client.submit_async("sim-video", prompt="x").wait(timeout=1.5, interval=0.5)
except InferenceTimeout as e:
    print(e.request_id)
""",
            api_key=tenant.key,
        )
    request_id = ran.output.strip()
    assert re.fullmatch(r"job_[0-9a-f]{32}", request_id), ran.output
    again = await newest.run(
        HEAD
        + f"""
from segmind.v2 import AsyncJob
base = client.base_url.removesuffix("/v1")
job = AsyncJob("{request_id}", f"{{base}}/v2/requests/{request_id}/status", f"{{base}}/v2/requests/{request_id}", {{}}, client)
print(job.wait(timeout=60, interval=0.3)["status"])
print(client._client.get("/requests/{request_id}").json()["status"])
""",
        api_key=tenant.key,
    )
    assert again.output.splitlines() == ["COMPLETED", "COMPLETED"], again.output


async def test_run_run_sync_and_chat(sdk: Sdk, tenant: TenantKey) -> None:
    ran = await sdk.run(
        HEAD
        + """
result = client.run("sim-images", prompt="three")
print(result["status"], len(result["images"]))
segmind._default_client = client
print(segmind.run("sim-instant", prompt="module")["status"])
response = client.run_sync("sim-instant", prompt="bytes")
print(response.headers["content-type"], response.content[:4])
reply = client.chat("sim-text", messages=[{"role": "user", "content": "hello"}])
print(reply.text)
print(client.chat("claude-4.5-sonnet", messages=[{"role": "user", "content": "hello"}]).text)
print(client.chat_sync("sim-text", messages=[{"role": "user", "content": "hello"}]).text)
""",
        api_key=tenant.key,
    )
    assert ran.output.splitlines() == [
        "COMPLETED 3",
        "COMPLETED",
        r"image/png b'\x89PNG'",
        "Simulated answer of sim-text.",
        "Simulated answer of claude-4.5-sonnet.",
        "Simulated answer of sim-text.",
    ], ran.output


async def test_errors_keep_their_words(newest: Sdk, tenant: TenantKey) -> None:
    ran = await newest.run(
        HEAD
        + """
def said(call):
    try:
        call()
    except SegmindError as e:
        print(e.status, e.detail)

said(lambda: client.submit_async("motionctrl-svd", fps=4))
said(lambda: client.submit_async("a/b"))
said(lambda: client.submit_async("requests"))
said(lambda: client.run_sync("sim-fail"))
said(lambda: SegmindClient(api_key="wrong", base_url=BASE_URL).submit_async("sim-instant"))
""",
        api_key=tenant.key,
    )
    lines = ran.output.splitlines()
    assert [line.split()[0] for line in lines] == ["400", "404", "404", "422", "401"], ran.output
    assert "None" not in ran.output
    assert "cond_aug" in lines[0]
    assert lines[3] == "422 The model could not process this request."


async def test_several_tenants_at_once_see_their_own(stack: Gateway, newest: Sdk) -> None:
    script = (
        HEAD
        + """
jobs = [client.submit_async("sim-echo", echo=f"MARK-{n}") for n in range(5)]
print([job.wait(timeout=60, interval=0.3)["output"] for job in jobs])
"""
    )
    tenants = [await stack.tenant() for _ in range(3)]
    marks = [uuid4().hex for _ in tenants]
    runs = await asyncio.gather(
        *(newest.run(script.replace("MARK", mark), api_key=one.key) for one, mark in zip(tenants, marks, strict=True))
    )
    for ran, mark, one in zip(runs, marks, tenants, strict=True):
        assert ran.output.strip() == str([f"{mark}-{n}" for n in range(5)])
        rows = await stack.sql("SELECT status FROM ops.jobs WHERE tenant = $1", one.name)
        assert [row["status"] for row in rows] == ["COMPLETED"] * 5


async def test_a_canceled_job_is_a_failed_one(stack: Gateway, newest: Sdk, tenant: TenantKey) -> None:
    ran = await newest.run(
        HEAD
        + """
job = client.submit_async("sim-canceled-soon")
url = client.base_url.removesuffix("/v1") + f"/api/v1/jobs/{job.request_id}/cancel"
print(client._client.post(url).status_code)
try:
    job.wait(timeout=30, interval=0.3)
except InferenceFailed as e:
    print(e.status_body["code"], e.detail)
""",
        api_key=tenant.key,
    )
    assert ran.output.splitlines()[0] in ("200", "202"), ran.output
    assert ran.output.splitlines()[1] == "canceled the job was canceled", ran.output
