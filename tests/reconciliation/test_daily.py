"""Who carries a reconciliation out, and when: one process, daily, and on demand by the command."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.core.config.settings import Settings, load_settings
from app.core.errors import Malformed, WrongConnection
from app.reconciliation.models import Result
from app.reconciliation.runs import ReconciliationRunning, RunLost, begin_due, hold_run
from app.reconciliation.tasks.daily import DailyReconciliation
from tests.reconciliation.books import KEY, Books

SECRET = "s" * 32


def settings(books: Books, url: str, **given: Any) -> Settings:
    return load_settings(
        database_url=url, redis_url="redis://127.0.0.1:1", public_url="http://127.0.0.1:1", secret_key=SECRET,
        upstream_url=books.sim.url, upstream_history_url=books.sim.url, upstream_api_key=KEY,
        **{"history_settle_seconds": 0} | given,
    )  # fmt: skip


async def results(books: Books) -> list[str]:
    return [row["result"] for row in await books.rows("SELECT result FROM ops.reconciliations ORDER BY 1")]


async def test_one_of_many_workers_does_it_once_a_day(books: Books, url: str) -> None:
    await books.run()
    workers = [DailyReconciliation(settings(books, url)) for _ in range(4)]
    assert sorted(await asyncio.gather(*(worker.look() for worker in workers))) == [False, False, False, True]
    assert await workers[0].look() is False
    [row] = await books.rows("SELECT * FROM reconciliations")
    assert (row["asked_by"], row["result"], row["compared"]) == (None, "agrees", 1)
    await books.change("UPDATE reconciliations SET started_at = now() - interval '1 day 1 minute'")
    assert await workers[1].look() is True
    first, second = await books.rows("SELECT * FROM reconciliations ORDER BY id")
    assert second["since"] == first["read_until"] - timedelta(days=1), "rows land late"


async def test_a_cut_one_is_gone_on_with_and_a_failed_one_tried_again(books: Books, url: str) -> None:
    worker = DailyReconciliation(settings(books, url))
    await worker.look()
    await books.change("UPDATE reconciliations SET result = 'cut', read_until = since + interval '1 hour'")
    assert await worker.look() is True
    first, second = await books.rows("SELECT * FROM reconciliations ORDER BY id")
    assert second["since"] == first["read_until"]
    await books.change(
        "UPDATE reconciliations SET result = 'incomplete', read_until = NULL WHERE id = $1", second["id"]
    )
    assert await worker.look() is False
    await books.change("UPDATE reconciliations SET finished_at = now() - interval '16 minutes'")
    assert await worker.look() is True
    [third] = await books.rows("SELECT * FROM reconciliations ORDER BY id DESC LIMIT 1")
    assert third["since"] == first["read_until"] - timedelta(days=1), "what was not read counts not"


async def test_a_run_whose_process_died_is_closed_and_changes_nothing_more(books: Books) -> None:
    run = await books.begin()
    with pytest.raises(ReconciliationRunning):
        await books.begin()
    async with books.database.transaction() as session:
        assert await begin_due(session, settle_seconds=0) is None
    await books.change("UPDATE reconciliations SET lease_until = now() - interval '1 second'")
    assert (await books.reconcile()).result is Result.AGREES
    assert await results(books) == ["abandoned", "agrees"]
    with pytest.raises(RunLost):
        async with books.database.transaction() as session:
            await hold_run(session, run=run)


async def reconciled(books: Books, url: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    for name, value in {
        "DATABASE_URL": url, "UPSTREAM_URL": books.sim.url, "UPSTREAM_HISTORY_URL": books.sim.url,
        "UPSTREAM_API_KEY": KEY, "HISTORY_SETTLE_SECONDS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"WAYSTATION_{name}", value)
    return await asyncio.to_thread(CliRunner().invoke, app, ["reconcile", *arguments])


async def test_the_command(books: Books, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, upstream_id = await books.run()
    told = await reconciled(books, url, monkeypatch)
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "no differences"), told.output
    assert "1 requests compared" in told.stdout
    await books.change("UPDATE jobs SET cost_micro = 1 WHERE id = $1", job_id)
    told = await reconciled(books, url, monkeypatch, "--json")
    assert told.exit_code == 1
    value = json.loads(told.stdout)
    assert (value["result"], value["open"], value["runs"][0]["compared"]) == ("differs", 1, 1)
    [one] = value["discrepancies"]
    assert (one["kind"], one["job"], one["upstream_id"]) == ("cost", f"job_{job_id.hex}", upstream_id)
    assert one["ours"] == "0.000001"
    told = await reconciled(books, url, monkeypatch)
    assert f"job_{job_id.hex}" in told.stdout


async def test_a_discrepancy_that_somebody_has_seen_to(books: Books, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told no more, unless its amounts change; the audit log names who."""
    job_id, upstream_id = await books.run()
    await books.send(body=b'{"prompt":"a dog"}')
    await books.change("UPDATE jobs SET cost_micro = 1 WHERE id = $1", job_id)
    told = json.loads((await reconciled(books, url, monkeypatch, "--json")).stdout)
    assert told["open"] == 2
    for one in told["discrepancies"]:
        said = await reconciled(books, url, monkeypatch, "--accept", str(one["number"]), "--note", "ours, by hand")
        assert said.exit_code == 0, said.output
    assert (await reconciled(books, url, monkeypatch)).exit_code == 0
    [view] = await books.rows("SELECT DISTINCT accepted_note FROM ops.discrepancies WHERE accepted_at IS NOT NULL")
    assert view["accepted_note"] == "ours, by hand"
    audit = await books.rows("SELECT action, detail FROM audit ORDER BY id")
    assert {row["detail"]["kind"] for row in audit if row["action"] == "discrepancy.accept"} == {"cost", "not_ours"}
    await books.change("UPDATE jobs SET cost_micro = 2 WHERE id = $1", job_id)
    assert (await reconciled(books, url, monkeypatch)).exit_code == 1
    assert [one["upstream_id"] for one in await books.open()] == [upstream_id]
    for arguments in (("--accept", "7000", "--note", "x"), ("--accept", "1"), ("--note", "x")):
        assert (await reconciled(books, url, monkeypatch, *arguments)).exit_code != 0


