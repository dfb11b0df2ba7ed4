"""Our secrets and balances, planted wherever the upstream may say something, are in no answer, row, log or terminal."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.core.logs.redaction import Redactor
from tests.flows.planted import balances, plant
from tests.gateway import SECRET, UPSTREAM_KEY, Gateway, ended, eventually, running_gateway
from tests.servers import Urls, temporary_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
OURS = Redactor([UPSTREAM_KEY, SECRET])
NEW = "a-newer-secret-that-only-tests-know-01234"
COLUMNS = """
SELECT column_info.table_schema AS schema, column_info.table_name AS name, column_info.column_name AS column
FROM information_schema.columns AS column_info
WHERE table_schema IN ('public', 'ops')
    AND (data_type IN ('text', 'character varying', 'bytea', 'jsonb', 'json', 'ARRAY'))
    AND (table_name, column_name) <> ('job_results', 'original')
"""


@pytest.fixture(scope="module")
async def hostile(redis_url: str, servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A stack of its own: its account gets into trouble, which stops all submits."""
    directory = tmp_path_factory.mktemp("planted")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1) as gateway,
    ):
        yield gateway


@pytest.fixture
async def client(hostile: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    tenant = await hostile.tenant()
    async with httpx.AsyncClient(base_url=hostile.url, headers=tenant.headers, timeout=60) as made:
        yield made


async def submitted(client: httpx.AsyncClient, slug: str, **parameters: Any) -> str:
    answer = await client.post(f"/v2/{slug}", json=parameters)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def told_to_be_short(gateway: Gateway, slugs: list[str]) -> None:
    """Published run times, so that the first poll comes as soon as these end."""
    await gateway.sql("INSERT INTO models (slug, run_seconds) SELECT unnest($1::text[]), 0.02", slugs)


async def answers(client: httpx.AsyncClient, jobs: list[str]) -> list[bytes]:
    """Whatever a tenant can read of its jobs, headers included."""
    paths = ["/api/v1/jobs?limit=200", "/api/v1/events", "/api/v1/deliveries", "/api/v1/ledger", "/v1/get-user-credits"]
    for job in jobs:
        paths += [f"/v2/requests/{job}/status", f"/v2/requests/{job}", f"/v1/requests/{job}", f"/api/v1/jobs/{job}"]
    told = [await client.get(path) for path in paths]
    assert all(one.status_code in (200, 422) for one in told)
    return [one.content + repr(one.headers.raw).encode() for one in told]


async def rows(gateway: Gateway) -> dict[str, list[bytes]]:
    """Everything that is kept, but for what is sealed."""
    found = {}
    for at in await gateway.sql(COLUMNS):
        where = f"{at['schema']}.{at['name']}.{at['column']}"
        values = await gateway.sql(f'SELECT "{at["column"]}" AS it FROM "{at["schema"]}"."{at["name"]}"')
        found[where] = [
            value["it"] if isinstance(value["it"], bytes) else str(value["it"]).encode() for value in values
        ]
    return found


async def command(gateway: Gateway, *arguments: str, **changes: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**environment, **gateway.settings(**changes)},
            capture_output=True,
        )

    done = await asyncio.to_thread(run)
    return done.returncode, (done.stdout + done.stderr).decode()


def logs(gateway: Gateway) -> dict[str, str]:
    return {one.log.name: one.log.read_text() for one in gateway.processes if "simulator" not in one.log.name}


def tells(text: bytes) -> bool:
    return OURS.clean(text) is not text


