"""Many warnings in few lines, and outages in two."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.logs import grouped_log
from app.core.logs.grouped_log import IDS_MAX, GroupedLog, Outage
from app.core.logs.log import get_logger
from tests.gateway import eventually

JOBS = [f"job_{number}" for number in range(10_000)]


def ids(lines: Any) -> list[str]:
    return [shown for line in lines for shown in line["job_ids"]]


async def test_the_first_is_logged_at_once_and_the_rest_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_log, "GAP_SECONDS", 0.1)
    log = GroupedLog(get_logger(__name__))
    with capture_logs() as lines:
        for job in JOBS:
            log.warn("job.failed", name="job_ids", ids=[job], code="upstream_failed")
        assert lines[0] == {
            "event": "job.failed", "log_level": "warning", "count": 1, "job_ids": JOBS[:1], "code": "upstream_failed",
        }  # fmt: skip

        def ours() -> list[Any]:
            return [line for line in lines if line["event"] == "job.failed"]  # what else runs here logs, too

        async def all_of_them() -> bool:
            return len(ids(ours())) == len(JOBS)

        await eventually(all_of_them)
        assert ids(ours()) == JOBS, "each once, in order"
        assert len(ours()) == 1 + -(-(len(JOBS) - 1) // IDS_MAX)
        assert max(line["count"] for line in ours()) == IDS_MAX

        async def logged_at_once() -> bool:
            before = len(ours())
            log.warn("job.failed", name="job_ids", ids=["later"], code="upstream_failed")
            return len(ours()) == before + 1

        await eventually(logged_at_once, gap_seconds=0.3)


async def test_what_differs_is_told_apart_and_nothing_waits_when_the_process_ends() -> None:
    log = GroupedLog(get_logger(__name__))
    with capture_logs() as lines:
        for code in ("a", "b"):
            log.warn("job.failed", name="job_ids", ids=[f"{code}1"], code=code)
            log.warn("job.failed", name="job_ids", ids=[f"{code}2"], code=code)
        log.warn("job.failed", name="job_ids", ids=[], code="c")
        assert ids(lines) == ["a1", "b1"]
        log.flush()
        assert ids(lines) == ["a1", "b1", "a2", "b2"]
        log.flush()
        assert len(lines) == 4
        log.warn("job.failed", name="job_ids", ids=JOBS[: IDS_MAX + 1], code="a")
        assert [line["count"] for line in lines[4:]] == [IDS_MAX, 1]


def test_an_outage_is_logged_when_it_begins_and_when_it_is_over() -> None:
    outage = Outage(get_logger(__name__), begun="redis.away", over="redis.back")
    with capture_logs() as lines:
        outage.passed()
        for _ in range(3):
            outage.met(cause="refused")
        outage.passed()
        outage.passed()
        outage.met(cause="again")
    assert [line["event"] for line in lines] == ["redis.away", "redis.back", "redis.away"]
    assert lines[0]["cause"] == "refused"
