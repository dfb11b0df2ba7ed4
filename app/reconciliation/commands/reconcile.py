"""`waystation reconcile`: compare our tables with each other and with the upstream, now."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, progress, say, say_all, table, whoami
from app.core.escapes import one_line

if TYPE_CHECKING:
    from app.core.commands.local import UpstreamAccess
    from app.core.database.db import Database
    from app.reconciliation.tasks.run import Report

WINDOW = timedelta(days=1)
WINDOW_MAX = timedelta(days=400)
"""The history is read for every day of the window."""
_BEGINNING = datetime.min.replace(tzinfo=UTC)
SHOWN_MAX = 50


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(reconcile)


def reconcile(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", help="Compare requests at or after this time, RFC 3339. Default: a day before --until."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="Compare requests before this time; requests younger than HISTORY_SETTLE_SECONDS are left out.",
        ),
    ] = None,
    accept: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Compare nothing; mark an open discrepancy as resolved."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="With --accept: the cause that you found.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Compare balances with transfers, recorded costs with the company's credits, and requests with the upstream's history.

    Exits 0 only if everything could be read and nothing differs. Differences are in ops.discrepancies, with their jobs.
    """
    if (accept is None) != (not note):
        from app.core.errors import Malformed

        raise Malformed("expected --accept and --note together: the note is kept with the discrepancy")
    if accept is not None and note:
        asyncio.run(_accept(data_dir, accept, note))
        say(f"discrepancy {accept} is marked as resolved", value={"number": accept, "note": note}, as_json=as_json)
        return
    reports, differing = asyncio.run(_reconcile(data_dir, _instant("--since", since), _instant("--until", until)))
    last = reports[-1]
    say_all("\n".join(_lines(reports, differing)), value=_value(reports, differing), as_json=as_json)
    raise typer.Exit(0 if last.result == "agrees" else 1)


def _instant(name: str, text: str | None) -> datetime | None:
    from app.core.clock import parse_instant
    from app.core.errors import Malformed

    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise Malformed(f"{name}: {error}") from None


async def _accept(data_dir: Path, number: int, note: str) -> None:
    from app.audit.operations import record_audit
    from app.core.commands.local import opened
    from app.reconciliation.operations import accept

    async with opened(data_dir) as database, database.transaction() as session:
        row = await accept(session, number=number, note=note)
        await record_audit(
            session, by=operator_here(), action="discrepancy.accept", target=str(number), tenant_id=row.tenant_id,
            detail={"kind": row.kind, "subject": row.subject, "note": note},
        )  # fmt: skip


async def _reconcile(
    data_dir: Path, since: datetime | None, until: datetime | None
) -> tuple[list["Report"], list[dict[str, Any]]]:
    from app.core.commands.local import find_history_settle_seconds, find_upstream, opened
    from app.jobs.queries import read_clock
    from app.reconciliation.queries import list_shown
    from app.reconciliation.tasks.daily import STATEMENT_SECONDS

    upstream, settle_seconds = find_upstream(data_dir), find_history_settle_seconds()
    async with opened(data_dir, statement_seconds=STATEMENT_SECONDS) as database:
        async with database.snapshot() as snapshot:
            now = await read_clock(snapshot)
        settled = now - timedelta(seconds=settle_seconds)
        since, until = _window(since, until, settled=settled)
        reports = await _run(database, upstream, since, until)
        async with database.snapshot() as snapshot:
            return reports, await list_shown(snapshot, limit=SHOWN_MAX)


def _window(since: datetime | None, until: datetime | None, *, settled: datetime) -> tuple[datetime, datetime]:
    """Return the window, which ends at `settled` at the latest. Raises Malformed."""
    from app.core.clock import rfc3339
    from app.core.errors import Malformed

    last = settled if until is None else min(until, settled)
    first = max(last, _BEGINNING + WINDOW) - WINDOW if since is None else since
    if first >= last:
        raise Malformed(f"--since: expected a time before {last:%Y-%m-%dT%H:%M:%SZ}: younger requests are not compared")
    if last - first > WINDOW_MAX:
        example = rfc3339(last - WINDOW)
        raise Malformed(f"--since: expected a time at most {WINDOW_MAX.days} days before the end, such as {example}")
    return first, last


async def _run(database: "Database", upstream: "UpstreamAccess", since: datetime, until: datetime) -> list["Report"]:
    """Run reconciliations until the whole window has been read."""
    from app.reconciliation.models import Result
    from app.reconciliation.runs import begin
    from app.reconciliation.tasks.run import Reconciler
    from app.upstream.account import AccountClient
    from app.upstream.history import HistoryClient

    url, key, proxy = upstream.history_url, upstream.api_key, upstream.proxy
    account = AccountClient(url=upstream.url, api_key=key, proxy=proxy)
    history = HistoryClient(url=url, api_key=key, proxy=proxy) if url else None
    reconciler = Reconciler(database=database, account=account, history=history, say=progress)
    reports: list[Report] = []
    try:
        while not reports or reports[-1].result is Result.CUT:
            if reports:
                since = reports[-1].tally.read_until or until
            async with database.transaction() as session:
                run = await begin(session, asked_by=whoami(), since=since, until=until)
            reports.append(await reconciler.reconcile(run))
    finally:
        await account.close()
        if history is not None:
            await history.close()
    return reports


def _lines(reports: list["Report"], differing: list[dict[str, Any]]) -> list[str]:
    from app.core.credits import show_credits

    last = reports[-1]
    tallies = [report.tally for report in reports]
    lines = [
        f"{sum(tally.compared for tally in tallies):,} requests compared,"
        f" {sum(tally.filled for tally in tallies):,} costs filled in, {show_credits(sum(tally.adjusted_micro for tally in tallies))}"
        " credits returned to tenants for them",
    ]
    if sum(tally.topped_up_micro for tally in tallies):
        lines.append(f"credits added at the upstream: {show_credits(sum(tally.topped_up_micro for tally in tallies))}")
    if last.detail:
        lines.append(f"not read: {one_line(last.detail)}")
    if tallies[-1].read_until is None:
        lines.append("requests were not compared with the upstream's history")
    if differing:
        heads = ("NUMBER", "KIND", "JOB", "TENANT", "UPSTREAM ID", "OURS", "THEIRS")
        rows = [
            [
                str(discrepancy["number"]),
                discrepancy["kind"],
                *(discrepancy[name] or "-" for name in ("job", "tenant", "upstream_id", "ours", "theirs")),
            ]
            for discrepancy in differing
        ]
        lines.append(table(heads, rows))
    lines.append(f"{last.open:,} open: see ops.discrepancies" if last.open else "no differences")
    return lines


def _value(reports: list["Report"], differing: list[dict[str, Any]]) -> dict[str, Any]:
    from app.core.clock import rfc3339
    from app.core.credits import show_credits

    return {
        "result": reports[-1].result,
        "open": reports[-1].open,
        "runs": [
            {
                "id": report.run.id,
                "since": rfc3339(report.run.since),
                "until": rfc3339(report.run.until),
                "read_until": rfc3339(report.tally.read_until),
                "result": report.result,
                "detail": report.detail,
                "history_rows": report.tally.history_rows,
                "skipped": report.tally.skipped,
                "compared": report.tally.compared,
                "filled": report.tally.filled,
                "adjusted": show_credits(report.tally.adjusted_micro),
                "topped_up": show_credits(report.tally.topped_up_micro),
                "found": report.tally.found,
                "settled": report.tally.settled,
            }
            for report in reports
        ],
        "discrepancies": differing,
    }
