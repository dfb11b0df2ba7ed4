"""No tenant sees a byte, or the existence, of another's; nobody sees the company's balance, key or upstream ids."""

import httpx

from tests.gateway import UPSTREAM_KEY, Gateway, ended, eventually


async def test_anothers_jobs_are_404_everywhere(stack: Gateway, client: httpx.AsyncClient) -> None:
    mine = (await client.post("/v2/sim-instant", json={"secret": "mine"})).json()["request_id"]
    await ended(client, mine)
    other = await stack.tenant()
    nobody = f"job_{'0' * 32}"
    calls = [
        ("GET", "/v2/requests/{}/status"),
        ("GET", "/v2/requests/{}"),
        ("GET", "/v1/requests/{}"),
        ("GET", "/api/v1/jobs/{}"),
        ("GET", "/api/v1/jobs/{}?wait=1"),
        ("POST", "/api/v1/jobs/{}/cancel"),
    ]
    async with httpx.AsyncClient(base_url=stack.url, headers=other.headers, timeout=60) as stranger:
        for method, path in calls:
            theirs = await stranger.request(method, path.format(mine))
            unknown = await stranger.request(method, path.format(nobody))
            assert theirs.status_code == unknown.status_code == 404
            assert theirs.content.replace(mine.encode(), b"") == unknown.content.replace(nobody.encode(), b"")
            assert theirs.json()["code"] == "job_not_found"
        page = (await stranger.get("/api/v1/jobs")).json()
        assert page == {"items": [], "next_cursor": None}
        after_mine = (await stranger.get("/api/v1/jobs", params={"cursor": mine})).json()
        assert after_mine["items"] == []


async def test_odd_ids_are_404(client: httpx.AsyncClient) -> None:
    for odd in (
        "x",
        "job_",
        "job_" + "g" * 32,
        "JOB_" + "0" * 32,
        "ten_" + "0" * 32,
        "job_" + "0" * 33,
        "%00",
        "a%20b",
        "job_%C3%A9",
    ):
        for path in (f"/v2/requests/{odd}/status", f"/v2/requests/{odd}", f"/v1/requests/{odd}"):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert answer.json()["code"] == "job_not_found"


async def test_nothing_of_the_company_shows(stack: Gateway, client: httpx.AsyncClient) -> None:
    shown = [
        (await client.post(f"/v2/{slug}", json={"echo": 1})).json()["request_id"]
        for slug in ("sim-echo", "sim-fail", "sim-text", "sim-unknown", "sim-hang")
    ]
    for job_id in shown[:-1]:
        await ended(client, job_id)
    await eventually(
        lambda: stack.sql("SELECT FROM jobs WHERE id = $1::text::uuid AND state = 'running'", shown[-1][4:])
    )
    secrets = [UPSTREAM_KEY, "999999.", stack.upstream_url]
    for job_id in shown:
        (row,) = await stack.sql("SELECT upstream_id FROM jobs WHERE id = $1::text::uuid", job_id[4:])
        secrets += [row["upstream_id"]] if row["upstream_id"] else []
    assert len(secrets) == 7
    paths = ["/v2/requests/{}/status", "/v2/requests/{}", "/v1/requests/{}", "/api/v1/jobs/{}"]
    answers = [await client.get(path.format(job_id)) for path in paths for job_id in shown]
    answers.append(await client.get("/api/v1/jobs"))
    answers.append(await client.post("/v1/sim-text", json={}))
    for answer in answers:
        told = answer.text + str(answer.headers)
        assert [secret for secret in secrets if secret in told] == []