async def test_no_secret_is_told_by_any_route(hostile: Gateway, client: httpx.AsyncClient) -> None:
    rules = list(plant(UPSTREAM_KEY))
    slugs = sorted({rule["slug"] for rule in rules if "slug" in rule})
    assert len(rules) >= 40
    unknown = {"place-id", "place-trouble", "place-redirect"}
    await told_to_be_short(hostile, slugs)
    async with hostile.faults(*rules):
        jobs = dict(zip(slugs, [await submitted(client, slug) for slug in slugs], strict=True))
        sync = await client.post("/v1/sim-images", json={})
        for slug, job in jobs.items():
            if slug not in unknown:
                await ended(client, job)

        async def all_sent() -> bool:
            [row] = await hostile.sql("SELECT count(*) AS queued FROM jobs WHERE state IN ('queued', 'sending')")
            return bool(row["queued"] == 0)

        await eventually(all_sent)
    assert sync.status_code == 200
    assert not tells(sync.content + repr(sync.headers.raw).encode())
    assert not any(map(tells, await answers(client, list(jobs.values()))))

    completed = (await client.get(f"/v2/requests/{jobs['way-1-completed']}")).json()
    assert completed["output"] == {"deep": ["***", {"***": 100.0}]}
    assert completed["metrics"]["x"] == "***"
    error = (await client.get(f"/v2/requests/{jobs['way-0-error']}/status")).json()
    assert (error["error"], error["code"]) == ("invalid api key ***", "upstream_rejected")
    states = {row["model"]: row["state"] for row in await hostile.sql("SELECT model, state FROM jobs")}
    assert states["place-id"] == "unknown", "an id that we may not keep cannot be asked for"

    async with hostile.faults(
        {"match": "submit", "slug": "place-account", "fault": "answer", "status": 401, "error": UPSTREAM_KEY}
    ):
        await submitted(client, "place-account")

        async def paused() -> bool:
            [row] = await hostile.sql("SELECT paused_detail FROM ops.upstream_now")
            return bool(row["paused_detail"])

        await eventually(paused)
    await hostile.sql("UPDATE upstream_state SET paused_until = now(), pauses = 0")

    kept = await rows(hostile)
    assert {"public.job_results.body", "public.models.disabled_reason", "ops.upstream_now.paused_detail"} <= kept.keys()
    assert {where: len(list(filter(tells, values))) for where, values in kept.items() if any(map(tells, values))} == {}
    assert {name: [line for line in text.splitlines() if tells(line.encode())] for name, text in logs(hostile).items()
            if tells(text.encode())} == {}  # fmt: skip
    for arguments in (("doctor",), ("model", "list"), ("job", "show", jobs["way-0-failed"])):
        for form in ((), ("--json",)) if arguments[0] == "job" else ((),):
            _, printed = await command(hostile, *arguments, *form)
            assert not tells(printed.encode()), arguments
            assert not {"\x1b", "\x9b", "\x07", "\r", "\u2028", "\u202e"} & set(printed)
            assert "\nevents  forged" not in printed

    [audited] = await hostile.sql("SELECT count(*) AS it FROM audit WHERE action = 'job.read_original'")
    code, original = await command(hostile, "job", "show", jobs["way-0-error"], "--original")
    assert (code, original) == (0, f'{{"error":"invalid api key {UPSTREAM_KEY}"}}\n')
    [row] = await hostile.sql("SELECT operator, target FROM audit WHERE action = 'job.read_original'")
    assert audited["it"] == 0
    assert row["target"] == jobs["way-0-error"]
    assert row["operator"].startswith("command line: ")
    code, none = await command(hostile, "job", "show", jobs["way-0-completed"], "--original")
    assert code == 1
    assert "in full" in none


async def test_no_balance_is_told(hostile: Gateway, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=hostile.upstream_url, timeout=60) as control:
        await control.patch("/_simulator/config", json={"credits_micros": 98_765_499_123_456})
    told = await ended(client, await submitted(client, "sim-text"))
    assert told["status"] == "COMPLETED"

    async def noted() -> str | None:
        found = await hostile.sql(
            "SELECT max(micro) AS micro FROM upstream_balances WHERE micro > 98765 * 10::bigint ^ 9"
        )
        return None if found[0]["micro"] is None else f"{found[0]['micro'] / 1_000_000:.6f}"

    amount = await eventually(noted)
    whole = amount.partition(".")[0]  # in all spellings; fewer digits are found in ids and instants, too
    assert len(whole) == 8
    rules = list(balances(amount))
    await told_to_be_short(hostile, [rule["slug"] for rule in rules])
    async with hostile.faults(*rules):
        jobs = [await submitted(client, rule["slug"]) for rule in rules]
        shown = [await ended(client, job) for job in jobs]
    assert all("1024.5" in job["error"]["message"] for job in shown)
    every = b"\n".join(await answers(client, jobs)).decode()
    for text in (every, *logs(hostile).values()):
        assert whole not in text.replace(",", "").replace(" ", "").replace(".", "")
    kept = await rows(hostile)
    for where, values in kept.items():
        if where != "public.job_results.body":  # metrics.remaining_credits, which is rewritten wherever it is shown
            assert not [one for one in values if whole.encode() in one.replace(b",", b"").replace(b" ", b"")], where
    errors = await hostile.sql("SELECT body FROM job_results JOIN jobs ON id = job_id WHERE model LIKE 'money-%'")
    assert not [row["body"] for row in errors if whole.encode() in row["body"].replace(b",", b"").replace(b" ", b"")]
    code, original = await command(hostile, "job", "show", jobs[0], "--original")
    assert code == 0
    assert amount in original
    code, moved = await command(hostile, "reencrypt", "--json", SECRET_KEY=f"{NEW},{SECRET}")
    assert code == 0, moved
    assert json.loads(moved)["moved_original_errors"] == json.loads(moved)["original_errors"] >= len(rules)
    code, original = await command(hostile, "job", "show", jobs[0], "--original", SECRET_KEY=NEW)
    assert code == 0
    assert amount in original
    code, refused = await command(hostile, "job", "show", jobs[0], "--original")
    assert code == 1
    assert "WAYSTATION_SECRET_KEY: none of its keys decrypts original error" in refused
