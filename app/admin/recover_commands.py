"""`waystation recover`: after a restored or failed-over database."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.core.terminal import DATA_DIR, AsJson, DataDir, operator_here, say_all

if TYPE_CHECKING:
    from app.core.db import Database


def register(app: typer.Typer) -> None:
    """Add it to the root."""
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

    Pauses submits; queued and half-sent jobs become unknown, until `job resolve` or their time limit; running ones go on.
    """
    from app.core.clock import parse_instant
    from app.core.errors import Malformed

    try:
        bound = None if since is None else parse_instant(since)
    except ValueError as error:
        raise Malformed(f"--since: {error}") from None
    told = asyncio.run(_recover(data_dir, bound, stay_paused))
    lines = [
        f"{told['queued']} queued jobs may have been sent since: unknown now",
        f"{told['sending']} jobs were being sent: unknown now",
        f"{told['running']} running jobs go on",
        f"{told['left_queued']} jobs stay queued, {told['left_unknown']} are unknown in all: see `waystation job resolve`",
        f"submits are paused, by {told['paused_by']}: `waystation resume`" if told["paused_by"] else "submits go on",
    ]
    say_all("\n".join(lines), value=told, as_json=as_json)


async def _recover(data_dir: Path, since: datetime | None, stay_paused: bool) -> dict[str, Any]:
    from app.admin.operations import record_audit
    from app.core.clock import rfc3339
    from app.core.local import find_unknown_max_seconds, opened, ring
    from app.jobs.recover import begin_recovery, count_left, end_recovery

    unknown_max_seconds = find_unknown_max_seconds()
    async with opened(data_dir) as database:
        async with database.transaction() as session:
            pause, now = await begin_recovery(session)
            asked = {"since": since, "stay_paused": stay_paused}
            await record_audit(session, by=operator_here(), action="database.recover", detail=asked)
        before = now if since is None else min(since, now)
        told: dict[str, Any] = {"before": rfc3339(before)}
        told |= await _forget(database, before, unknown_max_seconds)
        async with database.snapshot() as snapshot:
            left = await count_left(snapshot)
        told |= {"left_queued": left.queued, "left_unknown": left.unknown, "paused_by": pause.paused_by}
        if not stay_paused:
            async with database.transaction() as session:
                stays = await end_recovery(session)
            told["paused_by"] = None if stays is None else stays.paused_by
    await ring(data_dir, "dispatch", "poll")
    return told


async def _forget(database: "Database", before: datetime, unknown_max_seconds: float) -> dict[str, int]:
    """Step by step, each a transaction of its own; gives how many jobs were sending, queued and running."""
    from app.core.ids import new_id
    from app.jobs.recover import forget_queued, forget_sending, free_running

    sending = queued = running = 0
    worker, last = new_id(), UUID(int=0)
    while True:
        async with database.transaction() as session:
            moved = await forget_sending(session, before=before, unknown_max_seconds=unknown_max_seconds)
            sending += moved
            if moved:
                continue
            moved = await forget_queued(session, before=before, worker=worker, unknown_max_seconds=unknown_max_seconds)
            queued += moved
            freed = [] if moved else await free_running(session, before=before, after=last)
            running += len(freed)
        if not moved and not freed:
            return {"queued": queued, "sending": sending, "running": running}
        last = freed[0] if freed else last
