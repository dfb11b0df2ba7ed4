"""Deliveries as receivers see them: signed, retried, once for everybody who asked."""

import asyncio
from itertools import pairwise

import pytest

from app.webhooks.decide import STEPS
from app.webhooks.models import EventType
from tests.doubles.raw_server import Peer, unused_port
from tests.doubles.receiver import Received, receiving, says
from tests.factories.callers import Caller
from tests.factories.hooks import Hooks
from tests.gateway import eventually
from tests.stopwatch import Stopwatch


async def test_an_event_reaches_endpoints_and_the_url_of_its_job(hooks: Hooks, caller: Caller) -> None:
    async with receiving() as one, receiving() as other, receiving() as own, receiving() as failures, hooks.running():
        secrets = [(await hooks.endpoint(caller, receiver.url))[1] for receiver in (one, other)]
        await hooks.endpoint(caller, failures.url, [EventType.JOB_FAILED])
        await hooks.emit(caller, url=own.url)
        for receiver in (one, other, own):
            await receiver.until(1)
        await asyncio.sleep(0.1)
        assert [len(receiver.received) for receiver in (one, other, own, failures)] == [1, 1, 1, 0]
        assert one.received[0].verified_by(secrets[0])
        assert not one.received[0].verified_by(secrets[1])
        assert other.received[0].verified_by(secrets[1])
        assert own.received[0].verified_by(await hooks.tenant_secret(caller))
        assert {r.received[0].body for r in (one, other, own)} == {one.received[0].body}
        assert {r.received[0].id for r in (one, other, own)} == {one.received[0].id}
        assert one.received[0].target == "/hook"
        assert one.received[0].headers["content-type"] == "application/json"
    assert await hooks.counts() == {"delivered": 3}


async def test_the_ten_steps_with_stable_id_and_bytes_and_a_fresh_timestamp(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("500 Internal Server Error")) as receiver:
        endpoint_id, secret = await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        for number, step in enumerate([*STEPS, None], start=1):
            await hooks.once()
            assert len(receiver.received) == number
            [row] = await hooks.rows(
                "SELECT status, attempts, extract(epoch FROM due_at - now())::float8 AS due FROM webhook_deliveries"
            )
            assert row["attempts"] == number
            if step is None:
                assert (row["status"], row["due"]) == ("exhausted", None)
            else:
                assert row["status"] == "pending"
                assert 0.8 * step - 1 <= row["due"] <= 1.2 * step
            # time flies: for the delivery, and for the signatures of the attempts so far
            await hooks.set("UPDATE webhook_deliveries SET due_at = now() WHERE status = 'pending'")
        assert len({(one.id, one.body) for one in receiver.received}) == 1
        assert all(one.verified_by(secret) for one in receiver.received)
        attempts = await hooks.rows("SELECT * FROM webhook_attempts ORDER BY attempt")
        assert [row["status_code"] for row in attempts] == [500] * 10
        assert {row["address"] for row in attempts} == {"127.0.0.1"}
        assert (await hooks.target(endpoint_id))["failures"] == 10


async def test_the_timestamp_is_of_the_attempt(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("503 Service Unavailable")) as receiver:
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        watch = Stopwatch()
        await hooks.once()
        await asyncio.sleep(1.1)
        await hooks.set("UPDATE webhook_deliveries SET due_at = now()")
        await hooks.once()
        first, second = (int(one.headers["webhook-timestamp"]) for one in receiver.received)
        assert 1 <= second - first <= watch.seconds + 1


@pytest.mark.parametrize(("asked", "least", "most"), [("7", 6.5, 7.0), ("3600", 9.0, 10.0), ("1", 3.0, 6.0)])
async def test_retry_after_is_honoured_up_to_twice_the_step(
    hooks: Hooks, caller: Caller, asked: str, least: float, most: float
) -> None:
    async with receiving(says("429 Too Many Requests", f"retry-after: {asked}")) as receiver:
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await hooks.once()
        [row] = await hooks.rows("SELECT extract(epoch FROM due_at - now())::float8 AS due FROM webhook_deliveries")
        assert least <= row["due"] <= most


async def test_410_disables_the_endpoint_and_tells_the_others(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("410 Gone")) as gone, receiving() as other:
        gone_id, _ = await hooks.endpoint(caller, gone.url)
        _, secret = await hooks.endpoint(caller, other.url, [EventType.ENDPOINT_DISABLED])
        await hooks.emit(caller)
        await hooks.once()
        assert (await hooks.target(gone_id))["disabled_reason"] == "gone"
        await hooks.emit(caller, 5)
        await hooks.once()
        assert len(gone.received) == 1
        [told] = other.received
        assert told.type == "endpoint.disabled"
        assert told.verified_by(secret)
    assert await hooks.counts() == {"delivered": 1, "exhausted": 1}


async def test_410_from_the_url_of_a_job_ends_that_delivery_alone(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("410 Gone")) as receiver:
        await hooks.emit(caller, url=receiver.url)
        await hooks.once()
        assert await hooks.counts() == {"exhausted": 1}
        await hooks.emit(caller, url=receiver.url)
        await hooks.once()
        assert len(receiver.received) == 2


async def test_a_receiver_that_is_not_there_is_tried_again(hooks: Hooks, caller: Caller) -> None:
    await hooks.endpoint(caller, f"http://127.0.0.1:{unused_port()}/")
    await hooks.emit(caller)
    await hooks.once()
    [row] = await hooks.rows("SELECT outcome, detail, status_code FROM webhook_attempts")
    assert tuple(row) == ("unreachable", "connect_refused", None)
    assert await hooks.counts() == {"pending": 1}


@pytest.mark.slow
async def test_the_retry_comes_by_itself(hooks: Hooks, caller: Caller) -> None:
    async def fails_once(_received: Received, peer: Peer) -> None:
        await says("500 Internal Server Error" if len(receiver.received) == 1 else "204 No Content", body=b"")(
            _received, peer
        )

    async with receiving(fails_once) as receiver, hooks.running():
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await receiver.until(1)
        watch = Stopwatch()
        await receiver.until(2)
        assert watch.own_seconds <= 6.3
        gaps = [later.at - earlier.at for earlier, later in pairwise(receiver.received)]
        assert gaps[0] >= 4.0

        async def delivered() -> bool:
            return await hooks.counts() == {"delivered": 1}

        await eventually(delivered)
    assert await delivered()


async def test_what_waits_behind_one_receiver_has_four_slots(hooks: Hooks, caller: Caller) -> None:
    async def slow(_received: Received, peer: Peer) -> None:
        await asyncio.sleep(0.3)
        await says("500 Internal Server Error")(_received, peer)

    async with receiving(slow) as receiver, hooks.running():
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller, 12)
        await receiver.until(12)
        assert receiver.open_most == 4


async def test_a_rotated_secret_signs_beside_the_new_one(hooks: Hooks, caller: Caller) -> None:
    from app.webhooks.operations import rotate_secret
    from app.webhooks.signing import show_secret

    async with receiving() as receiver:
        endpoint_id, first = await hooks.endpoint(caller, receiver.url)
        secrets = [first]
        for _ in range(2):
            async with hooks.database.transaction() as session:
                secret, until = await rotate_secret(
                    session, vault=hooks.vault, tenant_id=caller.tenant.id, endpoint_id=endpoint_id
                )
            assert until is not None
            secrets.append(show_secret(secret))
        await hooks.emit(caller)
        await hooks.once()
        [received] = receiver.received
        assert len(received.headers["webhook-signature"].split(" ")) == 2
        assert [received.verified_by(secret) for secret in secrets] == [False, True, True]
