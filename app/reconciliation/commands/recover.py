"""`waystation recover`: after a restore or failover of the database."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, progress, say_all

if TYPE_CHECKING:
    from app.upstream.history import HistoryClient


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(recover)


def recover(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="The restore point, RFC 3339: only jobs accepted before it may have been sent. Default: all jobs.",
        ),
    ] = None,
    stay_paused: Annotated[
        bool, typer.Option("--stay-paused", help="Leave submits paused until `waystation resume`.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Run this after a restore or failover of the database: it makes sure that no job is sent twice.

    Jobs that were queued or being sent become unknown. They are compared with the upstream's request history as soon as it is
    complete (HISTORY_SETTLE_SECONDS): jobs found there continue, the others are queued again. A job that cannot be decided
    stays unknown until `job resolve` or its time limit. Running jobs continue. At the end, submits are resumed.
    """
    from app.core.clock import parse_instant
    from app.core.errors import Malformed

    try:
        bound = None if since is None else parse_instant(since)
    except ValueError as error:
        raise Malformed(f"--since: {error}") from None
    told = asyncio.run(_recover(data_dir, bound, stay_paused))
    say_all("\n".join(_lines(told)), value=told, as_json=as_json)


def _lines(told: dict[str, Any]) -> list[str]:
    """Return the result as lines for people."""
    lines = [
        f"{told['queued']} queued jobs may have been sent since then: now unknown",
        f"{told['sending']} jobs were being sent: now unknown",
        f"{told['running']} running jobs continue",
    ]
    if told["unread"] is None:
        lines += [
            f"{told['adopted']} of them are in the upstream's history: now running; {told['requeued']} were not sent: queued again",
            f"{told['orphans']} requests in the lost time belong to no job: see ops.discrepancies",
        ]
    else:
        lines.append(f"the upstream's history could not be read ({told['unread']}): run `waystation reconcile` later")
    return [
        *lines,
        f"{told['left_queued']} jobs stay queued, {told['left_unknown']} jobs are unknown in total: see `waystation job resolve`",
        f"submits are still paused by {told['paused_by']}: run `waystation resume`"
        if told["paused_by"]
        else "submits are resumed",
    ]


async def _recover(data_dir: Path, since: datetime | None, stay_paused: bool) -> dict[str, Any]:
    from app.core.clock import rfc3339
    from app.core.commands.local import find_history_settle_seconds, find_unknown_max_seconds, opened, ring
    from app.reconciliation.tasks.recovery import Recovery

    unknown_max_seconds, settle_seconds = find_unknown_max_seconds(), find_history_settle_seconds()
    history, unread = _history(data_dir)
    try:
        async with opened(data_dir) as database:
            recovery = Recovery(
                database=database,
                history=history,
                settle_seconds=settle_seconds,
                unknown_max_seconds=unknown_max_seconds,
                unread=unread,
                say=progress,
            )
            told = await recovery.recover(since=since, stay_paused=stay_paused, by=operator_here())
    finally:
        if history is not None:
            await history.close()
    await ring(data_dir, "dispatch", "poll")
    return told.value() | {"before": rfc3339(told.before)}


def _history(data_dir: Path) -> "tuple[HistoryClient | None, str]":
    """Return a client for the upstream's history; or None, and why there is none."""
    from app.core.commands.local import find_upstream
    from app.core.config.setting_files import SettingsError
    from app.upstream.history import HistoryClient

    try:
        access = find_upstream(data_dir)
    except SettingsError as error:
        return None, str(error)
    if not access.history_url:
        return None, "WAYSTATION_UPSTREAM_HISTORY_URL is empty"
    return HistoryClient(url=access.history_url, api_key=access.api_key, proxy=access.proxy), ""