async def test_windows_asked_for(books: Books, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await books.run()
    told = await reconciled(
        books, url, monkeypatch, "--json", "--since", "2020-01-01T00:00:00Z", "--until", "2020-03-01T00:00:00Z"
    )
    assert told.exit_code == 0
    [run] = json.loads(told.stdout)["runs"]
    assert (run["since"], run["until"]) == ("2020-01-01T00:00:00.000Z", "2020-03-01T00:00:00.000Z")
    assert (run["compared"], run["history_rows"]) == (0, 0)
    ends = "--until", "2020-03-01T00:00:00Z"
    for arguments in (
        ("--since", "yesterday"),
        ("--since", "2999-01-01T00:00:00Z"),
        ("--since", "2018-01-01T00:00:00Z", *ends),
        ("--since", "0001-01-01T00:00:00Z"),
        ("--until", "0001-01-01T00:00:00Z"),
    ):
        told = await reconciled(books, url, monkeypatch, *arguments)
        assert told.exit_code != 0
        assert isinstance(told.exception, SystemExit | Malformed), told.exception


async def test_a_worker_lives_on_where_the_daily_login_is_refused(books: Books, url: str) -> None:
    """As while a password is changed: the worker's own connections are as good as before."""
    told: list[WrongConnection] = []
    wrong = urlsplit(url)._replace(netloc=f"waystation:wrong@{url.rpartition('@')[2].partition('/')[0]}").geturl()
    assert await DailyReconciliation(settings(books, wrong), on_wrong=told.append).look() is False
    assert told == []
