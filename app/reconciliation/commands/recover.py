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
            help="The restore point, RFC 3339: only jobs accepted before it are in doubt. Without it, all there are.",
        ),
    ] = None,
    stay_paused: Annotated[
        bool, typer.Option("--stay-paused", help="Leave submits paused; `resume` lifts it.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """After the database was restored or failed over: send nothing twice that may have been sent in the time that is lost.

    Queued and half-sent jobs become unknown and are compared with the upstream's request history, once that must know of
    everything (HISTORY_SETTLE_SECONDS): jobs that it knows run on, jobs that it does not know are queued again. What nobody
    can tell stays unknown, until `job resolve` or its time limit. Running jobs go on, and so does sending in the end.
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
        f"{told['queued']} queued jobs may have been sent since: unknown now",
        f"{told['sending']} jobs were being sent: unknown now",
        f"{told['running']} running jobs go on",
    ]
    if told["unread"] is None:
        lines += [
            f"the upstream's history knows {told['adopted']} of them: they run on; {told['requeued']} were never sent: queued",
            f"{told['orphans']} requests of the lost time belong to no job: see ops.discrepancies",
        ]
    else:
        lines.append(f"the upstream's history could not be asked ({told['unread']}): see `waystation reconcile`, later")
    return [
        *lines,
        f"{told['left_queued']} jobs stay queued, {told['left_unknown']} are unknown in all: see `waystation job resolve`",
        f"submits are paused, by {told['paused_by']}: `waystation resume`" if told["paused_by"] else "submits go on",
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
