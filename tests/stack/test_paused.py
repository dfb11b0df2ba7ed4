"""`waystation up --paused`, as a person starts it: what is submitted waits until `waystation resume`."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.stack.files import read_json
from tests.command import COLD, ROOT, environment, run
from tests.conftest import NewDatabase
from tests.gateway import eventually


@pytest.mark.slow
async def test_nothing_is_sent_until_it_is_resumed(new_database: NewDatabase, redis_url: str, tmp_path: Path) -> None:
    url, ready, output = await new_database(), tmp_path / "ready.json", tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*COLD, "up", "--paused", "--port", "0", "--data-dir", str(tmp_path / "data"), "--ready-file", str(ready)],
            cwd=ROOT, env=environment({"DATABASE_URL": url, "REDIS_URL": redis_url}), stdout=file, stderr=file,
        )  # fmt: skip
    owner = await asyncpg.connect(url)
    try:

        async def healthy() -> dict[str, Any] | None:
            assert process.poll() is None, output.read_text()
            return read_json(ready)

        found = await eventually(healthy, seconds=120)
        async with httpx.AsyncClient(base_url=found["url"], headers={"x-api-key": found["api_key"]}) as client:
            answer = await client.post("/v2/sim-instant", json={"prompt": "x"})
        assert answer.status_code == 200, answer.text
        # a worker that was there before it has lived on; without the pause it would have been sent within milliseconds
        lived_on = (
            "SELECT FROM processes, jobs WHERE kind = 'worker' AND processes.started_at < created_at"
            " AND beat_at > created_at + interval '2 s'"
        )
        await eventually(lambda: owner.fetchval(f"SELECT EXISTS ({lived_on})"), seconds=60)
        assert "Nothing is sent to the upstream until `waystation resume`." in output.read_text()
        assert await owner.fetchval("SELECT count(*) FROM attempts") == 0
        done = await asyncio.to_thread(run, "resume", DATABASE_URL=url, REDIS_URL=redis_url)
        assert done.returncode == 0, done.stderr
        ended = "SELECT state FROM jobs WHERE finished_at IS NOT NULL"
        assert await eventually(lambda: owner.fetchval(ended), seconds=60) == "completed"
    finally:
        await owner.close()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
