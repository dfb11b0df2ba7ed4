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

jobs = typer.Typer(help="One job, as an operator sees it.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="job_… id, or a UUID")]


@jobs.command("show")
def show_job(
    job: JobId,
    original: Annotated[
        bool,
        typer.Option(
            "--original", help="Print the upstream's error as it came instead, secrets and balances in it; audited."
        ),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Show one job's whole story: its fields, events, attempts, exchanges with the upstream, and late ids."""
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
        raise SettingsError(f"WAYSTATION_SECRET_KEY: none of its keys opens {error}") from None
    say(text, value={"id": show_id("job", job_id), "original": text}, as_json=as_json)


@jobs.command("resolve")
def resolve_job(
    job: JobId,
    adopt: Annotated[
        str | None,
        typer.Option(metavar="UPSTREAM_ID", help="It arrived: the upstream's request of this id is the job's."),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="It never started: FAILED submission_unknown, free of charge.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Decide on a submission of which nobody could say whether it arrived; look at the upstream's own list first.

    Either way the job is not sent again: nobody guesses here. The tenant may submit a new one.
    """
    from app.admin.actions.incidents import resolve
    from app.core.commands.local import opened, ring
    from app.core.ids import show_id
    from app.jobs.admin.schemas import JobResolved
    from app.jobs.models import STATUS

    if (adopt is None) == (not release):
        raise typer.BadParameter("say either --adopt UPSTREAM_ID or --release")
    job_id = _job_id(job)

    async def run() -> "State":
        async with opened(data_dir) as database, database.transaction() as session:
            state = await resolve(session, by=operator_here(), job_id=job_id, adopt=adopt)
        if adopt is not None:
            await ring(data_dir, "poll")
        else:
            await ring(data_dir, ended=[job_id])
        return state

    state = asyncio.run(run())
    told = JobResolved(id=show_id("job", job_id), status=STATUS[state], state=state)
    line = f"job {told.id} runs upstream as {adopt}" if adopt is not None else f"job {told.id} is {state}"
    say(line, value=told.model_dump(mode="json"), as_json=as_json)


def _job_id(text: str) -> "UUID":
    from app.admin.names import parse_id

    return parse_id("job", text)
