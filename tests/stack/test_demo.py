"""The demo, as somebody sees it who has just installed us."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
async def test_it_shows_the_job_and_what_it_cost(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "demo", "--speed", "100",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=tmp_path,
    )  # fmt: skip
    told = (await asyncio.wait_for(process.communicate(), 100))[0].decode()
    assert process.returncode == 0, told
    assert '"status": "COMPLETED"' in told
    _, _, ledger = told.partition("GET /api/v1/ledger?job=job_")
    lines = re.findall(r"Z  (\w+) +(\d+\.\d{6})\n", ledger)
    assert [kind for kind, _ in lines] == ["hold", "post"]
    assert 0 < float(lines[1][1]) <= float(lines[0][1])
    left = re.search(r"available now: (\d+\.\d{6}) credits", ledger)
    assert left is not None
    assert float(left[1]) == pytest.approx(1000 - float(lines[1][1]))
