"""Check an operator's decision against the upstream's history, before it is carried out."""

from uuid import UUID

from app.core.database.db import Database
from app.core.errors import Conflict
from app.jobs.operations import JobNotFound
from app.resolution.matching.fitting import CLOCKS, SEND, added_members, are_defaults
from app.resolution.queries import SentJob, find_sent_job, list_schemas
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryRow, read_body
from app.upstream.readings import NotRead


class RequestUnconfirmed(Conflict):
    """409: the upstream's history could not confirm that the request is the job's. `force` adopts it anyway."""

    code = "request_unconfirmed"


class RequestDiffers(Conflict):
    """409: by the upstream's history, the request has another model or other parameters than the job."""

    code = "request_differs"


async def confirm_request(
    database: Database, history: HistoryClient | None, *, job_id: UUID, upstream_id: str, force: bool
) -> None:
    """Ask the history whether this request may be the job's. `force`: its silence is no obstacle, but a difference is.

    Raises JobNotFound, RequestDiffers, RequestUnconfirmed.
    """
    try:
        row = None if history is None else await history.find(upstream_id)
        unconfirmed = "the history is turned off" if history is None else "the history does not know it"
    except NotRead as error:
        row, unconfirmed = None, f"the history could not be read: {error.detail}"
    async with database.snapshot() as session:
        job = await find_sent_job(session, job_id=job_id, upstream_id=upstream_id)
        if job is None:
            raise JobNotFound
        schemas = await list_schemas(session, models=[job.model])
    if row is not None:
        difference = _difference(row, job, schemas.get(job.model))
        if difference is not None:
            raise RequestDiffers(f"request {upstream_id} {difference}")
        unconfirmed = _doubt(row, job)
    if unconfirmed and not force:
        raise RequestUnconfirmed(
            f"request {upstream_id} cannot be confirmed: {unconfirmed}; use force to adopt it anyway"
        )


def _difference(row: HistoryRow, job: SentJob, schema: dict[str, object] | None) -> str | None:
    if row.model is not None and row.model != job.model:
        return f"is of model {row.model}, and the job is of model {job.model}"
    if row.body is None or job.body is None:
        return None
    added = added_members(row.body, read_body(job.body))
    if added is None:
        return "has other parameters than the job"
    if schema is not None and not are_defaults(added, schema):
        return f"has more parameters than the job: {', '.join(sorted(added))}"
    return None


def _doubt(row: HistoryRow, job: SentJob) -> str:
    """Why the history does not confirm it, although nothing differs; empty if it does."""
    if row.model is None or row.body is None or job.body is None:
        return "its model or its parameters are not known any more"
    if row.created_at is None or job.sent_at is None or not -CLOCKS <= row.created_at - job.sent_at <= SEND + CLOCKS:
        return "it was accepted at another time"
    return "it may be another tenant's" if job.contested else ""
