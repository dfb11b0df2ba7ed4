"""What a probe learns of upstreams that behave in three ways."""

import json
from typing import Any

import pytest

from app.core.database.db import Database
from app.probe.models import FactName
from app.probe.queries import find_fact, find_probe_ids, list_facts
from app.simulator.surface.serve import RunningSimulator
from tests.probe.conftest import Probe

pytestmark = pytest.mark.slow
INSTANT = "9999-99-99T99:99:99.999Z"


def answers(told: dict[str, Any], call: str) -> dict[str, Any]:
    return {one["of"]: one for one in told["answers"] if one["call"] == call}


async def test_as_the_documentation_says(probe: Probe, database: Database, sim: RunningSimulator) -> None:
    told = await probe("sim-video")
    assert (told["exit_code"], told["outcome"], told["ok"], told["notes"]) == (0, "completed", True, [])
    assert (told["exceeded"], told["max_cost"]) == (False, "0.050000")
    submit = answers(told, "submit")["accepted"]
    assert (submit["code"], submit["shape"]["status"], submit["shape"]["request_id"]) == (200, "QUEUED", "text(32)")
    assert answers(told, "status")["COMPLETED"]["shape"]["metrics"]["remaining_credits"] == "number"
    assert answers(told, "result")["COMPLETED"]["code"] == 200
    assert answers(told, "row")["COMPLETED"]["shape"]["request_body"] == {"prompt": "text(5)"}
    facts = told["facts"]
    assert facts | {
        "status_code_of_completed": 200, "status_code_while_running": 200, "result_code_while_running": 200,
        "result_code_of_completed": 200, "history_shows_pending": True, "history_body_form": "object",
        "history_adds_defaults": False, "history_body_fits": True, "history_instant_form": INSTANT,
        "history_finds_by_id": True, "history_paging_keys": ["page", "per_page", "total"], "history_rows": 1,
    } == facts  # fmt: skip
    assert "polls_are_counted" not in facts
    assert "limit_headers" not in facts
    [upstream_id] = sim.book.charged()
    assert told["upstream_id"] == upstream_id
    async with database.snapshot() as session:
        row = await session.fetchrow("SELECT * FROM probes")
        assert await find_probe_ids(session, upstream_ids=[upstream_id, "another"]) == {upstream_id}
        assert {str(name): fact.value for name, fact in (await list_facts(session)).items()} == facts
        assert await find_fact(session, name=FactName.HISTORY_BODY_FORM) == "object"
        assert await find_fact(session, name=FactName.POLLS_ARE_COUNTED) is None
    assert row is not None
    assert (row["outcome"], row["cost_micro"], row["body"]) == (
        "completed", sim.book.charged()[upstream_id], b'{"prompt":"a cat"}',
    )  # fmt: skip
    assert row["created_at"] <= row["sent_at"] <= row["ended_at"]
    text = json.dumps(told)
    assert "a cat" not in text
    assert "http" not in text, "no URL is shown"


async def test_a_history_that_lags_and_rewrites(probe: Probe, database: Database, sim: RunningSimulator) -> None:
    async with database.statement() as session:
        await session.execute(
            "INSERT INTO models (slug, price_micro, schema) VALUES ('motionctrl-svd', 20000, $1)"
            " ON CONFLICT (slug) DO UPDATE SET price_micro = 20000, cost_micro = NULL, schema = excluded.schema",
            {
                "examples": [
                    {
                        "cond_aug": 0.02,
                        "fps": 7,
                        "input_image": "https://x.test/a.png",
                        "motion": "CW",
                        "motion_bucket_id": 127,
                    }
                ]
            },
        )
    config = sim.config
    config.speed, config.history_lag_seconds, config.history_cost_lag_seconds = 100, 5, 7
    config.history_body, config.history_adds_defaults = "string", True
    told = await probe("motionctrl-svd", "--input-file", "/dev/null")
    assert told["exit_code"] == 1, "an empty file is no input"
    told = await probe("motionctrl-svd", example=True)
    facts = told["facts"]
    assert told["outcome"] == "completed"
    assert facts["history_body_form"] == "string"
    assert (facts["history_adds_defaults"], facts["history_body_fits"]) == (True, True)
    assert "seed" in told["parameters_added"]
    assert facts["history_lag_seconds"] >= 5
    assert facts["history_cost_lag_seconds"] >= 7
    assert facts["history_end_lag_seconds"] <= facts["history_cost_lag_seconds"]
    assert "history_shows_pending" not in facts, "the lag may have hidden it"
    assert told["cost"] is not None


async def test_other_shapes_and_polls_that_count(probe: Probe, sim: RunningSimulator) -> None:
    def poll(number: int, left: int, state: str, code: int = 200) -> dict[str, Any]:
        body = json.dumps({"status": state, "progress": 0.5})
        headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": str(left), "x-remaining-credits": "98765.4321"}
        return {
            "match": "status", "fault": "answer", "nth": number, "status": code, "body": body, "headers": headers,
            "content_type": "application/json",
        }  # fmt: skip

    sim.set_faults(
        poll(1, 57, "QUEUED"),
        # each rule counts only the polls that the rules before it left alone
        poll(1, 56, "PROCESSING"),
        poll(1, 55, "PROCESSING"),
        {"match": "result", "fault": "answer", "nth": 1, "status": 404, "error": "not ready"},
    )
    told = await probe("sim-fail")
    assert (told["exit_code"], told["outcome"]) == (1, "failed")
    assert [one for one in told["notes"] if "FAILED" in one]
    facts = told["facts"]
    assert facts["polls_are_counted"] is True
    assert facts["limit_headers"] == ["x-ratelimit-limit", "x-ratelimit-remaining"]
    assert told["limit_headers"]["x-ratelimit-remaining"] == ["57", "56", "55"]
    assert "98765" not in json.dumps(told), "a balance is no limit"
    assert (facts["result_code_while_running"], facts["result_code_of_failed"]) == (404, 422)
    assert (facts["status_code_of_failed"], facts["status_code_while_running"]) == (422, 200)
    assert answers(told, "status")["PROCESSING"] | {"count": 2} == answers(told, "status")["PROCESSING"]


async def test_polls_that_are_refused_count(probe: Probe, sim: RunningSimulator) -> None:
    sim.config.rpm, sim.config.rate_burst, sim.config.rate_window_seconds = 2, 2, 4.0
    sim.config.rate_counts_polls = True
    told = await probe("sim-video")
    assert (told["outcome"], told["facts"]["polls_are_counted"]) == ("completed", True)
    assert "x-rate-limit-reset-at-utc" in told["facts"]["limit_headers"]
