"""`waystation job …`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say, say_all

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from app.jobs.admin.story import Story
    from app.jobs.models import State

jobs = typer.Typer(help="Show a job, and decide on an unknown submission.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="job_… id, or a UUID")]


@jobs.command("show")
def show_job(
    job: JobId,
    original: Annotated[
        bool,
        typer.Option(
            "--original",
            help="Print the upstream's original error, with the secrets and balances in it; written to the audit log.",
        ),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Show one job: its fields, events, attempts, exchanges with the upstream, and late upstream ids."""
    if original:
        _show_original(_job_id(job), as_json, data_dir)
        return
    from app.core.commands.local import opened
    from app.jobs.admin.schemas import JobStory
    from app.jobs.admin.show import shown
    from app.jobs.admin.story import get_story

    job_id = _job_id(job)

    async def run() -> "Story":
        async with opened(data_dir) as database, database.snapshot() as session:
            return await get_story(session, job_id=job_id)

    story = JobStory.of(asyncio.run(run()))
    say_all(shown(story), value=story.model_dump(mode="json"), as_json=as_json)


def _show_original(job_id: "UUID", as_json: bool, data_dir: "Path") -> None:
    from app.admin.actions.incidents import read_original
    from app.core.commands.local import find_secrets, opened
    from app.core.config.setting_files import SettingsError
    from app.core.database.vault import SecretUnreadable
    from app.core.ids import show_id
    from app.jobs.admin.originals import OriginalsVault

    async def run() -> bytes:
        vault = OriginalsVault(find_secrets(data_dir))
        async with opened(data_dir) as database, database.transaction() as session:
            return await read_original(session, by=operator_here(), job_id=job_id, vault=vault)

    try:
        text = asyncio.run(run()).decode("utf-8", "backslashreplace")
    except SecretUnreadable as error:
        raise SettingsError(f"WAYSTATION_SECRET_KEY: none of its keys decrypts {error}") from None
    say(text, value={"id": show_id("job", job_id), "original": text}, as_json=as_json)


@jobs.command("resolve")
def resolve_job(
    job: JobId,
    adopt: Annotated[
        str | None,
        typer.Option(metavar="UPSTREAM_ID", help="The submission arrived: the job's request id at the upstream."),
    ] = None,
    release: Annotated[
        bool,
        typer.Option(
            "--release",
            help="The submission did not arrive: the job becomes FAILED submission_unknown and is not charged.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Adopt a request that the upstream's history cannot confirm.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Decide whether an unknown submission arrived. A request to adopt is looked up in the upstream's history first.

    The job is not sent again in either case. The tenant may submit a new one.
    """
    from app.admin.actions.incidents import resolve
    from app.admin.commands.history_here import history_here
    from app.core.commands.local import opened, ring
    from app.core.ids import show_id
    from app.jobs.admin.resolve import checked_upstream_id
    from app.jobs.admin.schemas import JobResolved
    from app.jobs.models import STATUS
    from app.resolution.checking import confirm_request

    if (adopt is None) == (not release):
        raise typer.BadParameter("expected either --adopt UPSTREAM_ID or --release")
    job_id = _job_id(job)

    async def run() -> "State":
        async with opened(data_dir) as database:
            if adopt is not None:
                upstream_id = checked_upstream_id(adopt)
                async with history_here(data_dir) as history:
                    await confirm_request(database, history, job_id=job_id, upstream_id=upstream_id, force=force)
            async with database.transaction() as session:
                state = await resolve(session, by=operator_here(), job_id=job_id, adopt=adopt, force=force)
        if adopt is not None:
            await ring(data_dir, "poll")
        else:
            await ring(data_dir, ended=[job_id])
        return state

    state = asyncio.run(run())
    told = JobResolved(id=show_id("job", job_id), status=STATUS[state], state=state)
    line = (
        f"job {told.id} is running, with the upstream id {adopt}" if adopt is not None else f"job {told.id} is {state}"
    )
    say(line, value=told.model_dump(mode="json"), as_json=as_json)


def _job_id(text: str) -> "UUID":
    from app.admin.names import parse_id

    return parse_id("job", text)
