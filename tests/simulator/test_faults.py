"""Each fault as a client sees it on the wire, and what the book says really happened."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.simulator.faults import FaultError, FaultRule, FaultRules
from app.simulator.surface.serve import RunningSimulator
from tests.gateway import eventually

Submit = Callable[..., Awaitable[str]]
Poll = Callable[[str], Awaitable[httpx.Response]]
Raw = Callable[..., Awaitable[tuple[bytes, str]]]
PostBytes = Callable[..., bytes]
GetBytes = Callable[[str], bytes]


@pytest.mark.parametrize(("fault", "end"), [("reset", "reset"), ("close", "close"), ("hang", "open")])
async def test_nothing_is_done_before_the_end(
    sim: RunningSimulator, raw: Raw, post_bytes: PostBytes, fault: str, end: str
) -> None:
    sim.set_faults({"match": "submit", "fault": fault})
    assert await raw(post_bytes(), seconds=0.3 if end == "open" else 5) == (b"", end)
    assert sim.book.started_ids() == []
    (fact,) = sim.book.facts("fault")
    assert (fact["fault"], fact["kind"], fact["slug"]) == (fault, "submit", "sim-instant")


@pytest.mark.parametrize("how", ["close", "reset", "hang"])
@pytest.mark.parametrize("after", ["nothing", "header", "body"])
async def test_the_answer_is_lost_after_accepting(
    sim: RunningSimulator, raw: Raw, post_bytes: PostBytes, how: str, after: str
) -> None:
    sim.set_faults({"match": "submit", "fault": "lose_answer", "after": after, "how": how})
    came, end = await raw(post_bytes(body=b'{"b": 2}'), seconds=0.3 if how == "hang" else 5)
    (request_id,) = sim.book.starts(b'{"b":2}')
    assert end == {"close": "close", "reset": "reset", "hang": "open"}[how]
    head, _, body = came.partition(b"\r\n\r\n")
    if after == "nothing":
        assert came == b""
    elif after == "header":
        assert came.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n" not in came
    else:
        assert int(head.rpartition(b": ")[2]) // 2 == len(body)
        assert body.startswith(b'{"request_id":"%b"' % request_id.encode())


async def test_hanging_after_accepting(sim: RunningSimulator, raw: Raw, post_bytes: PostBytes) -> None:
    sim.set_faults({"fault": "hang", "accepted": True})
    assert await raw(post_bytes(), seconds=0.3) == (b"", "open")
    assert len(sim.book.started_ids()) == 1


async def test_a_late_answer_to_what_was_done_at_once(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.set_faults({"fault": "delay", "seconds": 0.5})
    began = time.monotonic()
    asking = asyncio.create_task(client.post("/v2/sim-instant", json={}))
    await asyncio.sleep(0.1)
    assert len(sim.book.started_ids()) == 1
    assert not asking.done()
    assert (await asking).status_code == 200
    assert time.monotonic() - began >= 0.49


async def test_a_request_done_late_although_the_client_has_gone(
    sim: RunningSimulator, raw: Raw, post_bytes: PostBytes
) -> None:
    sim.set_faults({"fault": "delay", "seconds": 0.3, "when": "before"})
    assert await raw(post_bytes(), seconds=0.05) == (b"", "open")
    assert sim.book.started_ids() == []

    async def started() -> bool:
        return len(sim.book.started_ids()) == 1

    await eventually(started)
    assert len(sim.book.started_ids()) == 1


@pytest.mark.parametrize(
    ("rule", "status", "text", "content_type"),
    [
        ({"status": 503}, 503, '{"error":"Internal server error"}', "application/json"),
        ({"status": 406, "error": "Team spend limit"}, 406, '{"error":"Team spend limit"}', "application/json"),
        ({"status": 200, "body": "null"}, 200, "null", "application/json"),
        ({"status": 404, "body_base64": "aGk=", "content_type": "text/plain"}, 404, "hi", "text/plain"),
    ],
)
@pytest.mark.parametrize("accepted", [False, True])
async def test_another_answer(
    client: httpx.AsyncClient,
    sim: RunningSimulator,
    rule: dict[str, Any],
    status: int,
    text: str,
    content_type: str,
    accepted: bool,
) -> None:
    sim.set_faults({"fault": "answer", "accepted": accepted, "headers": {"Retry-After": "7"}, **rule})
    response = await client.post("/v2/sim-instant", json={})
    assert (response.status_code, response.text) == (status, text)
    assert (response.headers["content-type"], response.headers["retry-after"]) == (content_type, "7")
    assert len(sim.book.started_ids()) == accepted


async def test_an_answer_in_html(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.set_faults({"fault": "answer", "status": 502, "html": True})
    response = await client.get("/v2/requests/x")
    assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert "502 Bad Gateway" in response.text


async def test_a_redirect(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.set_faults({"fault": "redirect", "status": 302, "location": "http://169.254.169.254/"})
    response = await client.post("/v2/sim-instant", json={})
    assert (response.status_code, response.headers["location"]) == (302, "http://169.254.169.254/")
    assert sim.book.started_ids() == []


async def test_answers_that_do_not_parse(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.set_faults({"fault": "wrong_json", "nth": 1}, {"fault": "list", "nth": 1}, {"fault": "no_request_id", "nth": 1})
    wrong, listed, nameless = [await client.post("/v2/sim-instant", json={}) for _ in range(3)]
    assert [answer.status_code for answer in (wrong, listed, nameless)] == [200, 200, 200]
    with pytest.raises(ValueError):
        wrong.json()
    assert listed.json()[0]["status"] == "QUEUED"
    assert set(nameless.json()) == {"status", "poll_url", "status_url", "response_url"}
    assert len(sim.book.started_ids()) == 3


async def test_a_compressed_answer(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit()
    plain = await client.get(f"/v2/requests/{request_id}")
    sim.set_faults({"match": "result", "fault": "gzip"})
    compressed = await client.get(f"/v2/requests/{request_id}")
    assert (compressed.headers["content-encoding"], compressed.content) == ("gzip", plain.content)
    assert int(compressed.headers["content-length"]) < len(plain.content)


async def test_an_answer_of_a_million_numbers(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit()
    plain = (await client.get(f"/v2/requests/{request_id}")).json()
    sim.set_faults({"match": "result", "fault": "pad"})
    padded = (await client.get(f"/v2/requests/{request_id}")).json()
    assert padded.pop("padding") == [0] * 1_100_001
    assert padded == plain
    sim.set_faults({"match": "result", "fault": "pad", "padding": "text", "bytes": 3})
    assert (await client.get(f"/v2/requests/{request_id}")).json() == {"padding": "xxx", **plain}


async def test_a_run_dearer_than_its_reservation(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Poll
) -> None:
    before = sim.config.credits_micros
    sim.set_faults({"match": "submit", "slug": "sim-instant", "fault": "dear", "credits": 0.9})
    request_id = await submit()
    metrics = (await finished(request_id)).json()["metrics"]
    assert (metrics["cost"], metrics["remaining_credits"]) == (0.9, (before - 900_000) / 1_000_000)
    assert sim.book.charged() == {request_id: 900_000}
    assert (sim.config.credits_micros, sim.simulator.account.reserved_micros) == (before - 900_000, 0)


async def test_a_run_that_fails_in_these_words(sim: RunningSimulator, submit: Submit, finished: Poll) -> None:
    before, words = sim.config.credits_micros, "\x1b[2J invalid api key"
    sim.set_faults({"match": "submit", "fault": "fail", "error": words})
    request_id = await submit()
    answer = await finished(request_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (422, "FAILED", words)
    assert (sim.book.failed_ids(), sim.config.credits_micros) == ([request_id], before)


async def test_the_same_id_for_two_submits(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "submit", "nth": 2, "fault": "same_id"})
    first, second, third = await submit(a=1), await submit(a=2), await submit(a=3)
    assert first == second != third
    assert sim.book.started_ids() == [first, third]
    assert next(sim.book.facts("fault"))["body_sha256"]


async def test_two_runs_for_one_submit(sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "submit", "fault": "double_start"})
    request_id = await submit(a=1)
    started = sim.book.starts(b'{"a":1}')
    assert len(started) == 2
    assert started[0] == request_id
    assert set(sim.book.charged()) == set(started)
    assert [fact.get("twin_of") for fact in sim.book.facts("started")] == [None, request_id]


async def test_a_late_404(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "status", "fault": "not_found_until", "seconds": 1000})
    request_id = await submit()
    assert (await client.get(f"/v2/requests/{request_id}/status")).status_code == 404
    assert (await client.get(f"/v2/requests/{request_id}")).status_code == 200
    sim.set_faults({"match": "status", "fault": "not_found_until", "seconds": 0})
    assert (await client.get(f"/v2/requests/{request_id}/status")).status_code == 200


async def test_states_that_go_back_and_forth(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit()
    sim.set_faults(
        {"match": "status", "fault": "state", "state": "QUEUED", "nth": 2},
        {"match": "status", "fault": "state", "state": "PROCESSING", "nth": 3},
    )
    states = [(await client.get(f"/v2/requests/{request_id}/status")).json()["status"] for _ in range(5)]
    assert states == ["COMPLETED", "QUEUED", "COMPLETED", "PROCESSING", "COMPLETED"]


@pytest.mark.parametrize("seconds", [0, 0.1])
async def test_a_kept_connection_is_closed_without_a_word(
    sim: RunningSimulator, raw: Raw, post_bytes: PostBytes, seconds: float
) -> None:
    sim.set_faults({"fault": "close_idle", "seconds": seconds})
    came, end = await raw(post_bytes())
    assert (end, b"connection:" in came.lower()) == ("close", False)
    assert came.endswith(b"}")
    sim.set_faults()
    assert (await raw(post_bytes(), seconds=0.3))[1] == "open"


async def test_blocking_calls_are_spoilt_once_they_have_run(
    sim: RunningSimulator, raw: Raw, post_bytes: PostBytes
) -> None:
    sim.set_faults({"match": "sync", "fault": "lose_answer", "after": "header"})
    came, end = await raw(post_bytes(version="v1"))
    assert (came[:12], end) == (b"HTTP/1.1 200", "close")
    assert len(sim.book.charged()) == 1


async def test_rules_match_kind_and_slug(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "status", "slug": "sim-hang", "fault": "answer", "status": 500})
    instant, hanging = await submit("sim-instant"), await submit("sim-hang")
    statuses = [
        (await client.get(path)).status_code
        for path in (
            f"/v2/requests/{instant}/status",
            f"/v2/requests/{hanging}/status",
            f"/v2/requests/{hanging}",
            "/inference-request/request-history",
        )
    ]
    assert statuses == [200, 500, 200, 200]


async def test_rules_match_what_was_submitted(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults(
        {"match": "submit", "contains": "<script>", "fault": "answer", "status": 403, "html": True},
        {"match": "result", "contains": "grün", "fault": "answer", "status": 500},
    )
    refused = await client.post("/v2/sim-instant", json={"prompt": "<script>"})
    body = '{"prompt":"grün"}'.encode()
    headers = {"content-type": "application/json"}
    green = (await client.post("/v2/sim-instant", content=body, headers=headers)).json()["request_id"]
    other = await submit(prompt="red")
    results = [(await client.get(f"/v2/requests/{request_id}")).status_code for request_id in (green, other)]
    assert (refused.status_code, results) == (403, [500, 200])
    assert (await client.get("/v2/requests/none")).status_code == 404


def test_when_rules_fire() -> None:
    def pattern(**given: Any) -> str:
        rules = FaultRules(seed=1)
        rules.rules = [FaultRule(fault="close", **given)]
        return "".join("x" if rules.pick("submit", "m") else "." for _ in range(8))

    assert pattern() == "xxxxxxxx"
    assert pattern(count=2) == "xx......"
    assert pattern(nth=3) == "..x....."
    assert pattern(nth=3, count=2) == "..xx...."
    assert pattern(match="status") == pattern(slug="other") == "........"
    assert pattern(probability=0) == "........"
    assert pattern(probability=0.5) == pattern(probability=0.5) != "xxxxxxxx"
    assert pattern(probability=0.5, count=1).count("x") == 1


async def test_the_first_rule_that_fires_wins(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.set_faults({"fault": "answer", "status": 500, "count": 1}, {"fault": "answer", "status": 502, "count": 1})
    statuses = [(await client.post("/v2/sim-instant", json={})).status_code for _ in range(3)]
    assert statuses == [500, 502, 200]


@pytest.mark.parametrize(
    "rule",
    [{}, {"fault": "explode"}, {"fault": "close", "match": "x"}, {"fault": "close", "nth": 0}, {"fault": "close", "x": 1},
     {"fault": "delay", "seconds": "1"}, {"fault": "pad", "padding": "x"}, {"fault": "dear", "credits": -1},
     {"fault": "answer", "status": 99}, {"fault": "answer", "body_base64": "a"}],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(sim: RunningSimulator, rule: dict[str, Any]) -> None:
    with pytest.raises(FaultError):
        sim.set_faults(rule)
    assert sim.simulator.faults.rules == []
