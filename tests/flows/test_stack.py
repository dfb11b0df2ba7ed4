"""One job all the way through, over both surfaces."""

import httpx

from tests.gateway import Gateway, ended


async def test_a_job_goes_through(stack: Gateway, client: httpx.AsyncClient) -> None:
    submitted = await client.post("/v2/sim-echo", json={"echo": [1, "two"]})
    assert submitted.status_code == 200, submitted.text
    job = await ended(client, submitted.json()["request_id"])
    assert job["status"] == "COMPLETED"
    assert job["output"] == [1, "two"]
    assert len(stack.book.starts(b'{"echo":[1,"two"]}')) == 1
