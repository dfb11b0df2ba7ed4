"""Metadata that is accepted arrives whole: in the webhook, in the feed and in the job. What would not fit is refused."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.jobs.bodies import event_data
from app.core.config.settings import PUBLIC_URL_BYTES_MAX
from app.core.errors import Malformed
from app.core.ids import new_id
from app.jobs.models import State
from app.jobs.rows import EventJob
from app.web.requests import METADATA_BYTES_MAX, checked_metadata
from app.webhooks.decide import BODY_BYTES_MAX, event_body
from app.webhooks.models import EventType
from tests.api.conftest import NewJob, assert_problem
from tests.doubles.receiver import receiving
from tests.gateway import Gateway

URL = "/api/v1/jobs"
NOW = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=UTC)
LONGEST_URL = "https://" + "g" * (PUBLIC_URL_BYTES_MAX - len("https://"))
LONGEST_HOOK = "https://h.example.com/" + "~" * (2048 - len("https://h.example.com/"))
ESC = "\x1b"
TOO_LARGE: dict[str, dict[str, str]] = {
    "three bytes a character": {"k": "中" * 7_000},
    "two bytes a quote": {"k": '"' * 16_000},
    "six bytes a control character": {"k": ESC * 5_000},
    "in its name": {ESC * 5_000: "v"},
    "in many members": {str(number): "😀" * 80 for number in range(50)},
}
LARGEST: dict[str, dict[str, str]] = {
    name: {"k": one * ((METADATA_BYTES_MAX - len('{"k":""}')) // size)}
    for name, one, size in (("ASCII", "a", 1), ("Chinese", "中", 3), ("quotes", '"', 2), ("escapes", ESC, 6))
}


def row(state: State, metadata: dict[str, Any]) -> EventJob:
    """The dearest row of a job that there can be."""
    failed, done = state is State.FAILED, state is State.COMPLETED
    return EventJob(
        id=new_id(), model="m" * 128, state=state, error_code="submission_unknown" if failed else None,
        message=ESC * 20_000 if failed else None, created_at=NOW, submitted_at=NOW, started_at=NOW,
        finished_at=NOW, cancel_requested_at=NOW, run_seconds=123_456.789, polls=2**31 - 1,
        held_micro=2**53, charged_micro=2**53, metadata=metadata, webhook_url=LONGEST_HOOK, priority=9,
        attempt=2**31 - 1, late_result=False, recovered=False, result_bytes=2**31 - 1,
        body=b'{"output":"' + b"x" * 30_000 + b'"}' if done else None,
        deadline_at=None, sent_at=NOW, rank_at=NOW, ready=False, due_at=None, read_at=NOW,
    )  # fmt: skip


def arrived(state: State, metadata: dict[str, Any]) -> dict[str, Any]:
    """The data of the webhook of such a job."""
    type_ = {State.FAILED: EventType.JOB_FAILED, State.COMPLETED: EventType.JOB_COMPLETED}[state]
    data = event_data(LONGEST_URL, row(state, metadata), type_=type_)
    body = event_body(type_=type_, at=NOW, sequence=2**31 - 1, data=data)
    assert len(body) <= BODY_BYTES_MAX
    told: dict[str, Any] = orjson.loads(body)["data"]
    return told


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=2_000) | st.builds(
    lambda one, times: one * times, st.sampled_from([ESC, '"', "\\", "中", "😀", "a"]), st.integers(0, 4_000)
)
VALUES = TEXTS | st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53)


@settings(max_examples=150, deadline=None)
@given(metadata=st.dictionaries(TEXTS, VALUES, max_size=50), state=st.sampled_from([State.FAILED, State.COMPLETED]))
def test_what_is_accepted_is_in_the_webhook_whole(metadata: dict[str, Any], state: State) -> None:
    try:
        checked_metadata(metadata, "$.metadata")
    except Malformed:
        assert len(orjson.dumps(metadata)) > METADATA_BYTES_MAX
        return
    told = arrived(state, metadata)
    assert told["metadata"] == metadata
    assert "metadata_omitted" not in told


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_metadata_fits_beside_the_longest_of_everything(name: str) -> None:
    assert checked_metadata(LARGEST[name], "$.metadata") == LARGEST[name]
    for state in (State.FAILED, State.COMPLETED):
        told = arrived(state, LARGEST[name])
        assert told["metadata"] == LARGEST[name]
        assert state is State.COMPLETED or len(told["error"]["message"]) >= 100
    with pytest.raises(Malformed):
        checked_metadata({**LARGEST[name], "l": "123456"}, "$.metadata")


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_would_not_fit_is_refused(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(URL, json={"model": "sim-instant", "input": {}, "metadata": TOO_LARGE[name]})
    [error] = assert_problem(answer, 400, "invalid_request")["errors"]
    assert error["path"] == "$.metadata"
    assert str(METADATA_BYTES_MAX) in error["message"]
    header = json.dumps(TOO_LARGE[name])
    if len(header) < 60_000:
        answer = await client.post("/v2/sim-instant", json={}, headers={"X-Metadata": header})
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["path"]) == (400, "header X-Metadata")


async def test_both_surfaces_deliver_all_that_they_accept(client: httpx.AsyncClient) -> None:
    chance = random.Random(27)
    sent: dict[str, dict[str, Any]] = {}
    async with receiving() as own:
        for number, metadata in enumerate([*LARGEST.values(), *(_random(chance) for _ in range(20))]):
            model = chance.choice(["sim-instant", "sim-fail"])
            if number % 2:
                headers = {"X-Webhook-Url": own.url, "X-Metadata": json.dumps(metadata)}
                answer = await client.post(f"/v2/{model}", json={}, headers=headers)
                shown = answer.json()["request_id"]
            else:
                body = {"model": model, "input": {}, "metadata": metadata, "webhook_url": own.url}
                answer = await client.post(URL, json=body)
                shown = answer.json()["id"]
            assert answer.status_code in (200, 202), answer.text
            sent[shown] = metadata
        told = [orjson.loads(one.body)["data"] for one in await own.until(len(sent), seconds=60)]
    assert {one["id"]: one["metadata"] for one in told} == sent
    events = (await client.get("/api/v1/events", params={"limit": 100})).json()["items"]
    assert {event["data"]["id"]: event["data"]["metadata"] for event in events} == sent


def _random(chance: random.Random) -> dict[str, Any]:
    """Metadata close to the limit, or far from it."""
    letters = ["a", '"', "\\", ESC, "é", "中", "😀", "\n", "\x7f"]
    metadata: dict[str, Any] = {
        "float": chance.uniform(-1, 1) * 10 ** chance.randint(-300, 15),
        "none": None,
        "yes": True,
    }
    for number in range(chance.randint(0, 40)):
        member = {f"{chance.choice(letters)}{number}": chance.choice(letters) * chance.randint(0, 2_000)}
        if len(orjson.dumps(metadata | member)) <= METADATA_BYTES_MAX:
            metadata |= member
    return metadata


async def test_a_job_that_was_accepted_with_more_says_that_it_is_left_out(
    stack: Gateway, client: httpx.AsyncClient, new_job: NewJob
) -> None:
    """One that was stored while the limit counted characters."""
    metadata = TOO_LARGE["three bytes a character"]
    async with receiving() as own:
        job = await new_job(webhook_url=own.url)
        sql = "UPDATE job_inputs SET metadata = $2::text::jsonb WHERE job_id = $1::text::uuid"
        await stack.sql(sql, job["id"].removeprefix("job_"), json.dumps(metadata))
        assert (await client.post(f"{URL}/{job['id']}/cancel")).status_code == 200
        [received] = await own.until(1)
    told = orjson.loads(received.body)["data"]
    assert (told["metadata"], told["metadata_omitted"]) == ({}, True)
    assert (await client.get(told["urls"]["self"])).json()["metadata"] == metadata
