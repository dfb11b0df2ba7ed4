"""A running gateway's books against its upstream's, by the command, while jobs of all kinds have gone through."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.gateway import UPSTREAM_KEY, Gateway, ended, running_gateway


async def reconciled(gateway: Gateway, tmp_path: Path) -> tuple[int, dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app.cli", "reconcile", "--json"],
        env={
            **environment,
            **gateway.settings(HISTORY_SETTLE_SECONDS="0", UPSTREAM_HISTORY_URL=gateway.upstream_url),
            "PYTHONPATH": os.getcwd(),
        },
        capture_output=True,
        cwd=tmp_path,
        timeout=100,
    )
    assert done.stdout, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


@pytest.mark.slow
async def test_books_of_a_running_gateway(new_database: NewDatabase, redis_url: str, tmp_path: Path) -> None:
    async with running_gateway(
        database_url=await new_database(), redis_url=redis_url, directory=tmp_path, apis=1
    ) as gateway:
        tenant = await gateway.tenant()
        code, told = await reconciled(gateway, tmp_path)
        assert (code, told["result"]) == (0, "agrees")
        async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=40) as client:
            slugs = ["sim-instant", "sim-images", "sim-fail", "sim-text"] * 5
            shown = [
                (await client.post(f"/v2/{slug}", json={"n": n})).json()["request_id"] for n, slug in enumerate(slugs)
            ]
            for job_id in shown:
                await ended(client, job_id)
        code, told = await reconciled(gateway, tmp_path)
        assert (code, told["result"], told["discrepancies"]) == (0, "agrees", []), told
        [run] = told["runs"]
        assert (run["compared"], run["history_rows"]) == (20, 30)
        async with httpx.AsyncClient(
            base_url=gateway.upstream_url, headers={"x-api-key": UPSTREAM_KEY}, timeout=60
        ) as upstream:
            stranger = (await upstream.post("/v2/sim-instant", json={"who": "knows"})).json()["request_id"]
        code, told = await reconciled(gateway, tmp_path)
        assert (code, told["result"]) == (1, "differs")
        assert [(one["kind"], one["upstream_id"]) for one in told["discrepancies"]] == [("not_ours", stranger)]
